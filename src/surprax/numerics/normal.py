"""The normal tail and what rests on it: Mills' ratio, log Φ and its inverse, erfcx, the inverse Gaussian tails.

Everything here comes from one function, Mills' ratio M(z) = (1 − Φ(z))/φ(z) = ∫₀^∞ exp(−zu − u²/2) du. It is smooth and
free of exponentials for z ≥ 0, so one Chebyshev series serves all of [0, ∞], and the tails are exp(−z²/2)·M(z) with the
exponent kept apart. Logarithms therefore never underflow, and their derivatives never subtract two large numbers.
"""

import functools
import math
from decimal import Decimal, localcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.lax import erf_inv
from jax.scipy.special import erf
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, by_dtype, log1mexp, with_derivatives

__all__ = [
    "erf_quantile_from_log",
    "erfcx",
    "log_erf",
    "log_erfc",
    "log_inverse_gaussian_cdf",
    "log_inverse_gaussian_sf",
    "log_ndtr",
    "mills_ratio",
    "ndtri_exp",
    "normal_quantile_from_log",
]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# Beyond it 1 − Φ(z) is below the smallest subnormal of float64; clipping z there keeps 0·∞ out of derivatives.
FARTHEST = 40.0

# Chebyshev coefficients in t = (z − 5)/(z + 5) of (1 + z) M(z) on 0 ≤ z ≤ ∞, from the cosine sum at 120 points with 60
# digits; the change of variable is that of Shepherd and Laframboise (1981), Math. Comp. 36, 249-253.
_MILLS = (
    1.157997622130518717,
    -0.1633449388451397891,
    -0.01368313605578157641,
    0.03082200019810003973,
    -0.01622007301204680699,
    0.005616691016460093486,
    -0.001413393378354921628,
    0.0002502625460725660655,
    -0.00002468907239728387004,
    -1.010796406183759226e-6,
    7.495419179740572905e-7,
    -7.600274268728336876e-8,
    -1.157477144132864475e-8,
    3.333386472599843146e-9,
    7.538039628171347019e-11,
    -1.110424726372749448e-10,
    3.509243776551058833e-12,
    3.689495386175095368e-12,
    -2.337669777638309372e-13,
    -1.327179752354140545e-13,
    9.921706995888276554e-15,
    5.276004995455379065e-15,
    -3.373097694187921832e-16,
    -2.28043387763799456e-16,
    7.496330565808626388e-18,
    1.032804187729066835e-17,
    1.494057856124751262e-19,
    -4.677069248126328666e-19,
)


@functools.cache
def gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of ∫₀¹ f ≈ Σ wᵢ f(tᵢ), exact for polynomials of degree 2·count − 1, correctly rounded.

    NumPy's own rule has weights good to 1e-13 only; here each root of Pₙ is polished by Newton steps with 40 digits.
    """
    nodes, weights = [], []
    with localcontext() as context:
        context.prec = 40
        for guess in np.polynomial.legendre.leggauss(count)[0]:
            t = Decimal(float(guess))
            for _ in range(3):
                previous, current = Decimal(1), t
                for k in range(2, count + 1):
                    previous, current = current, ((2 * k - 1) * t * current - (k - 1) * previous) / k
                slope = count * (t * current - previous) / (t * t - 1)
                t -= current / slope
            nodes.append(float((1 + t) / 2))
            weights.append(float(1 / ((1 - t * t) * slope * slope)))
    return np.array(nodes), np.array(weights)


def move(out: Array, *terms: tuple[Array, Array | SymbolicZero]) -> Array:
    """Σ slope·tangent over the arguments that vary: the tangent of `out`."""
    moving = [slope * tangent for slope, tangent in terms if not isinstance(tangent, SymbolicZero)]
    return jnp.broadcast_to(sum(moving, start=jnp.zeros((), out.dtype)), out.shape)


def _mills_series(z: Array) -> Array:
    t = 1 - 10 / (z + 5)  # not (z − 5)/(z + 5), which is NaN at infinity
    current, previous = jnp.zeros_like(z), jnp.zeros_like(z)
    for coefficient in reversed(_MILLS[1 : by_dtype(z, 15, 28)]):
        current, previous = 2 * t * current - previous + coefficient, current
    return (t * current - previous + _MILLS[0]) / (1 + z)


def _mills_slope(z: Array) -> Array:
    """M′ = zM − 1, which cancels for large z; there the slope of the series is good, as M′ ~ −1/z² comes from one term."""
    near = z < 0.7
    from_series = jax.jvp(_mills_series, (z,), (jnp.ones_like(z),))[1]
    return jnp.where(near, jnp.where(near, z, 0) * _mills_series(z) - 1, from_series)


@with_derivatives(_mills_slope)
def _mills(z: Array) -> Array:
    """Mills' ratio for 0 ≤ z ≤ ∞."""
    return _mills_series(z)


