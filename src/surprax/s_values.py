"""P-values as surprise: what each one says in bits, what several say together, and what they are worth as a bet.

A p-value is the probability, if the null hypothesis is true, of data at least as extreme as those seen; its surprise
s = log 1/p is how much the data surprise whoever believes in that hypothesis (Rafi & Greenland 2020). It is not the probability
that the hypothesis is true. Under the hypothesis s in nats has an exponential distribution of mean 1, so that the total
surprise S of k independent studies has a Gamma(k, 1) distribution, and studies combine by adding surprise.

All is computed from logarithms, in float64 for concrete numbers: p-values of 1e-200, or given by their surprise also of 1e-1000000,
keep their digits.
"""

import difflib
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import by_dtype, log1mexp, logsumexp, polynomial
from surprax.numerics.incomplete_gamma import log_gammainc, log_gammaincc
from surprax.numerics.normal import log_ndtr, normal_quantile_from_log
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit, from_nats, nats_per, to_nats

__all__ = ["Method", "bet", "combine", "s_value"]

type Method = Literal["fisher", "stouffer", "tippett", "pearson", "harmonic-mean", "cauchy", "e-average", "e-product"]


def s_value(p: ArrayLike | None = None, unit: Unit = "bit", *, log_p: ArrayLike | None = None) -> Array:
    """The surprise of a p-value, s = log(1/p): how many fair coins in a row coming up heads would surprise as much.

    Args:
        p: p-value in [0, 1]; any shape.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log p in nats, given instead of `p`.

    Returns:
        An array of the shape of the argument, ≥ 0, in float64 for concrete numbers; NaN where that is NaN.

    Raises:
        ValueError: where a value lies outside of its range or is none, with its index, and for complex numbers; NaN where traced.

    >>> print(s_value(0.05).round(2), s_value(log_p=-460.517).round(1))  # 1e-200
    4.32 664.4
    """
    return _out(_log_p(p, log_p, None, "nat"), unit)


def combine(
    p: ArrayLike | None = None,
    method: Method = "fisher",
    unit: Unit = "bit",
    *,
    log_p: ArrayLike | None = None,
    s: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: int = -1,
) -> Array:
    """The combined surprise of several p-values for the same hypothesis.

    With sᵢ = log 1/pᵢ in nats, S = Σ sᵢ, of k studies:

        "fisher"         S − log Σ_{j<k} Sʲ/j!: the total surprise, less a tax for having looked k times (Fisher 1932)
        "pearson"        log 1/P(Gamma(k, 1) ≤ Σ log 1/(1 − pᵢ)): as Fisher, of the other tails; all have to be small (Pearson 1938)
        "stouffer"       log 1/Φ(−Σ wᵢ zᵢ / √Σ wᵢ²), with Φ(−zᵢ) = pᵢ (Stouffer 1949; weights by Lipták 1958)
        "tippett"        log 1/(1 − (1 − min pᵢ)ᵏ): of the least, as one of k (Tippett 1931)
        "harmonic-mean"  log of the mean of 1/pᵢ, with weights; anti-conservative unless small (Wilson 2019)
        "cauchy"         log 1/(½ − arctan(T)/π), with T the mean of cot πpᵢ; whatever their dependence if small (Liu & Xie 2020)
        "e-average"      log of the mean of the bets eᵢ, with weights, at least 0: whatever their dependence (Vovk & Wang 2021)
        "e-product"      Σ log eᵢ, at least 0

    Fisher's, Pearson's, Stouffer's and Tippett's, and products of bets, are for independent studies. A bet that has come to e
    counts as a p-value of 1/e (`bet`).

    In "stouffer" and "cauchy" a study with p = 0 counts as +∞ and one with p = 1 as −∞: the latter makes the result 0, and where
    both occur it is NaN, as they contradict each other.

    Args:
        p: p-values in [0, 1], along `axis`.
        method: see above.
        unit: of `s` and of the result.
        log_p: their logarithms in nats, instead of `p`.
        s: their surprises in `unit`, instead of `p`.
        weights: wᵢ ≥ 0, for "stouffer", "harmonic-mean", "cauchy" and "e-average"; all equal if not given.
        axis: along which the studies lie.

    Returns:
        The combined surprise, ≥ 0; of the shape of the argument without `axis`, in float64 for concrete numbers; NaN where a
        p-value is. Derivatives at p = 0 and p = 1 are one-sided, and −inf where the slope grows beyond bounds.

    Raises:
        ValueError: for a value out of its range, with its index; for an unknown method; for weights where there are none, or that
            are negative, infinite or all 0. NaN where traced.

    >>> studies = [0.08, 0.06, 0.11, 0.04]
    >>> print(combine(studies).round(2), combine(studies, "tippett").round(2))
    7.41 2.73
    >>> print(combine([1e-200, 1e-200]).round(2))  # SciPy's p-value is 0
    1318.92
    """
    rule = _rule(method)
    logs: Any = _log_p(p, log_p, s, unit)
    if np.ndim(logs) == 0:
        raise ValueError("Studies are combined along an axis; got a single number. Pass their p-values as a list.")
    if weights is not None and method not in _WEIGHTED:
        raise ValueError(f"Weights belong to {', '.join(_WEIGHTED)}; {method!r} has none. Leave them out.")
    logs = _last(logs, axis)
    if logs.shape[-1] == 0:
        raise ValueError("There are no studies to combine: that axis has length 0.")
    weights = _weights(weights, logs.shape[-1])
    xp: Any = jnp if is_traced(weights) else np
    # NaN here, once for all rules: XLA takes exp(NaN) ≥ 0 to be true.
    both: Any = jnp if is_traced(logs, weights) else np
    known = ~(both.any(both.isnan(logs), axis=-1) | both.any(both.isnan(weights)))
    value = rule(logs, _last(p, axis) if is_traced(p) else None, xp.broadcast_to(weights, logs.shape))
    return _out(both.where(known, value, np.nan), unit)


