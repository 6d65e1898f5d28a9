"""The Dirichlet distribution's numbers: density, log-normaliser, divergence and likelihood equations, for vectors of any length.

Vectors a > 0 of concentrations are on the last axis; n = Σ a is their total. Everything is a sum over the components of what the
beta distribution has for one of two, in Loader's (2000) saddle-point form: with r = n x/a, an observation over its mean,

    log p = Σ [(a − 1) log r − (n x − a)] + C,    C = ½ Σ log(n/a) + ½ (K − 1) log(n/2π) − Σ μ(a) + μ(n),

with Stirling's correction μ. Around the mean all rests on the excess n x − a, which is computed as if no sum or product were
rounded; the excesses add up to 0.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    argmax,
    as_floats,
    difference_of_products,
    is_near,
    log1p_minus,
    log1p_quotient,
    log_of_ratio,
    log_power_minus,
)
from surprax.numerics.gamma import (
    digamma,
    inverse_digamma,
    stirling_error,
    trigamma_minus_reciprocal,
)
from surprax.numerics.gamma_differences import (
    digamma_increment,
    gamma_bregman_beyond_poisson,
    integrate,
    is_small_step,
    log_beta,
    log_minus_digamma_drop,
)
from surprax.numerics.roots import newton
from surprax.numerics.shapes import sum_of_components

__all__ = [
    "concentration_from_mean_logs",
    "dirichlet_entropy",
    "dirichlet_kl",
    "fisher_diagonal",
    "log_dirichlet_density",
    "mean_logs",
    "multivariate_log_beta",
    "others",
    "pair_beyond_poisson",
    "solve_fisher",
    "solve_mean_logs",
    "total",
]

TWO_PI = 2.0 * math.pi


def with_gradients(*gradients: Callable[..., Array]) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Decorator: a compiled function of vectors on the last axis, to a number, with the given gradient for each argument.

    As `elementary.with_derivatives`: the body is never differentiated, the gradients are.
    """

    def decorate(value: Callable[..., Array]) -> Callable[..., Array]:
        primitive = jax.custom_jvp(value)

        def jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
            out = primitive(*primals)
            terms = [
                jnp.sum(g(*primals) * t, axis=-1)
                for g, t in zip(gradients, tangents, strict=True)
                if not isinstance(t, SymbolicZero)
            ]
            return out, jnp.broadcast_to(sum(terms, start=jnp.zeros((), out.dtype)), out.shape)

        primitive.defjvp(jvp, symbolic_zeros=True)

        @functools.wraps(value)
        def function(*args: ArrayLike) -> Array:
            arrays = as_floats(*map(jnp.asarray, args))
            rank = max(a.ndim for a in arrays)
            return primitive(*(a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays))

        return jax.jit(function)

    return decorate


# Sums without rounding --------------------------------------------------------------------------------------------------


_UNROLLED = 16
"""Sums of up to so many terms are written out: a reduction of pairs is a slow loop on CPU."""


@jax.custom_jvp
def exact_sum(a: Array) -> tuple[Array, Array]:
    """Σ a over the last axis (kept, of length 1), rounded, and what the rounding took away (Knuth's two-sum)."""

    def add(x: tuple[Array, Array], y: tuple[Array, Array]) -> tuple[Array, Array]:
        (a, lost_a), (b, lost_b) = x, y
        s = a + b
        part = s - a
        return s, (lost_a + lost_b) + ((a - (s - part)) + (b - part))

    zero = jnp.zeros((), a.dtype)
    if a.shape[-1] <= _UNROLLED:
        parts = ((a[..., i], jnp.zeros_like(a[..., i])) for i in range(a.shape[-1]))
        high, low = functools.reduce(add, parts)
        return high[..., None], low[..., None]
    high, low = lax.reduce((a, jnp.zeros_like(a)), (zero, zero), add, (a.ndim - 1,))
    return high[..., None], low[..., None]


@exact_sum.defjvp
def _exact_sum_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    out = exact_sum(*primals)
    return out, (jnp.sum(tangents[0], axis=-1, keepdims=True), jnp.zeros_like(out[1]))


