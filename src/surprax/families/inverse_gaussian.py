"""The inverse Gaussian (Wald) distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE, RECIPROCAL
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import POSITIVE as POSITIVE_NUMBERS
from surprax.numerics.elementary import by_dtype, log_ratio, scale_divergence, with_derivatives
from surprax.numerics.normal import (
    HALF_LOG_2PI,
    log_inverse_gaussian_cdf,
    log_inverse_gaussian_sf,
    normal_quantile_from_log,
)

__all__ = ["InverseGaussian"]


@family
class InverseGaussian(ExponentialFamily):
    """Inverse Gaussian distribution: the first time at which Brownian motion with drift reaches a level.

    s(x) = concentration (x − loc)²/(2 loc² x) + ½ log(2π x³/concentration) for x > 0.

    Args:
        loc: mean, positive.
        concentration: shape λ, positive; the variance is loc³/λ.

    Natural parameters (−λ/(2 loc²), −λ/2) of T(x) = (x, 1/x), with h(x) = x^(−3/2)/√(2π); log-normaliser −½ log λ − λ/loc.
    SciPy's name for it is invgauss(loc/λ, scale=λ). Source: Tweedie (1957), Annals of Mathematical Statistics 28, 362.

    >>> d = InverseGaussian(2.0, 3.0)
    >>> print(f"{d.variance:.4f}, {d.expectation[1] - 1 / d.mean:.4f}")  # E[1/X] − 1/E[X] = 1/λ
    2.6667, 0.3333
    >>> InverseGaussian.fit([1.0, 2.0, 6.0])
    InverseGaussian(loc=3, concentration=4.5)
    """

    loc: Any = parameter(positive)
    concentration: Any = parameter(positive)

    dimension = 2
    layout = Layout(POSITIVE, (RECIPROCAL,))
    gap_matrix = ((0.0,), (1.0,))
    data_support = POSITIVE_NUMBERS

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_density(x, self.loc, self.concentration)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return self.loc**2 * (self.loc / self.concentration)

    def _mode(self) -> Any:
        # loc (√(1 + k²) − k), without the difference
        k = 1.5 * self.loc / self.concentration
        return self.loc / (k + jnp.hypot(1.0, k))

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_inverse_gaussian_cdf(x, self.loc, self.concentration)

    def _log_sf(self, x: Array) -> Array:
        return log_inverse_gaussian_sf(x, self.loc, self.concentration)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return _quantile(log_p, log_q, self.loc, self.concentration)

    # Information.

    def _entropy(self) -> Any:
        """½ (1 + log 2π − log λ) + 1.5 E log X, with E log X = log loc − e^z E₁(z) at z = 2λ/loc."""
        z = 2.0 * self.concentration / self.loc
        # log loc + log z = log 2λ, taken together where z is small
        narrow = jnp.log(self.loc) + 0.5 * log_ratio(self.loc, self.concentration)
        wide = jnp.log(self.concentration) + 1.5 * float(np.log(2.0))
        return HALF_LOG_2PI + 0.5 + jnp.where(z < 1.0, wide, narrow) - 1.5 * _scaled_e1(z)

    def _kl(self, q: Self) -> Array:
        shapes = scale_divergence(q.concentration, self.concentration)
        return 0.5 * (_deviance(self.loc, q.loc, q.concentration) + shapes)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return -0.5 * self.concentration / self.loc**2, -0.5 * self.concentration

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        x, reciprocal = (jnp.where(eta < 0, eta, jnp.nan) for eta in natural)
        return cls._of(loc=jnp.sqrt(reciprocal / x), concentration=-2.0 * reciprocal)

    def _expectation(self) -> tuple[Any, ...]:
        return self.loc, 1.0 / self.loc + 1.0 / self.concentration

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        mean, reciprocal = expectation
        gap = reciprocal - 1.0 / mean
        good = (mean > 0) & (gap > 0)
        return cls._of(loc=jnp.where(good, mean, jnp.nan), concentration=1.0 / jnp.where(good, gap, jnp.nan))

    def _log_normalizer(self) -> Any:
        return -0.5 * jnp.log(self.concentration) - self.concentration / self.loc

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return x, 1.0 / x

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -1.5 * jnp.log(x) - HALF_LOG_2PI

    def _fitted_log_likelihood(self) -> Any:
        return 0.5 * jnp.log(self.concentration) - 0.5

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        m, v = self.loc, 1.0 / self.concentration
        return (m**3 * v, -m * v), (-m * v, v / m + 2.0 * v * v)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean, 1/λ = mean 1/x − 1/mean."""
        gap = e.gaps[..., 0]
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (gap <= 0, Reason.ALL_SAME))
        return cls._of(loc=e.mean, concentration=1.0 / gap), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """The roots of the deviance that a squared normal sets (Michael, Schucany & Haas 1976), without their difference."""
        key_normal, key_root = jax.random.split(key)
        dtype = jnp.result_type(float)
        w = 0.5 * (self.loc / self.concentration) * jax.random.normal(key_normal, shape, dtype) ** 2
        ratio = 1.0 + w + jnp.sqrt(w * (w + 2.0))  # the larger root over loc; the smaller is its reciprocal
        larger = (1.0 - jax.random.uniform(key_root, shape, dtype)) * (1.0 + ratio) < 1.0
        return self.loc * jnp.where(larger, ratio, 1.0 / ratio)