def bet(s: ArrayLike, unit: Unit = "bit", *, log: bool = False) -> Array:
    """What a p-value of surprise s is worth as a bet against the hypothesis: an e-value, of mean 1 if it is true.

    The average over κ in (0, 1) of the bets κ p^(κ−1), with s in nats:

        e = (1 − p + p log p) / (p (log p)²) = (eˢ − 1 − s)/s² = 1/2! + s/3! + s²/4! + …

    Bets against the same hypothesis multiply where studies are independent, and may be averaged in any case.

    Args:
        s: surprise ≥ 0 in `unit`; any shape. Of a p-value: `s_value(p)`.
        unit: of `s`, and of the logarithm.
        log: return log e in `unit`, which does not overflow.

    Returns:
        e, at least ½ (at s = 0), of the shape of `s`, in float64 for concrete numbers.

    Raises:
        ValueError: where a surprise is negative, with its index; NaN where it is traced.

    Source: Vovk & Wang (2021), "E-values: calibration, combination and applications", equation 2.

    >>> print(bet(s_value(0.05)).round(3), bet(s_value(1e-200), log=True).round(1))
    1.783 646.7
    """
    log_e = _log_bet(-_log_p(None, None, s, unit))
    if log:
        return _out(-log_e, unit)
    if is_traced(log_e):
        return jnp.exp(log_e)
    with np.errstate(over="ignore"):
        return np.exp(log_e)


def _out(log_p: Any, unit: Unit) -> Any:
    """−log p in a unit; concrete numbers stay float64 NumPy."""
    return from_nats(-log_p + 0.0, unit) if is_traced(log_p) else (0.0 - np.asarray(log_p)) / nats_per(unit)


def _last(value: Any, axis: int) -> Any:
    """With this axis as the last one."""
    return jnp.moveaxis(value, axis, -1) if is_traced(value) else np.moveaxis(np.asarray(value), axis, -1)


def _weights(weights: Any, studies: int) -> Any:
    """Checked, and divided by the greatest, so that no sum or square of theirs leaves the range of floating point."""
    if weights is None:
        return np.ones(studies)
    if not is_traced(weights):
        weights = _reals(weights, "Weights")
    if weights.shape != (studies,):
        raise ValueError(f"There is one weight for each of {studies} studies; got weights of shape {weights.shape}.")
    if is_traced(weights):
        proper = jnp.all((weights >= 0) & jnp.isfinite(weights)) & jnp.any(weights > 0)
        return jnp.where(proper, weights / jax.lax.stop_gradient(jnp.max(weights)), jnp.nan)
    if not (np.all(weights >= 0) and np.all(np.isfinite(weights)) and np.any(weights > 0)):
        raise ValueError(f"Weights are finite and at least 0, and not all 0; got {weights.tolist()}.")
    return weights / np.max(weights)


