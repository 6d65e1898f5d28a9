"""f-divergences by name or by their generator, and the Jensen–Shannon divergence of several distributions."""

import difflib
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families import Distribution
from surprax.information.tables import (
    Axes,
    Known,
    Pair,
    Table,
    divergence_terms,
    floats,
    in_unit,
    read,
    read_pair,
    table,
)
from surprax.numerics.elementary import logsumexp
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit

__all__ = ["Generator", "f_divergence", "jensen_shannon"]

type Generator = Literal[
    "kl", "reverse-kl", "chi2", "neyman", "hellinger", "total-variation", "jensen-shannon", "le-cam"
]

_IN_UNITS = ("kl", "reverse-kl", "jensen-shannon")


def f_divergence(
    p: Any = None,
    q: Any = None,
    f: Generator | Callable[[Array], Array] = "kl",
    unit: Unit = "nat",
    *,
    log_p: Any = None,
    log_q: Any = None,
    axis: Axes = -1,
    slope_at_infinity: float | None = None,
) -> Array:
    """The f-divergence Σ qᵢ f(pᵢ/qᵢ) of a convex f with f(1) = 0, where q = 0 counted as p·lim f(t)/t.

        "kl"               t log t            Σ p log p/q
        "reverse-kl"       −log t             Σ q log q/p
        "chi2"             (t − 1)²           Σ (p − q)²/q (Pearson)
        "neyman"           (t − 1)²/t         Σ (p − q)²/p
        "hellinger"        (√t − 1)²/2        ½ Σ (√p − √q)², the squared distance, in [0, 1]
        "total-variation"  |t − 1|/2          ½ Σ |p − q|, in [0, 1]
        "jensen-shannon"                      ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q)/2, in [0, log 2]
        "le-cam"           (t − 1)²/(2t + 2)  ½ Σ (p − q)²/(p + q), in [0, 1]

    Args:
        p: probabilities that sum to 1 over `axis`, or a `Belief`.
        q: the same, over the same outcomes (of two beliefs, with the same labels).
        f: a name, or a function of an array t ≥ 0.
        unit: of the result, for "kl", "reverse-kl", "jensen-shannon" and for functions; the others are plain numbers.
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.
        axis: the axis or axes of one distribution, all if None; the others are a batch, and the two broadcast.
        slope_at_infinity: lim f(t)/t of a function, which may be inf; needed where q is 0 and p is not.

    Returns:
        An array of the shape of the batch, ≥ 0, possibly +inf; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for an unknown
            name; for a unit of a plain number. NaN where traced.

    Source: Csiszár (1967), "Information-type measures of difference of probability distributions"; factors of ½ as in
    Polyanskiy & Wu (2025), "Information theory: from coding to learning", chapter 7.

    >>> print(f_divergence([0.5, 0.5], [0.9, 0.1], "total-variation").round(3))
    0.4
    >>> print(f_divergence([0.5, 0.5], [0.9, 0.1], lambda t: (t - 1) ** 2).round(4))  # "chi2"
    1.7778
    """
    named = not callable(f)
    if named and f not in get_args(Generator.__value__):
        near = difflib.get_close_matches(str(f), get_args(Generator.__value__), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"A divergence has one of the names {', '.join(get_args(Generator.__value__))}, or is a function; got {f!r}.{hint}"
        )
    if named and f not in _IN_UNITS and unit != "nat":
        raise ValueError(f"{f!r} is a plain number, not an amount of surprise; got unit={unit!r}. Leave the unit out.")
    if named and slope_at_infinity is not None:
        raise ValueError(f"A slope at infinity belongs to a function; {f!r} knows its own. Leave it out.")
    if isinstance(p, Distribution) or isinstance(q, Distribution):
        raise ValueError("f-divergences are of tables of probabilities; got a member of a family. Use `kl` or `renyi`.")
    pair = read_pair(p, q, log_p, log_q, axis)
    if not named and slope_at_infinity is None:
        _require_slope(pair)
    return in_unit(_f_divergence(**pair._asdict(), f=f, slope=Known(slope_at_infinity)), unit)


