"""The beta distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import CHANCE, NEGATIVE_LOG, NEGATIVE_LOG_COMPLEMENT
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gamma import TWO_PI
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import OPEN_UNIT_INTERVAL, UNIT_INTERVAL, Support
from surprax.numerics.dirichlet import pair_beyond_poisson
from surprax.numerics.elementary import (
    difference_of_products,
    is_near,
    log1p_minus,
    log_of_ratio,
    log_ratio,
    logaddexp,
    product_minus,
    with_derivatives,
)
from surprax.numerics.gamma import log_minus_digamma, stirling_error, trigamma_minus_reciprocal
from surprax.numerics.gamma_differences import (
    gamma_bregman_beyond_poisson,
    log_beta,
    log_minus_digamma_drop,
)
from surprax.numerics.incomplete_beta import beta_quantile_from_log, log_betainc, log_betaincc

__all__ = ["Beta"]


@family
class Beta(ExponentialFamily):
    """Beta distribution: s(x) = −(a − 1) log x − (b − 1) log(1 − x) + log B(a, b) for 0 ≤ x ≤ 1.

    Args:
        concentration1: exponent a of x, positive.
        concentration0: exponent b of 1 − x, positive.

    Natural parameters (a − 1, b − 1) of T(x) = (log x, log(1 − x)); log-normaliser log B(a, b). At the ends the density takes
    its limits. Source: Johnson, Kotz & Balakrishnan (1995), chapter 25.

    >>> print(f"{Beta(1.0, 1.0).log_prob(0.3):.3f}, {Beta(2.0, 1.0).cdf(0.3):.3f}")  # uniform; x²
    0.000, 0.090
    >>> print(f"{Beta(2.0, 5.0).log_cdf(0.2) - Beta(5.0, 2.0).log_sf(0.8):.3f}")
    0.000
    """

    concentration1: Any = parameter(positive)
    concentration0: Any = parameter(positive)

    dimension = 2
    layout = Layout(CHANCE, (NEGATIVE_LOG, NEGATIVE_LOG_COMPLEMENT))
    gap_matrix = ((-1.0, 0.0), (0.0, -1.0))
    data_support = OPEN_UNIT_INTERVAL

    @property
    def support(self) -> Support:
        return UNIT_INTERVAL

    # Density.

    @property
    def single_peaked(self) -> Any:
        return (self.concentration1 >= 1) | (self.concentration0 >= 1)

    def _log_density(self, x: Array) -> Array:
        return _log_beta_density(x, self.concentration1, self.concentration0)

    # Moments.

    def _mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def _variance(self) -> Any:
        a, b = self.concentration1, self.concentration0
        n = a + b
        return (a / n) * (b / n) / (n + 1.0)

    def _mode(self) -> Any:
        """Of a uniform density the middle; of two peaks the steeper one."""
        a, b = self.concentration1, self.concentration0
        inside = (a > 1) & (b > 1)
        interior = jnp.where(inside, a - 1.0, 1.0) / jnp.where(inside, (a - 1.0) + (b - 1.0), 2.0)
        end = jnp.where(a > b, 1.0, jnp.where((a == 1) & (b == 1), 0.5, 0.0))
        return jnp.where(inside, interior, end)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_betainc(self.concentration1, self.concentration0, x)

    def _log_sf(self, x: Array) -> Array:
        return log_betaincc(self.concentration1, self.concentration0, x)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return beta_quantile_from_log(self.concentration1, self.concentration0, log_p, log_q)[0]

    # Information.

    def _entropy(self) -> Any:
        """From the saddle-point form below, with E r = E s = 1 and E log r = ψ(a) − log a − (ψ(n) − log n)."""
        a, b = self.concentration1, self.concentration0
        n = a + b
        one, zero, both = ((c - 1.0) * log_minus_digamma(c) for c in (a, b, n))
        return one + zero - (both - log_minus_digamma(n)) - _log_level(a, b)

    def _kl(self, q: Self) -> Array:
        """Two parts: what the means do, as between binomials, and what is left of the three shapes."""
        a, b, c, d = self.concentration1, self.concentration0, q.concentration1, q.concentration0
        return _binomial_kl(c, d, a, b) + _kl_beyond_binomial(c, d, a, b)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return self.concentration1 - 1.0, self.concentration0 - 1.0

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        a, b = (jnp.where(eta > -1, eta + 1.0, jnp.nan) for eta in natural)
        return cls._of(concentration1=a, concentration0=b)

    def _expectation(self) -> tuple[Any, ...]:
        a, b = self.concentration1, self.concentration0
        return _mean_log(a, b), _mean_log(b, a)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        """As the fit, around a stand-in for the mean: the mean itself is not known."""
        one, zero = expectation
        rest = -jnp.expm1(logaddexp(one, zero))  # 1 less both geometric means: about 1/(2n), or 1 for small n
        good = (rest > 0) & (one < 0) & (zero < 0)
        one, zero, rest = jnp.where(good, one, -1.0), jnp.where(good, zero, -1.0), jnp.where(good, rest, 0.25)
        few = rest > 0.5
        root_one, root_zero = jnp.sqrt(-one), jnp.sqrt(-zero)
        mean = jnp.where(few, root_zero / (root_one + root_zero), (jnp.exp(one) + rest) / (1.0 + rest))
        complement = jnp.where(few, root_one / (root_one + root_zero), (jnp.exp(zero) + rest) / (1.0 + rest))
        start = jnp.where(few, 1.0 / (root_one * root_zero), 0.5 / rest)
        # The logarithm of a stand-in near 1 is that of 1 less the other one, of which it has the digits.
        log_mean = jnp.where(complement < 0.5, jnp.log1p(-complement), jnp.log(mean))
        log_complement = jnp.where(mean < 0.5, jnp.log1p(-mean), jnp.log(complement))
        a, b, settled = _solve(mean, complement, log_mean - one, log_complement - zero, start)
        good = good & settled
        return cls._of(concentration1=jnp.where(good, a, jnp.nan), concentration0=jnp.where(good, b, jnp.nan))

    def _log_normalizer(self) -> Any:
        return log_beta(self.concentration1, self.concentration0)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return jnp.log(x), jnp.log1p(-x)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        a, b = self.concentration1, self.concentration0
        cross = _slope(lambda v: _mean_log(a, v), b)
        return (_slope(lambda v: _mean_log(v, b), a), cross), (cross, _slope(lambda v: _mean_log(v, a), b))

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """Newton's method on the two likelihood equations: 5 steps for data that are beta, up to 12 for any data."""
        one, zero = e.gaps[..., 0], e.gaps[..., 1]
        good = (e.count > 0) & (one > 0) & (zero > 0)
        g, h = jnp.where(good, one, 0.25), jnp.where(good, zero, 0.25)
        mean = jnp.where(good, e.mean, 0.5)
        # The gaps are k b/(a n) and k a/(b n) with k between ½ (concentrated) and 1 (spread out).
        a, b, settled = _solve(mean, 1.0 - mean, g, h, 0.7 / jnp.sqrt(g * h))
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA),
            ((one <= 0) & (zero <= 0), Reason.ALL_SAME),
            (~(good & settled), Reason.NOT_CONVERGED),
        )
        return cls._of(concentration1=jnp.where(good, a, jnp.nan), concentration0=jnp.where(good, b, jnp.nan)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        dtype = jnp.result_type(float)
        draw = jax.random.beta(key, self.concentration1, self.concentration0, shape, dtype)
        # Draws that round to an end are rounded to the number next to it instead, which data may take.
        return jnp.clip(draw, jnp.finfo(dtype).tiny, 1.0 - jnp.finfo(dtype).epsneg)


# Numerics. With n = a + b, r = n x/a and s = n (1 − x)/b, the observation and its complement over their means,
#
#     log p = a log r + b log s − log r − log s + C,    C = ½ log(n³/(2π a b)) − μ(a) − μ(b) + μ(n),
#
# with Stirling's correction μ: Loader's saddle-point form (2000). Around the mean all rests on the excess e = n x − a, as
# r = 1 + e/a and s = 1 − e/b, and the linear parts of the two logarithms cancel.


def _excess(x: Array, a: Array, b: Array) -> Array:
    """n x − a as if neither the sum n nor the product were rounded."""
    n = a + b
    taken = n - a
    lost = (a - (n - taken)) + (b - taken)
    return product_minus(n, x, a) + lost * x


def _log_level(a: Array, b: Array) -> Array:
    """C, the log-density where x is at its mean."""
    n = a + b
    spread = 0.5 * (log_ratio(n, a) + log_ratio(n, b) + jnp.log(n / TWO_PI))
    return spread - (stirling_error(a) + stirling_error(b) - stirling_error(n))


def _log_r(x: Array, a: Array, b: Array) -> Array:
    return log_of_ratio(_excess(x, a, b) / a, x, a / (a + b))


def _log_s(x: Array, a: Array, b: Array) -> Array:
    return log_of_ratio(-_excess(x, a, b) / b, 1.0 - x, b / (a + b))


def _slope_in_x(x: Array, a: Array, b: Array) -> Array:
    """(a − 1)/x − (b − 1)/(1 − x), where a fraction with numerator 0 is 0, also at the ends."""
    e = _excess(x, a, b)
    inside = (x > 0) & (x < 1)
    close = -(e + (1.0 - 2.0 * x)) / jnp.where(inside, x * (1.0 - x), 1.0)
    one = jnp.where(a == 1, 0.0, (a - 1.0) / jnp.where(a == 1, 1.0, x))
    zero = jnp.where(b == 1, 0.0, (b - 1.0) / jnp.where(b == 1, 1.0, 1.0 - x))
    return jnp.where(inside & is_near(e / a) & is_near(-e / b), close, one - zero)


@with_derivatives(
    _slope_in_x,
    lambda x, a, b: _log_r(x, a, b) + log_minus_digamma_drop(a, a + b, b),
    lambda x, a, b: _log_s(x, a, b) + log_minus_digamma_drop(b, a + b, a),
)
def _log_beta_density(x: Array, a: Array, b: Array) -> Array:
    """log of x^(a−1) (1 − x)^(b−1)/B(a, b) for 0 ≤ x ≤ 1."""
    e = _excess(x, a, b)

    def part(c: Array, u: Array, log_r: Array) -> Array:
        """c (log r − u) − log r, with r = 1 + u."""
        far = jnp.where(c == 1, 0.0, (c - 1.0) * log_r) - c * u
        return jnp.where(is_near(u), c * log1p_minus(u) - log_r, far)

    return part(a, e / a, _log_r(x, a, b)) + part(b, -e / b, _log_s(x, a, b)) + _log_level(a, b)


def _kl_excess(c: Array, d: Array, a: Array, b: Array) -> Array:
    """(c + d) a/(a + b) − c."""
    return difference_of_products(a, d, c, b) / (a + b)


def _log_shift(c: Array, d: Array, a: Array, b: Array) -> Array:
    """log of a/(a + b) over c/(c + d)."""
    return log_of_ratio(_kl_excess(c, d, a, b) / c, a / (a + b), c / (c + d))


@with_derivatives(
    lambda c, d, a, b: -_log_shift(c, d, a, b),
    lambda c, d, a, b: -_log_shift(d, c, b, a),
    lambda c, d, a, b: _kl_excess(c, d, a, b) / a,
    lambda c, d, a, b: -_kl_excess(c, d, a, b) / b,
)
def _binomial_kl(c: Array, d: Array, a: Array, b: Array) -> Array:
    """c log[c/(c + d) · (a + b)/a] + d log[d/(c + d) · (a + b)/b] ≥ 0: KL of binomials with c + d trials."""
    e = _kl_excess(c, d, a, b)

    def part(c: Array, u: Array, log_shift: Array) -> Array:
        return -c * jnp.where(is_near(u), log1p_minus(u), log_shift - u)

    return part(c, e / c, _log_shift(c, d, a, b)) + part(d, -e / d, _log_shift(d, c, b, a))


def _kl_beyond_binomial_slope(c: Array, d: Array, a: Array, b: Array) -> Array:
    return log_minus_digamma_drop(a, c, c - a) - log_minus_digamma_drop(a + b, c + d, (c - a) + (d - b))


def _kl_beyond_binomial_slope_in_p(c: Array, d: Array, a: Array, b: Array) -> Array:
    both = trigamma_minus_reciprocal(a + b) * ((c - a) + (d - b))
    return both - trigamma_minus_reciprocal(a) * (c - a)


@with_derivatives(
    lambda c, d, a, b: _kl_beyond_binomial_slope(c, d, a, b),
    lambda c, d, a, b: _kl_beyond_binomial_slope(d, c, b, a),
    lambda c, d, a, b: _kl_beyond_binomial_slope_in_p(c, d, a, b),
    lambda c, d, a, b: _kl_beyond_binomial_slope_in_p(d, c, b, a),
)
def _kl_beyond_binomial(c: Array, d: Array, a: Array, b: Array) -> Array:
    """KL(Beta(a, b) ‖ Beta(c, d)) beyond that of the binomials: three divergences of shapes, that of the sums subtracted."""
    a, b, c, d = jnp.broadcast_arrays(a, b, c, d)
    swap = a > b
    a, b, c, d = jnp.where(swap, b, a), jnp.where(swap, a, b), jnp.where(swap, d, c), jnp.where(swap, c, d)
    sums = gamma_bregman_beyond_poisson(c + d, a + b, (c - a) + (d - b))
    pair = jnp.where(
        (4 * a <= b) & (4 * c <= d),
        pair_beyond_poisson(d, b, c, a, c - a),
        gamma_bregman_beyond_poisson(d, b, d - b) - sums,
    )
    return gamma_bregman_beyond_poisson(c, a, c - a) + pair


def _slope(function: Any, x: Array) -> Array:
    return jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def _mean_log(a: Array, b: Array) -> Array:
    """E log X = ψ(a) − ψ(a + b), the slope of log B in a."""
    return _slope(lambda v: log_beta(v, b), a)


def _newton(d: Array, v: Array, mean: Array, complement: Array, g: Array, h: Array) -> tuple[Array, ...]:
    """(a, b) and Newton's step in (d, v), for a/n with log-odds d beyond those of `mean`, and n = exp(v).

    The likelihood equations, with g(c) = log c − ψ(c), read

        log((a/n)/mean) − [g(a) − g(n)] + g = 0,    log((b/n)/complement) − [g(b) − g(n)] + h = 0.
    """
    log_up, log_down = -jnp.log1p(complement * jnp.expm1(-d)), -jnp.log1p(mean * jnp.expm1(d))
    share, rest, n = mean * jnp.exp(log_up), complement * jnp.exp(log_down), jnp.exp(v)
    a, b = n * share, n * rest
    one = log_up - log_minus_digamma_drop(a, n, b) + g
    zero = log_down - log_minus_digamma_drop(b, n, a) + h
    curve_a, curve_b, curve_n = (c * trigamma_minus_reciprocal(c) for c in (a, b, n))
    jacobian = rest * (1.0 + curve_a), curve_a - curve_n, -share * (1.0 + curve_b), curve_b - curve_n
    p, q, r, s = (lax.stop_gradient(entry) for entry in jacobian)
    determinant = p * s - q * r
    return a, b, (one * s - zero * q) / determinant, (p * zero - r * one) / determinant


def _solve(mean: Array, complement: Array, g: Array, h: Array, start: Array) -> tuple[Array, Array, Array]:
    """(a, b, whether the iteration settled) for the likelihood equations of `_newton`, from n = start."""
    fixed = lax.stop_gradient((mean, complement, g, h))
    tolerance = np.sqrt(jnp.finfo(mean.dtype).eps)

    def step(state: Any) -> Any:
        i, d, v, _ = state
        *_, in_d, in_v = _newton(d, v, *fixed)
        size = jnp.maximum(jnp.abs(in_d), jnp.abs(in_v))
        return i + 1, d - jnp.clip(in_d, -3.0, 3.0), v - jnp.clip(in_v, -2.0, 2.0), size

    def unsettled(state: Any) -> Array:
        i, _, _, size = state
        return (i < 25) & ~jnp.all(size <= tolerance)  # quadratic convergence: the next step is exact

    v = jnp.log(lax.stop_gradient(start))
    state = jnp.zeros((), jnp.int32), jnp.zeros_like(v), v, jnp.full_like(v, jnp.inf)
    _, d, v, size = lax.while_loop(unsettled, step, state)
    # One more step, whose derivative in the statistics is that of the implicit function.
    *_, in_d, in_v = _newton(d, v, mean, complement, g, h)
    a, b, *_ = _newton(d - in_d, v - in_v, mean, complement, g, h)
    return a, b, size <= tolerance
