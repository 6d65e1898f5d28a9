"""Arithmetic of surprise on arrays, of which `Belief` is made.

What is believed is held as an excess, whose least is about 0, and a constant that all hypotheses share. A constant is a sum of two
numbers, the second one what the first has no digits for. Hypotheses are on the last axis.

Where something is wrong with a surprise that is not known yet (NaN, −inf), all that is computed from it is NaN.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import expm1_minus, product_minus
from surprax.numerics.precision import is_traced
from surprax.units import Unit, nats_per

__all__ = [
    "Constant",
    "absorbed",
    "added",
    "centred",
    "divergence",
    "entropy",
    "floats",
    "log_total",
    "normalised",
    "of_probabilities",
    "probabilities",
    "read",
    "recentred",
    "scaled",
    "split",
    "subtracted",
    "sum_of",
]

type Constant = tuple[Any, Any]


# Reading -------------------------------------------------------------------------------------------------------------


def floats(values: Any, what: str) -> Any:
    """Real numbers of float32 or float64: a NumPy array of known ones, and JAX arrays, traced or not, as such."""
    array: Any = jnp.asarray(values) if isinstance(values, Array) or is_traced(values) else np.asarray(values)
    if jnp.issubdtype(array.dtype, np.floating):  # bfloat16 is one of them
        if array.dtype in (np.float32, np.float64):
            return array
        return array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
    if array.dtype.kind not in "iub":
        raise ValueError(f"{what} are real numbers; got an array of {array.dtype}.")
    return array.astype(jnp.result_type(float) if isinstance(array, Array) else np.float64)


def read(surprise: Any, unit: Unit = "nat") -> tuple[Any, Constant]:
    """Excess and constant of surprises, checked; from known ones the least is taken away before anything is rounded."""
    factor, s = nats_per(unit), floats(surprise, "Surprises")
    _check_shape(s, "surprise")
    if not is_traced(s) and np.any(bad := ~((known := np.asarray(s)) > -np.inf)):
        at = _first(bad)
        raise ValueError(
            f"Surprise is a number or +inf; got {known[at]} at index {_in_words(at)}. What is certain has surprise 0, and what is"
            " impossible +inf."
        )
    if isinstance(s, Array):
        return _unknown(s if unit == "nat" else s * factor)
    return _known(s if unit == "nat" else s * np.float64(factor), s.dtype)


def of_probabilities(p: Any, normalised: bool) -> tuple[Any, Constant]:
    """Excess and constant of probabilities, or of a likelihood, checked; the logarithms of known ones are of float64."""
    given, p = getattr(p, "dtype", None), floats(p, "Probabilities")
    _check_shape(p, "probability")
    rounding = (
        float(jnp.finfo(given).eps) if isinstance(given, np.dtype) and jnp.issubdtype(given, np.floating) else 0.0
    )
    tolerance = max(1e-4, 4.0 * rounding)
    if not is_traced(p):
        _check_probabilities(np.asarray(p, np.float64), tolerance if normalised else np.inf)
    if not isinstance(p, Array):
        with np.errstate(divide="ignore"):
            return _known(-np.log(p, dtype=np.float64), p.dtype)
    s = jnp.where(p > 0, -jnp.log(jnp.where(p > 0, p, 1.0)), jnp.where(p == 0, jnp.inf, jnp.nan))
    if normalised and is_traced(p):
        s = jnp.where(jnp.abs(jnp.sum(p, axis=-1, keepdims=True) - 1.0) <= tolerance, s, jnp.nan)
    return _unknown(s)


def _check_shape(array: Any, what: str) -> None:
    if array.ndim == 0:
        raise ValueError(f"A belief has a {what} for each hypothesis, along an axis; got a single number.")
    if array.shape[-1] == 0:
        raise ValueError("A belief has at least one hypothesis; got none.")


def _check_probabilities(p: np.ndarray, tolerance: float) -> None:
    if np.any(bad := ~((p >= 0.0) & (p < np.inf))):
        at = _first(bad)
        raise ValueError(f"Probabilities are numbers of at least 0; got {p[at]:g} at index {_in_words(at)}.")
    total = np.sum(p, axis=-1)
    if np.any(off := np.abs(total - 1.0) > tolerance):
        where = "" if p.ndim == 1 else f" at index {_in_words(_first(off))}"
        raise ValueError(
            f"Probabilities add to 1; these add to {total[off].flat[0]:g}{where}. A likelihood goes in with normalised=False."
        )


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))


def _in_words(index: tuple[int, ...]) -> str:
    return str(index if len(index) > 1 else index[0])


def _unknown(s: Any) -> tuple[Any, Constant]:
    s = jnp.where(s == -jnp.inf, jnp.nan, s)
    zero = jnp.zeros(s.shape[:-1], s.dtype)
    return centred(s, (zero, zero))


def _known(s: np.ndarray, dtype: Any) -> tuple[Any, Constant]:
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    least = np.min(s, axis=-1)
    least = np.where(np.isfinite(least), least, 0.0)
    with np.errstate(over="ignore"):  # beyond what the dtype holds is impossible
        excess = (s - least[..., None]).astype(dtype, copy=False)
    return jnp.asarray(excess), split(least, dtype)


# Constants -----------------------------------------------------------------------------------------------------------


def split(total: ArrayLike, dtype: Any) -> Constant:
    """Known numbers of float64 as constants of the dtype."""
    total = np.asarray(total, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        high = total.astype(dtype)
        low = np.where(np.isfinite(high), total - high, 0.0).astype(dtype)
    return jnp.asarray(high), jnp.asarray(low)


def sum_of(a: Constant, b: Constant) -> Constant:
    """a + b, by Knuth's exact sum of the leading parts; an infinite one has no second part."""
    high = a[0] + b[0]
    part = high - a[0]
    error = (a[0] - (high - part)) + (b[0] - part)
    low = jnp.where(jnp.isfinite(high), error, 0.0) + (a[1] + b[1])
    total = high + low
    return total, jnp.where(jnp.isfinite(total), low - (total - high), 0.0)


