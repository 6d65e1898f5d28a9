"""The Poisson distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import entropy_by_summing, smallest_quantile
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE_INTEGERS, Support
from surprax.numerics.elementary import deviance, xlogy
from surprax.numerics.gamma import log_factorial
from surprax.numerics.incomplete_gamma import log_gammainc, log_gammaincc

__all__ = ["Poisson"]
