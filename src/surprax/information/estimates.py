"""Entropy from a sample: the plug-in estimate, and two that know that it is too small."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.information.tables import at, reals
from surprax.numerics.elementary import xlogy
from surprax.numerics.gamma import digamma
from surprax.numerics.normal import normal_quantile_from_log
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit, nats_per

__all__ = ["EntropyMethod", "Estimate", "entropy_estimate", "normal_interval"]

type EntropyMethod = Literal["plug-in", "miller-madow", "grassberger"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate from a sample: `value`, its `interval` (lower, upper) and an estimate of `bias`, all in `unit`.

    What the bias is that of, and whether it has been taken away from the value, the function says that made it. Where there is a
    batch, all have its shape.
    """

    value: Any
    bias: Any
    interval: tuple[Any, Any]
    level: float
    method: str
    unit: Unit

    def __str__(self) -> str:
        if np.ndim(self.value):
            return f"{self.value} {self.unit} ({self.method})"
        low, high = self.interval
        return f"{self.value:.4g} {self.unit}, {self.level:.0%} interval {low:.4g} to {high:.4g} ({self.method})"


def entropy_estimate(
    counts: Any = None,
    method: EntropyMethod = "miller-madow",
    unit: Unit = "nat",
    *,
    labels: Any = None,
    level: float = 0.95,
) -> Estimate:
    """The entropy of the distribution that a sample comes from, of which n observations fell into m different values.

        "plug-in"       Ĥ = Σ (nᵢ/n) log n/nᵢ, the entropy of the sample, on average too small
        "miller-madow"  Ĥ + (m − 1)/(2n), the first term of its bias taken away
        "grassberger"   log n − Σ (nᵢ/n) G(nᵢ), with G(k) = ψ(k) + (−1)ᵏ (ψ((k + 1)/2) − ψ(k/2))/2: for many rare values, and
                        about 1/(2n) too great where there are few

    `bias` is that of the plug-in estimate: its first term for the first two (taken away by "miller-madow" only), and what
    "grassberger" took away. The interval is value ± z √(Var/n + (m − 1)/(2n²)), with Var the variance of log n/nᵢ over the sample:
    the delta method to second order, so that it is not empty where all values are equally frequent. It is cut at 0. Neither it nor
    the bias knows of values that have not been seen; where n is not well above their number, all three are too small.

    Args:
        counts: how often each value occurred, whole numbers along the last axis; other axes are a batch. Zeros count for nothing.
        method: see above.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        labels: the observations themselves instead of counts, in one axis: numbers, strings, dates or other hashable values.
        level: of the interval.

    Returns:
        An `Estimate`, in float64.

    Raises:
        ValueError: for counts that are none and for labels that are missing (None, NaN, NaT), with their index; for no
            observations; for traced ones.

    Source: Miller (1955), "Note on the bias of information estimates"; Harris (1975), "The statistical estimation of entropy in the
    non-parametric case", for the variance; Grassberger (2003), "Entropy estimates from insufficient samplings", equation 35.

    >>> e = entropy_estimate(labels=list("abracadabra"), unit="bit")
    >>> print(e)
    2.303 bit, 95% interval 1.661 to 2.944 (miller-madow)
    >>> print(e.bias.round(3), entropy_estimate([5, 2, 2, 1, 1], "plug-in", "bit").value.round(3))
    -0.262 2.04
    """
    if method not in get_args(EntropyMethod.__value__):
        raise ValueError(
            f"An entropy is estimated by one of {', '.join(get_args(EntropyMethod.__value__))}; got {method!r}."
        )
    check_level(level)
    one = nats_per(unit)
    n = _counts(counts, labels)
    value, bias, deviation = (np.asarray(v) / one for v in _METHODS[method](n))
    low, high = normal_interval(value, deviation, level)
    return Estimate(value[()], bias[()], (np.maximum(low, 0.0)[()], high[()]), level, method, unit)


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval lies between 0 and 1; got {level:g}. Pass 0.95, say.")


def normal_interval(value: Any, deviation: Any, level: float) -> tuple[Any, Any]:
    """value ± z·deviation."""
    z = _quantile(np.float64(level))
    return value - z * deviation, value + z * deviation


@in_float64
def _quantile(level: Array) -> Array:
    return normal_quantile_from_log(jnp.log1p(-0.5 * (1.0 - level)), jnp.log(0.5 * (1.0 - level)))