def _broadcast(constant: Constant, like: Any) -> Constant:
    return jnp.broadcast_to(constant[0], like.shape[:-1]), jnp.broadcast_to(constant[1], like.shape[:-1])


# Vectors -------------------------------------------------------------------------------------------------------------


def centred(excess: Any, constant: Constant) -> tuple[Any, Constant]:
    """The same with the least excess at 0."""
    least = jnp.min(excess, axis=-1)
    least = jnp.where(jnp.isfinite(least), least, 0.0)
    return excess - least[..., None], sum_of(constant, (least, jnp.zeros_like(least)))


recentred = jax.jit(centred)


@jax.jit
def added(excess: Any, constant: Constant, other: Any, others: Constant) -> tuple[Any, Constant]:
    # Impossible is absorbing, also where the other would be certain beyond measure.
    total = jnp.where(jnp.isposinf(excess) | jnp.isposinf(other), jnp.inf, excess + other)
    return centred(total, _broadcast(sum_of(constant, others), total))


@jax.jit
def subtracted(excess: Any, constant: Constant, other: Any, others: Constant) -> tuple[Any, Constant]:
    # Taking away what excludes is an error where it is known, and NaN where it is not.
    excludes = jnp.isposinf(other)
    left = jnp.where(jnp.isposinf(excess), jnp.inf, excess - jnp.where(excludes, 0.0, other))
    left = jnp.where(excludes, jnp.nan, left)
    return centred(left, _broadcast(sum_of(constant, (-others[0], -others[1])), left))


@jax.jit
def scaled(excess: Any, constant: Constant, t: Any) -> tuple[Any, Constant]:
    gone, each = jnp.isposinf(excess), t[..., None]
    # An impossible one times t < 0 would be certain: an error where it is known, and NaN where it is not.
    product = jnp.where(gone, jnp.where(each >= 0, jnp.inf, jnp.nan), each * jnp.where(gone, 0.0, excess))
    high = t * constant[0]
    rounded = jax.lax.stop_gradient(jnp.where(jnp.isfinite(high), product_minus(t, constant[0], high), 0.0))
    return centred(product, _broadcast((high, rounded + t * constant[1]), product))