# Numerics.


@with_derivatives(
    lambda x, mean, shape: shape * ((x - mean) / mean) * (1.0 / x) * (1.0 / mean + 1.0 / x),
    lambda x, mean, shape: 2.0 * shape * (1.0 / mean) * ((mean - x) / mean) * (1.0 / mean),
    lambda x, mean, shape: _deviance(x, mean, jnp.ones_like(shape)),
)
def _deviance(x: Array, mean: Array, shape: Array) -> Array:
    """shape·(x − mean)²/(mean² x)."""
    finite = jnp.minimum(x, jnp.finfo(x.dtype).max)  # ∞ at ∞, not NaN
    value = shape * ((x - mean) / mean) * ((finite - mean) / finite) * (1.0 / mean)
    return jnp.where(mean > 0, value, jnp.nan)


def _log_density(x: Array, mean: Array, shape: Array) -> Array:
    return 0.5 * log_ratio(shape, x) - jnp.log(x) - HALF_LOG_2PI - 0.5 * _deviance(x, mean, shape)


def _log_tail(x: Array, mean: Array, shape: Array, lower: Array) -> Array:
    """log P(X ≤ x) where `lower`, else log P(X > x)."""
    return jnp.where(lower, log_inverse_gaussian_cdf(x, mean, shape), log_inverse_gaussian_sf(x, mean, shape))


def _log_tail_slopes(log_p: Array, log_q: Array, mean: Array, shape: Array) -> tuple[Array, ...]:
    """Derivatives of the smaller log-tail in x, mean and shape, at the quantile."""
    lower = log_p < log_q
    args = _quantile(log_p, log_q, mean, shape), mean, shape

    def slope(i: int) -> Array:
        def tail(v: Array) -> Array:
            x, mean, shape = (v if j == i else arg for j, arg in enumerate(args))
            return _log_tail(x, mean, shape, lower)

        return jax.jvp(tail, (args[i],), (jnp.ones_like(args[i]),))[1]

    return slope(0), slope(1), slope(2)


def _slope_in_tail(log_p: Array, log_q: Array, mean: Array, shape: Array, is_lower: bool) -> Array:
    in_x = _log_tail_slopes(log_p, log_q, mean, shape)[0]
    return jnp.where((log_p < log_q) == is_lower, 1.0 / in_x, 0.0)


def _slope_in_parameter(log_p: Array, log_q: Array, mean: Array, shape: Array, index: int) -> Array:
    slopes = _log_tail_slopes(log_p, log_q, mean, shape)
    return -slopes[index] / slopes[0]


