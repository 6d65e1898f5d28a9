"""Arcs of the von Mises density exp(κ (cos t − 1)) on the circle, and draws of angles and directions.

On one side of its peak the density is monotone, and the integral from there outwards, over so much of an arc as counts, is
smooth enough for one Gauss–Legendre rule at every κ. The exponent grows from d to d + u by 2κ sin(u/2) sin(d + u/2), so that
nothing is subtracted, and the two tails of the distribution are each a sum of such arcs.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.numerics.bessel import log_scaled_bessel_i
from surprax.numerics.elementary import as_floats, by_dtype, log1mexp, logaddexp, with_derivatives
from surprax.numerics.normal import gauss_legendre, normal_quantile_from_log
from surprax.numerics.roots import newton

__all__ = ["cosine_complement", "draw_cosine", "log_von_mises_cdf", "log_von_mises_sf", "von_mises_quantile", "wrap"]

LOG_2PI = math.log(2.0 * math.pi)


def wrap(angle: Array) -> Array:
    """The same angle between −π and π."""
    return angle - 2.0 * math.pi * jnp.round(angle / (2.0 * math.pi))


def cosine_complement(angle: Array) -> Array:
    """1 − cos(angle)."""
    return 2.0 * jnp.sin(0.5 * angle) ** 2


def _log_arc(distance: Array, width: Array, kappa: Array) -> Array:
    """log ∫ exp(κ (cos t − 1)) dt from distance to distance + width, all between 0 and π; −∞ where the width is not positive.

    Beyond the point where the density has fallen by e^−20 (float32; e^−40 in float64) the integral is cut off.
    """
    shape = (-1, *[1] * distance.ndim)
    t, weight = (jnp.asarray(a, distance.dtype).reshape(shape) for a in gauss_legendre(by_dtype(distance, 24, 48)))
    drop = by_dtype(distance, 10.0, 20.0) / jnp.maximum(stop_gradient(kappa), float(jnp.finfo(kappa.dtype).tiny))
    y, x = jnp.sin(0.5 * distance), jnp.cos(0.5 * distance)
    # asin √(y² + drop) − asin y
    end = jnp.minimum(y * y + drop, 1.0)
    reach = 2.0 * jnp.arcsin(jnp.minimum(drop / (jnp.sqrt(end) * x + y * jnp.sqrt(1.0 - end)), 1.0))
    length = jnp.minimum(jnp.where(end < 1.0, reach, math.pi), width)
    positive = length > 0
    u = t * jnp.where(positive, length, 0.0)[None]  # not beyond the circle, where growth would be an ∞ less another
    growth = 2.0 * kappa[None] * jnp.sin(0.5 * u) * jnp.sin(distance[None] + 0.5 * u)
    area = jnp.log(jnp.sum(weight * jnp.exp(-growth), axis=0)) - 2.0 * kappa * y * y
    return area + jnp.where(positive, jnp.log(jnp.where(positive, length, 1.0)), -jnp.inf)


def _lower_tail(x: Array, loc: Array, kappa: Array) -> tuple[Array, Array]:
    """log P(−π ≤ X ≤ x) and log P(X > x) for −π ≤ x ≤ loc: that of them which does not have the peak in its middle directly.

    The arc from −π up to x is what lies between x and the point opposite to the peak, and, where loc > 0, between that
    point and −π. Together with what is left on both sides of the peak this is the whole circle.
    """
    distance, far = loc - x, jnp.maximum(loc, 0.0)
    near_arc = _log_arc(jnp.clip(distance, 0.0, math.pi), (x + math.pi) - far, kappa)
    far_arc = _log_arc(math.pi - far, jnp.minimum(far, x + math.pi), kappa)
    norm = LOG_2PI + log_scaled_bessel_i(0.0, kappa)
    lower = logaddexp(near_arc, far_arc) - norm
    upper = (
        logaddexp(_log_arc(jnp.zeros_like(x), distance, kappa), _log_arc(jnp.zeros_like(x), math.pi - far, kappa))
        - norm
    )
    direct = lower < -0.5
    least = -float(jnp.finfo(x.dtype).tiny)
    log_cdf = jnp.where(direct, lower, log1mexp(-jnp.where(direct, -1.0, jnp.minimum(upper, least))))
    return log_cdf, jnp.where(direct, log1mexp(-jnp.where(direct, jnp.minimum(lower, least), -1.0)), upper)


def _value(x: Array, loc: Array, kappa: Array) -> Array:
    x, loc, kappa = jnp.broadcast_arrays(x, loc, kappa)
    left = x <= loc
    lower, upper = _lower_tail(jnp.where(left, x, -x), jnp.where(left, loc, -loc), kappa)
    return jnp.where(jnp.isnan(loc) | ~(kappa >= 0), jnp.nan, jnp.where(left, lower, upper))


def _log_density(x: Array, loc: Array, kappa: Array) -> Array:
    return -kappa * cosine_complement(x - loc) - LOG_2PI - log_scaled_bessel_i(0.0, kappa)


def _slope_in_x(x: Array, loc: Array, kappa: Array) -> Array:
    return jnp.exp(_log_density(x, loc, kappa) - _value(x, loc, kappa))


def _slope_in_loc(x: Array, loc: Array, kappa: Array) -> Array:
    """(density at −π − density at x)/cdf, by the logarithm of their ratio."""
    rise = -2.0 * kappa * jnp.cos(0.5 * x) * jnp.cos(0.5 * (2.0 * loc - x))
    top = jnp.maximum(_log_density(x, loc, kappa), _log_density(jnp.full_like(x, math.pi), loc, kappa))
    return -jnp.sign(rise) * jnp.expm1(-jnp.abs(rise)) * jnp.exp(top - _value(x, loc, kappa))


def _slope_in_kappa(x: Array, loc: Array, kappa: Array) -> Array:
    x, loc, kappa = jnp.broadcast_arrays(x, loc, kappa)
    return jax.jvp(lambda k: _value(x, loc, k), (kappa,), (jnp.ones_like(kappa),))[1]


@with_derivatives(_slope_in_x, _slope_in_loc, _slope_in_kappa)
def log_von_mises_cdf(x: Array, loc: Array, kappa: Array) -> Array:
    """log P(−π ≤ X ≤ x) of a von Mises angle on the circle that is cut open at ±π, right in both tails, in nats.

    Shapes: broadcast. Domain: x and loc from −π to π, κ ≥ 0; −∞ at −π, 0 at π.

    >>> print(f"{log_von_mises_cdf(0.0, 0.0, 1e8):.4f}, {log_von_mises_cdf(-1.0, 0.0, 50.0):.2f}")
    -0.6931, -25.70
    """
    return _value(x, loc, kappa)


def log_von_mises_sf(x: ArrayLike, loc: ArrayLike, kappa: ArrayLike) -> Array:
    """log P(X > x): the cdf of the mirror image."""
    x, loc, kappa = as_floats(x, loc, kappa)
    return log_von_mises_cdf(-x, -loc, kappa)


def _tail(log_p: Array, log_q: Array, x: Array, loc: Array, kappa: Array) -> Array:
    """The smaller of the two log-tails at x."""
    lower = log_p < log_q
    sign = jnp.where(lower, 1.0, -1.0)
    return log_von_mises_cdf(sign * x, sign * loc, kappa)


def _tail_slope(log_p: Array, log_q: Array, loc: Array, kappa: Array, index: int) -> Array:
    point = von_mises_quantile(log_p, log_q, loc, kappa), loc, kappa

    def tail(v: Array) -> Array:
        return _tail(log_p, log_q, *(v if i == index else value for i, value in enumerate(point)))

    value = point[index] * jnp.ones_like(point[0])
    return jax.jvp(tail, (value,), (jnp.ones_like(value),))[1]


def _in_tail(log_p: Array, log_q: Array, loc: Array, kappa: Array, is_lower: bool) -> Array:
    return jnp.where((log_p < log_q) == is_lower, 1.0 / _tail_slope(log_p, log_q, loc, kappa, 0), 0.0)


def _in_parameter(log_p: Array, log_q: Array, loc: Array, kappa: Array, index: int) -> Array:
    in_x, in_parameter = (_tail_slope(log_p, log_q, loc, kappa, i) for i in (0, index))
    return -in_parameter / in_x


@with_derivatives(
    lambda p, q, loc, kappa: _in_tail(p, q, loc, kappa, is_lower=True),
    lambda p, q, loc, kappa: _in_tail(p, q, loc, kappa, is_lower=False),
    lambda p, q, loc, kappa: _in_parameter(p, q, loc, kappa, index=1),
    lambda p, q, loc, kappa: _in_parameter(p, q, loc, kappa, index=2),
)
def von_mises_quantile(log_p: Array, log_q: Array, loc: Array, kappa: Array) -> Array:
    """The x from −π to π with log P(X ≤ x) = log_p and log P(X > x) = log_q; the smaller of the two is solved for."""
    log_p, log_q, loc, kappa = jnp.broadcast_arrays(log_p, log_q, loc, kappa)
    lower = log_p < log_q
    target, sign = jnp.where(lower, log_p, log_q), jnp.where(lower, 1.0, -1.0)

    def excess(x: Array) -> tuple[Array, Array]:
        tail = _tail(log_p, log_q, x, loc, kappa)
        return sign * (tail - target), jnp.exp(_log_density(x, loc, kappa) - tail)

    spread = 1.0 / jnp.sqrt(jnp.maximum(kappa, 0.1))
    start = jnp.clip(loc + spread * normal_quantile_from_log(log_p, log_q), -math.pi, math.pi)
    x, _ = newton(excess, start, -math.pi, math.pi)
    return jnp.where(jnp.isnan(loc) | ~(kappa >= 0), jnp.nan, x)


# Draws ------------------------------------------------------------------------------------------------------------------


def draw_cosine(key: Array, dimension: int, kappa: Array, shape: tuple[int, ...]) -> Array:
    """Draws of 1 − μ·X for a von Mises–Fisher direction X about μ in that many dimensions.

    By rejection from a Beta variable (Ulrich 1984; Wood 1994, Communications in Statistics 23, 157), which is a ratio of sums
    of squared normal ones, in terms of 1 − t, which keeps its digits when κ is large. About two of three proposals are
    accepted, or more.
    """
    kappa = jnp.asarray(kappa, jnp.result_type(float))
    m = dimension - 1.0
    # not where κ is NaN
    good = kappa >= 0
    kappa = jnp.where(good, kappa, 1.0)
    b = m / (2.0 * kappa + jnp.hypot(2.0 * kappa, m))
    centre = 2.0 * b / (1.0 + b)

    def propose(state: Any) -> Any:
        key, drawn, waiting = state
        key, key_beta, key_accept = jax.random.split(key, 3)
        up, down = jnp.sum(jax.random.normal(key_beta, (2, *shape, dimension - 1), kappa.dtype) ** 2, axis=-1)
        w = 2.0 * b * (up / (down + b * up))
        log_level = kappa * (centre - w) + m * jnp.log((centre + w * (1.0 - centre)) / (centre * (2.0 - centre)))
        accepted = jnp.log1p(-jax.random.uniform(key_accept, shape, kappa.dtype)) <= log_level
        return key, jnp.where(waiting & accepted, w, drawn), waiting & ~accepted

    start = key, jnp.zeros(shape, kappa.dtype), jnp.broadcast_to(good, shape)
    drawn = lax.while_loop(lambda state: jnp.any(state[2]), propose, start)[1]
    return jnp.where(good, drawn, jnp.nan)
