from .estimate import LinearEstimate as LinearEstimate
from .glm import glm as glm
from .links import Link as Link
from .multinomial_estimate import MultinomialEstimate as MultinomialEstimate
from .paths import PenaltyPath as PenaltyPath
from .paths import penalty_path as penalty_path
from .prediction import Prediction as Prediction
from .tweedie import Tweedie as Tweedie