def _split(z: Array) -> tuple[Array, Array]:
    """(z where negative, |z|) with derivative ±1 at 0 rather than the 0 of `abs`."""
    return z < 0, jnp.where(z < 0, -z, z)


@jax.jit
def mills_ratio(z: ArrayLike) -> Array:
    """Mills' ratio of the normal distribution, M(z) = (1 − Φ(z))/φ(z): the reciprocal of its hazard.

    Shapes: elementwise. Domain: all reals; M(z) ~ 1/z at ∞ and 0 there; ∞ where exp(z²/2) overflows, near z = −13 in
    float32. Its slope is zM(z) − 1 < 0 (DLMF 7.8.1; the series is described at the top of this module).

    >>> print(f"{jax.grad(mills_ratio)(0.5) - (0.5 * mills_ratio(0.5) - 1):.4f}")
    0.0000
    """
    (z,) = as_floats(z)
    negative, size = _split(z)
    upper = _mills(size)
    exponent = jnp.where(negative, size, 0)
    lower = jnp.exp(0.5 * exponent * exponent) * math.sqrt(2 * math.pi) - upper
    return jnp.where(negative, lower, upper)


@jax.jit
def erfcx(x: ArrayLike) -> Array:
    """exp(x²) erfc(x), the scaled complementary error function.

    Shapes: elementwise. Domain: all reals; ~ 1/(x√π) at ∞ and 0 there; ∞ where exp(x²) overflows, near x = −9.4 in
    float32. It is √(2/π) M(x√2), with Mills' ratio M (DLMF 7.2.3).

    >>> print(f"{erfcx(0.0):.4f}, {100 * erfcx(100.0):.4f}")
    1.0000, 0.5642
    """
    (x,) = as_floats(x)
    negative, size = _split(x)
    upper = math.sqrt(2 / math.pi) * _mills(math.sqrt(2) * size)
    exponent = jnp.where(negative, size, 0)
    return jnp.where(negative, 2 * jnp.exp(exponent * exponent) - upper, upper)


@jax.jit
def log_erfc(x: ArrayLike) -> Array:
    """log erfc(x), to full relative accuracy also near its zero at x = 0 and in both tails.

    Shapes: elementwise. Domain: all reals; log 2 at −∞, −∞ at ∞. It is log1p(−erf(x)) to the left of 1/2 and
    log erfcx(x) − x² to the right.

    >>> print(f"{log_erfc(30.0):.3f}")
    -903.974
    """
    (x,) = as_floats(x)
    left = x < 0.5
    near, far = jnp.where(left, x, 0), jnp.where(left, 1, x)
    return jnp.where(left, jnp.log1p(-erf(near)), jnp.log(erfcx(far)) - far * far)


@jax.jit
def log_erf(x: ArrayLike) -> Array:
    """log erf(x), to full relative accuracy also in the upper tail, where it is −erfc(x).

    Shapes: elementwise. Domain: x ≥ 0, −∞ at 0 and 0 at ∞; NaN below. It is log(1 − erfc(x)) to the right of 1/2.

    >>> print(f"{log_erf(1e-20):.3f}, {1e6 * log_erf(3.0):.1f}")
    -45.931, -22.1
    """
    (x,) = as_floats(x)
    left = x < 0.5
    near, far = jnp.where(left, x, 0.25), jnp.where(left, 1, x)
    return jnp.where(left, jnp.log(erf(near)), log1mexp(-log_erfc(far)))


