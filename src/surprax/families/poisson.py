"""The Poisson distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import factorial_remainder, lattice_entropy, nonnegative, smallest_quantile
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter
from surprax.families.supports import NONNEGATIVE_INTEGERS
from surprax.numerics.elementary import deviance, with_derivatives, xlogy
from surprax.numerics.gamma import digamma, log_factorial
from surprax.numerics.incomplete_gamma import log_gammainc, log_gammaincc

__all__ = ["Poisson"]


@with_derivatives(
    lambda x, rate: jnp.log(rate) - digamma(x + 1.0),
    lambda x, rate: jnp.where(x == 0, -1.0, (x - rate) / jnp.where(x == 0, 1.0, rate)),
)
def _log_mass(x: Array, rate: Array) -> Array:
    """x log rate − rate − log x!, as deviance and remainder (Loader 2000): no term exceeds the result by much."""
    return -deviance(x, rate) - factorial_remainder(x)


@family
class Poisson(ExponentialFamily):
    """Poisson distribution of counts: surprise s(x) = rate − x log rate + log x! for x = 0, 1, 2, …

    Args:
        rate: mean, at least 0 (at 0 it is certain that x = 0).

    Natural parameter log rate of T(x) = x; log-normaliser rate; log h(x) = −log x!. `fit` gives the mean of the data;
    it refuses data that are all zero. Source: Johnson, Kemp & Kotz (2005), chapter 4.

    >>> Poisson(4.0).kl(Poisson(2.0)).round(3).item()  # 4 log(4/2) − 4 + 2
    0.773
    >>> Poisson.fit([3, 1, 5])
    Poisson(rate=3)
    """

    rate: Any = parameter(nonnegative)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    discrete = True
    data_support = NONNEGATIVE_INTEGERS
    sums_by_evidence = False  # Σ log x! dwarfs the rest at large counts: in float32 the masses keep what would cancel

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_mass(x, self.rate)

    # Moments.

    def _mean(self) -> Any:
        return self.rate

    def _variance(self) -> Any:
        return self.rate

    def _mode(self) -> Any:
        return jnp.maximum(jnp.ceil(self.rate) - 1.0, 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_gammaincc(x + 1.0, self.rate)

    def _log_sf(self, x: Array) -> Array:
        return log_gammainc(x + 1.0, self.rate)

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, self._log_cdf(x), self._log_sf(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        skewness = 1.0 / jnp.sqrt(jnp.maximum(self.rate, 0.01))
        return smallest_quantile(self, log_p, log_q, self.rate, self.rate, skewness)

    # Information.

    def _entropy(self) -> Any:
        return lattice_entropy(self._log_density, self.rate, self.rate, 1.0, jnp.inf)

    def _kl(self, q: Self) -> Array:
        return deviance(self.rate, q.rate)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (jnp.log(self.rate),)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(rate=jnp.exp(natural[0]))

    def _expectation(self) -> tuple[Any, ...]:
        return (self.rate,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,) = expectation
        return cls._of(rate=jnp.where(mean >= 0, mean, jnp.nan))

    def _log_normalizer(self) -> Any:
        return self.rate

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -log_factorial(x)

    def _fitted_log_likelihood(self) -> Any:
        return xlogy(self.rate, self.rate) - self.rate

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self.rate,),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """rate = mean."""
        return cls._of(rate=e.mean), Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.poisson(key, self.rate, shape)