def _require_slope(pair: Pair) -> None:
    """An error where a slope at infinity is needed, as far as that is known."""
    if is_traced(pair):
        return
    none, lost = pair.p == (-np.inf if pair.p_log else 0.0), pair.q == (-np.inf if pair.q_log else 0.0)
    if np.any(lost & ~none):
        raise ValueError(
            "Where q is 0 and p is not, a function counts by its slope at infinity, lim f(t)/t; got none."
            " Pass slope_at_infinity=math.inf, or what it is."
        )


@in_float64(static_argnames=("f", "p_log", "q_log", "slope"))
def _f_divergence(p: Array, q: Array, *, f: Any, p_log: bool, q_log: bool, slope: Known[float | None]) -> Array:
    a, b = table(p, p_log), table(q, q_log)
    if callable(f):
        return jnp.sum(_by_function(a, b, f, slope.value), axis=-1)
    return jnp.sum(_TERMS[f](a, b), axis=-1)


def _by_function(a: Table, b: Table, f: Callable[[Array], Array], slope: float | None) -> Array:
    none, lost = a.log == -jnp.inf, b.log == -jnp.inf
    if a.by_log or b.by_log:  # from logarithms, so that a quotient of two tiny numbers is right
        both = ~(none | lost)
        zero = 0.0 if a.by_log else jnp.where(none, a.p, 0.0) / jnp.where(none & (b.p > 0), b.p, 1.0)  # with its slope
        ratio = jnp.where(none, zero, jnp.exp(jnp.where(both, a.log, 0.0) - jnp.where(both, b.log, 0.0)))
    else:
        ratio = jnp.where(lost, 1.0, a.p) / jnp.where(lost, 1.0, b.p)
    inside = jnp.where(b.p == 0, 0.0, b.p * f(ratio))
    outside = lost & ~none
    beyond = jnp.where(outside, a.p, 1.0) * (jnp.nan if slope is None else slope)
    return jnp.where(outside, beyond, jnp.where(lost, 0.0, inside))


def _over(x: Array, y: Array) -> Array:
    """x/y, 0/0 = 0 and x/0 = ∞."""
    empty = y == 0
    return jnp.where(empty, jnp.where(x == 0, 0.0, jnp.inf), x / jnp.where(empty, 1.0, y))


def _difference(a: Table, b: Table) -> Array:
    """p − q; from logarithms where those were given, so that it keeps its digits as q → p."""
    if not a.by_log and not b.by_log:
        return a.p - b.p
    both = (a.log > -jnp.inf) & (b.log > -jnp.inf)
    gap = jnp.where(both, a.log, 0.0) - jnp.where(both, b.log, 0.0)
    near = both & (jnp.abs(gap) < 1)
    return jnp.where(near, b.p * jnp.expm1(jnp.where(near, gap, 0.0)), a.p - b.p)


def _hellinger(a: Table, b: Table) -> Array:
    """½(√p − √q)² = ½(p − q)²/(√p + √q)²."""
    absent = (a.p == 0) & (b.p == 0)
    roots = _root(a, absent) + _root(b, absent)
    return jnp.where(absent, 0.0, 0.5 * (_difference(a, b) / roots) ** 2)


def _root(t: Table, absent: Array) -> Array:
    if t.by_log:
        none = t.log == -jnp.inf
        return jnp.where(absent, 1.0, jnp.where(none, 0.0, jnp.exp(0.5 * jnp.where(none, 0.0, t.log))))
    return jnp.sqrt(jnp.where(absent, 1.0, t.p))


def _middle(a: Table, b: Table) -> Table:
    p = 0.5 * (a.p + b.p)
    if a.by_log or b.by_log:
        return Table(p, logsumexp(jnp.stack([a.log, b.log]), axis=0) - jnp.log(2.0), True)
    return table(p, False)


def _jensen_shannon(a: Table, b: Table) -> Array:
    m = _middle(a, b)
    return 0.5 * (divergence_terms(a, m) + divergence_terms(b, m))


_TERMS: dict[str, Callable[[Table, Table], Array]] = {
    "kl": divergence_terms,
    "reverse-kl": lambda a, b: divergence_terms(b, a),
    "chi2": lambda a, b: _over(_difference(a, b) ** 2, b.p),
    "neyman": lambda a, b: _over(_difference(a, b) ** 2, a.p),
    "hellinger": _hellinger,
    "total-variation": lambda a, b: 0.5 * jnp.abs(_difference(a, b)),
    "jensen-shannon": _jensen_shannon,
    "le-cam": lambda a, b: 0.5 * _over(_difference(a, b) ** 2, a.p + b.p),
}
assert tuple(_TERMS) == get_args(Generator.__value__)


