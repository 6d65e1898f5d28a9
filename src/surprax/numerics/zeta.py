"""The zeta function of Riemann and Hurwitz for real exponents above 1: logarithms of power sums, and their derivatives.

A power sum Σ x⁻ˢ over x = a, a + 1, …, b is summed term by term at first and then by the formula of Euler and Maclaurin. Its
derivatives in s are moments of log x; all come at once as the coefficients of powers of ε in the sum at s − ε:

    Σ x^(ε − s) = Σ_n εⁿ/n! Σ x⁻ˢ (log x)ⁿ

Every sum is over its first term, a⁻ˢ, so that nothing under- or overflows, and ζ(s) − 1 ≈ 2⁻ˢ keeps its digits for large s.

Source: Johansson (2015), "Rigorous high-precision computation of the Hurwitz zeta function and its derivatives".
"""

from collections.abc import Callable
from functools import partial
from math import factorial

import jax
import jax.numpy as jnp
from jax import Array

from surprax.numerics.elementary import as_floats, by_dtype, expm1_minus, with_derivatives
from surprax.numerics.normal import gauss_legendre

__all__ = ["inverse_mean_log", "log_zeta", "log_zeta_bregman", "log_zeta_head", "log_zeta_tail", "zeta_cumulant"]

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
_WEIGHTS = tuple(b / factorial(2 * i + 2) for i, b in enumerate(_BERNOULLI))

type _Series = list[Array]


def _product(f: _Series, g: _Series) -> _Series:
    """The product of two power series, to the same length."""
    return [sum((f[i] * g[n - i] for i in range(1, n + 1)), start=f[0] * g[n]) for n in range(len(f))]


def _power(log_x: Array, s: Array, length: int) -> _Series:
    """x^(ε − s)."""
    value = jnp.exp(-s * log_x)
    return [value * log_x**n / factorial(n) for n in range(length)]


def _end(x: Array, s: Array, sign: float, length: int) -> _Series:
    """½ ± Σ B₂ᵢ/(2i)! (s − ε)(s − ε + 1)…/x^(2i−1): what an end of the sum at x adds to the integral, over x^(ε − s)."""
    # For greater s the terms from here on are nothing beside the first of the sum.
    s = jnp.minimum(s, 4.0 * x)
    zero = jnp.zeros_like(s)
    rising = [s / x, -1.0 / x] + [zero] * (length - 2)
    total = [0.5 + zero] + [zero] * (length - 1)
    for i, weight in enumerate(_WEIGHTS[: by_dtype(s, 4, 9)]):
        total = [t + sign * weight * r for t, r in zip(total, rising)]
        for m in (2 * i + 1, 2 * i + 2):
            rising = _product(rising, [(s + m) / x, -1.0 / x] + [zero] * (length - 2))
    return total


def _integral(s: Array, length_of_log: Array | None, length: int) -> _Series:
    """∫ e^((ε + 1 − s) v) dv from 0 to a length, or to ∞ for None."""
    rate = s - 1.0
    if length_of_log is None:
        return [1.0 / rate ** (n + 1) for n in range(length)]
    z = rate * length_of_log
    small = z <= 1.0
    safe = jnp.where(small, jnp.where(z == 0, 1.0, z), 1.0)
    first = jnp.where(small, -jnp.expm1(-safe) / safe, -jnp.expm1(-z) / jnp.where(small, 1.0, z))
    second = jnp.where(small, jnp.exp(-safe) * expm1_minus(safe) / safe**2, 0.0)
    second = jnp.where(small, second, (1.0 - jnp.exp(-z) * (1.0 + z)) / jnp.where(small, 1.0, z) ** 2)
    return [length_of_log * jnp.where(z == 0, 1.0, first), length_of_log**2 * jnp.where(z == 0, 0.5, second)][:length]


