"""Sums over whole numbers of functions of any spread, at a few hundred places.

Whole numbers at first, then ever longer steps: place j of a *ladder* is

    r(j) = j + S(hj)/h,   S(z) = z⁹/9! + z¹¹/11! + … = sinh z − z − z³/3! − z⁵/5! − z⁷/7!

away from the end of the range. A sum over whole numbers is a trapezoidal rule of step 1; over j it is one as well, with weights
r'(j), of the same function in another coordinate. As r leaves j with the ninth power only, both have the same corrections at the
end (Euler and Maclaurin), and what is left is the error inside: e^(−2π²/h²) times a number of order 1 where the function has the
shape of a bell as wide as its distance from the end, e^(−π²/h) where it falls off exponentially, e^(−2π²/h) for powers of the
distance (Trefethen & Weideman 2014, section 5). So the function has to be smooth on the scale of the distance from the nearest
end; a bell of standard deviation σ may begin up to 9σ away from it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import erfc

from surprax.numerics.elementary import by_dtype, expm1_minus, log1mexp, logsumexp

__all__ = ["between", "divergence", "log_sum", "log_tails", "step_at_infinity", "upward"]

_STEP = (0.08, 0.04)
"""h, for float32 and float64: relative steps far away from the end."""


@functools.cache
def _ladder(double: bool, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """r(j) and r'(j), up to `reach`; places are rounded to the precision, and weights make up for that."""
    h = _STEP[double]
    z: np.ndarray = h * np.arange(np.ceil(np.log(2.0 * h * reach) / h) + 1)
    power = np.ones_like(z)
    r, slope = z / h, np.ones_like(z)
    for n in range(1, 161):
        if n >= 9 and n % 2:
            slope = slope + power
            r = r + power * z / n / h
        power = power * z / n
    rounded: np.ndarray = r.astype(np.float64 if double else np.float32)
    return rounded, slope + _central(rounded - r)


def _central(shift: np.ndarray) -> np.ndarray:
    """What the weights gain where places are shifted: the trapezoidal rule then is the same to first order."""
    wide = np.pad(shift, 1)
    return 0.5 * (wide[2:] - wide[:-2])


def _places(base: Array, sign: float, reach: float, gap: Array) -> tuple[Array, Array, Array]:
    """Places base ± gap·r(j) on a new first axis, their distances, and weights that make up for the rounding of places."""
    r, w = (
        jnp.asarray(v, base.dtype).reshape((-1,) + (1,) * base.ndim) for v in _ladder(base.dtype == jnp.float64, reach)
    )
    base, r, w = base[None], gap[None] * r, gap[None] * w
    x = base + sign * r
    # The rounding error of the sum, exactly (Knuth's two-sum).
    moved = x - base
    error = (base - (x - moved)) + (sign * r - moved)
    shift = jnp.pad(-sign * error, [(1, 1)] + [(0, 0)] * (x.ndim - 1))
    return x, r, w + 0.5 * (shift[2:] - shift[:-2])


def upward(lower: Array, reach: float = 1e18) -> tuple[Array, Array]:
    """Places x and weights w on a new first axis: Σ w·f(x) = Σ f(k) over whole k ≥ `lower`, for f negligible beyond `reach`."""
    lower = jax.lax.stop_gradient(lower)
    # Where whole numbers are no longer told apart, the steps begin with the distance of those that are.
    bits = by_dtype(lower, 23, 52)
    gap = jnp.exp2(jnp.maximum(jnp.floor(jnp.log2(jnp.maximum(lower, 1.0))) - bits, 0.0))
    x, _, w = _places(lower, 1.0, reach, gap)
    return x, w


def step_at_infinity(like: Array) -> float:
    """h: the logarithm of the ratio of the last places of `upward`, for those who go on from there by themselves."""
    return by_dtype(like, *_STEP)


