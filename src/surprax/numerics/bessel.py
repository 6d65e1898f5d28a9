"""Modified Bessel functions of the first kind as the von Mises–Fisher distributions need them: scaled, and their ratios.

With t = cos of the angle between a unit vector in d = 2v + 2 dimensions and its mean direction, everything is about the density in
proportion to (1 − t²)^(v−½) exp(x t) on −1 < t < 1:

    L_v(x) = log E₀ exp(x (t − 1)) = log [Γ(v + 1) (2/x)^v I_v(x)] − x,      the mean over uniform directions,
    A_v(x) = I_{v+1}(x)/I_v(x) = E t = 1 + L′,      A′ = Var t.

L is what is left of log I_v when the power of x and its asymptote are taken off: it is −x + x²/(4v + 4) − … at small x and
−½ log x + … at large x, and its slope is −(1 − A). Where S = √(v² + x²) is large, all follow from one expansion,
uniform in order and argument (Olver; DLMF 10.41); elsewhere they are sums of positive terms over fixed points y, t = tanh y, by the
trapezoidal rule, which converges geometrically. So no quantity is a difference of larger ones, not even 1 − A or A′.

The order is v ≥ 0, a constant: there is no derivative in it.
"""

import functools
import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, by_dtype, polynomial, with_derivatives
from surprax.numerics.gamma import log_gamma, stirling_error
from surprax.numerics.normal import gauss_legendre

__all__ = [
    "bessel_ratio",
    "bessel_ratio_complement",
    "bessel_ratio_slope",
    "inverse_bessel_ratio",
    "log_bessel_divergence",
    "log_scaled_bessel_i",
]

TWO_PI = 2.0 * math.pi

_LARGE = (16.0, 40.0)
"""The S from which on the expansion is used, in float32 and float64, …"""
_TERMS = (6, 12)
"""… and how many of its terms."""


# The expansion --------------------------------------------------------------------------------------------------------
#
#     log I_v(x) = S + v log(x/(S + v)) − ½ log 2πS + Σ E_k(p²)/S^k,   p = v/S,   S = √(v² + x²)


