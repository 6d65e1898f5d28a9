"""Elementary primitives that keep their digits: logarithms, exponentials and deviances near their zeros.

Each function states its domain, takes its limit at the edge of it, is NaN outside it, and has derivatives of its own
where automatic differentiation of the formula would cancel or give NaN. Arguments are arrays or scalars that broadcast;
results have their common floating dtype, at least float32. Numbers below the smallest normal one count as zero, as XLA
flushes them, and so do reciprocals: from about 1e38 (float32) or 1e308 (float64) on, digits are lost.

Two habits keep each function one kernel in XLA's CPU backend: a quotient that is needed twice is x·(1/y), because a
division of two arrays with two readers is never fused, and a selection comes last, because it is what ends a fusion.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

__all__ = [
    "argmax",
    "as_floats",
    "atanh_tail",
    "by_dtype",
    "deviance",
    "deviance_from",
    "difference_of_products",
    "expm1_minus",
    "is_near",
    "log1mexp",
    "log1p_minus",
    "log1p_quotient",
    "log_of_ratio",
    "log_power_minus",
    "log_quotient",
    "log_ratio",
    "log_ratio_minus",
    "logaddexp",
    "logsumexp",
    "polynomial",
    "power_of_two",
    "product_minus",
    "scale_divergence",
    "softmin",
    "with_derivatives",
    "xlog1py",
    "xlogy",
]

type Axis = int | tuple[int, ...] | None


# Shared tools -------------------------------------------------------------------------------------------------------


def as_floats(*values: ArrayLike) -> tuple[Array, ...]:
    """The values as arrays of one floating dtype, at least float32; shapes are left alone."""
    dtype = jnp.promote_types(jnp.result_type(*values, 0.0), jnp.float32)
    return tuple(jnp.asarray(value, dtype) for value in values)


def by_dtype[T](x: Array, single: T, double: T) -> T:
    """`double` for float64 input, else `single`: series lengths and tables depend on the digits wanted."""
    return double if x.dtype == jnp.float64 else single


def polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Σ cₖ xᵏ by Horner's rule, lowest power first."""
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def with_derivatives(*slopes: Callable[..., Array]) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Decorator: a compiled function of broadcasting floats with the given partial derivatives, one per argument.

    The function's body is never differentiated, the slopes are (for second derivatives). An argument that is known
    to be constant contributes nothing to a tangent, even where its slope is infinite (0·∞ is NaN).
    """

    def decorate(value: Callable[..., Array]) -> Callable[..., Array]:
        primitive = jax.custom_jvp(value)
        signature = inspect.signature(value)

        def jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
            out = primitive(*primals)
            terms = [s(*primals) * t for s, t in zip(slopes, tangents, strict=True) if not isinstance(t, SymbolicZero)]
            return out, jnp.broadcast_to(sum(terms, start=jnp.zeros((), out.dtype)), out.shape)

        primitive.defjvp(jvp, symbolic_zeros=True)

        @functools.wraps(value)
        def function(*args: ArrayLike, **kwargs: ArrayLike) -> Array:
            return primitive(*as_floats(*signature.bind(*args, **kwargs).args))

        return jax.jit(function)

    return decorate


# log1p and expm1 without their linear part ----------------------------------------------------------------------------


def atanh_tail(w: Array) -> Array:
    """(atanh(r) − r)/r³ = 1/3 + w/5 + w²/7 + … at w = r², for 0 ≤ w ≤ 1/4."""
    return polynomial(w, [1 / (2 * k + 3) for k in range(by_dtype(w, 10, 25))])


@with_derivatives(lambda u: jnp.where(u == jnp.inf, -1.0, -u / (1 + u)))
def log1p_minus(u: Array) -> Array:
    """log(1 + u) − u ≤ 0, to full relative accuracy also where it is nearly −u²/2.

    Shapes: elementwise. Domain: u ≥ −1, with −∞ at −1 and at ∞; NaN below −1. The slope is −u/(1 + u).

    Source: for −2/3 ≤ u ≤ 2, log(1 + u) = 2 atanh(r) with r = u/(2 + u) (Abramowitz & Stegun 4.1.27).

    >>> print(f"{log1p_minus(1e-4):.4e}")
    -4.9997e-09
    """
    # The minimum lets u = ∞ give −∞, not ∞ − ∞.
    far = jnp.log1p(jnp.minimum(u, jnp.finfo(u.dtype).max)) - u
    return jnp.where(is_near(u), _log1p_minus_near(u), far)


def _log1p_minus_near(u: Array) -> Array:
    r = u * (1 / (2 + u))
    return r * (2 * (r * r) * atanh_tail(r * r) - u)


@with_derivatives(jnp.expm1)
def expm1_minus(u: Array) -> Array:
    """exp(u) − 1 − u ≥ 0, to full relative accuracy also where it is nearly u²/2.

    Shapes: elementwise. Domain: all reals; ∞ at both infinities. The slope is expm1(u). It is the Poisson deviance
    in the log of the mean: deviance(1, exp(u)) = expm1_minus(u).

    >>> print(f"{expm1_minus(1e-4):.4e}")
    5.0002e-09
    """
    series = u * u * polynomial(u, [1 / math.factorial(k + 2) for k in range(by_dtype(u, 9, 17))])
    # The minimum lets u = ∞ give ∞, not ∞ − ∞.
    return jnp.where(jnp.abs(u) <= 1, series, jnp.expm1(u) - jnp.minimum(u, jnp.finfo(u.dtype).max))


# Not 1/expm1(s): the derivative of that is 0·∞ once exp(s) overflows.
@with_derivatives(lambda s: jnp.exp(-s) / -jnp.expm1(-s))
def log1mexp(s: Array) -> Array:
    """log(1 − e⁻ˢ): the log-probability that an event of surprise s (in nats) does not happen.

    Shapes: elementwise. Domain: s ≥ 0, with −∞ at 0 and 0 at ∞; NaN below 0. The slope is 1/expm1(s).

    Source: Mächler (2012), "Accurately computing log(1 − exp(−|a|))", for the branch at log 2.

    >>> print(f"{log1mexp(-log1mexp(0.3)):.4f}")
    -0.3000
    """
    return jnp.where(s < math.log(2), jnp.log(-jnp.expm1(-s)), jnp.log1p(-jnp.exp(-s)))


# Ratios and deviances -------------------------------------------------------------------------------------------------
# The undecorated functions here are for the bodies of others: they are not meant to be differentiated.


def log_quotient(x: Array, y: Array) -> Array:
    """log(x/y) away from 1. Where the quotient leaves the range of the dtype, that of the square roots does not."""
    limits = jnp.finfo(x.dtype)
    ordinary = (x <= y * float(limits.max)) & (x >= y * float(limits.tiny))
    return jnp.log(jnp.where(ordinary, x / y, jnp.sqrt(x) / jnp.sqrt(y))) * jnp.where(ordinary, 1.0, 2.0)


def log1p_quotient(x: Array, y: Array) -> Array:
    """log(1 + x/y) for x, y ≥ 0, also where the quotient overflows."""
    ordinary = x <= y * float(jnp.finfo(x.dtype).max)
    return jnp.log1p(jnp.where(ordinary, x / y, jnp.sqrt(x) / jnp.sqrt(y))) * jnp.where(ordinary, 1.0, 2.0)


@with_derivatives(lambda x, y: 1 / x, lambda x, y: -1 / y)
def log_ratio(x: Array, y: Array) -> Array:
    """log(x/y), accurate where x ≈ y and where the quotient would overflow.

    Shapes: x and y broadcast. Domain: x, y ≥ 0; −∞ at x = 0, ∞ at y = 0, NaN where both are 0 or both ∞, or one is
    negative. It is ±log(1 + |x − y|/min(x, y)), whose subtraction is exact near equality (Sterbenz).

    >>> print(f"{log_ratio(3.0, 2.0) - log_ratio(1.5, 1.0):.4f}")
    0.0000
    """
    size = log1p_quotient(jnp.abs(x - y), jnp.minimum(x, y))
    return jnp.where(jnp.minimum(x, y) < 0, jnp.nan, jnp.where(x < y, -size, size))


def log_ratio_minus(x: Array, y: Array, difference: Array) -> Array:
    """log(x/y) − (x − y)/y ≤ 0 for x, y ≥ 0; difference = x − y is given apart, as it may hold more digits."""
    u = difference * (1 / y)
    r = difference * (1 / (x + y))
    near = r * (2 * (r * r) * atanh_tail(r * r) - u)
    return jnp.where((x >= y / 3) & (x <= 3 * y), near, log_quotient(x, y) - u)


@with_derivatives(lambda x, y: (x - y) / y * (1.0 / x), lambda x, y: (y - x) / y * (1.0 / y))
def scale_divergence(x: Array, y: Array) -> Array:
    """x/y − 1 − log(x/y) ≥ 0, to full relative accuracy as x → y (Itakura & Saito 1968): what a ratio of scales costs."""
    return jnp.where((x < 0) | (y < 0), jnp.nan, -log_ratio_minus(x, y, x - y))


def deviance_from(x: Array, mu: Array, difference: Array) -> Array:
    """deviance(x, mu) for x, mu ≥ 0; difference = mu − x is given apart, as it may hold more digits."""
    r = difference * (1 / (x + mu))
    near = r * (difference - 2 * x * (r * r) * atanh_tail(r * r))
    # Grouped so that no intermediate exceeds the result by much: for mu ≫ x it is mu − x(1 + log(mu/x)).
    far = x * (log_quotient(x, mu) - 1) + mu
    far = jnp.where((x == 0) | (mu == jnp.inf), mu, far)
    return jnp.where((mu >= x / 3) & (mu <= 3 * x) & (x > 0), near, far)


def _deviance_slope(x: Array, mu: Array) -> Array:
    """(mu − x)/mu, which at x = mu = 0 is the slope 1 of deviance(0, mu) = mu."""
    return jnp.where(x == 0, 1.0, (mu - x) / jnp.where(x == 0, 1.0, mu))


@with_derivatives(lambda x, mu: log_ratio(x, mu), _deviance_slope)
def deviance(x: Array, mu: Array) -> Array:
    """x log(x/mu) − x + mu ≥ 0: half the Poisson deviance, in nats; full accuracy also around its zero x = mu.

    Shapes: x and mu broadcast. Domain: x ≥ 0, mu ≥ 0; deviance(0, mu) = mu; ∞ at mu = 0 < x; NaN below 0.
    Derivatives: log(x/mu) in x, (mu − x)/mu in mu. It is KL(Poisson(x) ‖ Poisson(mu)).

    Source: bd0 in Loader (2000), "Fast and accurate computation of binomial probabilities"; near equality it is here
    −x·log1p_minus(u) at u = (mu − x)/x.

    >>> print(f"{deviance(1e4, 1e4 + 1):.4e}, {deviance(0.0, 3.0):.1f}")
    4.9997e-05, 3.0
    """
    return jnp.where((x < 0) | (mu < 0), jnp.nan, deviance_from(x, mu, mu - x))


# Products that are not rounded ----------------------------------------------------------------------------------------


def product_minus(x: Array, y: Array, z: Array) -> Array:
    """x·y − z as if the product were not rounded (unless a part of it overflows)."""
    bits = by_dtype(x, (8, 11), (11, 25))
    x_high, y_high = jax.lax.reduce_precision(x, *bits), jax.lax.reduce_precision(y, *bits)
    x_low, y_low = x - x_high, y - y_high  # halves of the digits, whose products are exact
    exact = (x_high * y_high - z) + (x_high * y_low + x_low * y_high) + x_low * y_low
    return jnp.where(jnp.isfinite(exact), exact, x * y - z)


def difference_of_products(a: Array, b: Array, c: Array, d: Array) -> Array:
    """a·b − c·d as if the products were not rounded."""
    product = jax.lax.stop_gradient(c * d)
    return product_minus(a, b, product) - product_minus(c, d, product)


def is_near(u: Array) -> Array:
    """Where a ratio 1 + u is so near to 1 that its logarithm is better taken from u."""
    return (u >= -2 / 3) & (u <= 2)


def log_of_ratio(u: Array, x: Array, y: Array) -> Array:
    """log(x/y) for u = x/y − 1, which is known to more digits than the quotient."""
    near = is_near(u)
    return jnp.where(
        near, jnp.log1p(jnp.where(near, u, 0.0)), log_ratio(jnp.where(near, 1.0, x), jnp.where(near, 1.0, y))
    )


def log_power_minus(c: Array, u: Array, x: Array, y: Array, fall: Array, rest: float) -> Array:
    """c log r − fall at r = x/y = 1 + u ≥ 0, where fall = (c − rest)·u: exponents of gamma kind, whose parts cancel near r = 1.

    With u and fall to more digits than the quotient has, it is as good as they are; 0·log 0 is 0. Not to be differentiated.
    """
    near = c * _log1p_minus_near(u) + rest * u
    far = jnp.where(c == 0, 0.0, c * log_quotient(x, y)) - fall
    return jnp.where(is_near(u), near, far)


# Products with logarithms ---------------------------------------------------------------------------------------------


def _zero_over(x: Array, y: Array) -> Array:
    """x/y, with 0/0 = 0."""
    return jnp.where(x == 0, 0.0, x) / jnp.where(x == 0, 1.0, y)


@with_derivatives(lambda x, y: jnp.log(y), _zero_over)
def xlogy(x: Array, y: Array) -> Array:
    """x log y, with 0·log 0 = 0.

    Shapes: x and y broadcast. Domain: y ≥ 0; where x = 0 it is 0 for every y that is not NaN, and the derivative in
    y is then 0 also at y = 0, where x/y would be NaN.

    >>> print(f"{xlogy(0.0, 0.0):.1f}, {xlogy(2.0, 3.0):.4f}")
    0.0, 2.1972
    """
    return jnp.where((x == 0) & (y == y), 0.0, x * jnp.log(y))


@with_derivatives(lambda x, y: jnp.log1p(y), lambda x, y: _zero_over(x, 1 + y))
def xlog1py(x: Array, y: Array) -> Array:
    """x log(1 + y), with 0·log 0 = 0.

    Shapes: x and y broadcast. Domain: y ≥ −1; where x = 0 it is 0 for every y that is not NaN, and the derivative
    in y is then 0 also at y = −1.

    >>> print(f"{xlog1py(0.0, -1.0):.1f}, {xlog1py(2.0, -0.5):.4f}")
    0.0, -1.3863
    """
    return jnp.where((x == 0) & (y == y), 0.0, x * jnp.log1p(y))


# Sums of exponentials -------------------------------------------------------------------------------------------------


def argmax(x: Array, axis: int = -1, *, keepdims: bool = False) -> Array:
    """The index of the first greatest entry, or of the first NaN, in int32.

    (`jnp.argmax` of JAX 0.12 takes float64 for float32 in a program that is compiled while JAX is told float32.)

    >>> argmax(jnp.array([[1.0, 3.0, 2.0]])).tolist()
    [1]
    """
    axis = axis % x.ndim
    best = (x == jnp.max(x, axis=axis, keepdims=True)) | jnp.isnan(x)
    places = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.min(jnp.where(best, places, x.shape[axis] - 1), axis=axis, keepdims=keepdims)


def power_of_two(exponent: ArrayLike, dtype: Any) -> Array:
    """2ᵏ to the last bit, as a product of squares of squares of 2; k are whole numbers.

    Domain: k for which 2ᵏ and 2⁻ᵏ are normal numbers of the dtype. (`jnp.exp2` is inexact on CPUs, and `jnp.ldexp` of JAX 0.12
    takes float64 for float32 in a program that is compiled while JAX is told float32.)

    >>> print(power_of_two(jnp.array([-3, 0, 100]), jnp.float32))
    [1.2500000e-01 1.0000000e+00 1.2676506e+30]
    """
    k = jnp.asarray(exponent).astype(jnp.int32)
    size = jnp.abs(k)
    power = jnp.ones(size.shape, dtype)
    for bit in range(7 if jnp.finfo(dtype).bits == 32 else 10):
        power = power * jnp.where((size >> bit) & 1, jnp.asarray(2.0 ** (2**bit), dtype), jnp.ones((), dtype))
    return jnp.where(k < 0, 1.0 / power, power)


def _gap(x: Array, y: Array) -> Array:
    """x − y, with ∞ − ∞ = 0."""
    return jnp.where((x == y) & jnp.isinf(x), 0.0, x - y)


def _share(x: Array, y: Array) -> Array:
    """eˣ/(eˣ + eʸ), and 0 where both are impossible."""
    return jnp.where((x == -jnp.inf) & (y == -jnp.inf), 0.0, jax.nn.sigmoid(_gap(x, y)))


@with_derivatives(_share, lambda x, y: _share(y, x))
def logaddexp(x: Array, y: Array) -> Array:
    """log(eˣ + eʸ).

    Shapes: x and y broadcast. Domain: all reals and ±∞. Where both are −∞ it is −∞ and its gradient 0, not NaN.

    >>> import jax.numpy as jnp
    >>> print(f"{logaddexp(jnp.log(0.25), jnp.log(0.75)):.4f}, {logaddexp(-jnp.inf, -jnp.inf):.1f}")
    0.0000, -inf
    """
    return jnp.maximum(x, y) + jnp.log1p(jnp.exp(-jnp.abs(_gap(x, y))))


@functools.partial(jax.jit, static_argnames=("axis", "keepdims"))
def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False, weights: ArrayLike | None = None) -> Array:
    """log Σ wᵢ exp(xᵢ) over `axis` (all axes by default); the weights wᵢ are 1 by default.

    Shapes: `weights` broadcasts to x. Domain: x of any sign, also ±∞; NaN where the weighted sum is negative. A term of
    weight 0 adds nothing, whatever its x. Where every term is −∞ it is −∞ and its gradient 0, not NaN.

    >>> import jax.numpy as jnp
    >>> print(f"{logsumexp(jnp.log(jnp.array([1.0, 2.0, 1.0]))):.4f}, {logsumexp(jnp.full(2, -jnp.inf)):.1f}")
    1.3863, -inf
    """
    if weights is None:
        (x,) = as_floats(x)
        weight, counted = jnp.ones((), x.dtype), x
    else:
        x, weight = as_floats(x, weights)
        counted = jnp.where(weight == 0, -jnp.inf, x)
    top = jax.lax.stop_gradient(jnp.max(counted, axis=axis, keepdims=True, initial=-jnp.inf))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    # An uncounted term may be too large for exp; those that are not keep their derivative in the weight.
    excessive = (weight == 0) & (x - top > math.log(jnp.finfo(x.dtype).max))
    total = jnp.sum(weight * jnp.exp(jnp.where(excessive, -jnp.inf, x) - top), axis=axis, keepdims=True)
    # The inner where keeps the logarithm of an empty sum out of the derivative.
    out = jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1.0, total)) + top)
    return out if keepdims else jnp.squeeze(out, axis=axis)


@functools.partial(jax.jit, static_argnames=("axis",))
def softmin(surprise: ArrayLike, axis: Axis = -1) -> Array:
    """exp(−sᵢ)/Σ exp(−sⱼ): surprises (in nats, up to a constant) to probabilities that sum to 1 over `axis`.

    Shapes: that of the input. Domain: s > −∞; an impossible event (s = ∞) has probability 0; NaN where all are
    impossible.

    >>> import jax.numpy as jnp
    >>> print(softmin(jnp.array([0.0, jnp.log(3.0), jnp.inf])))
    [0.75 0.25 0. ]
    """
    return jax.nn.softmax(-as_floats(surprise)[0], axis=axis)