def _counts(counts: Any, labels: Any) -> np.ndarray:
    """Counts along the last axis, as floats, checked."""
    if (counts is None) == (labels is None):
        what = "neither" if counts is None else "both"
        raise ValueError(f"A sample is given by its `counts` or as `labels`, one of them; got {what}.")
    if is_traced(counts, labels):
        raise ValueError("An estimate is made from known observations; got traced ones. Call it outside of jit.")
    if labels is not None:
        n = _tally(labels)
    else:
        n = reals(counts, "Counts")
        if n.ndim == 0:
            raise ValueError(
                "Counts lie along an axis, one for each value; got a single number. For observations, pass labels=."
            )
        bad = ~((n >= 0) & (n == np.floor(n)) & np.isfinite(n))
        if np.any(bad):
            index = tuple(np.argwhere(bad)[0])
            raise ValueError(
                f"A count is a whole number ≥ 0; got {n[index]:g}{at(index)}. For observations, pass labels=."
            )
    if n.shape[-1] == 0 or np.any(np.sum(n, axis=-1) == 0):
        raise ValueError("An estimate needs at least one observation; got none.")
    return n


def _tally(labels: Any) -> np.ndarray:
    """How often each label occurs; an error in words for those that are missing."""
    values = np.asarray(labels)
    if values.dtype.kind in "US" and not hasattr(labels, "dtype"):
        values = np.asarray(labels, object)  # NumPy writes None and nan among strings out
    if values.ndim != 1:
        raise ValueError(f"Labels lie along one axis; got an array of shape {values.shape}.")
    plain = values.dtype.kind in "biufcMmUS"
    missing = values != values if plain else np.array([_is_missing(one) for one in values], bool)
    if np.any(missing):
        index = np.argwhere(missing)[0]
        raise ValueError(f"A label is known; got {values[index[0]]}{at(index)}. Drop rows with missing values.")
    if plain:
        return np.unique(values, return_counts=True)[1].astype(np.float64)
    return np.array(list(Counter(values.tolist()).values()), np.float64)


def _is_missing(label: Any) -> bool:
    """None, and what does not equal itself: NaN, NaT, pandas's NA, which answers neither yes nor no."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True


def _first_bias(n: Array) -> Array:
    return -0.5 * (jnp.sum(n > 0, axis=-1) - 1.0) / jnp.sum(n, axis=-1)


def _plug_in_and_deviation(n: Array) -> tuple[Array, Array]:
    """The entropy of the sample, and the deviation of its estimate to second order."""
    total = jnp.sum(n, axis=-1, keepdims=True)
    p = n / total
    value = 0.0 - jnp.sum(xlogy(p, p), axis=-1)
    log = jnp.log(jnp.where(n > 0, p, 1.0))
    variance = jnp.sum(p * (log + value[..., None]) ** 2, axis=-1)
    return value, jnp.sqrt((variance - _first_bias(n)) / total[..., 0])


@in_float64
def _plug_in(n: Array) -> tuple[Array, Array, Array]:
    value, deviation = _plug_in_and_deviation(n)
    return value, _first_bias(n), deviation


@in_float64
def _miller_madow(n: Array) -> tuple[Array, Array, Array]:
    value, deviation = _plug_in_and_deviation(n)
    bias = _first_bias(n)
    return value - bias, bias, deviation


@in_float64
def _grassberger(n: Array) -> tuple[Array, Array, Array]:
    plug_in, deviation = _plug_in_and_deviation(n)
    total = jnp.sum(n, axis=-1, keepdims=True)
    k = jnp.where(n > 0, n, 1.0)
    sign = jnp.where(k % 2 == 0, 1.0, -1.0)
    g = digamma(k) + 0.5 * sign * (digamma(0.5 * (k + 1.0)) - digamma(0.5 * k))
    value = jnp.log(total[..., 0]) - jnp.sum(n * g, axis=-1) / total[..., 0]
    return value, plug_in - value, deviation


_METHODS: dict[str, Callable[[Any], Any]] = {
    "plug-in": _plug_in,
    "miller-madow": _miller_madow,
    "grassberger": _grassberger,
}
assert tuple(_METHODS) == get_args(EntropyMethod.__value__)