def jensen_shannon(
    p: Any = None,
    q: Any = None,
    unit: Unit = "nat",
    *,
    weights: Any = None,
    log_p: Any = None,
    log_q: Any = None,
    axis: Axes = -1,
) -> Array:
    """Jensen–Shannon divergence Σ wₖ KL(pₖ ‖ m) from the mixture m = Σ wₖ pₖ: the mutual information of k and the outcome.

    Args:
        p: probabilities that sum to 1 over `axis`, or a `Belief`. Without q, several distributions stacked along the first axis, or
            a list of beliefs.
        q: a second distribution, over the same outcomes (of two beliefs, with the same labels).
        unit: of the result: "nat", "bit", "ban" or "deciban".
        weights: wₖ ≥ 0, divided by their sum; all equal if not given.
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.
        axis: the axis or axes of one distribution; the others are a batch.

    Returns:
        An array of the shape of the batch, between 0 and H(w), never infinite; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for weights of
            another number than distributions. NaN where traced.

    Source: Lin (1991), "Divergence measures based on the Shannon entropy", equation 4.1.

    >>> print(jensen_shannon([1.0, 0.0], [0.0, 1.0], "bit"))
    1.0
    >>> print(jensen_shannon([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], unit="bit", weights=[2, 1, 1]))
    1.5
    """
    if isinstance(p, Distribution) or isinstance(q, Distribution):
        raise ValueError("Jensen–Shannon divergences are of tables of probabilities; got a member of a family.")
    if q is None and log_q is None:
        a = read(p, log_p, axis)
        if a.value.ndim < 2:
            raise ValueError(
                "Several distributions are compared; got one. Pass a second as `q`, or stack them along the first axis."
            )
        if a.value.shape[0] == 0:
            raise ValueError(
                "Several distributions are compared, stacked along the first axis; got one of length 0. Give at least one."
            )
        several: Any = a.value
        by_log: tuple[bool, ...] = (a.by_log,) * several.shape[0]
    else:
        pair = read_pair(p, q, log_p, log_q, axis)
        several, by_log = (jnp if is_traced(pair) else np).stack((pair.p, pair.q)), (pair.p_log, pair.q_log)
    w = _shares(weights, len(by_log))
    return in_unit(_several(several, w, by_log=by_log), unit)


def _shares(weights: Any, number: int) -> Any:
    if weights is None:
        return np.full(number, 1.0 / number)
    weights = floats(weights, "Weights")
    if weights.shape != (number,):
        raise ValueError(
            f"There is one weight for each of {number} distributions; got weights of shape {weights.shape}."
        )
    if is_traced(weights):
        return jnp.where(jnp.all(weights >= 0), weights, jnp.nan) / jnp.sum(weights)
    if not (np.all(weights >= 0) and np.all(np.isfinite(weights)) and np.any(weights > 0)):
        raise ValueError(f"Weights are finite and at least 0, and not all 0; got {weights.tolist()}.")
    weights = weights / np.max(weights)  # whose sum does not overflow
    return weights / np.sum(weights)


@in_float64(static_argnames=("by_log",))
def _several(several: Array, weights: Array, *, by_log: tuple[bool, ...]) -> Array:
    tables = [table(several[k], log) for k, log in enumerate(by_log)]
    middle = table(sum((weights[k] * t.p for k, t in enumerate(tables)), jnp.zeros(())), False)
    if any(by_log):
        logs = jnp.stack([t.log for t in tables])
        shares = weights.reshape((-1,) + (1,) * (logs.ndim - 1))
        middle = Table(middle.p, logsumexp(logs, axis=0, weights=shares), True)
    total: Any = jnp.zeros(())
    for k, t in enumerate(tables):
        used = weights[k] > 0
        silent = Table(jnp.where(used, t.p, middle.p), jnp.where(used, t.log, middle.log), t.by_log)
        total = total + weights[k] * jnp.sum(divergence_terms(silent, middle), axis=-1)
    return total + jnp.where(jnp.isnan(jnp.sum(weights)), jnp.nan, 0.0)
