"""The gamma distribution."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import NEGATIVE_LOG, POSITIVE
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE, Support
from surprax.families.supports import POSITIVE as POSITIVE_NUMBERS
from surprax.numerics.elementary import (
    is_near,
    log1p_minus,
    log_of_ratio,
    log_power_minus,
    log_ratio,
    product_minus,
    with_derivatives,
)
from surprax.numerics.gamma import (
    inverse_log_minus_digamma,
    log_gamma,
    log_minus_digamma,
    stirling_error,
    trigamma,
)
from surprax.numerics.gamma_differences import gamma_bregman_beyond_poisson
from surprax.numerics.incomplete_gamma import gamma_quantile_from_log, log_gammainc, log_gammaincc

__all__ = ["Gamma"]

TWO_PI = 2.0 * math.pi


@family
class Gamma(ExponentialFamily):
    """Gamma distribution: s(x) = rate·x − (a − 1) log x − a log rate + log Γ(a) for x ≥ 0, with a the concentration.

    Args:
        concentration: shape a, positive.
        rate: reciprocal of the scale, positive.

    Natural parameters (a − 1, −rate) of T(x) = (log x, x); log-normaliser log Γ(a) − a log rate. At x = 0 the density takes
    its limit: 0, rate or ∞ as a is above, at or below 1. Source: Johnson, Kotz & Balakrishnan (1994), chapter 17.

    >>> print(f"{Gamma(1.0, 2.0).log_prob(3.0) - (jnp.log(2.0) - 6.0):.3f}")  # shape 1 is exponential
    0.000
    >>> p, q = Gamma(2.0, 3.0), Gamma(2.5, 3.0)
    >>> print(f"{p.cross_entropy(q) - p.entropy() - p.kl(q):.3f}")
    0.000
    """

    concentration: Any = parameter(positive)
    rate: Any = parameter(positive, default=1.0)

    dimension = 2
    layout = Layout(POSITIVE, (NEGATIVE_LOG,))
    gap_matrix = ((-1.0,), (0.0,))
    may_be_known = ("concentration",)
    data_support = POSITIVE_NUMBERS

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_gamma_density(x, self.concentration, self.rate)

    # Moments.

    def _mean(self) -> Any:
        return self.concentration / self.rate

    def _variance(self) -> Any:
        return self.concentration / self.rate / self.rate

    def _mode(self) -> Any:
        return jnp.maximum(self.concentration - 1.0, 0.0) / self.rate

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_gammainc(self.concentration, self.rate * x)

    def _log_sf(self, x: Array) -> Array:
        return log_gammaincc(self.concentration, self.rate * x)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return gamma_quantile_from_log(self.concentration, log_p, log_q) / self.rate

    # Information.

    def _entropy(self) -> Any:
        """From the saddle-point form below, with E r = 1 and E log r = ψ(a) − log a."""
        a = self.concentration
        return (a - 1.0) * log_minus_digamma(a) - _log_level(a, self.rate)

    def _kl(self, q: Self) -> Array:
        """Two terms ≥ 0: what the means do, as between Poissons, and what is left of the shapes."""
        a, b = self.concentration, q.concentration
        return _poisson_kl(b, a, q.rate, self.rate) + gamma_bregman_beyond_poisson(b, a, b - a)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return self.concentration - 1.0, -self.rate

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        a, rate = natural[0] + 1.0, -natural[1]
        return cls._of(concentration=jnp.where(a > 0, a, jnp.nan), rate=jnp.where(rate > 0, rate, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        a = self.concentration
        return log_ratio(a, self.rate) - log_minus_digamma(a), a / self.rate

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        mean_log, mean = expectation
        gap = jnp.log(mean) - mean_log
        a = inverse_log_minus_digamma(jnp.where(gap > 0, gap, jnp.nan))
        return cls._of(concentration=a, rate=a / mean)

    def _log_normalizer(self) -> Any:
        return log_gamma(self.concentration) - self.concentration * jnp.log(self.rate)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return jnp.log(x), x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        scale = 1.0 / self.rate
        return (trigamma(self.concentration), scale), (scale, self.concentration * scale * scale)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """log a − ψ(a) = log mean − mean log, unless a is known, and rate = a/mean."""
        if "concentration" in e.known:
            a = e.known["concentration"] * jnp.ones_like(e.mean)
            return cls._of(concentration=a, rate=a / e.mean), Outcome.first((e.count <= 0, Reason.NO_DATA))
        gap = e.gaps[..., 0]
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (gap <= 0, Reason.ALL_SAME))
        a = inverse_log_minus_digamma(gap)
        return cls._of(concentration=a, rate=a / e.mean), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = jax.random.gamma(key, self.concentration, shape, jnp.result_type(float)) / self.rate
        # A draw of a small shape may underflow; it is rounded to the smallest number inside the support.
        return jnp.maximum(draw, jnp.finfo(draw.dtype).tiny)


# Numerics of gamma densities. With r = rate·x/a, the observation over its mean,
#
#     log p = a (log r − (r − 1)) − log r + C,    C = log(rate/√(2πa)) − μ(a),
#
# with Stirling's correction μ: Loader's saddle-point form (2000). Around the mode all rests on u = r − 1, a difference of
# numbers that may agree to more digits than a rounded product has.


def _log_level(a: Array, rate: Array) -> Array:
    """C, the log-density where x is at its mean."""
    return log_ratio(rate, jnp.sqrt(TWO_PI * a)) - stirling_error(a)


def _slope_in_x(x: Array, a: Array, rate: Array) -> Array:
    """(a − 1)/x − rate, of which the first is 0 for a = 1, also at x = 0."""
    excess = product_minus(x, rate, a)
    far = jnp.where(a == 1, 0.0, (a - 1.0) / jnp.where(a == 1, 1.0, x)) - rate
    return jnp.where(is_near(excess / a), -(excess + 1.0) / jnp.where(x == 0, 1.0, x), far)


def _slope_in_rate(x: Array, a: Array, rate: Array) -> Array:
    """a/rate − x, which is finite where rate·x is not."""
    excess = product_minus(x, rate, a)
    return jnp.where(jnp.isfinite(excess), -excess / rate, a / rate - x)


@with_derivatives(
    _slope_in_x,
    lambda x, a, rate: log_of_ratio(product_minus(x, rate, a) / a, x, a / rate) + log_minus_digamma(a),
    _slope_in_rate,
)
def _log_gamma_density(x: Array, a: Array, rate: Array) -> Array:
    """log of rate^a x^(a−1) exp(−rate·x)/Γ(a) for x ≥ 0."""
    excess = product_minus(x, rate, a)
    # The largest number stands in for ∞ under the logarithm, lest ∞ − ∞ hide that the density is 0.
    finite = jnp.minimum(x, jnp.finfo(x.dtype).max)
    return log_power_minus(a - 1.0, excess / a, finite, a / rate, excess, -1.0) + _log_level(a, rate)


def _kl_excess(b: Array, a: Array, s: Array, r: Array) -> Array:
    """a·s/r − b, by way of differences where they are exact."""
    v = (s - r) / r
    return jnp.where(jnp.abs(v) <= 1, (a - b) * (s / r) + b * v, product_minus(a, s / r, b))


def _log_shift(b: Array, a: Array, s: Array, r: Array) -> Array:
    """log of a·s/r over b."""
    return log_of_ratio(_kl_excess(b, a, s, r) / b, a * (s / r), b)


@with_derivatives(
    lambda b, a, s, r: -_log_shift(b, a, s, r),
    lambda b, a, s, r: _kl_excess(b, a, s, r) / a,
    lambda b, a, s, r: _kl_excess(b, a, s, r) / s,
    lambda b, a, s, r: -_kl_excess(b, a, s, r) / r,
)
def _poisson_kl(b: Array, a: Array, s: Array, r: Array) -> Array:
    """m − b − b log(m/b) ≥ 0 at m = a·s/r: KL from the Poisson of mean b to that of mean m."""
    u = _kl_excess(b, a, s, r) / b
    value = -b * jnp.where(is_near(u), log1p_minus(u), _log_shift(b, a, s, r) - u)
    return jnp.where((s > 0) & (r > 0), value, jnp.nan)
