"""The geometric distribution: failures before the first success."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import bernoulli_divergence, choose_logits, sigmoid, smallest_quantile, softplus
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, parameter
from surprax.families.supports import NONNEGATIVE_INTEGERS
from surprax.numerics.elementary import log1mexp, with_derivatives

__all__ = ["Geometric"]

_some_chance = Constraint("above 0 and at most 1", lambda v: (v > 0) & (v <= 1))
_above_never = Constraint("a number above -∞, or ∞", lambda v: v > -jnp.inf)


def _slope(x: Array, logits: Array) -> Array:
    """1 − probs − x·probs."""
    return jax.nn.sigmoid(-logits) - x * jax.nn.sigmoid(logits)


@with_derivatives(lambda x, logits: -softplus(logits), _slope)
def _log_mass(x: Array, logits: Array) -> Array:
    failures = jnp.where((x == 0) & (logits == jnp.inf), 0.0, x * softplus(logits))
    return -softplus(-logits) - failures


@family
class Geometric(ExponentialFamily):
    """Geometric distribution of the failures before a first success: s(x) = −log probs − x log(1 − probs) for x ≥ 0.

    Args:
        probs: probability of success at each trial, in (0, 1]; or else
        logits: log-odds of it, above −∞. These are what is stored.

    Natural parameter log(1 − probs) of T(x) = x; log-normaliser −log probs. The mean is e^−logits, so that `fit` gives
    logits = −log mean; it refuses data that are all zero. (SciPy's `geom` counts the trials instead, one more.)
    Source: Johnson, Kemp & Kotz (2005), section 5.2.

    >>> wait = Geometric(0.25)
    >>> print(f"{wait.log_sf(5) - wait.log_sf(2) - wait.log_sf(2):.4f}")  # no memory
    0.0000
    >>> Geometric.fit([4, 2, 3]).probs.round(4).item()
    0.25
    """

    logits: Any = parameter(_above_never)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    discrete = True
    data_support = NONNEGATIVE_INTEGERS

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "logits", choose_logits("Geometric", probs, logits, _some_chance))
        self.__post_init__()

    @property
    def probs(self) -> Any:
        """Probability of success; the shape of `logits`."""
        return sigmoid(self.logits)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_mass(x, self.logits)

    # Moments.

    def _mean(self) -> Any:
        return jnp.exp(-self.logits)

    def _variance(self) -> Any:
        mean = jnp.exp(-self.logits)
        return mean * (1.0 + mean)

    def _mode(self) -> Any:
        return jnp.where(jnp.isnan(self.logits), jnp.nan, 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log1mexp((x + 1.0) * softplus(self.logits))

    def _log_sf(self, x: Array) -> Array:
        return -(x + 1.0) * softplus(self.logits)

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, self._log_cdf(x), self._log_sf(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        # An exact start; what remains is to agree with the distribution function to the last bit.
        start = jnp.ceil(-log_q / softplus(self.logits)) - 1.0
        return smallest_quantile(self, log_p, log_q, start, jnp.zeros_like(start), jnp.zeros_like(start))

    # Information.

    def _entropy(self) -> Any:
        """That of one trial, as often as there are trials: (−p log p − (1 − p) log(1 − p))/p."""
        certain = self.logits == jnp.inf
        finite = jnp.where(certain, 0.0, self.logits)
        return jnp.where(certain, 0.0, softplus(-finite) + softplus(finite) * jnp.exp(-finite))

    def _kl(self, q: Self) -> Array:
        return bernoulli_divergence(self.logits, q.logits) * (1.0 + jnp.exp(-self.logits))

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-softplus(self.logits),)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        # log(1 − e^η) − η, NaN unless η < 0
        (eta,) = natural
        return cls._of(logits=log1mexp(-eta) - eta)

    def _expectation(self) -> tuple[Any, ...]:
        return (jnp.exp(-self.logits),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(logits=-jnp.log(expectation[0]))

    def _log_normalizer(self) -> Any:
        return softplus(-self.logits)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self._variance(),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """logits = −log mean."""
        return cls._of(logits=-jnp.log(e.mean)), Outcome.first(
            (e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO)
        )

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """The whole part of an exponential variable of rate −log(1 − probs)."""
        wait = jax.random.exponential(key, shape, jnp.result_type(float))
        return jnp.floor(wait / softplus(self.logits)).astype(int)