def _product(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    total = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            total[i + j] += x * y
    return total


@functools.cache
def _log_expansion(terms: int) -> tuple[tuple[float, ...], ...]:
    """Coefficients of E_1, …, E_terms in powers of w = p².

    Olver's U_k = p^k V_k(w) has V_{k+1} = ½(1 − w)(k V_k + 2w V_k′) + ⅛ ∫₀¹ (1 − 5 w s²) V_k(w s²) s^k ds; and Σ E_k/S^k is the
    logarithm of Σ V_k/S^k, term by term: k V_k = Σ j E_j V_{k−j}.
    """
    v: list[list[Fraction]] = [[Fraction(1)]]
    e: list[list[Fraction]] = [[]]
    for k in range(terms):
        slope = [(k + 2 * i) * c / 2 for i, c in enumerate(v[k])]
        falling = _product(slope, [Fraction(1), Fraction(-1)])
        rising = _product(v[k], [Fraction(1), Fraction(-5)])
        v.append([a + c / (8 * (k + 1 + 2 * i)) for i, (a, c) in enumerate(zip(falling, rising))])
        rest = [(k + 1) * c for c in v[k + 1]]
        for j in range(1, k + 1):
            for i, c in enumerate(_product(e[j], v[k + 1 - j])):
                rest[i] -= j * c
        e.append([c / (k + 1) for c in rest])
    return tuple(tuple(float(c) for c in row) for row in e[1:])


def _weighted(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """p d/dp of Σ p^k E_k(p²)/v^k, again as coefficients."""
    return tuple(tuple((k + 2 * i) * c for i, c in enumerate(row)) for k, row in enumerate(rows, start=1))


def _tail_sum(s: Array, w: Array, rows: tuple[tuple[float, ...], ...]) -> Array:
    """Σ row_k(w)/S^k over the rows, k = 1, 2, …"""
    total = jnp.zeros_like(s)
    for row in reversed(rows):
        total = (total + polynomial(w, row)) / s
    return total


def _rows(x: Array) -> tuple[tuple[float, ...], ...]:
    return _log_expansion(by_dtype(x, *_TERMS))


def _split(v: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """Whether to use the expansion; order and argument where it is used (or others that are harmless), and S."""
    s = jnp.hypot(v, jnp.maximum(x, 1.0))
    far = s >= by_dtype(x, *_LARGE)
    v, x = jnp.where(far, v, 0.0), jnp.where(far, x, 100.0)
    return far, v, x, jnp.hypot(v, x)


def _far_log(v: Array, x: Array, s: Array) -> Array:
    """L: for x ≥ v from log Γ(v + 1) as such, for x < v with Stirling's series taken off, so that it is right for x ≪ v."""
    w = (v / s) ** 2
    tail = _tail_sum(s, w, _rows(x))
    wide = x >= v
    near_v = jnp.where(wide, v, 1.0)
    straight = log_gamma(near_v + 1.0) + (v * (v / (s + x)) - v * jnp.log(0.5 * (s + v))) - 0.5 * jnp.log(TWO_PI * s)
    far_v = jnp.where(wide, 1.0, v)
    excess = x / far_v * (x / (s + v))  # S/v − 1
    beyond = -2.0 * x * (v / (s + v + x)) - v * jnp.log1p(0.5 * excess) - 0.5 * jnp.log1p(excess)
    return jnp.where(wide, straight, beyond + stirling_error(far_v)) + tail


def _far_ratio(v: Array, x: Array, s: Array) -> tuple[Array, Array, Array]:
    """A, 1 − A and A′."""
    q, w = 1.0 / s, (v / s) ** 2
    rows = _weighted(_rows(x))
    lift = 0.5 + _tail_sum(s, w, rows)
    part = (x * q) * q * lift
    ratio = x / (s + v) - part
    complement = v * (1.0 + v / (s + x)) / (s + v) + part
    bend = ((x - v) * q) * ((x + v) * q) * lift + (x * q) ** 2 * _tail_sum(s, w, _weighted(rows))
    return ratio, complement, q * (v / (s + v) + q * bend)


# Sums over fixed points -------------------------------------------------------------------------------------------------


def _points(step: float, end: float) -> tuple[np.ndarray, ...]:
    """At y = ½ sinh σ: 1 − t, 1 − t², its logarithm and √(1 − t²)·dy/dσ, for t = tanh y."""
    count = round(end / step)
    sigma = step * np.arange(-count, count + 1)
    y = 0.5 * np.sinh(sigma)
    complement = 2.0 / (1.0 + np.exp(2.0 * y))
    log_sech = math.log(2.0) - np.abs(y) - np.log1p(np.exp(-2.0 * np.abs(y)))
    return complement, np.exp(2.0 * log_sech), 2.0 * log_sech, np.exp(log_sech) * np.cosh(sigma)


_POINTS = (_points(0.15, 4.5), _points(0.08, 5.2))


def _near(v: Array, x: Array) -> tuple[Array, ...]:
    """1 − t and 1 − t² on a new leading axis, their weights, and those at x = 0; of one scale."""
    shape = (-1, *[1] * x.ndim)
    u, chord, log_chord, step = (jnp.asarray(p, x.dtype).reshape(shape) for p in by_dtype(x, *_POINTS))
    level = v[None] * log_chord
    return u, chord, step * jnp.exp(level - x[None] * u), step * jnp.exp(level)


def _near_log(v: Array, x: Array) -> Array:
    _, _, weight, flat = _near(v, x)
    return jnp.log(jnp.sum(weight, axis=0) / jnp.sum(flat, axis=0))


def _near_ratio(v: Array, x: Array) -> tuple[Array, Array, Array]:
    """A = x E(1 − t²)/(2v + 1) by parts, 1 − A = E(1 − t) and A′ = Var(1 − t)."""
    u, chord, weight, _ = _near(v, x)
    total = jnp.sum(weight, axis=0)
    ratio = x * (jnp.sum(weight * chord, axis=0) / total) / (2.0 * v + 1.0)
    complement = jnp.sum(weight * u, axis=0) / total
    return ratio, complement, jnp.sum(weight * (u - complement[None]) ** 2, axis=0) / total


def _series_log(v: Array, x: Array) -> Array:
    """L for x ≤ 1, by the power series of I."""
    t = 0.25 * x * x
    total = jnp.zeros_like(t + v)
    for k in range(by_dtype(x, 5, 9), 0, -1):
        total = t * (1.0 + total) / (k * (k + v))
    return jnp.log1p(total) - x


def _all_ratios(v: Array, x: Array) -> tuple[Array, Array, Array]:
    v, x = jnp.broadcast_arrays(*as_floats(v, x))
    far, *large = _split(v, x)
    near = _near_ratio(jnp.where(far, 0.0, v), jnp.where(far, 1.0, x))
    answers = (jnp.where(far, a, b) for a, b in zip(_far_ratio(*large), near))
    return tuple(jnp.where((x >= 0) & (v >= 0), answer, jnp.nan) for answer in answers)  # type: ignore[return-value]


# The functions ----------------------------------------------------------------------------------------------------------


def _none_in_order(v: Array, x: Array) -> Array:
    """There is no derivative in the order: it is a constant."""
    return jnp.full_like(v + x, jnp.nan)


def bessel_ratio_slope(order: ArrayLike, x: ArrayLike) -> Array:
    """A′(x) = 1 − A² − (2v + 1)A/x > 0 without its cancellation: the variance of the cosine.

    Shapes: order and x broadcast. Domain: order ≥ 0, x ≥ 0; it falls from 1/(2v + 2) at 0 to (v + ½)/x² at ∞.

    >>> print(f"{bessel_ratio_slope(0.0, 0.0):.4f}, {1e10 * bessel_ratio_slope(0.5, 1e5):.4f}")
    0.5000, 1.0000
    """
    return _all_ratios(*as_floats(order, x))[2]


@with_derivatives(_none_in_order, bessel_ratio_slope)
def bessel_ratio(order: Array, x: Array) -> Array:
    """A_v(x) = I_{v+1}(x)/I_v(x): how long the mean of a von Mises–Fisher variable is, in 2v + 2 dimensions.

    Shapes: order and x broadcast. Domain: order ≥ 0, x ≥ 0; it rises from 0, like x/(2v + 2), to 1 at ∞.

    >>> import jax.numpy as jnp
    >>> print(f"{bessel_ratio(0.5, 2.0) - (1 / jnp.tanh(2.0) - 0.5):.4f}")  # Langevin's function
    0.0000
    """
    return _all_ratios(order, x)[0]


@with_derivatives(_none_in_order, lambda v, x: -bessel_ratio_slope(v, x))
def bessel_ratio_complement(order: Array, x: Array) -> Array:
    """1 − A_v(x), to full relative accuracy also where it is small: (v + ½)/x for large x.

    Shapes: order and x broadcast. Domain: order ≥ 0, x ≥ 0.

    >>> print(f"{1e8 * bessel_ratio_complement(0.0, 1e8):.4f}")
    0.5000
    """
    return _all_ratios(order, x)[1]


@with_derivatives(_none_in_order, lambda v, x: -bessel_ratio_complement(v, x))
def log_scaled_bessel_i(order: Array, x: Array) -> Array:
    """L_v(x) = log [Γ(v + 1) (2/x)^v I_v(x)] − x ≤ 0, in nats: log of the mean of exp(x (t − 1)) over uniform directions.

    Shapes: order and x broadcast. Domain: order ≥ 0, x ≥ 0, 0 at x = 0 and −∞ at ∞; NaN elsewhere. Hence
    log I_v(x) = L + x + v log(x/2) − log Γ(v + 1).

    >>> import jax.numpy as jnp
    >>> print(f"{log_scaled_bessel_i(0.5, 3.0) - (jnp.log(jnp.sinh(3.0) / 3.0) - 3.0):.4f}")
    0.0000
    """
    v, x = jnp.broadcast_arrays(order, x)
    far, *large = _split(v, x)
    small = x < 1.0
    inner = far | small
    value = jnp.where(far, _far_log(*large), _near_log(jnp.where(inner, 0.0, v), jnp.where(inner, 1.0, x)))
    value = jnp.where(small, _series_log(jnp.maximum(v, 0.0), jnp.where(small, x, 0.0)), value)
    return jnp.where((x >= 0) & (v >= 0), jnp.where(x == jnp.inf, -jnp.inf, value), jnp.nan)


# Their differences and inverse ------------------------------------------------------------------------------------------


def _between(order: Array, x: Array, q: Array) -> tuple[Array, ...]:
    """Whether x and q are close; and for k between them, in the coordinate log(k + v + 1), steps and A′(k)·dk."""
    order, x, q = jnp.broadcast_arrays(order, x, q)
    scale = order + 1.0
    span = jnp.log1p((q - x) / (x + scale))
    close = jnp.abs(span) <= 3.0
    span = jnp.where(close, span, 0.0)
    shape = (-1, *[1] * x.ndim)
    t, weight = (jnp.asarray(a, x.dtype).reshape(shape) for a in gauss_legendre(by_dtype(x, 12, 32)))
    base, t = (x + scale)[None], t * span[None]
    slope = bessel_ratio_slope(order[None], jnp.maximum(x[None] + base * jnp.expm1(t), 0.0))
    return close, span, weight * slope * base * jnp.exp(t), (q + scale)[None] * -jnp.expm1(t - span[None])


def _divergence_slope(order: Array, x: Array, q: Array) -> Array:
    """A(q) − A(x)."""
    close, span, mass, _ = _between(order, x, q)
    apart = bessel_ratio_complement(order, x) - bessel_ratio_complement(order, q)
    return jnp.where(close, span * jnp.sum(mass, axis=0), apart)


@with_derivatives(
    lambda v, x, q: _none_in_order(v, x + q), lambda v, x, q: bessel_ratio_slope(v, x) * (x - q), _divergence_slope
)
def log_bessel_divergence(order: Array, x: Array, q: Array) -> Array:
    """L(q) − L(x) + (1 − A(x))(q − x) ≥ 0: the Bregman divergence of log I_v(x)/x^v, to full relative accuracy as q → x.

    Where x and q are within a factor e³, nearly, it is ∫ (q − k) A′(k) dk from x to q, by a Gauss–Legendre rule.

    Shapes: broadcast. Domain: order ≥ 0, x ≥ 0, q ≥ 0.

    >>> print(f"{log_bessel_divergence(0.5, 1e6, 2e6) - (1 - jnp.log(2.0)):.4f}")  # x is like a rate here
    0.0000
    """
    close, span, mass, rest = _between(order, x, q)
    apart = log_scaled_bessel_i(order, q) - log_scaled_bessel_i(order, x) + bessel_ratio_complement(order, x) * (q - x)
    return jnp.where(close, span * jnp.sum(mass * rest, axis=0), apart)


def _inverse_slope(order: Array, ratio: Array, complement: Array, of_ratio: bool) -> Array:
    slope = bessel_ratio_slope(order, inverse_bessel_ratio(order, ratio, complement))
    return jnp.where((ratio < complement) == of_ratio, 1.0 if of_ratio else -1.0, 0.0) / slope


@with_derivatives(
    lambda v, a, c: _none_in_order(v, a + c),
    lambda v, a, c: _inverse_slope(v, a, c, of_ratio=True),
    lambda v, a, c: _inverse_slope(v, a, c, of_ratio=False),
)
def inverse_bessel_ratio(order: Array, ratio: Array, complement: Array) -> Array:
    """The x with A_v(x) = ratio and 1 − A_v(x) = complement; only the smaller of the two is used, in value and slope.

    Four Newton steps in log x on the logit of A, which is nearly linear there from end to end, from the start of Banerjee
    et al. (2005), Journal of Machine Learning Research 6, 1345, equation 4.4.

    Shapes: broadcast. Domain: ratio in [0, 1], with 0 at 0 and ∞ at 1; NaN outside.

    >>> x = inverse_bessel_ratio(0.0, bessel_ratio(0.0, 3.0), bessel_ratio_complement(0.0, 3.0))
    >>> print(f"{x:.4f}")
    3.0000
    """
    order, ratio, complement = jnp.broadcast_arrays(order, ratio, complement)
    direct = ratio < complement
    smaller = jnp.where(direct, ratio, complement)
    outside, inside = ~(smaller >= 0), smaller > 0
    smaller = jnp.where(inside, smaller, 0.25)
    a, c = jnp.where(direct, smaller, 1.0 - smaller), jnp.where(direct, 1.0 - smaller, smaller)
    start = a * ((2.0 * order + 2.0 - a * a) / (1.0 + a)) / c

    def step(_: int, x: Array) -> Array:
        to, left, slope = _all_ratios(order, x)
        return x * jnp.exp(-jnp.log(to / a * (c / left)) * (to / x) * (left / slope))

    x = lax.fori_loop(0, 4, step, start)
    end = jnp.where(direct, 0.0, jnp.inf)
    return jnp.where(inside, x, jnp.where(outside, jnp.nan, end))
