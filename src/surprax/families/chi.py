"""The chi distribution."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import LOG
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support
from surprax.numerics.elementary import is_near, log1mexp, log1p_minus, log_ratio, product_minus, with_derivatives
from surprax.numerics.gamma import (
    inverse_digamma,
    log_factorial,
    log_gamma,
    log_minus_digamma,
    stirling_error,
    trigamma,
)
from surprax.numerics.gamma_differences import log_gamma_bregman, log_gamma_difference_beyond
from surprax.numerics.incomplete_gamma import gamma_quantile_from_log, log_gammainc, log_gammaincc

__all__ = ["Chi", "chi_quantile", "log_chi_cdf", "log_chi_sf"]

_LOG_2 = math.log(2.0)
_HALF_LOG_PI = 0.5 * math.log(math.pi)


@family
class Chi(ExponentialFamily):
    """Chi distribution, that of √Y for a chi-squared Y: s(x) = x²/2 − (df − 1) log x + (df/2 − 1) log 2 + log Γ(df/2), x ≥ 0.

    Args:
        df: degrees of freedom, positive; also the mean of x².

    Natural parameter df − 1 of T(x) = log x, with h(x) = exp(−x²/2); log-normaliser log Γ(df/2) + (df/2 − 1) log 2. `fit` solves
    ½ (ψ(df/2) + log 2) = mean log x. Source: Johnson, Kotz & Balakrishnan (1994), chapter 18.

    >>> print(f"{Chi(2.0).log_sf(3.0):.3f}")  # with two degrees of freedom it is Rayleigh's
    -4.500
    >>> print(f"{Chi(5.0).mean ** 2 + Chi(5.0).variance:.3f}")
    5.000
    """

    df: Any = parameter(positive)

    dimension = 1
    layout = Layout(LOG)
    gap_matrix = ((),)
    data_support = POSITIVE

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_chi_density(x, self.df)

    # Moments.

    def _mean(self) -> Any:
        return jnp.sqrt(self.df) * jnp.exp(log_gamma_difference_beyond(0.5 * self.df, 0.5))

    def _variance(self) -> Any:
        """df − mean²."""
        return -self.df * jnp.expm1(2.0 * log_gamma_difference_beyond(0.5 * self.df, 0.5))

    def _mode(self) -> Any:
        inside = self.df > 1.0
        return jnp.where(inside, jnp.sqrt(jnp.where(inside, self.df - 1.0, 1.0)), 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_chi_cdf(x, self.df, 1.0)

    def _log_sf(self, x: Array) -> Array:
        return log_chi_sf(x, self.df, 1.0)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return chi_quantile(self.df, log_p, log_q)

    # Information.

    def _entropy(self) -> Any:
        """From the saddle-point form below, with E r = 1 and E log r = ψ(a) − log a."""
        a = 0.5 * self.df
        return (a - 0.5) * log_minus_digamma(a) + (_HALF_LOG_PI + stirling_error(a))

    def _kl(self, q: Self) -> Array:
        return log_gamma_bregman(0.5 * q.df, 0.5 * self.df)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (self.df - 1.0,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        df = natural[0] + 1.0
        return cls._of(df=jnp.where(df > 0, df, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (0.5 * (jnp.log(self.df) - log_minus_digamma(0.5 * self.df)),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean_log,) = expectation
        return cls._of(df=2.0 * inverse_digamma(2.0 * mean_log - _LOG_2))

    def _log_normalizer(self) -> Any:
        half = 0.5 * self.df
        return log_gamma(half) + (half - 1.0) * _LOG_2

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (jnp.log(x),)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -0.5 * x * x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((0.25 * trigamma(0.5 * self.df),),)

    def _fitted_log_likelihood(self) -> Any:
        return 0.5 * self.df - self._entropy()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """½ (ψ(df/2) + log 2) = mean log x."""
        return cls._from_expectation((e.mean,), {}), Outcome.first((e.count <= 0, Reason.NO_DATA))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        # In logarithms: the square of a draw of few degrees of freedom may underflow where the draw does not.
        log_half = jax.random.loggamma(key, 0.5 * self.df, shape, jnp.result_type(float))
        draw = jnp.exp(0.5 * (log_half + _LOG_2))
        return jnp.maximum(draw, jnp.finfo(draw.dtype).tiny)


# Numerics. With a = df/2 and r = x²/df, the saddle-point form of `Gamma` becomes
#
#     log p = a (log r − (r − 1)) − ½ log r − ½ log π − μ(a),
#
# with Stirling's correction μ.


def _log_r(x: Array, df: Array) -> Array:
    u = product_minus(x, x, df) / df
    near = is_near(u)
    # The largest number stands in for ∞ under the logarithm, lest ∞ − ∞ hide that the density is 0.
    far = 2.0 * log_ratio(jnp.minimum(x, jnp.finfo(x.dtype).max), jnp.sqrt(df))
    return jnp.where(near, jnp.log1p(jnp.where(near, u, 0.0)), far)


def _slope_in_x(x: Array, df: Array) -> Array:
    """(df − 1)/x − x, of which the first is 0 for df = 1, also at x = 0."""
    excess = product_minus(x, x, df)
    far = jnp.where(df == 1, 0.0, (df - 1.0) / jnp.where(df == 1, 1.0, x)) - x
    return jnp.where(is_near(excess / df), -(excess + 1.0) / jnp.where(x == 0, 1.0, x), far)


@with_derivatives(_slope_in_x, lambda x, df: 0.5 * (_log_r(x, df) + log_minus_digamma(0.5 * df)))
def _log_chi_density(x: Array, df: Array) -> Array:
    """log of x^(df−1) exp(−x²/2)/(2^(df/2−1) Γ(df/2)) for x ≥ 0."""
    excess, log_r = product_minus(x, x, df), _log_r(x, df)
    u = excess / df
    far = 0.5 * (jnp.where(df == 1, 0.0, (df - 1.0) * log_r) - excess)
    kernel = jnp.where(is_near(u), 0.5 * (df * log1p_minus(u) - log_r), far)
    return kernel - (_HALF_LOG_PI + stirling_error(0.5 * df))


# Tails of scale·X. Where x² would underflow, the lower one is the power (x²/2)^a/Γ(1 + a).

_SMALL = -40.0
"""log(x²/2) below which the next term of the power series is less than any rounding error."""


def _at_power(x: Array, df: Any, scale: Any) -> tuple[Array, Array, Array, Array]:
    """(df/2, x²/(2 scale²), whether the power is all there is, its logarithm)."""
    a = 0.5 * jnp.asarray(df, x.dtype)
    z, log_half = x / scale, 2.0 * log_ratio(x, scale) - _LOG_2
    small = log_half < _SMALL
    return a, jnp.where(small, 1.0, 0.5 * z * z), small, a * jnp.where(small, log_half, _SMALL) - log_factorial(a)


def log_chi_cdf(x: Array, df: Any, scale: Any) -> Array:
    """log P(scale·X ≤ x) for a chi variable X and x ≥ 0."""
    a, half, small, power = _at_power(x, df, scale)
    return jnp.where(small, power, log_gammainc(a, half))


def log_chi_sf(x: Array, df: Any, scale: Any) -> Array:
    """log P(scale·X > x) for a chi variable X and x ≥ 0."""
    a, half, small, power = _at_power(x, df, scale)
    return jnp.where(small, log1mexp(-power), log_gammaincc(a, half))


def chi_quantile(df: Any, log_p: Array, log_q: Array) -> Array:
    """The quantile of a chi variable from both log-probabilities."""
    a = 0.5 * jnp.asarray(df, log_p.dtype)
    log_half = (log_p + log_factorial(a)) / a
    small = log_half < _SMALL
    half = gamma_quantile_from_log(a, jnp.where(small, -_LOG_2, log_p), jnp.where(small, -_LOG_2, log_q))
    return jnp.where(
        small, jnp.exp(0.5 * (jnp.where(small, log_half, 0.0) + _LOG_2)), jnp.sqrt(2.0 * jnp.where(small, 1.0, half))
    )
