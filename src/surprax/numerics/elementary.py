"""Elementary primitives that keep their digits: logarithms, exponentials and deviances near their zeros.

Each function states its domain, agrees with its limit at the edge of it, returns NaN outside it, and has a derivative
that is accurate where automatic differentiation of the formula would cancel or give NaN. Inputs may be any arrays or
scalars that broadcast; the result has their common floating dtype (at least float32). Numbers below the smallest normal
number of the dtype count as zero, as XLA flushes them.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

type Axis = int | tuple[int, ...] | None
type Tangent = jax.Array | SymbolicZero


# Shared tools -------------------------------------------------------------------------------------------------------


def as_floats(*values: ArrayLike) -> tuple[jax.Array, ...]:
    """The values as arrays of one floating dtype, at least float32; shapes are left alone."""
    dtype = jnp.promote_types(jnp.result_type(*values, 0.0), jnp.float32)
    return tuple(jnp.asarray(value, dtype) for value in values)


def by_dtype[T](x: jax.Array, single: T, double: T) -> T:
    """`double` for float64 input, else `single`: series lengths and tables depend on the digits wanted."""
    return double if x.dtype == jnp.float64 else single


def polynomial(x: jax.Array, coefficients: Sequence[float]) -> jax.Array:
    """Σ cₖ xᵏ by Horner's rule, lowest power first."""
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def total_tangent(out: jax.Array, *terms: tuple[Callable[[], jax.Array], Tangent]) -> jax.Array:
    """Σ ∂f·dx over the inputs that vary, in the shape of `out`.

    An input that is known to be constant contributes nothing, even where its partial derivative is infinite (0·∞).
    """
    moving = [partial() * tangent for partial, tangent in terms if not isinstance(tangent, SymbolicZero)]
    return jnp.broadcast_to(sum(moving, start=jnp.zeros((), out.dtype)), out.shape)


# log1p, expm1 and their complements ---------------------------------------------------------------------------------


def _atanh_tail(w: jax.Array) -> jax.Array:
    """(atanh(r) − r)/r³ at w = r², for 0 ≤ w ≤ 0.25: 1/3 + w/5 + w²/7 + …"""
    return polynomial(w, [1 / (2 * k + 3) for k in range(by_dtype(w, 10, 25))])


def _log1p_minus_near(u: jax.Array) -> jax.Array:
    """log1p(u) − u for −2/3 ≤ u ≤ 2, from log1p(u) = 2 atanh(r) with u = 2r/(1 − r)."""
    r = u / (2 + u)
    return r * (2 * r * r * _atanh_tail(r * r) - u)


def _is_near(u: jax.Array) -> jax.Array:
    return (u >= -2 / 3) & (u <= 2)


@jax.custom_jvp
def _log1p_minus(u: jax.Array) -> jax.Array:
    # The minimum lets u = ∞ give −∞, not ∞ − ∞.
    far = jnp.log1p(jnp.minimum(u, jnp.finfo(u.dtype).max)) - u
    near = _is_near(u)
    return jnp.where(near, _log1p_minus_near(jnp.where(near, u, 0)), far)


@_log1p_minus.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    slope = jnp.where(u > 1, -1 / (1 + 1 / jnp.where(u > 1, u, 1)), -u / (1 + jnp.where(u > 1, 0, u)))
    return _log1p_minus(u), slope * du


@jax.jit
def log1p_minus(u: ArrayLike) -> jax.Array:
    """log(1 + u) − u, to full relative accuracy also where it is nearly −u²/2.

    Shapes: elementwise. Domain: u ≥ −1, with −∞ at −1 and at ∞; NaN below −1. It is −(u − log1p(u)), the surprise that a
    log-linear model loses by a relative error u. Its slope is −u/(1 + u).

    Near 0 the series of atanh in r = u/(2 + u) replaces the subtraction (Abramowitz & Stegun 4.1.27).

    >>> print(f"{log1p_minus(1e-4):.4e}")
    -4.9997e-09
    """
    return _log1p_minus(*as_floats(u))


@jax.custom_jvp
def _expm1_minus(u: jax.Array) -> jax.Array:
    near = jnp.abs(u) <= 1
    v = jnp.where(near, u, 0)
    series = v * v * polynomial(v, [1 / math.factorial(k + 2) for k in range(by_dtype(u, 9, 17))])
    # The minimum lets u = ∞ give ∞, not ∞ − ∞.
    far = jnp.expm1(u) - jnp.minimum(u, jnp.finfo(u.dtype).max)
    return jnp.where(near, series, far)