def _upper_probability(z: Array) -> Array:
    """1 − Φ(z) for z ≥ 0."""
    z = jnp.minimum(z, FARTHEST)
    return jnp.exp(-0.5 * z * z - HALF_LOG_2PI) * _mills(z)


def _log_lower_tail(size: Array) -> Array:
    """log Φ(−size) for size ≥ 0."""
    return jnp.log(_mills(size)) - 0.5 * size * size - HALF_LOG_2PI


def _inverse_mills(z: Array) -> Array:
    """φ(z)/Φ(z), the slope of log Φ; it is exactly 1/M(−z) to the left, where φ and Φ underflow."""
    negative, size = _split(z)
    left, right = jnp.where(negative, size, 1), jnp.where(negative, 1, jnp.minimum(size, FARTHEST))
    density = jnp.exp(-0.5 * right * right - HALF_LOG_2PI)
    return jnp.where(negative, 1 / _mills(left), density / (1 - _upper_probability(right)))


@with_derivatives(_inverse_mills)
def log_ndtr(z: Array) -> Array:
    """log Φ(z), the log of the standard normal distribution function, in nats.

    Shapes: elementwise. Domain: all reals; −∞ at −∞, 0 at ∞. For z < 0 it is −z²/2 + log M(−z) − log √2π, with Mills'
    ratio M, and its slopes are 1/M(−z) and M′(−z)/M(−z)², which is −1 + O(1/z²), without cancellation.

    >>> print(f"{log_ndtr(-30.0):.3f}, {jax.grad(jax.grad(log_ndtr))(-1e4):.3f}")
    -454.321, -1.000
    """
    negative, size = _split(z)
    left, right = jnp.where(negative, size, 1), jnp.where(negative, 1, size)
    return jnp.where(negative, _log_lower_tail(left), jnp.log1p(-_upper_probability(right)))


@with_derivatives(lambda log_tail: _mills(-_normal_quantile(log_tail)))
def _normal_quantile(log_tail: Array) -> Array:
    """z ≤ 0 with log Φ(z) = log_tail: the start is right to 4.5e-4, and each step cubes its error."""
    s = jnp.sqrt(-2 * jnp.where(jnp.isneginf(log_tail), -1.0, log_tail))
    # Abramowitz & Stegun 26.2.23, whose error happens to stay small for all s > 0.
    start = (2.515517 + s * (0.802853 + s * 0.010328)) / (1 + s * (1.432788 + s * (0.189269 + s * 0.001308))) - s
    z = jnp.minimum(start, 0.0)
    for _ in range(2):
        mills, slope = jax.jvp(_mills, (-z,), (jnp.ones_like(z),))
        excess = _log_lower_tail(-z) - log_tail
        # Halley's step for f = log Φ − log_tail: f′ = 1/M, f″ = −f′·(f′ + z) and (f′ + z)/f′ = −M′(−z).
        z = jnp.minimum(z - excess * mills / (1 - 0.5 * excess * slope), 0.0)
    return jnp.where(jnp.isneginf(log_tail), -jnp.inf, z)


@jax.jit
def normal_quantile_from_log(log_p: ArrayLike, log_q: ArrayLike) -> Array:
    """The standard normal quantile from both log-probabilities: z with Φ(z) = p and 1 − Φ(z) = q.

    Shapes: log_p and log_q are equal or scalar. Domain: log p ≤ 0 and log q = log(1 − p) ≤ 0, in nats; −∞ at p = 0, ∞
    at q = 0; NaN where the smaller one is positive. Only the smaller one is used, in value and slope, so neither tail
    loses digits.

    Start by Abramowitz & Stegun 26.2.23, then two Halley steps on log Φ.

    >>> print(f"{normal_quantile_from_log(log_ndtr(-1000.0), 0.0):.2f}")
    -1000.00
    """
    log_p, log_q = as_floats(log_p, log_q)
    lower = log_p < log_q
    z = _normal_quantile(jnp.where(lower, log_p, log_q))
    return jnp.where(jnp.isnan(log_p) | jnp.isnan(log_q), jnp.nan, jnp.where(lower, z, -z))


