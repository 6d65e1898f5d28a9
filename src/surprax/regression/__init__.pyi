from .estimate import LinearEstimate as LinearEstimate
from .glm import glm as glm
from .links import Link as Link
from .prediction import Prediction as Prediction