@functools.partial(jax.jit, donate_argnums=0)
def absorbed(excess: Any, other: Any) -> Any:
    return excess + other


# Sums over hypotheses ------------------------------------------------------------------------------------------------


@jax.custom_jvp
def _log_sum(excess: Any) -> Any:
    """log Σ exp(−xᵢ), where the least x is 0: log1p of all but that one, which keeps what is small beside 1."""
    least = excess == 0
    ties = jnp.sum(least, axis=-1).astype(excess.dtype)
    rest = jnp.sum(jnp.where(least, 0.0, jnp.exp(-excess)), axis=-1)
    return jnp.log1p(jnp.where(ties == 0, 0.0, ties - 1.0) + rest)  # none is the least where some are NaN, or all +inf


@_log_sum.defjvp
def _(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    (x,), (dx,) = primals, tangents
    total = _log_sum(x)
    gone = jnp.isposinf(x)
    p = jnp.exp(-jnp.where(gone, 0.0, x) - total[..., None])
    return total, -jnp.sum(jnp.where(gone, 0.0, p * dx), axis=-1)


def _from_least(excess: Any) -> tuple[Any, Any]:
    """Excess over the least, and the least: 0 where all are impossible; NaN where one is certain beyond measure."""
    least = jax.lax.stop_gradient(jnp.min(excess, axis=-1, keepdims=True))
    least = jnp.where(jnp.isposinf(least), 0.0, jnp.where(least == -jnp.inf, jnp.nan, least))
    return excess - least, least[..., 0]


@jax.jit
def log_total(excess: Any) -> tuple[Any, Any]:
    """log Σ exp(−sᵢ) as a sum of two numbers, the first of which is −∞ where all are impossible."""
    beyond, least = _from_least(excess)
    return jnp.where(jnp.all(jnp.isposinf(excess), axis=-1), -jnp.inf, -least), _log_sum(beyond)


@jax.jit
def normalised(excess: Any) -> Any:
    """log 1/p; +inf everywhere where everything is impossible."""
    beyond, _ = _from_least(excess)
    gone = jnp.isposinf(excess)
    return jnp.where(gone, jnp.inf, jnp.where(gone, 0.0, beyond) + _log_sum(beyond)[..., None])


@jax.jit
def probabilities(excess: Any) -> Any:
    s = normalised(excess)
    gone = jnp.isposinf(s)
    return jnp.where(gone, 0.0, jnp.exp(-jnp.where(gone, 0.0, s)))


@jax.jit
def entropy(excess: Any) -> Any:
    """Σ p log 1/p; NaN where everything is impossible."""
    s = normalised(excess)
    gone = jnp.isposinf(s)
    s = jnp.where(gone, 0.0, s)
    total = jnp.sum(jnp.where(gone, 0.0, jnp.exp(-s) * s), axis=-1)
    return jnp.where(jnp.all(gone, axis=-1), jnp.nan, total)


@jax.jit
def divergence(excess: Any, other: Any) -> Any:
    """Σ p log p/q; NaN where everything is impossible under one of them."""
    s, t = normalised(excess), normalised(other)
    none, lost = jnp.isposinf(s), jnp.isposinf(t)
    p, q = probabilities(excess), probabilities(other)
    gap = jnp.where(none | lost, 0.0, jnp.where(lost, 0.0, t) - jnp.where(none, 0.0, s))  # log p/q
    near = jnp.abs(gap) <= 1
    # p (q/p − 1 − log q/p) in two forms, neither of which cancels or overflows; and what q has where p has nothing.
    terms = jnp.where(near, p * expm1_minus(-jnp.where(near, gap, 0.0)), q - p + p * gap)
    total = jnp.sum(jnp.where(none, q, terms), axis=-1)
    total = jnp.where(jnp.any(lost & ~none, axis=-1), jnp.inf, total)
    return jnp.where(jnp.all(none, axis=-1) | jnp.all(lost, axis=-1), jnp.nan, total)