@jax.jit
def erf_quantile_from_log(log_p: ArrayLike, log_q: ArrayLike) -> Array:
    """The inverse of erf from both log-probabilities: x ≥ 0 with erf(x) = p and erfc(x) = q.

    Shapes: log_p and log_q are equal or scalar. Domain: as `normal_quantile_from_log`; 0 at p = 0, ∞ at q = 0. In the lower
    half `jax.lax.erf_inv` and a Newton step on log erf; in the upper half the normal quantile of q/2.

    >>> print(f"{erf_quantile_from_log(log_erf(0.1), log_erfc(0.1)):.6f}")
    0.100000
    """
    log_p, log_q = as_floats(log_p, log_q)
    lower = log_p < log_q
    upper = normal_quantile_from_log(0.0, jnp.where(lower, -1.0, log_q) - math.log(2.0)) / math.sqrt(2.0)
    return jnp.where(lower, _erf_inverse(jnp.where(lower, log_p, -1.0)), upper)


@with_derivatives(lambda log_p: _erf_per_slope(_erf_inverse(log_p)))
def _erf_inverse(log_p: Array) -> Array:
    """x with log erf(x) = log_p ≤ −log 2."""
    x = erf_inv(jnp.exp(log_p))
    return jnp.where(x > 0, x - _erf_per_slope(x) * (jnp.log(erf(jnp.where(x > 0, x, 1.0))) - log_p), x)


def _erf_per_slope(x: Array) -> Array:
    """erf(x)/erf′(x)."""
    return erf(x) * jnp.exp(x * x) * (0.5 * math.sqrt(math.pi))


@jax.jit
def ndtri_exp(log_p: ArrayLike) -> Array:
    """The standard normal quantile of exp(log_p): the inverse of `log_ndtr`.

    Shapes: elementwise. Domain: log p ≤ 0, in nats; −∞ at −∞, ∞ at 0; NaN above 0. See `normal_quantile_from_log`,
    which keeps more digits where p is near 1 and q = 1 − p is known.

    >>> print(f"{ndtri_exp(log_ndtr(-50.0)):.3f}, {ndtri_exp(log_ndtr(0.5)):.3f}")
    -50.000, 0.500
    """
    (log_p,) = as_floats(log_p)
    return normal_quantile_from_log(log_p, log1mexp(-log_p))


def _mills_difference(z: Array, width: Array) -> Array:
    """M(z) − M(z + width) for z > −1, width ≥ 0: as −∫M′ where the two are close, so that nothing cancels."""
    close = width < 1 + z
    span = jnp.where(close, width, 0)
    rule = [jnp.asarray(values, z.dtype) for values in gauss_legendre(by_dtype(z, 6, 12))]

    def add(total: Array, rule: list[Array]) -> tuple[Array, None]:
        node, weight = rule
        return total - weight * jax.jvp(mills_ratio, (z + node * span,), (jnp.ones_like(z),))[1], None

    area = jax.lax.scan(add, jnp.zeros_like(z), rule)[0]
    return jnp.where(close, area * span, mills_ratio(z) - mills_ratio(z + jnp.where(close, 1, width)))


def _is_left(x: Array, mean: Array, shape: Array) -> tuple[Array, Array]:
    """(whether x is left of the median, nearly: then the lower tail is computed; z₁)."""
    z = jnp.sqrt(shape / x) * ((x - mean) / mean)
    return z < -0.5, z


def _inverse_gaussian_tail(x: Array, mean: Array, shape: Array) -> tuple[Array, Array, Array, Array]:
    """The log of the tail of `_is_left`, and its slopes in x, mean and shape."""
    left, z = _is_left(x, mean, shape)
    scale = jnp.sqrt(shape / x)
    reflected = scale * (x / mean + 1)
    mills, mills_slope = jax.jvp(_mills, (reflected,), (jnp.ones_like(reflected),))
    below = _mills(jnp.where(left, -z, 1)) + mills
    above = _mills_difference(jnp.where(left, 0, z), 2 * scale)
    # The tail and how it moves, both divided by φ(z₁). In the mean, 2 shape M(z₂)/mean² is all that does not cancel; in
    # the shape it is 2M(z₂)/mean − 1/√(shape·x), here with M = (1 + M′)/z put in so that nothing large is subtracted.
    tail = jnp.where(left, below, -above)
    return (
        jnp.log(jnp.abs(tail)) - 0.5 * z * z - HALF_LOG_2PI,
        scale / (x * tail),
        -2 * (shape / mean) * (mills / mean) / tail,
        2 * (0.5 * ((x - mean) / x) + mills_slope) / (mean * reflected * tail),
    )


