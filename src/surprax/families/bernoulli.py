"""The Bernoulli distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import CHANCE
from surprax.families.base import family
from surprax.families.discrete import (
    bernoulli_divergence,
    binary_entropy,
    choose_logits,
    log_odds,
    reached,
    sigmoid,
    softplus,
)
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, probability
from surprax.families.supports import ZERO_OR_ONE
from surprax.numerics.elementary import log_ratio, with_derivatives

__all__ = ["Bernoulli"]


@with_derivatives(
    lambda x, logits: logits, lambda x, logits: (2.0 * x - 1.0) * jax.nn.sigmoid((1.0 - 2.0 * x) * logits)
)
def _log_mass(x: Array, logits: Array) -> Array:
    if jnp.size(logits) < jnp.size(x):  # many rows choose between two numbers
        return -jnp.where(x > 0.5, softplus(-logits), softplus(logits))
    return -softplus((1.0 - 2.0 * x) * logits)


@family
class Bernoulli(ExponentialFamily):
    """Bernoulli distribution of one trial: surprise −log probs of a success (1), −log(1 − probs) of a failure (0).

    Args:
        probs: probability of success, in [0, 1]; or else
        logits: log-odds log(probs/(1 − probs)), any number or ±∞. These are what is stored.

    Natural parameter logits of T(x) = x; log-normaliser log(1 + e^logits). `fit` gives the share of successes; it
    refuses data that are all 0 or all 1, where the log-odds are infinite.

    >>> coin = Bernoulli(0.25)
    >>> print(f"{coin.surprise(1, 'bit'):.3f}, {coin.entropy('bit'):.3f}")
    2.000, 0.811
    >>> Bernoulli.fit([1, 0, 1, 1]).probs.round(3).item()
    0.75
    """

    logits: Any = parameter(log_odds)

    dimension = 1
    layout = Layout(CHANCE)
    gap_matrix = ((),)
    discrete = True
    data_support = ZERO_OR_ONE

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "logits", choose_logits("Bernoulli", probs, logits, probability))
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
        return jax.nn.sigmoid(self.logits)

    def _variance(self) -> Any:
        return jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits)

    def _mode(self) -> Any:
        return jnp.where(jnp.isnan(self.logits), jnp.nan, jnp.where(self.logits > 0, 1.0, 0.0))

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return jnp.where(x < 1, -softplus(self.logits), 0.0)

    def _log_sf(self, x: Array) -> Array:
        return jnp.where(x < 1, -softplus(-self.logits), -jnp.inf)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        logits = jax.lax.stop_gradient(self.logits)
        lower = log_p <= log_q
        at_zero = reached(-softplus(jnp.where(lower, logits, -logits)), lower, log_p, log_q)
        return jnp.where(jnp.isnan(logits), jnp.nan, jnp.where(at_zero, 0.0, 1.0))

    # Information.

    def _entropy(self) -> Any:
        return binary_entropy(self.logits)

    def _kl(self, q: Self) -> Array:
        return bernoulli_divergence(self.logits, q.logits)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (self.logits,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(logits=natural[0])

    def _expectation(self) -> tuple[Any, ...]:
        return (jax.nn.sigmoid(self.logits),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (p,) = expectation
        return cls._of(logits=log_ratio(p, 1.0 - p))

    def _log_normalizer(self) -> Any:
        return softplus(self.logits)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self._variance(),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """probs = mean."""
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO), (e.mean >= 1, Reason.ALL_AT_UPPER_END)
        )
        return cls._of(logits=log_ratio(e.mean, 1.0 - e.mean)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        # The rarer outcome is drawn, with twice the random bits: its probability may be below the step of one number.
        rare = jax.random.bernoulli(key, jax.nn.sigmoid(-jnp.abs(self.logits)), shape, mode="high")
        return (rare ^ (self.logits > 0)).astype(int)