def _sums(s: Array, a: Array, b: Array | None, length: int) -> _Series:
    """Σ (x/a)^(ε − s) over x = a, …, b (∞ for None), less the first term, which is 1; length ≤ 2 where b is finite."""
    count = by_dtype(s, 8, 16)
    total = [jnp.zeros_like(s * a)] * length
    for j in range(1, count):
        within = 1.0 if b is None else jnp.where(a + j <= b, 1.0, 0.0)
        total = [t + within * p for t, p in zip(total, _power(jnp.log1p(j / a), s, length))]
    start = a + count
    scale = _power(jnp.log1p(count / a), s, length)
    if b is None:
        rest = [start * i + e for i, e in zip(_integral(s, None, length), _end(start, s, 1.0, length))]
        return [t + r for t, r in zip(total, _product(scale, rest))]
    far = b >= start
    end = jnp.where(far, b, start)
    lower = [start * i + e for i, e in zip(_integral(s, jnp.log(end / start), length), _end(start, s, 1.0, length))]
    upper = _product(_power(jnp.log(end / a), s, length), _end(end, s, -1.0, length))
    rest = [x + y for x, y in zip(_product(scale, lower), upper)]
    return [t + jnp.where(far, r, 0.0) for t, r in zip(total, rest)]


# The zeta function as a log-normaliser ----------------------------------------------------------------------------------


def _cumulant_value(order: int, s: Array) -> Array:
    rest, *moments = _sums(s, jnp.ones_like(s), None, order + 1)
    if order == 0:
        value = jnp.log1p(rest)
    else:
        one, two, three = ([m * factorial(n + 1) / (1.0 + rest) for n, m in enumerate(moments)] + [rest, rest])[:3]
        value = (one, two - one * one, three - one * (3.0 * two - 2.0 * one * one))[order - 1]
    value = jnp.where(s == jnp.inf, 0.0, value)
    return jnp.where(s > 1, value, jnp.where(s == 1, jnp.inf, jnp.nan))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def zeta_cumulant(order: int, s: Array) -> Array:
    """The cumulants of log X for P(X = x) = x⁻ˢ/ζ(s), x = 1, 2, …: mean (order 1), variance (2), third (3); log ζ(s) (0).

    Each is minus the derivative of the one before. Shapes: elementwise. Domain: s > 1; ∞ at 1, 0 at ∞, NaN below 1.
    """
    return _cumulant_value(order, s)