@_expm1_minus.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    return _expm1_minus(u), jnp.expm1(u) * du


@jax.jit
def expm1_minus(u: ArrayLike) -> jax.Array:
    """exp(u) − 1 − u ≥ 0, to full relative accuracy also where it is nearly u²/2.

    Shapes: elementwise. Domain: all reals; ∞ at both infinities. Its slope is expm1(u). It is the Poisson deviance in the
    log of the mean: deviance(1, exp(u)) = expm1_minus(u).

    >>> print(f"{expm1_minus(1e-4):.4e}")
    5.0002e-09
    """
    return _expm1_minus(*as_floats(u))


@jax.custom_jvp
def _log1mexp(s: jax.Array) -> jax.Array:
    small = s < math.log(2)
    return jnp.where(
        small, jnp.log(-jnp.expm1(-jnp.where(small, s, 1))), jnp.log1p(-jnp.exp(-jnp.where(small, 1, s)))
    )


@_log1mexp.defjvp
def _(primals, tangents):
    (s,), (ds,) = primals, tangents
    # Not 1/expm1(s): its own derivative is 0·∞ once exp(s) overflows.
    return _log1mexp(s), jnp.exp(-s) / -jnp.expm1(-s) * ds


@jax.jit
def log1mexp(s: ArrayLike) -> jax.Array:
    """log(1 − e⁻ˢ): the log-probability that an event of surprise s (in nats) does not happen.

    Shapes: elementwise. Domain: s ≥ 0, with −∞ at 0 and 0 at ∞; NaN below 0. The branch at log 2 is Mächler's (2012,
    "Accurately computing log(1 − exp(−|a|))").

    >>> print(f"{log1mexp(log1mexp(0.3) * -1.0):.4f}")
    -0.3000
    """
    return _log1mexp(*as_floats(s))


# Ratios and deviances -----------------------------------------------------------------------------------------------


def _log_quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(x/y) away from 1. Where the quotient leaves the range of the dtype, the roots' quotient does not."""
    quotient = x / y
    limits = jnp.finfo(quotient.dtype)
    ordinary = (quotient >= limits.tiny) & (quotient <= limits.max)
    return jnp.log(jnp.where(ordinary, quotient, jnp.sqrt(x) / jnp.sqrt(y))) * jnp.where(ordinary, 1.0, 2.0)


@jax.custom_jvp
def _log_ratio(x: jax.Array, y: jax.Array) -> jax.Array:
    near = (x >= y / 2) & (x / 2 <= y)
    relative = (x - y) / y
    return jnp.where(near & (relative == relative), jnp.log1p(jnp.where(near, relative, 0)), _log_quotient(x, y))


def _log_ratio_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    out = _log_ratio(x, y)
    return out, total_tangent(out, (lambda: 1 / x, dx), (lambda: -1 / y, dy))


_log_ratio.defjvp(_log_ratio_jvp, symbolic_zeros=True)