def total(a: Array) -> Array:
    """n = Σ a, on a last axis of length 1."""
    return exact_sum(a)[0]


def others(a: Array) -> Array:
    """n − a, the sum of the others, for each component: to full relative accuracy also where one outweighs the rest."""
    n, lost = exact_sum(a)
    return (n - a) + lost


# Density ----------------------------------------------------------------------------------------------------------------


def _sums(x: Array, a: Array) -> tuple[Array, ...]:
    """Σ x, Σ a, and what their rounding took away."""
    (s, s_lost), (n, n_lost) = exact_sum(x), exact_sum(a)
    return s, n, s_lost, n_lost


def _excess(x: Array, a: Array, s: Array, n: Array, s_lost: Array, n_lost: Array) -> Array:
    """n x/s − a with n = Σ a and s = Σ x."""
    return (difference_of_products(n, x, a, s) + (n_lost * x - a * s_lost)) / s


def _level(a: Array) -> Array:
    """C, the log-density where x is at its mean."""
    n = total(a)[..., 0]
    parts = jnp.sum(0.5 * log1p_quotient(others(a), a) - stirling_error(a), axis=-1)
    return parts + (0.5 * (a.shape[-1] - 1) * jnp.log(n / TWO_PI) + stirling_error(n))


def _log_r(x: Array, a: Array) -> Array:
    s, n, *lost = _sums(x, a)
    return log_of_ratio(_excess(x, a, s, n, *lost) / a, x / s, a / n)


def _log_part(x: Array, a: Array, s: Array, n: Array, s_lost: Array, n_lost: Array) -> Array:
    """(a − 1) log r − (n x/s − a)."""
    e = _excess(x, a, s, n, s_lost, n_lost)
    return log_power_minus(a - 1.0, e / a, x / s, a / n, e, -1.0)


def _slope_in_x(x: Array, a: Array) -> Array:
    """(a − 1)/x − (n − K)/s, of which the first is 0 for a = 1, also at x = 0."""
    s, n, *lost = _sums(x, a)
    e = _excess(x, a, s, n, *lost)
    size = x.shape[-1]
    far = jnp.where(a == 1, 0.0, (a - 1.0) / jnp.where(a == 1, 1.0, x)) - (n - size) / s
    near = is_near(e / a) & (x > 0)
    return jnp.where(near, -(e + (1.0 - size * (x / s))) / jnp.where(near, x, 1.0), far)


def _slope_in_concentration(x: Array, a: Array) -> Array:
    """log(x/s) − ψ(a) + ψ(n)."""
    return _log_r(x, a) + log_minus_digamma_drop(a, total(a), others(a))


@with_gradients(_slope_in_x, _slope_in_concentration)
def log_dirichlet_density(x: Array, a: Array) -> Array:
    """log of Γ(n)/Π Γ(a) · Π (x/s)^(a−1), with s = Σ x = 1 but for rounding, which is thus divided out.

    Shapes: x and a broadcast, without the last axis. Domain: x ≥ 0, a > 0; on the border its limit, NaN where it has none.

    >>> print(f"{log_dirichlet_density([0.2, 0.3, 0.5], [1.0, 1.0, 1.0]) - jnp.log(2.0):.4f}")  # uniform: Γ(3) = 2
    0.0000
    """
    return sum_of_components(_log_part, x, a, *_sums(x, a)) + _level(a)


# Log-normaliser and its derivatives -------------------------------------------------------------------------------------


@with_gradients(lambda a: mean_logs(a))
def multivariate_log_beta(a: Array) -> Array:
    """log B(a) = Σ log Γ(a) − log Γ(n), at any sizes and ratios; its gradient is `mean_logs`.

    >>> print(f"{multivariate_log_beta([1.0, 1.0, 1.0]):.4f}")  # −log 2
    -0.6931
    """
    # The density at the mean is exp(C) = Π (a/n)^(a−1)/B(a).
    return -(jnp.sum((a - 1.0) * log1p_quotient(others(a), a), axis=-1) + _level(a))