@zeta_cumulant.defjvp
def _zeta_cumulant_jvp(order: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (s,), (ds,) = primals, tangents
    if order == 3:
        return jax.jvp(partial(_cumulant_value, 3), (s,), (ds,))
    return zeta_cumulant(order, s), -zeta_cumulant(order + 1, s) * ds


@jax.jit
def log_zeta(s: Array) -> Array:
    """log ζ(s), to full relative accuracy from s → 1, where it is about −log(s − 1), to large s, where it is about 2⁻ˢ.

    Shapes: elementwise. Domain: s > 1; ∞ at 1, 0 at ∞, NaN below 1.

    >>> print(f"{jnp.exp(log_zeta(2.0)) * 6 / jnp.pi**2:.4f}, {log_zeta(100.0) * 2.0**100:.4f}")
    1.0000, 1.0000
    """
    (s,) = as_floats(s)
    return zeta_cumulant(0, s)


def _slope_gap(q: Array, p: Array) -> Array:
    """κ₁(p) − κ₁(q), of the mean logarithms, to full relative accuracy as q → p."""
    near, step = _near(q, p)
    return jnp.where(near, step * _over_step(lambda t, v: v, p, step), zeta_cumulant(1, p) - zeta_cumulant(1, q))


def _near(q: Array, p: Array) -> tuple[Array, Array]:
    step = q - p
    near = (step <= p - 1.0) & (step >= 0.5 * (1.0 - p)) & (jnp.abs(step) <= 1.0)
    return near, jnp.where(near, step, 0.0)


def _over_step(function: Callable[[Array, Array], Array], p: Array, step: Array) -> Array:
    """∫ function(t, κ₂(p + t·step)) dt over 0 ≤ t ≤ 1."""
    nodes, weights = (jnp.asarray(v, p.dtype) for v in gauss_legendre(by_dtype(p, 8, 12)))
    return jnp.sum(jax.vmap(lambda t, w: w * function(t, zeta_cumulant(2, p + t * step)))(nodes, weights), axis=0)


@with_derivatives(_slope_gap, lambda q, p: (p - q) * zeta_cumulant(2, p))
def log_zeta_bregman(q: Array, p: Array) -> Array:
    """log ζ(q) − log ζ(p) − (q − p)·(log ζ)'(p) ≥ 0, to full relative accuracy as q → p.

    Shapes: q and p broadcast. Domain: q, p > 1. It is the divergence from the zeta distribution of exponent p to that of q.

    >>> print(f"{log_zeta_bregman(2.001, 2.0) / (0.5 * 0.001**2 * zeta_cumulant(2, jnp.array(2.0))):.2f}")
    1.00
    """
    near, step = _near(q, p)
    close = step * step * _over_step(lambda t, v: (1.0 - t) * v, p, step)
    far = (zeta_cumulant(0, q) - zeta_cumulant(0, p)) + (q - p) * zeta_cumulant(1, p)
    return jnp.where((p > 1) & (q > 1), jnp.where(near, close, far), jnp.nan)


@with_derivatives(lambda y: -1.0 / zeta_cumulant(2, inverse_mean_log(y)))
def inverse_mean_log(y: Array) -> Array:
    """The s > 1 with −ζ'(s)/ζ(s) = y: the exponent of a zeta distribution of mean logarithm y.

    Shapes: elementwise. Domain: y > 0; ∞ at 0, 1 at ∞, NaN below 0. Newton's method on the logarithm of both sides, a fixed number
    of steps, from the solution of log 2/(2^(s − 1) − 1) = y.

    >>> print(f"{inverse_mean_log(zeta_cumulant(1, jnp.array(2.5))):.4f}")
    2.5000
    """
    log2 = 0.6931471805599453
    inside = (y > 0) & (y < jnp.inf)
    target = jnp.where(inside, y, 1.0)

    def improve(_: int, rate: Array) -> Array:
        mean = zeta_cumulant(1, 1.0 + rate)
        step = jnp.log(mean / target) * mean / zeta_cumulant(2, 1.0 + rate)
        return jnp.maximum(rate + step, 0.25 * rate)

    start = jnp.log1p(log2 / target) / log2
    rate = jax.lax.fori_loop(0, by_dtype(y, 4, 6), improve, start)
    return jnp.where(inside, 1.0 + rate, jnp.where(y == 0, jnp.inf, jnp.where(y == jnp.inf, 1.0, jnp.nan)))


# Heads and tails --------------------------------------------------------------------------------------------------------


def _tail(k: Array, s: Array) -> _Series:
    """Σ (x/a)⁻ˢ over x ≥ a = k + 1, and that of (x/a)⁻ˢ log x/a."""
    rest, moment = _sums(s, k + 1.0, None, 2)
    return [1.0 + rest, moment]


def _mean_log_tail(k: Array, s: Array) -> Array:
    total, moment = _tail(k, s)
    return moment / total + jnp.log1p(k)


@with_derivatives(lambda k, s: jnp.zeros_like(k), lambda k, s: -_mean_log_tail(k, s))
def log_zeta_tail(k: Array, s: Array) -> Array:
    """log Σ x⁻ˢ over whole numbers x > k, that is, log ζ(s, k + 1); its slope in s is minus the mean of log x there.

    Shapes: k and s broadcast. Domain: whole k ≥ 0, s > 1.

    >>> print(f"{jnp.exp(log_zeta_tail(0.0, 2.0)) - jnp.exp(log_zeta_tail(1.0, 2.0)):.4f}")
    1.0000
    """
    return jnp.where(k == jnp.inf, -jnp.inf, jnp.log(_tail(k, s)[0]) - s * jnp.log1p(k))


def _head(k: Array, s: Array) -> _Series:
    """Σ x⁻ˢ over 2 ≤ x ≤ k, and that of x⁻ˢ log x."""
    return _sums(s, jnp.ones_like(k), k, 2)


def _mean_log_head(k: Array, s: Array) -> Array:
    rest, moment = _head(k, s)
    return moment / (1.0 + rest)


@with_derivatives(lambda k, s: jnp.zeros_like(k), lambda k, s: -_mean_log_head(k, s))
def log_zeta_head(k: Array, s: Array) -> Array:
    """log Σ x⁻ˢ over whole numbers 1 ≤ x ≤ k; its slope in s is minus the mean of log x there.

    Shapes: k and s broadcast. Domain: whole k ≥ 0 (−∞ at 0), s > 1.

    >>> print(f"{jnp.exp(log_zeta_head(2.0, 2.0)):.4f}")
    1.2500
    """
    return jnp.where(k >= 1, jnp.log1p(_head(k, s)[0]), -jnp.inf)
