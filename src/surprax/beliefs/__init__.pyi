from .conjugate import Conjugacy as Conjugacy
from .conjugate import conjugates as conjugates
from .conjugate import log_evidence as log_evidence
from .conjugate import predictive as predictive
from .conjugate_prior import ConjugatePrior as ConjugatePrior