def _slope(function: Callable[[Array], Array], x: Array) -> Array:
    return jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def mean_logs(a: Array) -> Array:
    """E log x = ψ(a) − ψ(n) of a Dirichlet vector: for each component the slope of log B(a, n − a) in a."""
    return _slope(lambda v: log_beta(v, others(a)), a)


def fisher_diagonal(a: Array) -> Array:
    """ψ'(a) − ψ'(n) > 0, the variances of log x."""
    return _slope(lambda v: _slope(lambda w: log_beta(w, others(a)), v), a)


# Information ------------------------------------------------------------------------------------------------------------


def dirichlet_entropy(a: Array) -> Array:
    """Differential entropy: −log p with E r = 1 and E log r = [log n − ψ(n)] − [log a − ψ(a)]."""
    n = total(a)
    drop = log_minus_digamma_drop(a, n, others(a))
    return jnp.sum((a - 1.0) * drop, axis=-1) - _level(a)


def _shift(c: Array, a: Array) -> tuple[Array, Array]:
    """e = m a/n − c, with m = Σ c, and the log of 1 + e/c."""
    d = c - a
    e = difference_of_products(jnp.sum(d, axis=-1, keepdims=True), a, d, total(a)) / total(a)
    return e, log_of_ratio(e / c, a / total(a), c / total(c))


@with_gradients(lambda c, a: -_shift(c, a)[1], lambda c, a: _shift(c, a)[0] / a)
def _multinomial_kl(c: Array, a: Array) -> Array:
    """Σ c log[(c/m)/(a/n)] ≥ 0: KL of multinomials with m = Σ c trials."""
    e, log_shift = _shift(c, a)
    u = e / c
    return -jnp.sum(c * jnp.where(is_near(u), log1p_minus(u), log_shift - u), axis=-1)


def pair_beyond_poisson(d: Array, b: Array, c: Array, a: Array, change: Array) -> Array:
    """The divergence beyond Poisson of d from b less that of d + c from b + a, where a and c are small beside b and d.

    The two nearly cancel; so it is the integral of the derivative along the way from one to the other. change = c − a is given
    apart, as it may hold more digits.
    """

    def slope(t: Array) -> Array:
        x, difference = b + t * a, (d - b) + t * change
        drop = log_minus_digamma_drop(x, d + t * c, difference)
        near = is_small_step(x, difference)
        step = jnp.where(near, difference, 0.0)
        # (ψ'(x) − 1/x)·difference − drop, which near 0 is of second order
        curve = integrate(lambda s: (1 - s) * _slope(trigamma_minus_reciprocal, x + s * step), step)
        close = -a * step * step * curve - change * drop
        return jnp.where(near, close, a * trigamma_minus_reciprocal(x) * difference - c * drop)

    return integrate(slope, b)


def _beyond_in_q(c: Array, a: Array) -> Array:
    d = jnp.sum(c - a, axis=-1, keepdims=True)
    return log_minus_digamma_drop(a, c, c - a) - log_minus_digamma_drop(total(a), total(c), d)


def _beyond_in_p(c: Array, a: Array) -> Array:
    d = jnp.sum(c - a, axis=-1, keepdims=True)
    return trigamma_minus_reciprocal(total(a)) * d - trigamma_minus_reciprocal(a) * (c - a)


@with_gradients(_beyond_in_q, _beyond_in_p)
def _beyond_multinomial(c: Array, a: Array) -> Array:
    """The divergences of the shapes beyond Poisson, that of the totals subtracted: from it first that of the largest."""
    largest = jnp.arange(a.shape[-1]) == argmax(a, axis=-1)[..., None]
    b, d = (jnp.sum(jnp.where(largest, v, 0.0), axis=-1) for v in (a, c))
    a_rest, c_rest = (jnp.sum(jnp.where(largest, 0.0, v), axis=-1) for v in (a, c))
    change = jnp.sum(jnp.where(largest, 0.0, c - a), axis=-1)
    sums = gamma_bregman_beyond_poisson(total(c)[..., 0], total(a)[..., 0], (d - b) + change)
    apart = gamma_bregman_beyond_poisson(d, b, d - b) - sums
    dwarfed = (4 * a_rest <= b) & (4 * c_rest <= d)
    pair = jnp.where(dwarfed, pair_beyond_poisson(d, b, c_rest, a_rest, change), apart)
    parts = gamma_bregman_beyond_poisson(c, a, c - a)
    return jnp.sum(jnp.where(largest, 0.0, parts), axis=-1) + pair


