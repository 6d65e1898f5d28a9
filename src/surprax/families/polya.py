"""Draws from Pólya's urn: what the beta-binomial and the beta negative binomial distribution share.

With a the weight of one colour and b that of another, and every drawn ball put back with one more of its colour, n draws give k of
the one and l of the other with probability

    C(n, k) B(a + k, b + l)/B(a, b) = R(a, k) R(b, l)/R(a + b, n),    R(a, k) = Γ(a + k)/(Γ(a) k!).

R(a, k) pᵏ (1 − p)ᵃ is a negative binomial mass, and all of p cancels: the law of two negative binomial counts given their sum. At
p = n/(n + a + b), which makes the sum its own mean, each is a deviance, and no term exceeds the result by much (Loader 2000).
"""

import jax.numpy as jnp
from jax import Array

from surprax.families.discrete import factorial_remainder, trials_deviance
from surprax.numerics.elementary import difference_of_products, log_of_ratio, with_derivatives
from surprax.numerics.gamma import log_minus_digamma, stirling_error, trigamma_minus_reciprocal
from surprax.numerics.gamma_differences import digamma_increment, integrate, log_minus_digamma_drop

__all__ = ["log_none", "log_urn", "log_wait"]


def _remainder(k: Array, a: Array) -> Array:
    """What the deviance leaves of log R(a, k)."""
    return stirling_error(k + a) - stirling_error(a) - 0.5 * jnp.log1p(k / a) - factorial_remainder(k)


def _log_urn(k: Array, l: Array, a: Array, b: Array) -> Array:  # noqa: E741
    n, both = k + l, a + b
    excess = difference_of_products(k, b, l, a)  # n times what k is above its mean times both
    surprise0, surprise1 = jnp.log1p(n / both), jnp.log1p(both / n)
    gap_k = log_of_ratio(-excess / k / both, n / k, both / a)
    gap_l = log_of_ratio(excess / l / both, n / l, both / b)
    gap_k, gap_l = jnp.where(k == 0, jnp.inf, gap_k), jnp.where(l == 0, jnp.inf, gap_l)
    deviance = trials_deviance(k, a, gap_k, surprise0, surprise1) + trials_deviance(l, b, gap_l, surprise0, surprise1)
    value = _remainder(k, a) + _remainder(l, b) - _remainder(n, both) - deviance
    rare, other = jnp.where(k == 0, a, b), jnp.where(k == 0, b, a)
    return jnp.where(((k == 0) | (l == 0)) & (rare <= other / 4), log_none(rare, n, other), value)


def log_none(a: Array, n: Array, b: Array) -> Array:
    """−∫ ψ(n + t) − ψ(t) dt from b to a + b: that a colour of small weight a is not drawn, to relative accuracy.

    With ψ(t) = log t − e(t), where a difference of e loses at most one part in n of the digits of the logarithm beside it.
    """
    step = jnp.where(a <= b / 4, a, 0.0)

    def slope(t: Array) -> Array:
        x = b + t * step
        return jnp.log1p(n / x) + (log_minus_digamma(x) - log_minus_digamma(x + n))

    return -step * integrate(slope, step)


def _drop(a: Array, k: Array) -> Array:
    """e(a) − e(a + k) ≥ 0 for e(a) = log a − ψ(a)."""
    return log_minus_digamma_drop(a, a + k, k)


def _slope_in_weight(k: Array, l: Array, a: Array, b: Array) -> Array:  # noqa: E741
    """ψ(a + k) − ψ(a) − ψ(a + b + n) + ψ(a + b), without what cancels when a and b are large."""
    excess = difference_of_products(k, b, l, a)
    n, both = k + l, a + b
    shift = log_of_ratio(excess / a / (both + n), (a + k) / a, (both + n) / both)
    # The two drops nearly cancel where a rare colour is not drawn: then their difference is an integral over its weight.
    rare = (l == 0) & (b <= a / 4)
    step = jnp.where(rare, b, 0.0)

    def slope(t: Array) -> Array:
        x = a + t * step
        return trigamma_minus_reciprocal(x) - trigamma_minus_reciprocal(x + k)

    return shift + jnp.where(rare, step * integrate(slope, step), _drop(a, k) - _drop(both, n))


def _slope_in_wait(k: Array, r: Array, a: Array, b: Array) -> Array:
    """ψ(a + r) − ψ(r) − ψ(a + b + n) + ψ(n) for n = r + k, without what cancels when r is large."""
    excess = difference_of_products(k, a, r, b)
    n, both = k + r, a + b
    shift = log_of_ratio(excess / r / (both + n), (a + r) / r, (both + n) / n)
    return jnp.where(k == 0, -digamma_increment(a + r, b), shift + (_drop(r, a) - _drop(n, both)))


def _slope_in_count(k: Array, l: Array, a: Array, b: Array) -> Array:  # noqa: E741
    """ψ(n + 1) − ψ(k + 1) − ψ(a + b + n) + ψ(a + k)."""
    return digamma_increment(k + 1.0, l) - digamma_increment(a + k, b + l)


@with_derivatives(
    _slope_in_count,
    lambda k, l, a, b: _slope_in_count(l, k, b, a),  # noqa: E741
    _slope_in_weight,
    lambda k, l, a, b: _slope_in_weight(l, k, b, a),  # noqa: E741
)
def log_urn(k: Array, l: Array, a: Array, b: Array) -> Array:  # noqa: E741
    """Log-probability that k + l draws give k of the colour of weight a and l of that of weight b.

    Shapes broadcast. Domain: k, l ≥ 0, a, b > 0, all real. Derivatives keep their digits as a, b → ∞, where the law is binomial.

    >>> print(f"{jnp.exp(log_urn(1.0, 1.0, 1.0, 1.0)):.4f}")  # all of 0, 1, 2 are as likely
    0.3333
    """
    return _log_urn(k, l, a, b)


@with_derivatives(
    lambda k, r, a, b: _slope_in_count(k, r, b, a) - 1.0 / (k + r),
    _slope_in_wait,
    lambda k, r, a, b: _slope_in_weight(r, k, a, b),
    lambda k, r, a, b: _slope_in_weight(k, r, b, a),
)
def log_wait(k: Array, r: Array, a: Array, b: Array) -> Array:
    """Log-probability of k draws of the colour of weight b before the r-th of that of weight a: the last draw must be one of these.

    Shapes broadcast. Domain: k ≥ 0, r, a, b > 0, all real. Derivatives keep their digits as a, b → ∞ or r → ∞.

    >>> print(f"{jnp.exp(log_wait(1.0, 1.0, 1.0, 1.0)):.4f}")  # 1/2 − 1/3
    0.1667
    """
    value = _log_urn(k, r, b, a) - jnp.log1p(k / r)
    # At k = 0 the weight b and r may change places.
    return jnp.where((k == 0) & (r <= a / 4) & (r < b), log_none(r, b, a), value)
