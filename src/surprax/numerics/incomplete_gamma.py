"""Logarithms of the incomplete gamma functions, their derivatives and their inverse: the tails of Gamma and Poisson.

In the log of the variable the integrand of Γ(a) is log-concave, so that each tail is its value at the edge times an
integral that decays from 1. With t = x·exp(∓u),

    P(a, x) = D ∫₀^∞ exp(−(a − x)u − x(e⁻ᵘ − 1 + u)) du,    Q(a, x) = D ∫₀^∞ exp(−(x − a)u − x(eᵘ − 1 − u)) du,

where D = xᵃe⁻ˣ/Γ(a), taken in its saddle-point form, holds everything that over- or underflows. For the smaller tail
both terms of the exponent are positive, and the integrand is so plain that one Gauss–Legendre rule (26 nodes in
float64, 12 in float32) gives the integral to a few ulp for all a and x. The derivative in a is the mean of ∓u under the
same integrand; the derivative in log x is the reciprocal of the integral.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    as_floats,
    by_dtype,
    deviance,
    expm1_minus,
    log1mexp,
    log_ratio,
)
from surprax.numerics.gamma import log_factorial, log_gamma, log_minus_digamma, stirling_error
from surprax.numerics.normal import HALF_LOG_2PI, gauss_legendre, move, normal_quantile_from_log

__all__ = ["gamma_quantile_from_log", "log_gammainc", "log_gammaincc"]

# A lower tail decays like exp(−au): where a is below the bound, `SHIFT` steps of the recurrence in a make that fast.
SHIFT = 8
SHIFT_BELOW = 64

# Halley steps of the inverse: enough from its starts over a = 1e-3 … 1e7 and log p = −1e6 … 0.
STEPS = (2, 3)


def depth(x: Array) -> float:
    """How many nats below its maximum the integrand may be dropped: −log of a third of the rounding error."""
    return by_dtype(x, 18.0, 38.0)


def integrate_decay(terms: Callable[[Array], tuple[Array, ...]], cut: Array, unroll: bool = False) -> tuple[Array, ...]:
    """∫₀^cut f(u) du of each f(u) in terms(u), elementwise; at the cut the exponent has reached `depth`."""
    cut = jax.lax.stop_gradient(cut)
    rule = [jnp.asarray(values, cut.dtype) for values in gauss_legendre(by_dtype(cut, 12, 26))]

    def add(totals: tuple[Array, ...], rule: list[Array]) -> tuple[tuple[Array, ...], None]:
        node, weight = rule
        return tuple(total + weight * term for total, term in zip(totals, terms(cut * node), strict=True)), None

    start = tuple(jnp.zeros_like(cut) for _ in jax.eval_shape(terms, cut))
    return tuple(cut * total for total in jax.lax.scan(add, start, rule, unroll=unroll)[0])


def _is_lower(a: Array, x: Array) -> Array:
    """Whether to compute P: left of the median (nearly), or where P has a series that is good also near 1."""
    return _is_small(a, x) | (x < a * jnp.exp(-1 / (3 * a)))


def _is_small(a: Array, x: Array) -> Array:
    return (a <= 1) & (x <= 0.5)


def _log_small(a: Array, x: Array) -> Array:
    """log P(a, x) for a ≤ 1, x ≤ 1/2, to relative accuracy as a → 0, P → 1: a sum of three terms in proportion to a."""
    total = jnp.zeros_like(x)
    for k in range(by_dtype(x, 7, 14), 0, -1):
        total = x / k * (1 / (a + k) - total)
    return a * jnp.log(x) - log_factorial(a) + jnp.log1p(-a * total)


def _tail(a: Array, x: Array) -> tuple[Array, Array, Array]:
    """The log of the tail of `_is_lower`, and its slopes in a and in log x."""
    lower, small = _is_lower(a, x), _is_small(a, x)
    shifted = lower & (a < SHIFT_BELOW)
    sign = jnp.where(lower, -1, 1).astype(x.dtype)
    order = jnp.where(shifted, a + SHIFT, a)
    drift = sign * (x - order)
    # Upper bounds of the cut, from e⁻ᵘ − 1 + u ≥ u²/(2 + u), eᵘ − 1 − u ≥ u²/2, and eᵘ = 1 + (depth + au)/x at the cut.
    nats = depth(x)
    slope = 2 * drift - nats
    lower_cut = 4 * nats / (slope + jnp.hypot(slope, jnp.sqrt(8 * nats * order)))
    upper_cut = 2 * nats / (drift + jnp.hypot(drift, jnp.sqrt(2 * nats * x)))
    upper_cut = jnp.minimum(upper_cut, jnp.log1p((nats + a * upper_cut) / x))

    def terms(u: Array) -> tuple[Array, Array]:
        decay = jnp.exp(-(drift * u + x * expm1_minus(sign * u)))
        return decay, sign * u * decay

    ratio, ratio_in_a = r, r_in_a = integrate_decay(terms, jnp.where(lower, lower_cut, upper_cut), unroll=True)
    for k in reversed(range(SHIFT)):
        r = (1 + x * r) / (a + k)
        r_in_a = (x * r_in_a - r) / (a + k)
    ratio, ratio_in_a = jnp.where(shifted, r, ratio), jnp.where(shifted, r_in_a, ratio_in_a)
    log_front = 0.5 * jnp.log(a) - HALF_LOG_2PI - deviance(a, x) - stirling_error(a)
    front_in_a = log_ratio(x, a) + log_minus_digamma(a)
    a_small, x_small = jnp.where(small, a, 1), jnp.where(small, x, 0.5)
    log_small, small_in_a = jax.jvp(lambda a: _log_small(a, x_small), (a_small,), (jnp.ones_like(a),))
    return (
        jnp.where(small, log_small, log_front + jnp.log(ratio)),
        jnp.where(small, small_in_a, front_in_a + ratio_in_a / ratio),
        -sign / ratio,
    )


def _side(a: Array, x: Array, lower: Array | bool) -> tuple[Array, Array, Array]:
    """log P where `lower`, else log Q, and its slopes in a and in log x."""
    log_tail, *slopes = _tail(a, x)
    same = lower == _is_lower(a, x)
    in_a, in_log = (jnp.where(same, slope, complement_slope(log_tail, slope)) for slope in slopes)
    return jnp.where(same, log_tail, log1mexp(-log_tail)), in_a, in_log


def complement_slope(log_tail: Array, slope: Array) -> Array:
    """The slope of log1mexp(−log_tail), which is 0 where the tail underflows, however steep it is."""
    odds = -jnp.exp(log_tail) / jnp.expm1(log_tail)
    return jnp.where(odds == 0, 0, -odds * slope)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _log_side(a: Array, x: Array, lower: bool) -> Array:
    return _side(a, x, lower)[0]


def _log_side_jvp(lower: bool, primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    value, in_a, in_log = _side(*primals, lower)
    return value, move(value, *zip((in_a, in_log / primals[1]), tangents, strict=True))


_log_side.defjvp(_log_side_jvp, symbolic_zeros=True)


def _log_probability(a: ArrayLike, x: ArrayLike, lower: bool) -> Array:
    a, x = jnp.broadcast_arrays(*as_floats(a, x))
    valid = (a > 0) & (a < jnp.inf) & (x >= 0)
    inside = valid & (x > 0) & (x < jnp.inf)
    value = _log_side(jnp.where(inside, a, 1), jnp.where(inside, x, 1), lower)
    # At x = 0 the slope of log Q is −1 if a = 1.
    edge = jnp.where((x == 0) == lower, -jnp.inf, jnp.where((x == 0) & (a == 1), -x, 0))
    return jnp.where(inside, value, jnp.where(valid, edge, jnp.nan))


@jax.jit
def log_gammainc(a: ArrayLike, x: ArrayLike) -> Array:
    """log P(a, x) = log[∫₀ˣ tᵃ⁻¹e⁻ᵗ dt / Γ(a)], the log of the Gamma(a, 1) distribution function, in nats.

    Shapes: a and x broadcast. Domain: a > 0, x ≥ 0; −∞ at x = 0, 0 at ∞; NaN outside. Finite and accurate where P
    itself underflows. Derivatives: tail over density in x, and in a, both to a few ulp.

    Source: the integral at the top of this module; for a ≤ 1, x ≤ 1/2 the series DLMF 8.7.1.

    >>> print(f"{log_gammainc(1.0, 0.3):.4f}, {jnp.log(1 - jnp.exp(-0.3)):.4f}, {log_gammainc(100.0, 1.0):.3f}")
    -1.3502, -1.3502, -364.729
    """
    return _log_probability(a, x, True)


@jax.jit
def log_gammaincc(a: ArrayLike, x: ArrayLike) -> Array:
    """log Q(a, x) = log(1 − P(a, x)), the log of the Gamma(a, 1) survival function, in nats.

    Shapes, domain and source as in `log_gammainc`; 0 at x = 0, −∞ at ∞. For whole k, Q(k + 1, x) is the probability
    that a Poisson variable of mean x is at most k.

    >>> print(f"{log_gammaincc(1.0, 300.0):.3f}, {jnp.exp(log_gammaincc(2.0, 1.0)):.4f}, {2 * jnp.exp(-1.0):.4f}")
    -300.000, 0.7358, 0.7358
    """
    return _log_probability(a, x, False)


# The inverse ----------------------------------------------------------------------------------------------------------


def _solve_deviance(w: Array, upper: Array) -> Array:
    """ℓ with eˡ − 1 − ℓ = w > 0, positive where `upper`, else negative: two Newton steps from a bound."""
    parabola = jnp.sqrt(2 * w)
    ell = jnp.where(upper, jnp.minimum(parabola, jnp.log1p(w + parabola)), -0.5 * (w + jnp.sqrt(w * (w + 8))))
    for _ in range(2):
        ell = ell - (expm1_minus(ell) - w) / jnp.expm1(ell)
    return ell


def _start(a: Array, log_p: Array, log_q: Array, lower: Array) -> tuple[Array, Array]:
    """(log x from P ≈ xᵃ/Γ(a + 1), a start for log x)."""
    log_power = (log_p + log_factorial(a)) / a
    # r* (Barndorff-Nielsen): P ≈ Φ(r + log(v/r)/r) with r²/2 the deviance of x from a, and v = (x − a)/√a.
    z = normal_quantile_from_log(log_p, log_q)
    z = jnp.where(jnp.abs(z) < 1e-3, jnp.where(lower, -1e-3, 1e-3), z)
    v = jnp.sqrt(a) * jnp.expm1(_solve_deviance(0.5 * z * z / a, z > 0))
    r = z - jnp.log(v / z) / z
    log_saddle = jnp.log(a) + _solve_deviance(0.5 * r * r / a, r > 0)
    # For small a the saddle point is of no use, and Q(a, x) ≈ xᵃ⁻¹e⁻ˣ/Γ(a) beyond the reach of the power.
    target = -(log_q + log_gamma(a))
    log_far = jnp.log(jnp.maximum(target - (1 - a) * jnp.log(jnp.maximum(target, 1)), 0.3))
    log_small = jnp.where((log_power < -1.5) | lower, log_power, log_far)
    return log_power, jnp.where(a < 0.5, log_small, jnp.where(lower, jnp.maximum(log_power, log_saddle), log_saddle))


@jax.custom_jvp
def _quantile(a: Array, log_p: Array, log_q: Array) -> Array:
    lower = log_p < log_q
    log_target = jnp.where(lower, log_p, log_q)
    log_power, log_start = _start(a, log_p, log_q, lower)
    limits = jnp.finfo(a.dtype)
    x = jnp.exp(jnp.clip(log_start, math.log(limits.tiny) + 1, math.log(limits.max) - 1))

    def improve(_: int, x: Array) -> Array:
        value, _, slope = _side(a, x, lower)  # type: ignore[assignment]
        newton = jnp.clip((value - log_target) / slope, -4, 4)
        # Halley's step in log x: the log density of log x has slope a − x, which gives the second derivative.
        step = -newton / jnp.maximum(1 - 0.5 * newton * (a - x - slope), 0.5)
        return jnp.clip(x * jnp.exp(step), limits.tiny, limits.max)

    x = jax.lax.fori_loop(0, by_dtype(x, *STEPS), improve, x)
    # So small that the power is all there is; it may also underflow.
    return jnp.where(log_power < math.log(limits.eps) - 2, jnp.exp(log_power), x)


def _quantile_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    a, log_p, log_q = primals
    x = _quantile(a, log_p, log_q)
    lower = log_p < log_q
    inside = (x > 0) & (x < jnp.inf)
    _, in_a, in_log = _side(a, jnp.where(inside, x, a), lower)
    by_tail = jnp.where(inside, x / in_log, 0)
    slopes = -in_a * by_tail, jnp.where(lower, by_tail, 0), jnp.where(lower, 0, by_tail)
    return x, move(x, *zip(slopes, tangents, strict=True))


_quantile.defjvp(_quantile_jvp, symbolic_zeros=True)


@jax.jit
def gamma_quantile_from_log(a: ArrayLike, log_p: ArrayLike, log_q: ArrayLike) -> Array:
    """x with P(a, x) = p and Q(a, x) = q, from both log-probabilities: the quantile function of Gamma(a, 1).

    Shapes: a, log_p and log_q broadcast. Domain: a > 0, log p ≤ 0, log q = log(1 − p) ≤ 0, in nats; 0 at p = 0,
    ∞ at q = 0; NaN outside. Only the smaller of p and q is used, in value and derivative, so that neither tail loses
    digits. Derivatives by the implicit function theorem.

    Start by the saddle point (Barndorff-Nielsen's r*) or by the power xᵃ/Γ(a + 1), then Halley steps in log x on the
    log of the smaller tail: two in float32, three in float64.

    >>> x = gamma_quantile_from_log(3.0, -100.0, 0.0)
    >>> print(f"{jnp.log(x):.3f}, {log_gammainc(3.0, x):.4f}")
    -32.736, -100.0000
    """
    a, log_p, log_q = jnp.broadcast_arrays(*as_floats(a, log_p, log_q))
    valid = (a > 0) & (a < jnp.inf) & (log_p <= 0) & (log_q <= 0)
    inside = valid & (log_p > -jnp.inf) & (log_q > -jnp.inf)
    half = -math.log(2)
    x = _quantile(*(jnp.where(inside, value, safe) for value, safe in ((a, 1), (log_p, half), (log_q, half))))
    edge = jnp.where(log_p == -jnp.inf, 0.0, jnp.inf)
    return jnp.where(inside, x, jnp.where(valid, edge, jnp.nan))
