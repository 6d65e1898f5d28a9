"""The normal distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import SQUARE, VALUE
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import REAL
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.normal import HALF_LOG_2PI, log_ndtr, normal_quantile_from_log

__all__ = ["Normal"]


@family
class Normal(ExponentialFamily):
    """Normal (Gaussian) distribution: surprise is a parabola, s(x) = (x − loc)² / (2 scale²) + log(scale √(2π)).

    Args:
        loc: mean, finite.
        scale: standard deviation, positive.

    Natural parameters (loc/scale², −1/(2 scale²)) of T(x) = (x, x²); log-normaliser loc²/(2 scale²) + log scale + ½ log 2π.

    >>> Normal(0.0, 1.0).surprise(0.0, "bit").item()  # squared error = Gaussian surprise − 1.326 bit
    1.326
    >>> Normal.fit([1.0, 2.0, 3.0])
    Normal(loc=2, scale=0.816496581)
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    dimension = 2
    layout = Layout(VALUE, (SQUARE,))
    gap_matrix = ((0.0,), (1.0,))
    may_be_known = ("loc", "scale")
    data_support = REAL

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = (x - self.loc) / self.scale
        return -0.5 * z * z - (jnp.log(self.scale) + HALF_LOG_2PI)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return self.scale**2

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_ndtr((x - self.loc) / self.scale)

    def _log_sf(self, x: Array) -> Array:
        return log_ndtr((self.loc - x) / self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.loc + self.scale * normal_quantile_from_log(log_p, log_q)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (HALF_LOG_2PI + 0.5)

    def _kl(self, q: Self) -> Array:
        shift, widening = (self.loc - q.loc) / q.scale, (self.scale - q.scale) / q.scale
        return 0.5 * (shift * shift + widening * widening) + scale_divergence(self.scale, q.scale)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        precision = self.scale**-2
        return self.loc * precision, -0.5 * precision

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        variance = -0.5 / natural[1]
        return cls._of(loc=natural[0] * variance, scale=jnp.sqrt(variance))

    def _expectation(self) -> tuple[Any, ...]:
        return self.loc, self.loc**2 + self.scale**2

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        mean, square = expectation
        variance = square - mean**2
        return cls._of(loc=mean, scale=jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan)))

    def _log_normalizer(self) -> Any:
        return 0.5 * (self.loc / self.scale) ** 2 + jnp.log(self.scale) + HALF_LOG_2PI

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return x, x * x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        v = self.scale**2
        cross = 2.0 * self.loc * v
        return (v, cross), (cross, 2.0 * v * v + 4.0 * self.loc**2 * v)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean, scale = √(mean squared deviation from loc), where they are not known."""
        loc = e.known.get("loc", e.mean) * jnp.ones_like(e.mean)
        variance = e.gaps[..., 0] + (e.mean - loc) ** 2
        if "scale" in e.known:
            return cls._of(loc=loc, scale=e.known["scale"] * jnp.ones_like(loc)), Outcome.first(
                (e.count <= 0, Reason.NO_DATA)
            )
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (variance <= 0, Reason.ALL_SAME))
        return cls._of(loc=loc, scale=jnp.sqrt(variance)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale * jax.random.normal(key, shape, jnp.result_type(float))
