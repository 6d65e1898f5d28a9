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

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import log1mexp, logsumexp
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
        An array of the shape of the argument, ≥ 0, in float64 for concrete numbers.

    Raises:
        ValueError: where a value lies outside of its range, with its index; NaN where it is traced.

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

    Args:
        p: p-values in [0, 1], along `axis`.
        method: see above.
        unit: of `s` and of the result.
        log_p: their logarithms in nats, instead of `p`.
        s: their surprises in `unit`, instead of `p`.
        weights: wᵢ ≥ 0, for "stouffer", "harmonic-mean", "cauchy" and "e-average"; all equal if not given.
        axis: along which the studies lie.

    Returns:
        The combined surprise, ≥ 0; of the shape of the argument without `axis`, in float64 for concrete numbers.

    Raises:
        ValueError: for a value out of its range, with its index; for an unknown method; for weights where there are none.

    >>> studies = [0.08, 0.06, 0.11, 0.04]
    >>> print(combine(studies).round(2), combine(studies, "tippett").round(2))
    7.41 2.73
    >>> print(combine([1e-200, 1e-200]).round(2))  # SciPy's p-value is 0
    1318.92
    """
    rule = _rule(method)
    log_p = _log_p(p, log_p, s, unit)
    if np.ndim(log_p) == 0:
        raise ValueError("Studies are combined along an axis; got a single number. Pass their p-values as a list.")
    if weights is not None and method not in _WEIGHTED:
        raise ValueError(f"Weights belong to {', '.join(_WEIGHTED)}; {method!r} has none. Leave them out.")
    log_p = jnp.moveaxis(log_p, axis, -1) if is_traced(log_p) else np.moveaxis(np.asarray(log_p), axis, -1)
    if log_p.shape[-1] == 0:
        raise ValueError("There are no studies to combine: that axis has length 0.")
    weights = _weights(weights, log_p.shape[-1])
    xp: Any = jnp if is_traced(weights) else np
    return _out(rule(log_p, xp.broadcast_to(weights, log_p.shape)), unit)


def bet(s: ArrayLike, unit: Unit = "bit", *, log: bool = False) -> Array:
    """What a p-value of surprise s is worth as a bet against the hypothesis: an e-value, of mean 1 if it is true.

    The average over κ in (0, 1) of the bets κ p^(κ−1), with s in nats:

        e = (1 − p + p log p) / (p (log p)²),      log e = s − 2 log s + log(1 − (1 + s) e⁻ˢ).

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


def _weights(weights: Any, studies: int) -> Any:
    """Checked; equal ones where there are none."""
    if weights is None:
        return np.ones(studies)
    if not is_traced(weights):
        weights = np.asarray(weights, np.float64)
        if not (np.all(weights >= 0) and np.all(np.isfinite(weights)) and np.sum(weights) > 0):
            raise ValueError(f"Weights are finite and at least 0, and not all 0; got {weights.tolist()}.")
    if weights.shape != (studies,):
        raise ValueError(f"There is one weight for each of {studies} studies; got weights of shape {weights.shape}.")
    return weights


def _log_p(p: Any, log_p: Any, s: Any, unit: Unit) -> Any:
    """Log p-values in nats from whichever is given, checked."""
    given = {name: value for name, value in (("p", p), ("log_p", log_p), ("s", s)) if value is not None}
    if len(given) != 1:
        what = "nothing" if not given else " and ".join(given)
        raise ValueError(f"P-values are given as `p`, as `log_p` or as surprise `s`, one of them; got {what}.")
    ((name, value),) = given.items()
    if is_traced(value):
        value = jnp.asarray(value, jnp.result_type(float)) if not hasattr(value, "dtype") else value
        log = {"p": jnp.log, "log_p": lambda x: x, "s": lambda x: -to_nats(x, unit)}[name](value)
        return jnp.where((log <= 0) | jnp.isnan(log), log, jnp.nan)
    value = np.asarray(value, np.float64)
    low, high = {"p": (0.0, 1.0), "log_p": (-math.inf, 0.0), "s": (0.0, math.inf)}[name]
    bad = (value < low) | (value > high)
    if np.any(bad):
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
        kind = {
            "p": "A p-value lies between 0 and 1",
            "log_p": "The logarithm of a p-value is at most 0",
            "s": "Surprise is at least 0",
        }
        raise ValueError(f"{kind[name]}; got {value[index]:g}{where}.")
    if name == "p":
        with np.errstate(divide="ignore"):
            return np.log(value)
    return value if name == "log_p" else -value * nats_per(unit)


# The rules: from log p and weights, both of shape (…, k), to the log of a combined p-value.


