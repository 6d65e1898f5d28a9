"""The gamma function and its relatives, through Stirling's correction and without cancellation.

With Binet's correction μ, lnΓ(a) = (a − ½) log a − a + ½ log 2π + μ(a). The correction and its derivatives are
Stieltjes functions of a² (Binet's second formula): each is a power of 1/a times a ratio of two polynomials in 1/a²
whose coefficients are all positive, and a sum of positive terms loses no digits. All functions here are analytic
parts, written so that they do not cancel, plus values, increments or integrals of μ and its derivatives.

Arguments are positive reals, scalars or arrays that broadcast; results have their common floating dtype.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import (
    as_floats,
    by_dtype,
    polynomial,
    with_derivatives,
)
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = [
    "digamma",
    "inverse_digamma",
    "inverse_log_minus_digamma",
    "log_factorial",
    "log_gamma",
    "log_minus_digamma",
    "stirling_error",
    "tetragamma",
    "trigamma",
    "trigamma_minus_reciprocal",
]

type _Ratio = tuple[tuple[float, ...], tuple[float, ...]]

# Minimax ratios (Remez), numerator and denominator from the lowest power up: for float32, then for float64. They are of
# _CORRECTIONS[k]: |μ⁽ᵏ⁾(a)|·aᵏ⁺¹ in 1/a², a ≥ 1/4 (k = 0, 1) or a ≥ 1 (k = 2, 3), relative errors ≤ 4e-8 and 3e-16;
# _LOG_GAMMA: lnΓ(1 + k)/(k(k − 1)) in k, 0 ≤ k ≤ 3, relative errors 1.5e-8 and 1e-17;
# _DIGAMMA: (ψ(1 + k) − ψ(h))/(1 + k − h) in k, 0 ≤ k ≤ 3/2, h nearest to the root of ψ, errors 1.3e-8 and 1e-17;
# _SHAPE: a − 1/(2y) in y, where log a − ψ(a) = y ≤ 7/4, errors of a 7e-9 and 1.5e-17;
# _SMALL_SHAPE, for y ≥ 7/4: 1/a − y − log y = (A + B·s + C·s²)/D at s = log(y)/y, A to D polynomials in 1/y, errors of a 1e-9
# and 5e-18 (float32 needs no C). These two are least-squares fits at 160 Chebyshev points, in 60 digits, of the truth at those y
# by Newton's method in mpmath, with weights that make the greatest errors equal (Lawson).
# fmt: off
_CORRECTIONS = (
  (
   (
    (0.083333336, 0.2028291, 0.11952697, 0.019570477, 0.00076166954, 3.5229623e-6),
    (1.0, 2.4672813, 1.5070715, 0.26847145, 0.012654991, 0.0001013184),
   ),
   (
    (0.08333333333333333, 2.6026170721223, 30.179101932492227, 170.73660909314705, 522.2153515870037,
     906.4535821118737, 914.0358212143458, 539.9411484482079, 186.31107423079007, 37.04136502463755, 4.131865105555159,
     0.2472665574029526, 0.007369135500539536, 9.597953008924307e-5, 4.199049554638633e-7, 2.884819696670066e-10),
    (1.0, 31.264738198800934, 363.18185732034294, 2060.6547544741675, 6332.027054576995, 11071.186631421795,
     11288.857339901286, 6780.869647849229, 2397.7838457681005, 493.80627726189044, 57.91257366358545,
     3.7216706504029813, 0.12297871571950238, 0.0018746345954787468, 1.0738653096735907e-5, 1.4116920220032128e-8),
   ),
  ),
  (
   (
    (0.083333336, 0.36970025, 0.44231898, 0.17111818, 0.020565204, 0.00061414356, 2.0433406e-6),
    (1.0, 4.5364027, 5.7138796, 2.4582665, 0.3614003, 0.01581611, 0.00013489583),
   ),
   (
    (0.08333333333333333, 3.2809394552088857, 48.75374147897666, 359.6090431694074, 1460.108560635133,
     3428.5182671225743, 4771.229100542414, 3975.3891765328895, 1983.4954639823688, 587.6367640301658,
     101.55639201521232, 9.938074270077362, 0.5250337595398051, 0.013853669819905318, 0.0001593226190934553,
     6.049058064582534e-7, 3.238745106282903e-10),
    (1.0, 39.47127346250663, 588.9444060463516, 4372.373374186926, 17932.377747906725, 42753.360760484255,
     60850.23152781792, 52367.86623331984, 27339.65501240399, 8616.73557218182, 1617.8161911566608, 176.6841207229543,
     10.797648058593591, 0.34696304031842057, 0.00528119194454789, 3.136027433846041e-5, 4.5969579258531974e-8),
   ),
  ),
  (
   (
    (0.16666667, 1.0040064, 1.4793621, 0.5295272, 0.021413775),
    (1.0, 6.2240386, 9.978142, 4.4830194, 0.40054056),
   ),
   (
    (0.16666666666666666, 5.269093961516932, 60.046162284827055, 318.04699350628533, 842.8502146039538,
     1121.2263107674705, 712.0372992895786, 191.1829895776254, 16.539482300965396, 0.19506166476944695),
    (1.0, 31.81456376910157, 366.49702931994074, 1977.2364292163747, 5406.1002227898925, 7586.472448204579,
     5287.393894634839, 1679.6511490769453, 202.99868054989037, 5.985564639769455),
   ),
  ),
  (
   (
    (0.5, 3.4253976, 5.7364507, 2.3077068, 0.101792745),
    (1.0, 7.184128, 13.534346, 7.32975, 0.82293445),
   ),
   (
    (0.5, 22.00855155400351, 360.6547002656044, 2856.30140408202, 11888.027908191729, 26514.050239624423,
     31006.129468192918, 17822.66555321712, 4417.531841596329, 357.20596544812145, 3.959651286211059),
    (1.0, 44.35043644134035, 735.7595460116577, 5943.6725113532175, 25536.97040020999, 59933.319041583265,
     76074.515612947, 49972.58350618279, 15504.816632953936, 1893.1106102723277, 58.44452348471433),
   ),
  ),
)
_LOG_GAMMA = (
  (
   (0.5772157, 0.75333744, 0.26407558, 0.022734042, 0.00012073159),
   (1.0, 1.7300091, 0.9232834, 0.16525768, 0.007238423),
  ),
  (
   (0.5772156649015329, 1.9184491240724417, 2.5482869266894705, 1.7353784145854594, 0.6475379331820537,
    0.1315475077115862, 0.013646965686628166, 0.0006254321099418796, 9.052065947579509e-6, 8.282713446174468e-9),
   (1.0, 3.748513119379957, 5.738202953731988, 4.6346276830093025, 2.1337997969050173, 0.5661283333714182,
    0.08367193812940361, 0.006335723831552411, 0.00020761819740754223, 1.979616037398412e-6),
  ),
)
_DIGAMMA = (
  (
   (1.2503802, 1.0976056, 0.19189608, 0.0019867143),
   (1.0, 1.5613636, 0.6189538, 0.056463655),
  ),
  (
   (1.2503801375034054, 1.8488025338240082, 0.9463058025681106, 0.20584084112744175, 0.018342400959839154,
    0.0005070298880934333, 8.733472502621918e-7),
   (1.0, 2.1621391873864675, 1.6329462354635018, 0.5511193748765835, 0.08574448941694736, 0.005535922301322456,
    0.00010377232969374496),
  ),
)
_SHAPE = (
  (
   (0.16666742, 0.5108836, 0.786766, 0.16963474, -3.3322878e-5),
   (1.0, 3.3989136, 6.0254993, 3.3431294, 0.37198776),
  ),
  (
   (0.16666666666666546, 2.5907441483562077, 20.520784376103247, 97.28889951376121, 294.09100725399963,
    559.3452962926416, 629.196829855852, 352.91478939049597, 79.86552567072695, 5.106867417988944,
    0.0035500513844991537),
   (1.0, 15.8777982234763, 128.59508344044824, 629.0729966209149, 1991.3024762249156, 4083.675245790294,
    5254.416729255203, 3878.1303005125314, 1442.5805348815327, 227.61241103106713, 10.838489084783767),
  ),
)
_SMALL_SHAPE = (
  (
   (-0.5772198, 3.6899893, 0.41025373, 2.656968),
   (1.0056821, -9.070793, 0.7874666),
   (0.0,),
   (1.0, -4.614574, 13.5099325),
  ),
  (
   (-0.5772156649028758, -11.34729649372846, 2.612934240573185, -43.25498299637291, -1819.1310724084226,
    4118.079796917462, -1097.4537697128326),
   (1.0000000753294, 21.427539715496618, -11.022225817450545, 721.6602597996445, 824.0501544036828,
    -384.12064095697417),
   (-0.49931951043419787, -5.103675779782891, -83.59369668850114, 562.3355673801863, -39.171770918249585),
   (1.0, 21.508449603739372, 36.502138681668576, 377.52244346000987, 1280.4354838475901, 122.65457032505928),
  ),
)
# fmt: on

# The number nearest to the root of ψ, and the value of ψ there.
_DIGAMMA_ROOTS = ((1.4616321325302124, -1.203605254910667e-8), (1.4616321449683622, -9.241265521729427e-17))


def _ratio(x: Array, tables: tuple[_Ratio, _Ratio]) -> Array:
    numerator, denominator = by_dtype(x, *tables)
    return polynomial(x, numerator) / polynomial(x, denominator)


def _log_gamma_after(k: Array) -> Array:
    """lnΓ(1 + k) for 0 ≤ k ≤ 3, with its zeros at k = 0 and 1."""
    return k * (k - 1) * _ratio(k, _LOG_GAMMA)


def _digamma_after(k: Array) -> Array:
    """ψ(1 + k) for 0 ≤ k ≤ 3/2: from the number h nearest to its root, ψ(h) + (1 + k − h)·(a positive slope)."""
    root, value = by_dtype(k, *_DIGAMMA_ROOTS)
    return value + (k - (root - 1)) * _ratio(k, _DIGAMMA)


# Stirling's correction ------------------------------------------------------------------------------------------------


def correction(order: int, a: Array) -> Array:
    """The derivative μ⁽ᵒʳᵈᵉʳ⁾(a) for a ≥ 1 (for order < 2 also a ≥ 1/4); its sign alternates."""
    r = 1 / a
    magnitude = r ** (order + 1) * _ratio(r * r, _CORRECTIONS[order])
    return magnitude if order % 2 == 0 else -magnitude


def _stirling_value(order: int, a: Array) -> Array:
    if order < 2:
        small = a < 0.25
        log_a = jnp.log(a)
        if order == 0:
            below = _log_gamma_after(a) + a * (1 - log_a) + (-0.5 * log_a - HALF_LOG_2PI)
        else:
            below = _digamma_after(a) - log_a - 0.5 / a
        below = jnp.where(a == 0, jnp.inf if order == 0 else -jnp.inf, below)
        return jnp.where(small, below, correction(order, jnp.where(small, 1.0, a)))
    small = a < 1
    r = (1 / a) * (1 / (1 + a))
    # The derivatives of μ(a) − μ(a + 1) = (a + ½) log(1 + 1/a) − 1.
    step = 0.5 * r * r if order == 2 else -(2 * a + 1) * r * r * r
    above = correction(order, jnp.where(small, jnp.abs(a) + 1, a))
    return jnp.where(small, above + jnp.where(small, step, 0.0), above)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _stirling(order: int, a: Array) -> Array:
    """The derivative μ⁽ᵒʳᵈᵉʳ⁾(a), 0 ≤ order ≤ 3, for every a > 0."""
    return _stirling_value(order, a)


@_stirling.defjvp
def _stirling_jvp(order: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (a,), (da,) = primals, tangents
    if order == 3:  # beyond the third, derivatives are those of the ratio of polynomials
        return jax.jvp(partial(_stirling_value, 3), (a,), (da,))
    return _stirling(order, a), _stirling(order + 1, a) * da


@with_derivatives(lambda a: _stirling(1, a))
def stirling_error(a: Array) -> Array:
    """μ(a) = lnΓ(a) − (a − ½) log a + a − ½ log 2π > 0: what Stirling's formula leaves out, about 1/(12a).

    Shapes: elementwise. Domain: a > 0; ∞ at 0, 0 at ∞, NaN below 0. It is stirlerr of Loader (2000).

    >>> print(f"{stirling_error(1e3) * 12e3:.4f}")
    1.0000
    """
    return _stirling(0, a)


# Polygammas -----------------------------------------------------------------------------------------------------------


@jax.jit
def tetragamma(a: ArrayLike) -> Array:
    """ψ''(a) < 0.

    Shapes: elementwise. Domain: a > 0; −∞ at 0, 0 at ∞, NaN below 0.

    >>> print(f"{tetragamma(2.0) - tetragamma(1.0):.4f}")
    2.0000
    """
    (a,) = as_floats(a)
    return jnp.where(a < 0, jnp.nan, _stirling(3, a) - (1 + 1 / a) * (1 / a) * (1 / a))


@with_derivatives(lambda a: -trigamma_minus_reciprocal(a))
def log_minus_digamma(a: Array) -> Array:
    """log a − ψ(a) > 0, about 1/(2a): log E[x] − E[log x] of a Gamma variable of shape a.

    Shapes: elementwise. Domain: a > 0; ∞ at 0, 0 at ∞, NaN below 0. The slope is −trigamma_minus_reciprocal(a).

    >>> print(f"{log_minus_digamma(1.0):.4f}")
    0.5772
    """
    return jnp.where(a < 0, jnp.nan, 0.5 / a - _stirling(1, a))


@with_derivatives(lambda a: _stirling(3, a) - (1 / a) * (1 / a) * (1 / a))
def trigamma_minus_reciprocal(a: Array) -> Array:
    """ψ'(a) − 1/a > 0, about 1/(2a²): the Fisher information of a Gamma's shape at known mean.

    Shapes: elementwise. Domain: a > 0; ∞ at 0, 0 at ∞, NaN below 0.

    >>> print(f"{trigamma_minus_reciprocal(1.0):.4f}")
    0.6449
    """
    return jnp.where(a < 0, jnp.nan, 0.5 * (1 / a) * (1 / a) + _stirling(2, a))


@with_derivatives(lambda a: trigamma(a))
def digamma(a: Array) -> Array:
    """ψ(a) = d lnΓ(a)/da, to full accuracy also next to its root 1.4616….

    Shapes: elementwise. Domain: a > 0; −∞ at 0, ∞ at ∞, NaN below 0.

    >>> print(f"{digamma(2.0) - digamma(1.0):.4f}")
    1.0000
    """
    small = a < 1
    low = a < 2.5
    near = _digamma_after(jnp.where(small, a, jnp.where(low, a - 1, 0.0))) - jnp.where(small, 1 / jnp.abs(a), 0.0)
    b = jnp.where(low, 3.0, a)
    far = jnp.log(b) - (0.5 / b - correction(1, b))
    return jnp.where(a < 0, jnp.nan, jnp.where(low, near, far))


@with_derivatives(lambda a: tetragamma(a))
def trigamma(a: Array) -> Array:
    """ψ'(a) > 0: the Fisher information of a Gamma's shape at known rate.

    Shapes: elementwise. Domain: a > 0; ∞ at 0, 0 at ∞, NaN below 0.

    >>> print(f"{trigamma(1.0) - trigamma(2.0):.4f}")
    1.0000
    """
    return jnp.where(a < 0, jnp.nan, (1 + 0.5 / a) * (1 / a) + _stirling(2, a))


# Log-gamma ------------------------------------------------------------------------------------------------------------


def _log_gamma(a: Array, offset: Array) -> Array:
    """lnΓ(a), where offset = a − 1 is given apart because it may hold digits that a has lost."""
    small = a < 1
    k = jnp.where(small, a, offset)
    low = k < 3
    log_a = jnp.log(a)
    # Below a = 1, lnΓ(1 + k) is used at k = a, and k − 1 is the offset.
    near = k * jnp.where(small, offset, k - 1) * _ratio(jnp.where(low, k, 2.0), _LOG_GAMMA)
    far = (a - 0.5) * (log_a - 1) + (HALF_LOG_2PI - 0.5) + correction(0, jnp.where(low, 4.0, a))
    return jnp.where(low, near - jnp.where(small, log_a, 0.0), far)


@with_derivatives(digamma)
def log_gamma(a: Array) -> Array:
    """lnΓ(a), to full relative accuracy also next to its zeros at 1 and 2.

    Shapes: elementwise. Domain: a > 0; ∞ at 0 and at ∞, NaN below 0.

    >>> print(f"{log_gamma(5.0) - log_gamma(4.0):.4f}")
    1.3863
    """
    return _log_gamma(a, a - 1)


@with_derivatives(lambda k: digamma(1 + k))
def log_factorial(k: Array) -> Array:
    """log k! = lnΓ(1 + k).

    Shapes: elementwise. Domain: real k ≥ 0; ∞ at ∞, NaN below 0.

    >>> print(f"{log_factorial(4) - log_factorial(3):.4f}")
    1.3863
    """
    return jnp.where(k < 0, jnp.nan, _log_gamma(1 + k, k))


# Inverses -------------------------------------------------------------------------------------------------------------


@with_derivatives(lambda y: -1 / trigamma_minus_reciprocal(inverse_log_minus_digamma(y)))
def inverse_log_minus_digamma(y: Array) -> Array:
    """The a > 0 with log a − ψ(a) = y: the maximum-likelihood shape of a Gamma with y = log mean − mean log.

    Shapes: elementwise. Domain: y > 0; ∞ at 0, 0 at ∞, NaN below 0. No iteration: a is a correction of its limits, 1/(2y) + 1/6
    for small y and 1/(y + log y − γ) for great y. The derivative, −1/(ψ'(a) − 1/a), is that of the implicit function.

    >>> print(f"{inverse_log_minus_digamma(log_minus_digamma(2.5)):.4f}")
    2.5000
    """
    r = 1 / jnp.abs(y)
    shape = 0.5 * r + _ratio(y, _SHAPE)
    # The largest number stands in for ∞, lest ∞·0 hide that the shape is 0.
    log_y = jnp.log(jnp.minimum(y, jnp.finfo(y.dtype).max))
    s = log_y * r
    constant, linear, square, denominator = (polynomial(r, part) for part in by_dtype(y, *_SMALL_SHAPE))
    small_shape = 1 / (y + (log_y + (constant + s * (linear + s * square)) / denominator))
    return jnp.where(y < 0, jnp.nan, jnp.where(y < 1.75, shape, small_shape))


@with_derivatives(lambda y: 1 / trigamma(inverse_digamma(y)))
def inverse_digamma(y: Array) -> Array:
    """The a > 0 with ψ(a) = y.

    Shapes: elementwise. Domain: all reals; 0 at −∞, ∞ at ∞. Newton's method, a fixed number of steps; the derivative,
    1/ψ'(a), is that of the implicit function.

    Source: the start is that of Minka (2000), "Estimating a Dirichlet distribution", appendix C.

    >>> print(f"{inverse_digamma(digamma(2.5)):.4f}")
    2.5000
    """
    start = jnp.where(y >= -2.22, jnp.exp(y) + 0.5, -1 / (y + 0.5772156649015329))
    inside = (start > 0) & (start < jnp.inf)
    a = jnp.where(inside, start, 1.0)
    for _ in range(by_dtype(y, 4, 5)):
        a = a - (digamma(a) - y) / trigamma(a)
    return jnp.where(inside, a, start)
