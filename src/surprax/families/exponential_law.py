"""The exponential distribution (of waiting times; the base class of exponential families is in `exponential`)."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE
from surprax.numerics.elementary import log1mexp, scale_divergence

__all__ = ["Exponential"]


@family
class Exponential(ExponentialFamily):
    """Exponential distribution: surprise grows in proportion to the wait, s(x) = rate·x − log rate for x ≥ 0.

    Args:
        rate: reciprocal of the mean, positive.

    Natural parameter −rate of T(x) = x; log-normaliser −log rate. Source: Johnson, Kotz & Balakrishnan (1994), chapter 19.

    >>> wait = Exponential(2.0)
    >>> print(f"{wait.log_sf(3.0) - wait.log_sf(1.0) - wait.log_sf(2.0):.3f}")  # no memory
    0.000
    >>> Exponential.fit([1.0, 2.0, 3.0])
    Exponential(rate=0.5)
    """

    rate: Any = parameter(positive, default=1.0)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    data_support = NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        return jnp.log(self.rate) - self.rate * x

    # Moments.

    def _mean(self) -> Any:
        return 1.0 / self.rate

    def _variance(self) -> Any:
        return (1.0 / self.rate) ** 2

    def _mode(self) -> Any:
        return jnp.zeros_like(self.rate)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log1mexp(self.rate * x)

    def _log_sf(self, x: Array) -> Array:
        return -self.rate * x

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return -log_q / self.rate

    # Information.

    def _entropy(self) -> Any:
        return 1.0 - jnp.log(self.rate)

    def _kl(self, q: Self) -> Array:
        return scale_divergence(q.rate, self.rate)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-self.rate,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        rate = -natural[0]
        return cls._of(rate=jnp.where(rate > 0, rate, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (1.0 / self.rate,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,) = expectation
        return cls._of(rate=1.0 / jnp.where(mean > 0, mean, jnp.nan))

    def _log_normalizer(self) -> Any:
        return -jnp.log(self.rate)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return (((1.0 / self.rate) ** 2,),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """rate = 1/mean."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))
        return cls._of(rate=1.0 / e.mean), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.exponential(key, shape, jnp.result_type(float)) / self.rate