def between(lower: Array, upper: Array) -> tuple[Array, Array, Array]:
    """Places x, upper − x and weights on a new first axis: Σ w·f = Σ f(k) over whole numbers `lower` ≤ k ≤ `upper`.

    Of short ranges all numbers; else a ladder from either end, the two blended into each other half-way.
    """
    lower, upper = jnp.broadcast_arrays(jax.lax.stop_gradient(lower), jax.lax.stop_gradient(upper))
    one = jnp.ones_like(lower)
    (x, r, w), (y, _, w_down) = _places(lower, 1.0, 1e18, one), _places(upper, -1.0, 1e18, one)
    length = (upper - lower)[None]
    j = jnp.arange(len(r), dtype=r.dtype).reshape(r.shape[:1] + (1,) * lower.ndim)
    few = length < len(r)
    blend = 0.5 * erfc((r / jnp.where(few, 1.0, length) - 0.5) / 0.08)
    inside = r <= length
    up = jnp.where(few, jnp.where(j <= length, 1.0, 0.0), jnp.where(inside, w * blend, 0.0))
    down = jnp.where(few | ~inside, 0.0, w_down * blend)
    x = jnp.where(few, lower[None] + jnp.minimum(j, length), jnp.where(inside, x, upper[None]))
    x = jnp.concatenate([x, jnp.where(inside, y, lower[None])])
    return x, upper[None] - x, jnp.concatenate([up, down])


def log_tails(log_lower: Array, log_upper: Array, beyond_mode: Array) -> tuple[Array, Array]:
    """log P(X ≤ x) and log P(X > x), from sums for both that are good where they lead away from the mode, or are up to ½."""
    half = -0.6931471805599453
    by_upper = jnp.where(beyond_mode, log_upper <= half, log_lower > half)
    smaller = jnp.where(by_upper, log_upper, log_lower)
    larger = log1mexp(jnp.maximum(-smaller, 0.0))
    return jnp.where(by_upper, larger, smaller), jnp.where(by_upper, smaller, larger)


def log_sum(log_f: Array, weights: Array) -> Array:
    """log Σ w f over the first axis."""
    return logsumexp(log_f, axis=0, weights=weights)


@jax.custom_jvp
def divergence(weights: Array, log_p: Array, log_q: Array, log_ratio: Array) -> Array:
    """Σ w p L with L = log p/q: near equality as Σ w (p L + q − p), of which every term is positive.

    L is given apart, to relative accuracy as p → q; the derivatives are those by log p and log q, Σ w p L ∂log p + (q − p) ∂log q.
    """
    p, ratio = _masses(log_p, log_ratio)
    return jnp.sum(weights * p * jnp.where(_is_near(log_p, ratio), expm1_minus(-ratio), ratio), axis=0)


def _masses(log_p: Array, log_ratio: Array) -> tuple[Array, Array]:
    """p and L, both 0 where p is 0."""
    some = jnp.exp(log_p) != 0  # also NaN
    return jnp.where(some, jnp.exp(jnp.where(some, log_p, 0.0)), 0.0), jnp.where(some, log_ratio, 0.0)


def _is_near(log_p: Array, ratio: Array) -> Array:
    bulk = log_p > jnp.max(log_p, axis=0, keepdims=True) - 20.0
    return jnp.max(jnp.where(bulk, jnp.abs(ratio), 0.0), axis=0, keepdims=True) <= 1.0


@divergence.defjvp
def _divergence_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    weights, log_p, log_q, log_ratio = primals
    _, d_log_p, d_log_q, _ = tangents
    p, ratio = _masses(log_p, log_ratio)
    excess = jnp.where(p == 0, jnp.exp(log_q), p * jnp.expm1(-ratio))
    terms = jnp.where(p == 0, 0.0, p * ratio * d_log_p) + jnp.where(excess == 0, 0.0, excess * d_log_q)
    return divergence(*primals), jnp.sum(weights * terms, axis=0)