def _reals(value: Any, what: str) -> np.ndarray:
    """Known numbers in float64; an error in words for what has an imaginary part, and for None."""
    value = np.asarray(value)
    entries = value.reshape(-1).tolist() if value.dtype.kind == "O" else ()
    if value.dtype.kind == "c" or any(isinstance(one, complex) for one in entries):
        raise ValueError(f"{what} are real numbers; got complex ones. Pass their real part, if that is what is meant.")
    if any(one is None for one in entries):
        index = np.unravel_index(next(i for i, one in enumerate(entries) if one is None), value.shape)
        raise ValueError(f"{what} are numbers; got None{_at(index)}. Leave out what is missing.")
    return value.astype(np.float64)


def _at(index: Any) -> str:
    index = tuple(int(i) for i in index)
    return f" at index {index if len(index) > 1 else index[0]}" if index else ""


def _log_p(p: Any, log_p: Any, s: Any, unit: Unit) -> Any:
    """Log p-values in nats from whichever is given, checked."""
    given = {name: value for name, value in (("p", p), ("log_p", log_p), ("s", s)) if value is not None}
    if len(given) != 1:
        what = "nothing" if not given else " and ".join(given)
        raise ValueError(f"P-values are given as `p`, as `log_p` or as surprise `s`, one of them; got {what}.")
    ((name, value),) = given.items()
    if is_traced(value):
        value = jnp.asarray(value, jnp.result_type(float)) if not hasattr(value, "dtype") else value
        if jnp.iscomplexobj(value):
            raise ValueError(
                "P-values are real numbers; got complex ones. Pass their real part, if that is what is meant."
            )
        log = {"p": jnp.log, "log_p": lambda x: x, "s": lambda x: -to_nats(x, unit)}[name](value)
        return jnp.where((log <= 0) | jnp.isnan(log), log, jnp.nan)
    value = _reals(value, "P-values")
    low, high = {"p": (0.0, 1.0), "log_p": (-math.inf, 0.0), "s": (0.0, math.inf)}[name]
    bad = (value < low) | (value > high)
    if np.any(bad):
        index = tuple(np.argwhere(bad)[0])
        kind = {
            "p": "A p-value lies between 0 and 1",
            "log_p": "The logarithm of a p-value is at most 0",
            "s": "Surprise is at least 0",
        }
        raise ValueError(f"{kind[name]}; got {value[index]:g}{_at(index)}.")
    if name == "p":
        with np.errstate(divide="ignore"):
            return np.log(value)
    return value if name == "log_p" else -value * nats_per(unit)


# The rules: from log p, p itself where that is traced, and weights, all of shape (…, k), to the log of a combined p-value.
#
# At p = 0 and p = 1 most formulas are ∞ − ∞ or 0·∞ in value or slope. There the rules take a sum in log p over the studies that
# decide, "impossible" (p = 0) or "certain" (p = 1), whose value and slopes are the limits of the rule's.


def _steep(log_p: Array, where: Array) -> Array:
    """0, with a slope of +∞ in the log p of these studies."""
    fall = jnp.where(where, jax.lax.stop_gradient(log_p) - log_p, 1.0)
    return jnp.sum(jnp.where(where, -jnp.sqrt(fall), 0.0), axis=-1)


def _over_share(log_p: Array, share: Array, impossible: Array, otherwise: Array) -> Array:
    """log of 1/Σ share/p where some study of positive share is impossible, of which these are the sum; else `otherwise`."""
    some = jnp.any(impossible, axis=-1)
    total = jnp.where(some, jnp.sum(jnp.where(impossible, share, 0.0), axis=-1), 1.0)
    parts = jax.lax.stop_gradient(share / total[..., None])
    limit = jnp.sum(jnp.where(impossible, parts * jnp.where(impossible, log_p, 0.0), 0.0), axis=-1) - jnp.log(total)
    return jnp.where(some, limit, otherwise)