@jax.custom_jvp
def _log_inverse_gaussian_tail(x: Array, mean: Array, shape: Array) -> Array:
    return _inverse_gaussian_tail(x, mean, shape)[0]


def _log_inverse_gaussian_tail_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    value, *slopes = _inverse_gaussian_tail(*primals)
    return value, move(value, *zip(slopes, tangents, strict=True))


_log_inverse_gaussian_tail.defjvp(_log_inverse_gaussian_tail_jvp, symbolic_zeros=True)


def _log_inverse_gaussian_tails(x: ArrayLike, mean: ArrayLike, shape: ArrayLike) -> tuple[Array, Array]:
    """(log cdf, log sf): one tail from Mills' ratios at √(shape/x)(x/mean ∓ 1), the other as its complement."""
    x, mean, shape = as_floats(x, mean, shape)
    valid = (x >= 0) & (mean > 0) & (shape > 0)
    inside = valid & (x > 0) & (x < jnp.inf)
    x_in, mean, shape = (jnp.where(inside, value, 1) for value in (x, mean, shape))
    left, _ = _is_left(x_in, mean, shape)
    log_tail = _log_inverse_gaussian_tail(x_in, mean, shape)
    log_other = log1mexp(-log_tail)
    outside = jnp.where(valid, 0.0, jnp.nan)
    log_p_edge, log_q_edge = outside + jnp.where(x == 0, -jnp.inf, 0), outside - jnp.where(x == 0, 0, jnp.inf)
    return (
        jnp.where(inside, jnp.where(left, log_tail, log_other), log_p_edge),
        jnp.where(inside, jnp.where(left, log_other, log_tail), log_q_edge),
    )


@jax.jit
def log_inverse_gaussian_cdf(x: ArrayLike, mean: ArrayLike, shape: ArrayLike) -> Array:
    """Log of the inverse Gaussian distribution function, log[Φ(z₁) + exp(2·shape/mean) Φ(−z₂)], in nats.

    Here z₁, z₂ = √(shape/x)(x/mean ∓ 1), for the density √(shape/2πx³) exp(−shape (x − mean)²/(2 mean² x)). The large
    exponential never appears: both terms are exp(−z₁²/2) times a Mills ratio.

    Shapes: equal or scalar. Domain: x ≥ 0, mean > 0, shape > 0; −∞ at x = 0, 0 at ∞; NaN outside.
    Shuster (1968), JASA 63, 1514; the scaled form follows Giner and Smyth (2016), R Journal 8(1).

    >>> below, above = log_inverse_gaussian_cdf(0.7, 1.0, 2.0), log_inverse_gaussian_sf(0.7, 1.0, 2.0)
    >>> print(f"{jnp.exp(below) + jnp.exp(above):.4f}")
    1.0000
    """
    return _log_inverse_gaussian_tails(x, mean, shape)[0]


@jax.jit
def log_inverse_gaussian_sf(x: ArrayLike, mean: ArrayLike, shape: ArrayLike) -> Array:
    """Log of the inverse Gaussian survival function, log[Φ(−z₁) − exp(2·shape/mean) Φ(−z₂)], in nats.

    The difference is exp(−z₁²/2)/√2π · (M(z₁) − M(z₂)), and where the two Mills ratios are close it is the integral of
    −M′ between them. Shapes, domain and symbols as in `log_inverse_gaussian_cdf`; 0 at x = 0, −∞ at ∞.

    >>> print(f"{log_inverse_gaussian_sf(1e4, 1.0, 2.0):.1f}")
    -10012.4
    """
    return _log_inverse_gaussian_tails(x, mean, shape)[1]