@in_float64
def _fisher(log_p: Array, weights: Array) -> Array:
    total = -jnp.sum(log_p, axis=-1)
    return log_gammaincc(jnp.asarray(log_p.shape[-1], log_p.dtype), total)


_TINY = -45.0
"""Where log p is below this, log(1 − p) is −p in float64, and functions of p are their first terms."""


@in_float64
def _pearson(log_p: Array, weights: Array) -> Array:
    tiny = log_p < _TINY
    log_terms = jnp.where(tiny, log_p, jnp.log(-log1mexp(jnp.where(tiny, 1.0, -log_p))))
    log_total, k = logsumexp(log_terms, axis=-1), log_p.shape[-1]
    small = log_total < _TINY
    tail = log_gammainc(jnp.asarray(k, log_p.dtype), jnp.exp(jnp.where(small, 0.0, log_total)))
    return jnp.where(small, k * log_total - math.lgamma(k + 1.0), tail)


@in_float64
def _stouffer(log_p: Array, weights: Array) -> Array:
    w = weights / jnp.sqrt(jnp.sum(weights**2, axis=-1, keepdims=True))
    z = -normal_quantile_from_log(log_p, log1mexp(-log_p))
    # One study that is certain (p = 1) and another that is impossible (p = 0) cancel: nothing is known.
    return log_ndtr(-jnp.sum(jnp.where(w > 0, w * z, 0.0), axis=-1))


@in_float64
def _tippett(log_p: Array, weights: Array) -> Array:
    least, k = jnp.min(log_p, axis=-1), log_p.shape[-1]
    tiny = least < _TINY
    return jnp.where(tiny, math.log(k) + least, log1mexp(-k * log1mexp(jnp.where(tiny, 1.0, -least))))


def _shares(weights: Array) -> Array:
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


@in_float64
def _harmonic_mean(log_p: Array, weights: Array) -> Array:
    return -logsumexp(-log_p, axis=-1, weights=_shares(weights))


@in_float64
def _cauchy(log_p: Array, weights: Array) -> Array:
    share = _shares(weights)
    p = jnp.exp(log_p)
    # cot πp, less its pole 1/(πp), which may overflow: both are summed in units of the greatest 1/p.
    top = jnp.max(jnp.where(share > 0, -log_p, -jnp.inf), axis=-1, keepdims=True)
    unit = jnp.exp(-top)
    near, tiny = p < 0.25, p < 1e-4
    x = jnp.pi * jnp.where(near & ~tiny, p, 0.1)
    shape = jnp.where(tiny, 1.0 - (jnp.pi * p) ** 2 / 3.0, x / jnp.tan(x))  # x cot x
    far = unit / jnp.tan(jnp.pi * jnp.where(near, 0.3, p))
    scaled = jnp.where(near, jnp.exp(-log_p - top) * shape / jnp.pi, far)
    t = jnp.sum(share * jnp.where(share > 0, scaled, 0.0), axis=-1)
    unit, top = unit[..., 0], top[..., 0]
    # ½ − arctan(t/unit)/π = arctan2(unit, t)/π, which is unit/(πt) where unit underflows.
    flat = unit < jnp.finfo(t.dtype).eps * t
    exact = jnp.log(jnp.arctan2(jnp.where(flat, 1.0, unit), jnp.where(flat, 1.0, t)) / jnp.pi)
    small = -top - jnp.log(jnp.pi * jnp.where(flat, t, 1.0))
    return jnp.where(jnp.isposinf(top), -jnp.inf, jnp.where(flat, small, exact))


@in_float64
def _log_bet(s: Array) -> Array:
    """log e, from surprise in nats."""
    safe = jnp.where((s > 0) & (s < jnp.inf), s, 1.0)
    value = safe - 2.0 * jnp.log(safe) + log_gammainc(2.0, safe)
    return jnp.where(s == 0, -math.log(2.0), jnp.where(jnp.isposinf(s), jnp.inf, jnp.where(s > 0, value, jnp.nan)))


@in_float64
def _e_average(log_p: Array, weights: Array) -> Array:
    return -jnp.maximum(logsumexp(_log_bet(-log_p), axis=-1, weights=_shares(weights)), 0.0)


@in_float64
def _e_product(log_p: Array, weights: Array) -> Array:
    return -jnp.maximum(jnp.sum(_log_bet(-log_p), axis=-1), 0.0)


_RULES: dict[str, Callable[[Any, Any], Any]] = {
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


def _rule(method: str) -> Callable[[Any, Any], Any]:
    if method not in _RULES:
        near = difflib.get_close_matches(str(method), _RULES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"P-values are combined by one of {', '.join(_RULES)}; got {method!r}.{hint}")
    return _RULES[method]
