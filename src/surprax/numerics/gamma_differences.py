"""Differences of the gamma function and its relatives, to full relative accuracy however close; beta and binomial.

Small differences are integrals of a derivative, which has no root and does not cancel; others are differences of Stirling's
formula and its correction. Arguments are as in `gamma`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    as_floats,
    atanh_tail,
    by_dtype,
    deviance_from,
    log1p_minus,
    log1p_quotient,
    log_ratio_minus,
    with_derivatives,
)
from surprax.numerics.gamma import (
    correction,
    digamma,
    log_factorial,
    log_gamma,
    log_minus_digamma,
    stirling_error,
    tetragamma,
    trigamma,
    trigamma_minus_reciprocal,
)
from surprax.numerics.normal import HALF_LOG_2PI, gauss_legendre

__all__ = [
    "digamma_difference",
    "digamma_increment",
    "gamma_bregman_beyond_poisson",
    "integrate",
    "is_small_step",
    "log_beta",
    "log_binomial_coefficient",
    "log_gamma_bregman",
    "log_gamma_difference",
    "log_gamma_difference_beyond",
    "log_minus_digamma_drop",
]


def is_small_step(a: Array, step: Array) -> Array:
    """Whether a + t·step, 0 ≤ t ≤ 1, is so near a that `integrate` has all digits for functions with a pole at 0."""
    return jnp.abs(step) <= a / 4


def integrate(f: Callable[[Array], Array], like: Array) -> Array:
    """∫ f(t) dt from 0 to 1 by Gauss–Legendre quadrature."""
    nodes, weights = (jnp.asarray(v, like.dtype) for v in gauss_legendre(by_dtype(like, 4, 8)))
    return jnp.sum(jax.vmap(lambda t, w: w * f(t))(nodes, weights), axis=0)


# Differences ----------------------------------------------------------------------------------------------------------
# One step of the recurrence, Γ(a) = Γ(1 + a)/a, puts Stirling's formula and its correction where they are tame.


def _correction_increment(order: int, a: Array, b: Array) -> Array:
    """μ⁽ᵒʳᵈᵉʳ⁾(a + b) − μ⁽ᵒʳᵈᵉʳ⁾(a) for a ≥ 1, b ≥ 0, proportional to b as b → 0."""
    near = b <= a / 4
    step = jnp.where(near, b, 0.0)
    slope = integrate(lambda t: correction(order + 1, a + t * step), step)
    return jnp.where(near, step * slope, correction(order, a + b) - correction(order, a))


@with_derivatives(lambda a, b: digamma_increment(a, b), lambda a, b: digamma(a + b))
def log_gamma_difference(a: Array, b: Array) -> Array:
    """lnΓ(a + b) − lnΓ(a): the logarithm of the rising factorial a(a + 1)…(a + b − 1).

    Shapes: a and b broadcast. Domain: a > 0, real b ≥ 0, at any ratio, from a → 0 (about log a + lnΓ(b)) to a ≫ b
    (about b log a); 0 at b = 0, NaN below 0. Derivatives: ψ(a + b) − ψ(a) in a, to full relative accuracy, and ψ(a
    + b) in b.

    Source: compare algdiv of DiDonato & Morris (1992), algorithm 708.

    >>> print(f"{log_gamma_difference(5.0, 2.0):.4f}")
    3.4012
    """
    c = 1 + a
    u = b * (1 / c)
    r = b * (1 / (2 * c + b))
    log1p_u = jnp.log1p(u)
    log1p_minus_u = jnp.where(u <= 2, r * (2 * (r * r) * atanh_tail(r * r) - u), log1p_u - u)
    stirling = b * jnp.log(c + b) + c * log1p_minus_u - 0.5 * log1p_u
    out = stirling + _correction_increment(0, c, b) - log1p_quotient(b, a)
    return jnp.where((a >= 0) & (b >= 0), jnp.where(b == 0, 0.0, out), jnp.nan)


@jax.jit
def log_gamma_difference_beyond(a: ArrayLike, b: ArrayLike) -> Array:
    """lnΓ(a + b) − lnΓ(a) − b log a: what the rising factorial has beyond the power aᵇ, about b(b − 1)/(2a).

    Shapes: a and b broadcast. Domain: a > 0, b ≥ 0. No large terms that cancel, at any size of a. E Xᵇ of a Gamma variable is
    (a/rate)ᵇ times its exponential.

    >>> print(f"{log_gamma_difference_beyond(1e8, 0.5) * 1e8:.4f}, {log_gamma_difference_beyond(0.3, 0.0):.1f}")
    -0.1250, 0.0
    """
    a, b = as_floats(a, b)
    u = b / a
    return a * log1p_minus(u) + (b - 0.5) * jnp.log1p(u) + (stirling_error(a + b) - stirling_error(a))


@with_derivatives(lambda a, b: _trigamma_increment(a, b), lambda a, b: trigamma(a + b))
def digamma_increment(a: Array, b: Array) -> Array:
    """ψ(a + b) − ψ(a) ≥ 0 for a, b ≥ 0: a sum of positive terms."""
    c = 1 + a
    step = b / (a + b) * (1 / a) + 0.5 * (b / (c + b)) * (1 / c)
    return jnp.where(b == 0, 0.0, step + jnp.log1p(b / c) + _correction_increment(1, c, b))


@with_derivatives(lambda a, b: tetragamma(a + b) - tetragamma(a), lambda a, b: tetragamma(a + b))
def _trigamma_increment(a: Array, b: Array) -> Array:
    """ψ'(a + b) − ψ'(a) ≤ 0 for a, b ≥ 0: a sum of negative terms."""
    c = 1 + a
    recurrence = b / (a + b) * (1 / a) * (1 / a + 1 / (a + b))
    stirling = b / (c + b) * (1 / c) * (1 + 0.5 / c + 0.5 / (c + b))
    return jnp.where(b == 0, 0.0, _correction_increment(2, c, b) - recurrence - stirling)


@with_derivatives(lambda b, a: trigamma(b), lambda b, a: -trigamma(a))
def digamma_difference(b: Array, a: Array) -> Array:
    """ψ(b) − ψ(a), to full relative accuracy as b → a.

    Shapes: a and b broadcast. Domain: a, b > 0; 0 where they are equal, NaN below 0.

    >>> print(f"{digamma_difference(1e4 + 1, 1e4) * 1e4:.4f}")
    1.0000
    """
    size = digamma_increment(jnp.minimum(a, b), jnp.abs(b - a))
    return jnp.where((a < 0) | (b < 0), jnp.nan, jnp.where(b < a, -size, size))


def _bregman_slope(b: Array, a: Array) -> Array:
    """−ψ'(a)(b − a), grouped so that ψ'(a) ≈ 1/a² does not overflow alone."""
    return (a - b) / a * jnp.where(a < jnp.finfo(a.dtype).eps, 1 / a, a * trigamma(a))


@with_derivatives(digamma_difference, _bregman_slope)
def log_gamma_bregman(b: Array, a: Array) -> Array:
    """lnΓ(b) − lnΓ(a) − ψ(a)(b − a) ≥ 0, to full relative accuracy as b → a, for shapes of any size.

    Shapes: a and b broadcast. Domain: a, b > 0; ∞ where one is 0, NaN below 0. It is the Bregman divergence of lnΓ:
    KL between Gammas of equal rate, KL(Gamma(a, β) ‖ Gamma(b, β)). Derivatives: ψ(b) − ψ(a) in b, −ψ'(a)(b − a) in
    a.

    >>> print(f"{log_gamma_bregman(1.001e6, 1e6):.3f}")
    0.500
    """
    # With c = 1 + a, lnΓ(a) = [c log c − c] − ½ log c + μ(c) − log a + ½ log 2π − 1: four convex terms: nothing
    # cancels.
    difference = b - a
    c, d = 1 + a, 1 + b
    analytic = deviance_from(d, c, -difference) - 0.5 * log_ratio_minus(d, c, difference)
    recurrence = -log_ratio_minus(b, a, difference)
    near = jnp.abs(difference) <= c / 4
    step = jnp.where(near, difference, 0.0)
    curvature = integrate(lambda t: (1 - t) * correction(2, c + t * step), step)
    far = correction(0, d) - correction(0, c) - correction(1, c) * difference
    out = analytic + recurrence + jnp.where(near, step * step * curvature, far)
    out = jnp.where((a == 0) & (b > 0), jnp.inf, out)
    return jnp.where((a < 0) | (b < 0), jnp.nan, out)


def log_minus_digamma_drop(a: Array, b: Array, difference: Array) -> Array:
    """g(a) − g(b) for g(a) = log a − ψ(a), where difference = b − a; to full relative accuracy as b → a."""
    near = is_small_step(a, difference)
    step = jnp.where(near, difference, 0.0)
    close = step * integrate(lambda t: trigamma_minus_reciprocal(a + t * step), step)
    return jnp.where(near, close, log_minus_digamma(a) - log_minus_digamma(b))


@with_derivatives(
    lambda b, a, difference: log_minus_digamma_drop(a, b, difference),
    lambda b, a, difference: -trigamma_minus_reciprocal(a) * difference,
    lambda b, a, difference: jnp.zeros_like(difference),  # it moves with b and a
)
def gamma_bregman_beyond_poisson(b: Array, a: Array, difference: Array) -> Array:
    """The Bregman divergence f(b) − f(a) − f'(a)(b − a) ≥ 0 of f(a) = log Γ(a) − a log a + a; difference = b − a.

    It is what the divergence of log Γ (gammas of equal rate) has beyond that of a log a − a (Poissons), to full
    relative accuracy as b → a. Where b is near it is ∫ (b − t) f''(t) dt, with f'' = ψ' − 1/t; elsewhere, by Stirling's
    f(a) = −½ log a + μ(a) + const, the sum of two.
    """
    near = is_small_step(a, difference)
    step = jnp.where(near, difference, 0.0)
    close = step * step * integrate(lambda t: (1 - t) * trigamma_minus_reciprocal(a + t * step), step)
    correction = stirling_error(b) - stirling_error(a) - (0.5 / a - log_minus_digamma(a)) * difference
    return jnp.where(near, close, correction - 0.5 * log_ratio_minus(b, a, difference))


# Beta and binomial ----------------------------------------------------------------------------------------------------


@with_derivatives(lambda a, b: -digamma_increment(a, b), lambda a, b: -digamma_increment(b, a))
def log_beta(a: Array, b: Array) -> Array:
    """log B(a, b) = lnΓ(a) + lnΓ(b) − lnΓ(a + b), at any size and ratio of a and b.

    Shapes: a and b broadcast. Domain: a, b > 0; ∞ where one is 0, NaN below 0. Derivative in a: ψ(a) − ψ(a + b).

    >>> print(f"{log_beta(1.0, 4.0):.4f}, {log_beta(2.0, 1e8):.3f}")
    -1.3863, -36.841
    """
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    small = low < 1
    s, h = jnp.where(small, 1.0, low), jnp.where(small, 1.0, high)
    stirling = (0.5 - s) * jnp.log1p(h / s) - h * jnp.log1p(s / h) - 0.5 * jnp.log(h) + HALF_LOG_2PI
    stirling = stirling + (correction(0, s) + correction(0, h) - correction(0, s + h))
    return jnp.where(small, log_gamma(low) - log_gamma_difference(high, low), stirling)


@with_derivatives(
    lambda n, k: jnp.where((k >= 0) & (k <= n), digamma_increment(n - k + 1, k), 0.0),
    lambda n, k: jnp.where((k >= 0) & (k <= n), digamma_difference(n - k + 1, k + 1), 0.0),
)
def log_binomial_coefficient(n: Array, k: Array) -> Array:
    """log n!/(k!(n − k)!), for large counts too.

    Shapes: n and k broadcast. Domain: real 0 ≤ k ≤ n; −∞ and flat (no way to choose) for k outside, NaN for n < 0.

    >>> print(f"{log_binomial_coefficient(5, 2):.4f}, {log_binomial_coefficient(1e8, 1):.3f}")
    2.3026, 18.421
    """
    low, high = jnp.minimum(k, n - k), jnp.maximum(k, n - k)
    small = low < 1
    s, h, m = jnp.where(small, 1.0, low), jnp.where(small, 1.0, high), jnp.where(small, 2.0, n)
    # n times the entropy of (k/n, 1 − k/n), then the square root and the corrections of Stirling's formula (Loader
    # 2000).
    stirling = s * jnp.log1p(h / s) + h * jnp.log1p(s / h) - 0.5 * jnp.log(s * (h / m)) - HALF_LOG_2PI
    stirling = stirling - (correction(0, s) + correction(0, h) - correction(0, m))
    out = jnp.where(small, log_gamma_difference(1 + high, low) - log_factorial(low), stirling)
    return jnp.where(low < 0, jnp.where(n >= 0, -jnp.inf, jnp.nan), out)