@with_derivatives(
    lambda p, q, mean, shape: _slope_in_tail(p, q, mean, shape, is_lower=True),
    lambda p, q, mean, shape: _slope_in_tail(p, q, mean, shape, is_lower=False),
    lambda p, q, mean, shape: _slope_in_parameter(p, q, mean, shape, index=1),
    lambda p, q, mean, shape: _slope_in_parameter(p, q, mean, shape, index=2),
)
def _quantile(log_p: Array, log_q: Array, mean: Array, shape: Array) -> Array:
    """The x with log P(X ≤ x) = log_p and log P(X > x) = log_q; the smaller of the two is solved for.

    The density of log X is log-concave, hence so are both tails, and Newton's method in log x converges from the outer side
    without overshooting (compare Giner & Smyth 2016). With z = √(shape/x)(x/mean − 1), bounds on that side are P ≤ 2Φ(z),
    Q ≤ 1 − Φ(z), and Q ≤ √(2 shape/(πx)), which is the tail without drift.
    """
    lower = log_p < log_q
    log_tail = jnp.where(lower, log_p, log_q)
    bound = jnp.where(lower, log_tail - float(np.log(2.0)), log_tail)
    z = normal_quantile_from_log(bound, jnp.zeros_like(bound))
    w = 0.5 * jnp.where(lower, z, -z) * jnp.sqrt(mean / shape)
    root = jnp.abs(w) + jnp.hypot(1.0, w)
    ratio = jnp.where(w < 0, 1.0 / root, root)  # √(x/mean), from z = √(shape/mean) (ratio − 1/ratio)
    driftless = jnp.where(lower, jnp.inf, (2.0 / np.pi) * shape * jnp.exp(-2.0 * log_tail))
    x = jnp.minimum(mean * ratio * ratio, driftless)
    tiny, huge = jnp.finfo(x.dtype).tiny, jnp.finfo(x.dtype).max

    def newton(state: Any) -> Any:
        i, x, _ = state
        value = _log_tail(x, mean, shape, lower)
        log_slope = _log_density(x, mean, shape) + jnp.log(x) - value  # of the log-tail in log x
        step = jnp.where(lower, 1.0, -1.0) * (log_tail - value) * jnp.exp(-log_slope)
        step = jnp.where(jnp.isnan(step), 0.0, step)
        return i + 1, jnp.clip(x * jnp.exp(step), tiny, huge), jnp.max(jnp.abs(step), initial=0.0)

    def unsettled(state: Any) -> Array:
        i, _, step = state
        return (i < 15) & (step > jnp.finfo(x.dtype).eps ** (2 / 3))  # quadratic convergence: the next step is exact

    start = jnp.zeros((), jnp.int32), jnp.clip(x, tiny, huge), jnp.asarray(jnp.inf, x.dtype)
    return lax.while_loop(unsettled, newton, start)[1]


@with_derivatives(lambda z: _scaled_e1(z) - jnp.where(z < 1.0, jnp.log(z), 1.0 / z))
def _scaled_e1(z: Array) -> Array:
    """e^z E₁(z), plus log z where z < 1, for z > 0; with the exponential integral E₁(z) = ∫ e^(−t)/t dt from z to ∞.

    Below 1 by its power series, above by its continued fraction (Abramowitz & Stegun 5.1.11 and 5.1.22).
    """
    small = z < 1.0
    s = jnp.where(small, z, 1.0)
    # e^z E₁(z) = Σ H_k z^k/k! − e^z (log z + γ), with the harmonic numbers H_k
    total, term, harmonic = jnp.zeros_like(s), jnp.ones_like(s), 0.0
    for k in range(1, by_dtype(s, 12, 20)):
        term, harmonic = term * s / k, harmonic + 1.0 / k
        total = total + harmonic * term
    series = total - jnp.exp(s) * float(np.euler_gamma) - jnp.expm1(s) * jnp.log(s)
    t = jnp.where(small, 1.0, z)
    steps = by_dtype(t, 24, 100)
    tail = lax.fori_loop(0, steps, lambda i, f: _fraction_step(jnp.asarray(steps - i, t.dtype), t, f), t)
    return jnp.where(small, series, 1.0 / tail)


def _fraction_step(k: Array, t: Array, f: Array) -> Array:
    """t + k/(1 + k/f): one level of the continued fraction."""
    return t + k / (1.0 + k / f)