def dirichlet_kl(c: Array, a: Array) -> Array:
    """KL(Dirichlet(a) ‖ Dirichlet(c)): what the means do, as between multinomials, and what is left of the shapes."""
    return _multinomial_kl(c, a) + _beyond_multinomial(c, a)


# Likelihood equations ---------------------------------------------------------------------------------------------------


def _total_from_mean_logs(m: Array, start: Array) -> Array:
    """1/n for the vector with ψ(a) − ψ(n) = m: the one root of log Σ a/n, a = ψ⁻¹(m + ψ(n)), which in 1/n rises and is concave."""

    def balance(t: Array) -> tuple[Array, Array]:
        n = 1.0 / t
        a = inverse_digamma(m + digamma(n)[..., None])
        sum_a = jnp.sum(a, axis=-1)
        excess = a * trigamma_minus_reciprocal(a)
        lag = (excess - (n * trigamma_minus_reciprocal(n))[..., None]) / (1.0 + excess)
        return jnp.log(sum_a * t), n * jnp.sum(a * lag, axis=-1) / sum_a

    return newton(balance, start, 0.0, jnp.inf, steps=40)[0]


def _newton_step(a: Array, n: Array, residual: Array) -> Array:
    """J⁻¹·residual for the Jacobian of ψ(a) − ψ(n) in log a, J = diag(a ψ'(a)) − ψ'(n) 1 aᵀ (Sherman & Morrison 1950)."""
    curve, curve_n = a * trigamma_minus_reciprocal(a), n * trigamma_minus_reciprocal(n)
    inverse = a / (1.0 + curve)
    # 1 − ψ'(n) Σ 1/ψ'(a), from the excess of each ψ'(a) over 1/a
    rest = jnp.sum(inverse * curve, axis=-1, keepdims=True) - curve_n * jnp.sum(inverse, axis=-1, keepdims=True)
    common = (1.0 + curve_n) * jnp.sum(inverse * residual, axis=-1, keepdims=True) / rest
    return (residual + common) / (1.0 + curve)