@in_float64
def _fisher(log_p: Array, p: Array | None, weights: Array) -> Array:
    total = -jnp.sum(log_p, axis=-1)
    far = jnp.isposinf(total)
    tail = log_gammaincc(jnp.asarray(log_p.shape[-1], log_p.dtype), jnp.where(far, 1.0, total))
    return jnp.where(far, -total, tail)


_TINY = -45.0
"""Where log p is below this, log(1 − p) is −p in float64, and functions of p are their first terms."""


@in_float64
def _pearson(log_p: Array, p: Array | None, weights: Array) -> Array:
    k = log_p.shape[-1]
    if k == 1:
        return log_p[..., 0]
    if p is not None:  # 1 − p has a slope at 0, where log p has an infinite one
        zero = (p == 0) & jnp.any(p > 0, axis=-1, keepdims=True)
        log_p = jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, p)))
    certain, none = log_p == 0, jnp.all(jnp.isneginf(log_p), axis=-1)
    inside = jnp.where(certain, -1.0, log_p)
    terms = -log1mexp(-inside) if p is None else -jnp.log1p(-jnp.where(certain, 0.5, p))
    total = jnp.sum(jnp.where(certain, 0.0, terms), axis=-1)
    lost = total < jnp.finfo(total.dtype).tiny * k  # only its logarithm is left
    tail = log_gammainc(jnp.asarray(k, total.dtype), jnp.where(lost, 1.0, total))
    first = k * logsumexp(jnp.where((lost & ~none)[..., None], inside, -1.0), axis=-1) - math.lgamma(k + 1.0)
    least = jnp.sum(jnp.where(none[..., None], log_p, 0.0), axis=-1)
    value = jnp.where(none, least, jnp.where(lost, first, tail))
    number = jnp.sum(certain, axis=-1)
    return jnp.where(number > 0, _steep(log_p, certain & (number == 1)[..., None]), value)


@in_float64
def _stouffer(log_p: Array, p: Array | None, weights: Array) -> Array:
    w = weights / jnp.sqrt(jnp.sum(weights**2, axis=-1, keepdims=True))
    used, end = w > 0, (log_p == 0) | jnp.isneginf(log_p)
    certain, impossible = used & (log_p == 0), used & jnp.isneginf(log_p)
    inside = jnp.where(end, -1.0, log_p)
    z = -normal_quantile_from_log(inside, log1mexp(-inside))
    value = log_ndtr(-jnp.sum(jnp.where(used & ~end, w * z, 0.0), axis=-1))
    some, number = jnp.any(impossible, axis=-1), jnp.sum(certain, axis=-1)
    # z² ≈ 2s as p → 0, where the slope in the log p of all others grows with z.
    slopes = jax.lax.stop_gradient(w * jnp.sum(jnp.where(impossible, w, 0.0), axis=-1, keepdims=True))
    least = jnp.sum(jnp.where(impossible, slopes * jnp.where(impossible, log_p, 0.0), 0.0), axis=-1)
    value = jnp.where(some, least + _steep(inside, used & ~end & some[..., None]), value)
    alone = jnp.sum(used, axis=-1) == 1
    most = jnp.sum(jnp.where(certain & alone[..., None], log_p, 0.0), axis=-1)
    most = most + _steep(log_p, certain & ((number == 1) & ~alone)[..., None])
    return jnp.where(number > 0, jnp.where(some, jnp.nan, most), value)


@in_float64
def _tippett(log_p: Array, p: Array | None, weights: Array) -> Array:
    k = log_p.shape[-1]
    if k == 1:
        return log_p[..., 0]
    least = jnp.min(log_p, axis=-1)
    tiny, certain = least < _TINY, least == 0
    value = log1mexp(-k * log1mexp(jnp.where(tiny | certain, 1.0, -least)))
    return jnp.where(tiny, math.log(k) + least, jnp.where(certain, 0.0, value))


def _shares(weights: Array) -> Array:
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


@in_float64
def _harmonic_mean(log_p: Array, p: Array | None, weights: Array) -> Array:
    share = _shares(weights)
    end = jnp.isneginf(log_p)
    value = -logsumexp(-jnp.where(end, -1.0, log_p), axis=-1, weights=share)
    return _over_share(log_p, share, end & (share > 0), value)


