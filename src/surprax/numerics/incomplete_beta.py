"""Logarithms of the incomplete beta function, their derivatives and their inverse: the tails of Beta, Binomial, Student t …

The construction is that of `incomplete_gamma`. In the logit of the variable the integrand of B(a, b) is log-concave; with
y = 1 − x,

    I_x(a, b) = D ∫₀^∞ exp(−(ay − bx)u − (a + b) κ(u)) du,    κ(u) = log(x + yeᵘ) − yu ≥ 0,    D = xᵃyᵇ/B(a, b),

where D, in its saddle-point form, holds everything that over- or underflows, and the integral of a plain function is left to
one Gauss–Legendre rule. The upper tail is the lower one with (a, x) and (b, y) exchanged; the smaller one is computed, the
other is its complement. The derivative in logit x is the reciprocal of the integral; those in a and b are means under it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    as_floats,
    by_dtype,
    deviance_from,
    expm1_minus,
    log1mexp,
    log1p_minus,
    log_quotient,
)
from surprax.numerics.gamma import log_factorial, log_gamma_difference, log_minus_digamma, stirling_error
from surprax.numerics.incomplete_gamma import SHIFT, SHIFT_BELOW, depth, integrate_decay, move
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = ["log_betainc", "log_betaincc"]


def _is_lower(a: Array, b: Array, x: Array, y: Array) -> Array:
    """Whether to compute I_x: left of the median (nearly), or where I_x has a series that is good also near 1."""
    left = log_quotient(x, y) < log_quotient(a, b) + (1 / b - 1 / a) / 3
    return _is_small(a, b, x) | (left & ~_is_small(b, a, y))


def _is_small(a: Array, b: Array, x: Array) -> Array:
    return (a <= 1) & ((b + SHIFT) * x <= 1)


def _log_small(a: Array, b: Array, x: Array) -> Array:
    """log I_x(a, b) where `_is_small`, in terms proportional to a: xᵃ/(aB(a, b)) times the series of DLMF 8.17.7."""
    total = jnp.zeros_like(x)
    for k in range(by_dtype(x, 9, 18), 0, -1):
        total = x * (1 - b / k) * (1 / (a + k) + total)
    # log[xᵃΓ(a + b)/Γ(b)]; for large b the cancellation of xᵃ and bᵃ is left to the logarithm of bx.
    large = b > 16
    r = jnp.where(large, a / b, 0)
    stirling = b * log1p_minus(r) + (a - 0.5) * jnp.log1p(r) + (stirling_error(a + b) - stirling_error(b))
    power = jnp.where(
        large, a * jnp.log(b * x) + stirling, a * jnp.log(x) + log_gamma_difference(jnp.where(large, 1, b), a)
    )
    return power - log_factorial(a) + jnp.log1p(a * total)


def _log_front(a: Array, b: Array, x: Array, y: Array) -> Array:
    """log D = a log x + b log y − log B(a, b)."""
    n, difference = a + b, a * y - b * x
    distance = deviance_from(a, n * x, -difference) + deviance_from(b, n * y, difference)
    correction = stirling_error(a) + stirling_error(b) - stirling_error(n)
    return 0.5 * (jnp.log(a) + log_quotient(b, n)) - HALF_LOG_2PI - distance - correction


def _front_slope(a: Array, b: Array, x: Array, y: Array) -> Array:
    """d log D/da = log x − ψ(a) + ψ(a + b), where log(x(a + b)/a) comes from an exact difference when it is small."""
    n, relative = a + b, (b * x - a * y) / a
    near = jnp.abs(relative) < 0.5
    log_share = jnp.where(near, jnp.log1p(jnp.where(near, relative, 0)), log_quotient(n * x, a))
    return log_share + log_minus_digamma(a) - log_minus_digamma(n)


def _ratio(a: Array, b: Array, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """I_x(a, b)/D, where I_x is not much more than ½, and its slopes in a and b."""
    shifted = a < SHIFT_BELOW
    order = jnp.where(shifted, a + SHIFT, a)
    n, drift = order + b, order * y - b * x
    sign = jnp.where(y <= 0.5, 1, -1).astype(x.dtype)
    part, rest = jnp.minimum(x, y), jnp.maximum(x, y)

    def kappa(u: Array) -> tuple[Array, Array]:
        # κ and its slope by way of the smaller of x and y: no more than a factor of 2 is lost to cancellation.
        rise = part * jnp.expm1(sign * u)
        far = rise > 1
        near = part * expm1_minus(jnp.where(far, 0, sign * u)) + log1p_minus(jnp.where(far, 0, rise))
        value = jnp.where(far, jnp.log1p(jnp.where(far, rise, 0)) - part * u, near)
        return value, sign * rest * (rise / (1 + rise))

    def closer(_: int, u: Array) -> Array:
        # Newton's step in log-log coordinates, where the exponent is nearly straight.
        value, slope = kappa(u)
        exponent = drift * u + n * value
        return u * jnp.exp(jnp.log(nats / exponent) * (exponent / (u * (drift + n * slope))))

    def terms(u: Array) -> tuple[Array, Array, Array]:
        value, _ = kappa(u)
        decay = jnp.exp(-(drift * u + n * value))
        return decay, -(y * u + value) * decay, (x * u - value) * decay

    nats = depth(x)
    cut = jax.lax.stop_gradient(2 * nats / (drift + jnp.hypot(drift, jnp.sqrt(2 * nats * (n * x * y)))))
    cut = jax.lax.fori_loop(0, 3, closer, cut)
    ratio, in_a, in_b = r, r_in_a, r_in_b = integrate_decay(terms, cut)
    for k in reversed(range(SHIFT)):
        c = a + b + k
        r, r_in_a, r_in_b = 1 + x * c * r, x * (r + c * r_in_a), x * (r + c * r_in_b)
        r, r_in_b = r / (a + k), r_in_b / (a + k)
        r_in_a = (r_in_a - r) / (a + k)
    return jnp.where(shifted, r, ratio), jnp.where(shifted, r_in_a, in_a), jnp.where(shifted, r_in_b, in_b)


def _tail(a: Array, b: Array, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """The log of the tail of `_is_lower`, and its slopes in a, in b and in x."""
    lower = _is_lower(a, b, x, y)
    p, q = jnp.where(lower, a, b), jnp.where(lower, b, a)
    s, t = jnp.where(lower, x, y), jnp.where(lower, y, x)
    ratio, in_p, in_q = _ratio(p, q, s, t)
    in_p = _front_slope(p, q, s, t) + in_p / ratio
    in_q = _front_slope(q, p, t, s) + in_q / ratio
    small = _is_small(p, q, s)
    p_small, q_small, s_small = (jnp.where(small, value, safe) for value, safe in ((p, 1), (q, 1), (s, 0.05)))
    one, zero = jnp.ones_like(p), jnp.zeros_like(p)
    log_small, small_in_p = jax.jvp(_log_small, (p_small, q_small, s_small), (one, zero, zero))
    log_small, small_in_q = jax.jvp(_log_small, (p_small, q_small, s_small), (zero, one, zero))
    in_p, in_q = jnp.where(small, small_in_p, in_p), jnp.where(small, small_in_q, in_q)
    return (
        jnp.where(small, log_small, _log_front(p, q, s, t) + jnp.log(ratio)),
        jnp.where(lower, in_p, in_q),
        jnp.where(lower, in_q, in_p),
        jnp.where(lower, 1, -1) / (x * y * ratio),
    )


@jax.custom_jvp
def _log_tail(a: Array, b: Array, x: Array, y: Array) -> Array:
    return _tail(a, b, x, y)[0]


def _log_tail_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    # y is 1 − x with more digits, not an argument of its own: the derivative is taken through x.
    log_tail, *slopes = _tail(*primals)
    return log_tail, move(log_tail, *zip(slopes, tangents[:3], strict=True))


_log_tail.defjvp(_log_tail_jvp, symbolic_zeros=True)


def _log_tails(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None) -> tuple[Array, Array]:
    """(log I_x, log(1 − I_x))."""
    if y is None:
        a, b, x = as_floats(a, b, x)
        y = 1 - x
    a, b, x, y = jnp.broadcast_arrays(*as_floats(a, b, x, y))
    valid = (a > 0) & (a < jnp.inf) & (b > 0) & (b < jnp.inf) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    inside = valid & (x > 0) & (y > 0)
    a, b = jnp.where(inside, a, 1), jnp.where(inside, b, 1)
    x_inside, y_inside = jnp.where(inside, x, 0.5), jnp.where(inside, y, 0.5)
    lower = _is_lower(a, b, x_inside, y_inside)
    log_tail = _log_tail(a, b, x_inside, y_inside)
    log_other = log1mexp(-log_tail)
    outside = jnp.where(valid, 0.0, jnp.nan).astype(x.dtype)
    return (
        jnp.where(inside, jnp.where(lower, log_tail, log_other), outside + jnp.where(x == 0, -jnp.inf, 0)),
        jnp.where(inside, jnp.where(lower, log_other, log_tail), outside - jnp.where(x == 0, 0, jnp.inf)),
    )


@jax.jit
def log_betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None = None) -> Array:
    return _log_tails(a, b, x, y)[0]


@jax.jit
def log_betaincc(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike | None = None) -> Array:
    return _log_tails(a, b, x, y)[1]