def solve_mean_logs(mean: Array, gap: Array) -> tuple[Array, Array]:
    """(a, whether found) with ψ(a) − ψ(n) = log(mean) − gap: first n, then Newton's method in all components, in O(K) each.

    Only mean·exp(−gap) matters; where `mean` is near a/n, the gaps, of about 1/(2a) − 1/(2n), keep the digits of concentrated
    vectors. There is a solution where Σ mean·exp(−gap) < 1. Derivatives are those of the implicit function.
    """
    fixed_mean, fixed_gap = lax.stop_gradient((mean, gap))
    size = mean.shape[-1]
    room = -jnp.sum(fixed_mean * jnp.expm1(-fixed_gap), axis=-1) + (1.0 - jnp.sum(fixed_mean, axis=-1))
    possible = (room > 0) & jnp.all(fixed_mean > 0, axis=-1)
    keep = possible[..., None]
    fixed_mean = jnp.where(keep, fixed_mean, 1.0 / size)
    fixed_gap = jnp.where(keep, fixed_gap, jnp.log(2.0))
    log_mean = jnp.log(fixed_mean)
    t = _total_from_mean_logs(log_mean - fixed_gap, jnp.where(possible, 2.0 * room / (size - 1), 1.0))
    first = inverse_digamma(log_mean - fixed_gap + digamma(1.0 / t)[..., None])
    n = jnp.sum(first, axis=-1, keepdims=True)
    tolerance = jnp.sqrt(jnp.finfo(mean.dtype).eps)

    def parts(y: Array, v: Array) -> tuple[Array, Array, Array]:
        share = fixed_mean * jnp.exp(y)
        n = jnp.exp(v)
        return share, n, y + fixed_gap - log_minus_digamma_drop(n * share, n, n * (1.0 - share))

    def step(state: Any) -> Any:
        i, y, v, _ = state
        share, n, residual = parts(y, v)
        change = -jnp.clip(_newton_step(n * share, n, residual), -2.0, 2.0)
        growth = jnp.log1p(jnp.sum(share * jnp.expm1(change), axis=-1, keepdims=True))
        return i + 1, y + (change - growth), v + growth, jnp.max(jnp.abs(change), axis=-1)

    def unsettled(state: Any) -> Array:
        i, _, _, change = state
        return (i < 20) & ~jnp.all(change <= tolerance)  # quadratic convergence: the next step is exact

    start = jnp.zeros((), jnp.int32), jnp.log(first / n) - log_mean, jnp.log(n), jnp.full_like(t, jnp.inf)
    _, y, v, change = lax.while_loop(unsettled, step, start)
    # One more step, whose derivative in mean and gap is that of the implicit function.
    share, n, residual = (lax.stop_gradient(part) for part in parts(y, v))
    moving = (gap - fixed_gap) - (jnp.log(jnp.where(keep, mean, fixed_mean)) - log_mean)
    a = n * share * jnp.exp(-_newton_step(n * share, n, residual + jnp.where(keep, moving, 0.0)))
    found = possible & (change <= tolerance)
    return jnp.where(found[..., None], a, jnp.nan), found


def concentration_from_mean_logs(m: Array) -> Array:
    """a with ψ(a) − ψ(n) = m, in O(K) a step; NaN where Σ exp m ≥ 1, for which there is none.

    As good as the mean logarithms allow, also where one component outweighs all others and its mean logarithm is nearly 0. (Of
    concentrated vectors the mean logarithms hold few digits; evidence has more, see `solve_mean_logs`.) Derivatives are those of
    the implicit function.
    """
    fixed = lax.stop_gradient(m)
    largest = jnp.arange(m.shape[-1]) == argmax(fixed, axis=-1)[..., None]
    room = -jnp.sum(jnp.where(largest, jnp.expm1(fixed), jnp.exp(fixed)), axis=-1)
    possible = (room > 0) & jnp.all(fixed > -jnp.inf, axis=-1)
    keep = possible[..., None]
    fixed = jnp.where(keep, fixed, -1.0 - math.log(m.shape[-1]))
    t = _total_from_mean_logs(fixed, jnp.where(possible, 2.0 * room / (m.shape[-1] - 1), 1.0))
    start = inverse_digamma(fixed + digamma(1.0 / t)[..., None])
    tolerance = jnp.sqrt(jnp.finfo(m.dtype).eps)

    def residual(a: Array) -> Array:
        return -digamma_increment(a, others(a)) - fixed

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        i, a, _ = state
        change = jnp.clip(_newton_step(a, total(a), residual(a)), -2.0, 2.0)
        return i + 1, a * jnp.exp(-change), jnp.max(jnp.abs(change), axis=-1)

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        i, _, change = state
        return (i < 8) & ~jnp.all(change <= tolerance)

    _, a, _ = lax.while_loop(unsettled, step, (jnp.zeros((), jnp.int32), start, jnp.full_like(t, jnp.inf)))
    # One more step, whose derivative in m is that of the implicit function.
    moving = jnp.where(keep, m, fixed) - fixed
    a = a * jnp.exp(-_newton_step(a, total(a), residual(a) - moving))
    return jnp.where(keep, a, jnp.nan)


def solve_fisher(a: Array, v: Array) -> Array:
    """(diag ψ'(a) − ψ'(n) 1 1ᵀ)⁻¹ v."""
    return a * _newton_step(a, total(a), v)