@in_float64
def _cauchy(log_p: Array, p: Array | None, weights: Array) -> Array:
    share = _shares(weights)
    used, end = share > 0, (log_p == 0) | jnp.isneginf(log_p)
    certain, impossible = used & (log_p == 0), used & jnp.isneginf(log_p)
    half = -math.log(2.0)
    inside = jnp.where(end, half, log_p)
    # cot πp = −cot π(1 − p), of the lesser of the two; it may overflow, so that all are summed in units of the greatest.
    low = inside <= half
    log_tail = jnp.where(low, inside, log1mexp(jnp.where(low, 1.0, -inside)))
    top = jax.lax.stop_gradient(jnp.max(jnp.where(used, -log_tail, -jnp.inf), axis=-1, keepdims=True))
    x = jnp.pi * jnp.exp(log_tail)
    tiny = x < 3e-4
    fat = jnp.where(tiny, 1.0, x)
    shape = jnp.where(tiny, 1.0 - x**2 / 3.0, fat / jnp.tan(fat))  # x cot x
    scaled = jnp.where(low, 1.0, -1.0) * jnp.exp(-log_tail - top) * shape / jnp.pi
    t = jnp.sum(share * jnp.where(used & ~end, scaled, 0.0), axis=-1)
    top = top[..., 0]
    unit = jnp.exp(-top)
    # ½ − arctan(t/unit)/π = arctan2(unit, t)/π, which is unit/(πt) where unit underflows, and for t < 0 one less that of −t.
    flat = unit < jnp.finfo(t.dtype).eps * jnp.abs(t)
    share_of_pi = jnp.arctan2(jnp.where(flat, 1.0, unit), jnp.where(flat, 1.0, jnp.abs(t))) / jnp.pi
    small = jnp.where(flat, -top - jnp.log(jnp.pi * jnp.where(flat, jnp.abs(t), 1.0)), jnp.log(share_of_pi))
    value = _over_share(log_p, share, impossible, jnp.where(t >= 0, small, log1mexp(-small)))
    number = jnp.sum(certain, axis=-1)
    single = certain & (number == 1)[..., None]
    most = jnp.sum(jnp.where(single, log_p / jax.lax.stop_gradient(jnp.where(single, share, 1.0)), 0.0), axis=-1)
    return jnp.where(number > 0, jnp.where(jnp.any(impossible, axis=-1), jnp.nan, most), value)


@in_float64
def _log_bet(s: Array) -> Array:
    """log e, from surprise in nats."""
    near, far = s < 1, jnp.isposinf(s)
    terms = [1 / math.factorial(k + 2) for k in range(by_dtype(s, 9, 17))]
    series = jnp.log(polynomial(jnp.where(near, s, 0.0), terms))
    safe = jnp.where(near | far, 1.0, s)
    value = safe - 2.0 * jnp.log(safe) + jnp.log1p(-(1.0 + safe) * jnp.exp(-safe))
    return jnp.where(far, s, jnp.where(near, series, value))


@in_float64
def _e_average(log_p: Array, p: Array | None, weights: Array) -> Array:
    share = _shares(weights)
    end = jnp.isneginf(log_p)
    value = -jnp.maximum(logsumexp(_log_bet(jnp.where(end, 1.0, -log_p)), axis=-1, weights=share), 0.0)
    return _over_share(log_p, share, end & (share > 0), value)


@in_float64
def _e_product(log_p: Array, p: Array | None, weights: Array) -> Array:
    return -jnp.maximum(jnp.sum(_log_bet(-log_p), axis=-1), 0.0)


_RULES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "fisher": _fisher,
    "stouffer": _stouffer,
    "tippett": _tippett,
    "pearson": _pearson,
    "harmonic-mean": _harmonic_mean,
    "cauchy": _cauchy,
    "e-average": _e_average,
    "e-product": _e_product,
}
assert tuple(_RULES) == get_args(Method.__value__)

_WEIGHTED = ("stouffer", "harmonic-mean", "cauchy", "e-average")


def _rule(method: str) -> Callable[[Any, Any, Any], Any]:
    if method not in _RULES:
        near = difflib.get_close_matches(str(method), _RULES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"P-values are combined by one of {', '.join(_RULES)}; got {method!r}.{hint}")
    return _RULES[method]
