"""The multivariate gamma function Γ_d and its relatives, of Wishart distributions.

    log Γ_d(a) = d(d − 1)/4 · log π + Σ log Γ(a − i/2),  i = 0, …, d − 1,  for a > (d − 1)/2

At large a its parts hardly differ, and the offsets i/2 are lost when they are subtracted. What a Wishart density needs beyond
powers of a is therefore computed as such. In all functions d is a Python number, and a is NaN-checked by its caller.
Source: Muirhead (1982), section 2.1.
"""

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from surprax.numerics.elementary import log1p_minus, with_derivatives
from surprax.numerics.gamma import log_gamma, log_minus_digamma, stirling_error, trigamma, trigamma_minus_reciprocal
from surprax.numerics.gamma_differences import gamma_bregman_beyond_poisson
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.roots import newton

__all__ = [
    "inverse_multi_log_minus_digamma",
    "multi_bregman_beyond_poisson",
    "multi_level",
    "multi_log_gamma",
    "multi_log_minus_digamma",
    "multi_trigamma",
    "multi_trigamma_minus_reciprocal",
]


def _offsets(a: Array, d: int) -> tuple[Array, Array]:
    """a beside an axis for i, and the offsets i/2 of its rank."""
    a = jnp.asarray(a)[..., None]
    return a, (0.5 * jnp.arange(d, dtype=a.dtype)).reshape((1,) * (a.ndim - 1) + (d,))


def multi_log_gamma(a: Array, d: int) -> Array:
    """log Γ_d(a).

    >>> print(f"{multi_log_gamma(2.0, 2) - (jnp.log(jnp.pi) / 2 + log_gamma(2.0) + log_gamma(1.5)):.3f}")
    0.000
    """
    a, s = _offsets(a, d)
    return jnp.sum(log_gamma(a - s), axis=-1) + 0.25 * d * (d - 1) * math.log(math.pi)


def multi_trigamma(a: Array, d: int) -> Array:
    """Σ ψ'(a − i/2), the second derivative of log Γ_d."""
    a, s = _offsets(a, d)
    return jnp.sum(trigamma(a - s), axis=-1)


def multi_level(a: Array, d: int) -> Array:
    """a d (log a − 1) − log Γ_d(a), which grows like d(d + 1)/4 · log a: of each part, Stirling's formula leaves

    −a (log(1 − s/a) + s/a) + (s + ½) log(a − s) − ½ log 2π − μ(a − s),  s = i/2.
    """
    a, s = _offsets(a, d)
    rest = a - s
    parts = -a * log1p_minus(-s / a) + (s + 0.5) * jnp.log(rest) - HALF_LOG_2PI - stirling_error(rest)
    return jnp.sum(parts, axis=-1) - 0.25 * d * (d - 1) * math.log(math.pi)


def multi_log_minus_digamma(a: Array, d: int) -> Array:
    """d log a − Σ ψ(a − i/2) > 0: log det E[X] − E[log det X] of a Wishart variable with 2a degrees of freedom."""
    a, s = _offsets(a, d)
    return jnp.sum(log_minus_digamma(a - s) - jnp.log1p(-s / a), axis=-1)


def multi_trigamma_minus_reciprocal(a: Array, d: int) -> Array:
    """Σ ψ'(a − i/2) − d/a > 0: minus the derivative of `multi_log_minus_digamma`."""
    a, s = _offsets(a, d)
    return jnp.sum(trigamma_minus_reciprocal(a - s) + s / (a * (a - s)), axis=-1)


def multi_bregman_beyond_poisson(b: Array, a: Array, d: int) -> Array:
    """The Bregman divergence f(b) − f(a) − f'(a)(b − a) ≥ 0 of f(a) = log Γ_d(a) − d (a log a − a), without cancellation as b → a.

    Beside `gamma_bregman_beyond_poisson` of each part it has that of (a − s) log(a − s) − a log a, which at t = (b − a)/(a − s) is
    b log(1 + s t/b) − s log(1 + t): the linear parts of the two logarithms are equal, and left out.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    difference = (b - a)[..., None]
    a, s = _offsets(a, d)
    b, _ = _offsets(b, d)
    t = difference / (a - s)
    offset = b * log1p_minus(s * t / b) - s * log1p_minus(t)
    return jnp.sum(gamma_bregman_beyond_poisson(b - s, a - s, difference) + offset, axis=-1)


def inverse_multi_log_minus_digamma(y: Array, d: int) -> Array:
    """The a > (d − 1)/2 with multi_log_minus_digamma(a, d) = y, for y > 0; ∞ at 0, NaN below.

    Its reciprocal is nearly linear in a at both ends, like 4a/(d(d + 1)) and a − (d − 1)/2, and Newton's method takes few steps.

    >>> print(f"{inverse_multi_log_minus_digamma(multi_log_minus_digamma(5.0, 3), 3):.3f}")
    5.000
    """
    return _inverse(d)(y)


@functools.cache
def _inverse(d: int) -> Callable[[Array], Array]:
    least = 0.5 * (d - 1)

    @with_derivatives(lambda y: -1.0 / multi_trigamma_minus_reciprocal(_inverse(d)(y), d))
    def solve(y: Array) -> Array:
        good = y > 0
        target = 1.0 / jnp.where(good, y, 1.0)

        def function(x: Array) -> tuple[Array, Array]:
            a = least + x
            gap = multi_log_minus_digamma(a, d)
            return 1.0 / gap - target, multi_trigamma_minus_reciprocal(a, d) / gap / gap

        # x is what a has beyond its least value, of which it holds the digits.
        limits = jnp.finfo(y.dtype)
        start = jnp.minimum(jnp.maximum(0.25 * d * (d + 1) * target - least, target / d), 0.25 * limits.max)
        x, _ = newton(function, start, limits.tiny, limits.max)
        return jnp.where(good, least + x, jnp.where(y == 0, jnp.inf, jnp.nan))

    return solve
