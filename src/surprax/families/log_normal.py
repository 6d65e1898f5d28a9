"""The log-normal distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import LOG, SQUARE
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.normal import Normal
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import POSITIVE
from surprax.numerics.elementary import scale_divergence

__all__ = ["LogNormal"]


@family
class LogNormal(ExponentialFamily):
    """Log-normal distribution: log X is Normal(loc, scale), so that s(x) = (log x − loc)²/(2 scale²) + log(x scale √(2π)).

    Args:
        loc: mean of log X, finite.
        scale: standard deviation of log X, positive.

    Natural parameters (loc/scale², −1/(2 scale²)) of T(x) = (log x, (log x)²), with h(x) = 1/x; log-normaliser as `Normal`'s.
    Source: Johnson, Kotz & Balakrishnan (1994), chapter 14.

    >>> import numpy as np
    >>> LogNormal.fit(np.exp([1.0, 2.0, 3.0]))
    LogNormal(loc=2, scale=0.816496581)
    >>> print(f"{LogNormal(0.5, 2.0).icdf(0.5) / np.exp(0.5):.3f}")  # the median is exp(loc)
    1.000
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    dimension = 2
    layout = Layout(LOG, (SQUARE,))
    gap_matrix = ((0.0,), (1.0,))
    may_be_known = ("loc", "scale")
    data_support = POSITIVE

    @property
    def _of_log(self) -> Normal:
        return Normal._of(loc=self.loc, scale=self.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        largest = jnp.finfo(x.dtype).max
        log_x = jnp.log(jnp.minimum(x, largest))
        return (
            self._of_log._log_density(log_x) - log_x - (jnp.maximum(x, largest) - largest)
        )  # the last part is 0, or ∞ at ∞

    # Moments.

    def _mean(self) -> Any:
        return jnp.exp(self.loc + 0.5 * self.scale**2)

    def _variance(self) -> Any:
        v = self.scale**2
        return -jnp.expm1(-v) * jnp.exp(2.0 * (self.loc + v))

    def _mode(self) -> Any:
        return jnp.exp(self.loc - self.scale**2)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._of_log._log_cdf(jnp.log(x))

    def _log_sf(self, x: Array) -> Array:
        return self._of_log._log_sf(jnp.log(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return jnp.exp(self._of_log._quantile(log_p, log_q))

    # Information.

    def _entropy(self) -> Any:
        return self._of_log._entropy() + self.loc

    def _kl(self, q: Self) -> Array:
        shift, widening = (self.loc - q.loc) / q.scale, (self.scale - q.scale) / q.scale
        return 0.5 * (shift * shift + widening * widening) + scale_divergence(self.scale, q.scale)

    # Exponential family: that of the Normal of log x.

    def _natural(self) -> tuple[Any, ...]:
        return self._of_log._natural()

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        n = Normal._from_natural(natural, known)
        return cls._of(loc=n.loc, scale=n.scale)

    def _expectation(self) -> tuple[Any, ...]:
        return self._of_log._expectation()

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        n = Normal._from_expectation(expectation, known)
        return cls._of(loc=n.loc, scale=n.scale)

    def _log_normalizer(self) -> Any:
        return self._of_log._log_normalizer()

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return self._of_log._sufficient_statistics(jnp.log(x))

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -jnp.log(x)

    def _fitted_log_likelihood(self) -> Any:
        return -self._of_log._entropy()

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return self._of_log._fisher_information()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean of log x, scale = √(its mean squared deviation)."""
        n, outcome = Normal._fit_moments(e)
        return cls._of(loc=n.loc, scale=n.scale), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jnp.exp(self.loc + self.scale * jax.random.normal(key, shape, jnp.result_type(float)))