@jax.jit
def log_ratio(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """log(x/y), accurate where x ≈ y and where the quotient would overflow.

    Shapes: x and y broadcast. Domain: x, y ≥ 0; −∞ at x = 0, ∞ at y = 0, NaN where both are 0 or both ∞, or one is
    negative. Near equality it is log1p((x − y)/y), whose subtraction is exact (Sterbenz).

    >>> print(f"{log_ratio(3.0, 2.0) + log_ratio(2.0, 3.0):.4f}")
    0.0000
    """
    return _log_ratio(*as_floats(x, y))


@jax.custom_jvp
def _deviance(x: jax.Array, mu: jax.Array) -> jax.Array:
    u = (mu - x) / x
    near = _is_near(u)
    close = -x * _log1p_minus_near(jnp.where(near, u, 0))
    # Grouped so that no intermediate exceeds the result by much: for mu ≫ x it is mu − x(1 + log(mu/x)).
    far = x * (_log_quotient(jnp.where(near, 1, x), jnp.where(near, 1, mu)) - 1) + mu
    far = jnp.where(x == 0, mu, far)
    return jnp.where(near, close, far)


def _deviance_jvp(primals, tangents):
    (x, mu), (dx, dmu) = primals, tangents
    out = _deviance(x, mu)
    # 0/0 at x = mu = 0 is the slope of D(0, mu) = mu.
    both_zero = (x == 0) & (mu == 0)
    slope = lambda: jnp.where(both_zero, 1, (mu - x) / jnp.where(both_zero, 1, mu))
    return out, total_tangent(out, (lambda: _log_ratio(x, mu), dx), (slope, dmu))


_deviance.defjvp(_deviance_jvp, symbolic_zeros=True)


@jax.jit
def deviance(x: ArrayLike, mu: ArrayLike) -> jax.Array:
    """x log(x/mu) − x + mu ≥ 0: half the Poisson deviance, in nats; zero at x = mu, to full relative accuracy around it.

    Shapes: x and mu broadcast. Domain: x ≥ 0, mu ≥ 0; deviance(0, mu) = mu; ∞ at mu = 0 < x; NaN below 0.
    Derivatives: log(x/mu) in x, (mu − x)/mu in mu. It is Loader's bd0 (2000, "Fast and accurate computation of binomial
    probabilities"), here as −x·log1p_minus((mu − x)/x); KL(Poisson(x) ‖ Poisson(mu)) is the same number.

    >>> print(f"{deviance(1e4, 1e4 + 1):.4e}, {deviance(0.0, 3.0):.1f}")
    4.9997e-05, 3.0
    """
    return _deviance(*as_floats(x, mu))


# Products with logarithms -------------------------------------------------------------------------------------------


@jax.custom_jvp
def _xlogy(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(x == 0, jnp.where(jnp.isnan(y), jnp.nan, 0.0), x * jnp.log(jnp.where(x == 0, 1, y)))


def _xlogy_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    out = _xlogy(x, y)
    zero = x == 0
    slope = lambda: jnp.where(zero, 0, x) / jnp.where(zero, 1, y)
    return out, total_tangent(out, (lambda: jnp.log(y), dx), (slope, dy))


_xlogy.defjvp(_xlogy_jvp, symbolic_zeros=True)


@jax.jit
def xlogy(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """x log y, with 0·log 0 = 0.

    Shapes: x and y broadcast. Domain: y ≥ 0; where x = 0 it is 0 for every y that is not NaN, and the derivative in y is 0
    also at y = 0, where a plain quotient gives NaN.

    >>> print(f"{xlogy(0.0, 0.0):.1f}, {xlogy(2.0, 3.0):.4f}")
    0.0, 2.1972
    """
    return _xlogy(*as_floats(x, y))


@jax.custom_jvp
def _xlog1py(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(x == 0, jnp.where(jnp.isnan(y), jnp.nan, 0.0), x * jnp.log1p(jnp.where(x == 0, 0, y)))


def _xlog1py_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    out = _xlog1py(x, y)
    zero = x == 0
    slope = lambda: jnp.where(zero, 0, x) / (1 + jnp.where(zero, 0, y))
    return out, total_tangent(out, (lambda: jnp.log1p(y), dx), (slope, dy))


_xlog1py.defjvp(_xlog1py_jvp, symbolic_zeros=True)


@jax.jit
def xlog1py(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """x log(1 + y), with 0·log 0 = 0.

    Shapes: x and y broadcast. Domain: y ≥ −1; where x = 0 it is 0 for every y that is not NaN, and so is the derivative in
    y, also at y = −1.

    >>> print(f"{xlog1py(0.0, -1.0):.1f}, {xlog1py(2.0, -0.5):.4f}")
    0.0, -1.3863
    """
    return _xlog1py(*as_floats(x, y))


# Sums of exponentials -----------------------------------------------------------------------------------------------


@jax.jit(static_argnames=("axis", "keepdims"))
def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False, weights: ArrayLike | None = None) -> jax.Array:
    """log Σ wᵢ exp(xᵢ) over `axis` (all axes by default); weights 1 by default.

    Shapes: `weights` broadcasts to x. Domain: x ≥ −∞ and a nonnegative weighted sum; NaN where the sum is negative. A term
    of weight 0 adds nothing, whatever its x. Where every term is −∞ the result is −∞ and its gradient 0 (not NaN); where
    one is ∞ the result is ∞.

    >>> import jax.numpy as jnp
    >>> print(f"{logsumexp(jnp.log(jnp.array([0.25, 0.5, 0.25]))):.4f}, {logsumexp(jnp.array([-jnp.inf, -jnp.inf])):.1f}")
    0.0000, -inf
    """
    if weights is None:
        (x,) = as_floats(x)
    else:
        x, weights = as_floats(x, weights)
        x = jnp.where(weights == 0, -jnp.inf, x)
    top = jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True, initial=-jnp.inf))
    top = jnp.where(jnp.isfinite(top), top, 0)
    terms = jnp.exp(x - top)
    total = jnp.sum(terms if weights is None else weights * terms, axis=axis, keepdims=True)
    # Two wheres: the logarithm of an empty sum must not enter the derivative.
    out = jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)) + top)
    return out if keepdims else jnp.squeeze(out, axis=axis)
