"""Logarithms of the incomplete beta function, their derivatives and their inverse: the tails of Beta, Binomial, Student.

The construction is that of `incomplete_gamma`. In the logit of the variable the integrand of B(a, b) is log-concave;
with y = 1 − x,

    I_x(a, b) = D ∫₀^∞ exp(−(ay − bx)u − (a + b) κ(u)) du,    κ(u) = log(x + yeᵘ) − yu ≥ 0,    D = xᵃyᵇ/B(a, b),

where D, in its saddle-point form, holds everything that over- or underflows, and the integral of a plain function is
left to one Gauss–Legendre rule. The upper tail is the lower one with (a, x) and (b, y) exchanged; the smaller one is
computed, the other is its complement. The derivative in logit x is the reciprocal of the integral; those in a and b are
means under it.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    as_floats,
    by_dtype,
    deviance_from,
    difference_of_products,
    expm1_minus,
    log1mexp,
    log1p_minus,
    log_quotient,
)
from surprax.numerics.gamma import log_factorial, log_minus_digamma, stirling_error
from surprax.numerics.gamma_differences import log_beta, log_gamma_difference
from surprax.numerics.incomplete_gamma import SHIFT, SHIFT_BELOW, complement_slope, depth, integrate_decay
from surprax.numerics.normal import HALF_LOG_2PI, move, normal_quantile_from_log

__all__ = ["beta_quantile_from_log", "log_betainc", "log_betaincc"]

# Halley steps of the inverse: enough from its starts over a, b = 1e-3 … 1e7 and log p = −1e6 … 0.
STEPS = 3


def _is_lower(a: Array, b: Array, x: Array, y: Array) -> Array:
    """Whether to compute I_x: left of the median (nearly), or where I_x has a series that is good also near 1."""
    left = log_quotient(x, y) < log_quotient(a, b) + (1 / b - 1 / a) / 3
    return _is_small(a, b, x) | (left & ~_is_small(b, a, y))


def _is_small(a: Array, b: Array, x: Array) -> Array:
    return (a <= 1) & ((b + SHIFT) * x <= 1)


def _log_leading(a: Array, b: Array, x: Array) -> Array:
    """log[xᵃ/(aB(a, b))], in terms proportional to a."""
    # For large b the cancellation of xᵃ with bᵃ is left to the logarithm of bx.
    large = b > 16
    r = jnp.where(large, a / b, 0)
    stirling = b * log1p_minus(r) + (a - 0.5) * jnp.log1p(r) + (stirling_error(a + b) - stirling_error(b))
    rising = jnp.where(large, stirling, log_gamma_difference(jnp.where(large, 1, b), a))
    return a * jnp.log(jnp.where(large, b, 1) * x) + rising - log_factorial(a)


def _log_small(a: Array, b: Array, x: Array) -> tuple[Array, Array]:
    """(log I_x(a, b) where `_is_small`: the leading power times the series of DLMF 8.17.7; the log of that power)."""
    total = jnp.zeros_like(x)
    for k in range(by_dtype(x, 9, 18), 0, -1):
        total = x * (1 - b / k) * (1 / (a + k) + total)
    leading = _log_leading(a, b, x)
    return leading + jnp.log1p(a * total), leading


def _log_front(a: Array, b: Array, x: Array, y: Array, excess: Array) -> Array:
    """log D = a log x + b log y − log B(a, b)."""
    n = a + b
    distance = deviance_from(a, n * x, -excess) + deviance_from(b, n * y, excess)
    correction = stirling_error(a) + stirling_error(b) - stirling_error(n)
    return 0.5 * (jnp.log(a) + log_quotient(b, n)) - HALF_LOG_2PI - distance - correction


def _front_slope(a: Array, b: Array, x: Array, y: Array, excess: Array) -> Array:
    """d log D/da = log x − ψ(a) + ψ(a + b), where log(x(a + b)/a) comes from an exact difference when it is small."""
    n, relative = a + b, -excess / a
    near = jnp.abs(relative) < 0.5
    log_share = jnp.where(near, jnp.log1p(jnp.where(near, relative, 0)), log_quotient(n * x, a))
    return log_share + log_minus_digamma(a) - log_minus_digamma(n)


def _kappa(u: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """κ(u) = log(x + yeᵘ) − yu and its slope, by way of the smaller of x and y: little is lost to cancellation."""
    right = y <= 0.5
    sign = jnp.where(right, 1, -1).astype(x.dtype)
    part, rest = jnp.where(right, y, x), jnp.where(right, x, y)
    rise = part * jnp.expm1(sign * u)
    far = rise > 1
    near = part * expm1_minus(jnp.where(far, 0, sign * u)) + log1p_minus(jnp.where(far, 0, rise))
    value = jnp.where(far, jnp.log1p(jnp.where(far, rise, 0)) - part * u, near)
    return value, sign * rest * jnp.where(far, 1 / (1 + 1 / jnp.where(far, rise, 1)), rise / (1 + rise))


def _reach(target: Array | float, drift: Array | float, n: Array, x: Array, y: Array) -> Array:
    """u > 0 with drift·u + n κ(u) = target, to about 1%: Newton in log-log coordinates, where that is nearly straight."""

    def closer(_: int, u: Array) -> Array:
        value, slope = _kappa(u, x, y)
        value, slope = drift * u + n * value, u * (drift + n * slope)
        return u * jnp.exp(jnp.log(target / value) * (value / slope))

    parabola = 2 * target / (drift + jnp.hypot(drift, jnp.sqrt(2 * target * (n * x * y))))
    # Where κ grows like yeᵘ the parabola reaches far too far: there target = drift·u + nκ is solved for the eᵘ in it.
    level = target / n + (y - drift / n) * parabola
    return jax.lax.fori_loop(0, 3, closer, jnp.minimum(parabola, level + jnp.log1p(-x / y * jnp.expm1(-level))))


def _ratio(a: Array, b: Array, x: Array, y: Array, excess: Array) -> tuple[Array, Array, Array]:
    """I_x(a, b)/D, where I_x is not much more than ½, and its slopes in a and b."""
    shifted = a < SHIFT_BELOW
    order = jnp.where(shifted, a + SHIFT, a)
    n, drift = order + b, jnp.where(shifted, order * y - b * x, excess)

    def terms(u: Array) -> tuple[Array, Array, Array]:
        kappa, _ = _kappa(u, x, y)
        decay = jnp.exp(-(drift * u + n * kappa))
        return decay, -(y * u + kappa) * decay, (x * u - kappa) * decay

    cut = _reach(depth(x), *(stop_gradient(value) for value in (drift, n, x, y)))
    ratio, in_a, in_b = r, r_in_a, r_in_b = integrate_decay(terms, cut)
    for k in reversed(range(SHIFT)):
        c = a + b + k
        r, r_in_a, r_in_b = 1 + x * c * r, x * (r + c * r_in_a), x * (r + c * r_in_b)
        r, r_in_b = r / (a + k), r_in_b / (a + k)
        r_in_a = (r_in_a - r) / (a + k)
    return jnp.where(shifted, r, ratio), jnp.where(shifted, r_in_a, in_a), jnp.where(shifted, r_in_b, in_b)


def _tail(a: Array, b: Array, x: Array, y: Array, excess: Array) -> tuple[Array, Array, Array, Array]:
    """The log of the tail of `_is_lower`, and its slopes in a, in b and in logit x."""
    lower = _is_lower(a, b, x, y)
    p, q = jnp.where(lower, a, b), jnp.where(lower, b, a)
    s, t = jnp.where(lower, x, y), jnp.where(lower, y, x)
    surplus = jnp.where(lower, excess, -excess)
    ratio, in_p, in_q = _ratio(p, q, s, t, surplus)
    in_p = _front_slope(p, q, s, t, surplus) + in_p / ratio
    in_q = _front_slope(q, p, t, s, -surplus) + in_q / ratio
    small, level = _is_small(p, q, s), (p < 1) & (q < 1)
    series_at = tuple(jnp.where(small | level, value, safe) for value, safe in ((p, 1), (q, 1), (s, 0.05)))
    one, zero = jnp.ones_like(p), jnp.zeros_like(p)
    (log_small, log_leading), (small_in_p, _) = jax.jvp(_log_small, series_at, (one, zero, zero))
    _, (small_in_q, _) = jax.jvp(_log_small, series_at, (zero, one, zero))
    in_p, in_q = jnp.where(small, small_in_p, in_p), jnp.where(small, small_in_q, in_q)
    # Where both parameters are small, I is nearly level, and its front and ratio are large and reciprocal.
    log_level = log_leading + q * jnp.log(t) + jnp.log(p * ratio)
    log_tail = jnp.where(level, log_level, _log_front(p, q, s, t, surplus) + jnp.log(ratio))
    return (
        jnp.where(small, log_small, log_tail),
        jnp.where(lower, in_p, in_q),
        jnp.where(lower, in_q, in_p),
        jnp.where(lower, 1, -1) / ratio,
    )


def _side(a: Array, b: Array, x: Array, y: Array, excess: Array) -> tuple[Array, Array, Array, Array]:
    """log I_x, and its slopes in a, in b and in logit x."""
    log_tail, *slopes = _tail(a, b, x, y, excess)
    lower = _is_lower(a, b, x, y)
    in_a, in_b, in_logit = (jnp.where(lower, slope, complement_slope(log_tail, slope)) for slope in slopes)
    return jnp.where(lower, log_tail, log1mexp(-log_tail)), in_a, in_b, in_logit


@jax.custom_jvp
def _log_side(a: Array, b: Array, x: Array, y: Array, excess: Array) -> Array:
    return _side(a, b, x, y, excess)[0]


def _log_side_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    # y and the excess are what x is, with more digits, not arguments of their own: the derivative is taken through x.
    *_, x, y, _ = primals
    value, in_a, in_b, in_logit = _side(*primals)
    return value, move(value, *zip((in_a, in_b, in_logit / x / y), tangents[:3], strict=True))


_log_side.defjvp(_log_side_jvp, symbolic_zeros=True)


def _spread(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None) -> list[Array]:
    """The arguments in one dtype and shape, where y = 1 − x moves with x however it was given."""
    if y is None:
        a, b, x = as_floats(a, b, x)
        return jnp.broadcast_arrays(a, b, x, 1 - x)  # type: ignore[return-value]
    a, b, x, y = as_floats(a, b, x, y)
    return jnp.broadcast_arrays(a, b, x, stop_gradient(y) + (stop_gradient(x) - x))  # type: ignore[return-value]


def _excess(a: Array, b: Array, x: Array, y: Array, given: ArrayLike | None = None) -> Array:
    """a·y − b·x in all its digits, which moves with a, b and x however it was given."""
    value = difference_of_products(a, y, b, x) if given is None else jnp.broadcast_to(given, x.shape)
    plain = a * y - b * x
    return stop_gradient(value) + (plain - stop_gradient(plain))


def _log_probability(a: Array, b: Array, x: Array, y: Array, excess: Array) -> Array:
    """log I_x(a, b), on all of its domain."""
    valid = (a > 0) & (a < jnp.inf) & (b > 0) & (b < jnp.inf) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    inside = valid & (x > 0) & (y > 0)
    given = ((a, 1), (b, 1), (x, 0.5), (y, 0.5), (excess, 0))
    value = _log_side(*(jnp.where(inside, value, safe) for value, safe in given))
    # At x = 1 its slope is a if b = 1.
    edge = jnp.where(x == 0, -jnp.inf, jnp.where(b == 1, -a * y, 0))
    return jnp.where(inside, value, jnp.where(valid, edge, jnp.nan))


@jax.jit
def log_betainc(
    a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None = None, excess: ArrayLike | None = None
) -> Array:
    """log I_x(a, b) = log[∫₀ˣ tᵃ⁻¹(1 − t)ᵇ⁻¹ dt / B(a, b)], the log of the Beta(a, b) distribution function, in nats.

    Shapes: a, b, x and y broadcast. Domain: a, b > 0, 0 ≤ x ≤ 1; −∞ at x = 0, 0 at x = 1; NaN outside. Where x is so
    near 1 that it has lost its digits, y = 1 − x can be given too, and where a and b are so large that rounding x moves it
    past what matters near the mean, `excess` = a·y − b·x; derivatives are taken through x alone. Finite and accurate
    where I_x underflows; derivatives in x, a and b are exact too, to a few ulp.

    Source: the integral at the top of this module; for a ≤ 1 and small x the series DLMF 8.17.7.

    >>> print(f"{log_betainc(2.0, 1.0, 0.3):.4f}, {2 * jnp.log(0.3):.4f}, {log_betainc(200.0, 3.0, 0.1):.3f}")
    -2.4079, -2.4079, -450.808
    """
    a, b, x, y = _spread(a, b, x, y)
    return _log_probability(a, b, x, y, _excess(a, b, x, y, excess))


@jax.jit
def log_betaincc(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None = None) -> Array:
    """log(1 − I_x(a, b)) = log I_y(b, a), the log of the Beta(a, b) survival function, in nats.

    Shapes, domain and source as in `log_betainc`; 0 at x = 0, −∞ at x = 1.

    >>> print(f"{log_betaincc(1.0, 40.0, 0.5):.3f}, {40 * jnp.log(0.5):.3f}")
    -27.726, -27.726
    """
    a, b, x, y = _spread(a, b, x, y)
    return _log_probability(b, a, y, x, _excess(b, a, y, x))


# The inverse ----------------------------------------------------------------------------------------------------------


def _log_power(a: Array, b: Array, log_tail: Array) -> Array:
    """log x from I_x ≈ xᵃ/(aB(a, b))."""
    return (log_tail - _log_leading(a, b, jnp.ones_like(a))) / a


def _log_odds(log_x: Array) -> Array:
    """logit x."""
    return log_x - log1mexp(-log_x)


def _start(a: Array, b: Array, log_p: Array, log_q: Array, log_x: Array, log_y: Array) -> Array:
    """A start for logit x, where p is the smaller tail; log_x and log_y are those of `_log_power`."""
    # r* (Barndorff-Nielsen): I_x ≈ Φ(r + log(v/r)/r), where r²/2 = n κ(u) at u below the logit of the mode a/n, and v
    # is the slope of that over its standard deviation.
    n = a + b
    mode, rest = a / n, b / n
    z = jnp.minimum(normal_quantile_from_log(log_p, log_q), -1e-3)
    slope = _kappa(_reach(0.5 * z * z, 0.0, n, mode, rest), mode, rest)[1]
    r = jnp.minimum(z - jnp.log(jnp.sqrt(n / mode / rest) * slope / -z) / z, -1e-3)
    saddle = jnp.log(mode / rest) - _reach(0.5 * r * r, 0.0, n, mode, rest)
    # For small b, where that is of no use, x = exp(−w/a) with w nearly Gamma(b): then as in `incomplete_gamma`.
    target = -(log_p + log_beta(a, b) + b * jnp.log(a))
    w = jnp.maximum(target - (1 - b) * jnp.log(jnp.maximum(target, 1)), 0.3)
    start = jnp.where(b < 0.5, jnp.where(a < 0.5, 0, _log_odds(-w / a)), saddle)
    # The powers, where they hold.
    near_0, near_1 = log_x + jnp.log1p(b) < -1.2, log_y + jnp.log1p(a) < -1.2
    start = jnp.where((b < 0.5) & near_1, -_log_odds(jnp.minimum(log_y, -0.1)), start)
    return jnp.where((a < 0.5) & ((b >= 0.5) | near_0), _log_odds(jnp.minimum(log_x, -0.1)), start)


@jax.custom_jvp
def _lower_quantile(a: Array, b: Array, log_p: Array, log_q: Array) -> tuple[Array, Array]:
    """(x, 1 − x) with I_x(a, b) = p ≤ q."""
    log_x, log_y = _log_power(a, b, log_p), _log_power(b, a, log_q)
    limits = jnp.finfo(a.dtype)
    farthest = -math.log(limits.tiny) - 1
    logit = jnp.clip(_start(a, b, log_p, log_q, log_x, log_y), -farthest, farthest)

    def improve(_: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = pair
        value, _, _, slope = _side(a, b, x, y, a * y - b * x)  # type: ignore[assignment]
        newton = jnp.clip((value - log_p) / slope, -4, 4)
        # Halley's step in logit x: the log density of logit x has slope ay − bx, which gives the second derivative.
        step = -newton / jnp.maximum(1 - 0.5 * newton * (a * y - b * x - slope), 0.5)
        # The smaller of x and y is moved, the other follows.
        first = x < y
        part, step = jnp.where(first, x, y), jnp.where(first, step, -step)
        part = jnp.maximum(part * jnp.exp(step) / (1 + part * jnp.expm1(step)), limits.tiny)
        return jnp.where(first, part, 1 - part), jnp.where(first, 1 - part, part)

    x, y = jax.lax.fori_loop(0, STEPS, improve, (jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)))
    # So small that the power is all there is; it may also underflow.
    negligible = math.log(limits.eps) - 2
    by_x, by_y = log_x + jnp.log1p(b) < negligible, log_y + jnp.log1p(a) < negligible
    power = jnp.exp(jnp.where(by_x, log_x, jnp.where(by_y, log_y, 0)))
    return (
        jnp.where(by_x, power, jnp.where(by_y, 1 - power, x)),
        jnp.where(by_x, 1 - power, jnp.where(by_y, power, y)),
    )


def _lower_quantile_jvp(
    primals: tuple[Array, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    a, b, log_p, log_q = primals
    x, y = _lower_quantile(a, b, log_p, log_q)
    inside = (x > 0) & (y > 0)
    x, y = jnp.where(inside, x, 0.5), jnp.where(inside, y, 0.5)
    _, in_a, in_b, in_logit = _side(a, b, x, y, a * y - b * x)
    by_tail = jnp.where(inside, x * y / in_logit, 0)
    dx = move(x, *zip((-in_a * by_tail, -in_b * by_tail, by_tail), tangents[:3], strict=True))
    return (x, y), (dx, -dx)


_lower_quantile.defjvp(_lower_quantile_jvp, symbolic_zeros=True)


@jax.jit
def beta_quantile_from_log(a: ArrayLike, b: ArrayLike, log_p: ArrayLike, log_q: ArrayLike) -> tuple[Array, Array]:
    """(x, 1 − x) with I_x(a, b) = p and 1 − I_x(a, b) = q: the quantile of Beta(a, b) and its complement.

    Shapes: a, b, log_p and log_q broadcast. Domain: a, b > 0, log p ≤ 0, log q = log(1 − p) ≤ 0, in nats; (0, 1) at
    p = 0, (1, 0) at q = 0; NaN outside. Only the smaller of p and q is used, in value and derivative, and both x and 1
    − x are given, so that neither end loses digits. Derivatives by the implicit function theorem.

    Start by the saddle point (Barndorff-Nielsen's r*) or by the power xᵃ/(aB(a, b)), then three Halley steps in logit x
    on the log of the smaller tail.

    >>> x, y = beta_quantile_from_log(1.0, 2.0, 0.0, jnp.log(1e-12))
    >>> print(f"{x:.4f}, {y:.4e}, {log_betaincc(1.0, 2.0, x, y) / jnp.log(10.0):.4f}")
    1.0000, 1.0000e-06, -12.0000
    """
    a, b, log_p, log_q = jnp.broadcast_arrays(*as_floats(a, b, log_p, log_q))
    valid = (a > 0) & (a < jnp.inf) & (b > 0) & (b < jnp.inf) & (log_p <= 0) & (log_q <= 0)
    inside = valid & (log_p > -jnp.inf) & (log_q > -jnp.inf)
    a, b = jnp.where(inside, a, 1), jnp.where(inside, b, 1)
    half = -math.log(2)
    log_p_inside, log_q_inside = jnp.where(inside, log_p, half), jnp.where(inside, log_q, half)
    lower = log_p_inside < log_q_inside
    small, large = _lower_quantile(
        jnp.where(lower, a, b),
        jnp.where(lower, b, a),
        jnp.where(lower, log_p_inside, log_q_inside),
        jnp.where(lower, log_q_inside, log_p_inside),
    )
    x, y = jnp.where(lower, small, large), jnp.where(lower, large, small)
    at_zero = log_p == -jnp.inf
    edge_x, edge_y = jnp.where(at_zero, 0, 1), jnp.where(at_zero, 1, 0)
    return (
        jnp.where(inside, x, jnp.where(valid, edge_x, jnp.nan)),
        jnp.where(inside, y, jnp.where(valid, edge_y, jnp.nan)),
    )
