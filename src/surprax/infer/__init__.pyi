from .closed import ClosedForm as ClosedForm
from .closed import Image as Image
from .closed import Marginal as Marginal
from .closed import Member as Member
from .diagnostics import InferenceWarning as InferenceWarning
from .posterior import Posterior as Posterior
from .run import infer as infer
from .summary import Summary as Summary
