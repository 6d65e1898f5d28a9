"""The half-normal distribution: the size of a normal deviation."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Carrier, Layout, Moments
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.normal import erf_quantile_from_log, log_erf, log_erfc

__all__ = ["HalfNormal"]

_ROOT_2 = float(np.sqrt(2.0))
_LOG_ROOT_HALF_PI = 0.5 * float(np.log(np.pi / 2.0))


@family
class HalfNormal(ExponentialFamily):
    """Half-normal distribution, that of |X| for a centred Normal X: s(x) = x² / (2 scale²) + log(scale √(π/2)) for x ≥ 0.

    Args:
        scale: root of the mean square, positive.

    Natural parameter −1/(2 scale²) of T(x) = x²; log-normaliser log scale + ½ log(π/2). `fit` gives the root mean square.
    Source: Johnson, Kotz & Balakrishnan (1994), chapter 13.10.

    >>> print(f"{HalfNormal(2.0).cdf(2.0):.4f}")  # within one standard deviation
    0.6827
    >>> HalfNormal.fit([1.0, 1.0, 2.0])
    HalfNormal(scale=1.41421356)
    """

    scale: Any = parameter(positive, default=1.0)

    dimension = 1
    layout = Layout(Carrier("x^2", lambda x: x * x, jnp.sqrt, lower=0.0))
    gap_matrix = ((),)
    data_support = NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = x / self.scale
        return -0.5 * z * z - (jnp.log(self.scale) + _LOG_ROOT_HALF_PI)

    # Moments.

    def _mean(self) -> Any:
        return float(np.sqrt(2.0 / np.pi)) * self.scale

    def _variance(self) -> Any:
        return (1.0 - 2.0 / np.pi) * self.scale**2

    def _mode(self) -> Any:
        return jnp.zeros_like(self.scale)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_erf(x / self.scale / _ROOT_2)

    def _log_sf(self, x: Array) -> Array:
        return log_erfc(x / self.scale / _ROOT_2)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * _ROOT_2 * erf_quantile_from_log(log_p, log_q)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (_LOG_ROOT_HALF_PI + 0.5)

    def _kl(self, q: Self) -> Array:
        widening = (self.scale - q.scale) / q.scale
        return 0.5 * widening * widening + scale_divergence(self.scale, q.scale)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-0.5 * self.scale**-2,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,) = natural
        return cls._of(scale=jnp.sqrt(-0.5 / jnp.where(eta < 0, eta, jnp.nan)))

    def _expectation(self) -> tuple[Any, ...]:
        return (self.scale**2,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (square,) = expectation
        return cls._of(scale=jnp.sqrt(jnp.where(square > 0, square, jnp.nan)))

    def _log_normalizer(self) -> Any:
        return jnp.log(self.scale) + _LOG_ROOT_HALF_PI

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x * x,)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((2.0 * self.scale**4,),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """scale = root mean square."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))
        return cls._of(scale=jnp.sqrt(e.mean)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.scale * jnp.abs(jax.random.normal(key, shape, jnp.result_type(float)))
