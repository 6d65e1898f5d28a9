"""From observations to evidence and to the distribution at the maximum: intake, checks, and the two ways to a fit.

Families with finite statistics are fitted from `Moments`; the others from the sample itself, which for discrete data is first
counted, so that a pass over it is a pass over its distinct values.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Evidence, Extremes, Moments, Tally
from surprax.evidence.one_pass import one_pass
from surprax.evidence.tally import count_values, few_values
from surprax.evidence.vectors import reduce_vectors
from surprax.families.outcomes import Outcome
from surprax.families.parameters import as_parameter
from surprax.families.supports import Region, Support
from surprax.numerics.precision import float64_scope, in_float64, is_traced, to_float64
from surprax.numerics.shapes import one_of_few, padded

__all__ = [
    "Groups",
    "as_observations",
    "fit_sample",
    "has_moments",
    "make_evidence",
    "make_extremes",
    "observe",
    "reduce_rows",
    "rounded_evidence",
    "try_fit",
]


FEW = 1 << 16
"""Up to this many rows, shapes are padded, so that data of many sizes share compiled code."""

_DENSE_LABELS = 1 << 22
"""Whole-number labels that span at most this range are numbered without sorting."""


def try_fit(family: Any, data: Any, weights: Any, known: dict[str, Any]) -> tuple[Any, Outcome]:
    """`Distribution.try_fit`: from evidence, or from observations by way of evidence where that is possible."""
    if isinstance(data, Evidence):
        if data.family is not family:
            name = family.__name__
            raise ValueError(
                f"{name} cannot be fitted to evidence for {data.family.__name__}: make it with {name}.evidence(...)."
            )
        if weights is not None or known:
            raise ValueError(
                "Evidence carries its weights and known parameters with it: give them where the evidence is made."
            )
        return _fit_evidence(data)
    known = check_known(family, known)
    if has_moments(family, known) or (_is_counted(family) and not is_traced(data, weights)):
        x = None if is_traced(data, known) else as_observations(data, family.event_dim)
        if x is not None and _goes_in_one_pass(family, x, weights):
            with float64_scope():
                fit, outcome, trusted = _fit_in_one_pass(family, x, known, _domain(family, known))
                if trusted:
                    return jax.tree.map(np.asarray, (fit, outcome))
        return _fit_evidence(make_evidence(family, data if x is None else x, weights, None, known))
    x = as_observations(data, family.event_dim)
    if np.ndim(x) != 1 + family.event_dim:
        raise ValueError(
            f"{family.__name__}.fit takes observations along one axis"
            + (f" and {family.event_dim} more for each" if family.event_dim else "")
            + f"; got an array of shape {np.shape(x)}. Fit its columns one by one."
        )
    return fit_sample(family, x, weights, known)


def fit_sample(family: Any, x: Any, weights: Any, known: Mapping[str, Any], start: Any = None) -> tuple[Any, Outcome]:
    """`family._fit_sample` in float64, compiled; NumPy float64 results."""
    if is_traced(x, weights, known, start):
        return family._fit_sample(x, weights, dict(known), start)
    weights = as_weights(weights, x, family.event_dim)
    support = family._data_support(known)
    on_device = isinstance(x, jax.Array) and len(x) > FEW
    if not on_device:
        check_inside(family, x, support)
    if 0 < len(x) <= FEW:
        x, weights, _ = _few_rows(x, weights, None)
    with float64_scope():
        known, start = jax.tree.map(to_float64, (dict(known), start))
        fit, outcome, inside = _fit_sample(family, x, weights, known, start, support if on_device else None)
        if not inside:
            raise ValueError(outside_message(family.__name__, np.asarray(x), support))
        return jax.tree.map(np.asarray, (fit, outcome))


@functools.partial(jax.jit, static_argnums=0)
def _fit_sample(family: Any, x: Any, weights: Any, known: Any, start: Any, support: Any) -> Any:
    """The fit, its outcome, and whether all rows are inside the support (where that is asked)."""
    inside = True if support is None else _all_inside(x, support)
    x = x.astype(jnp.float64)
    weights = weights if weights is None else weights.astype(jnp.float64)
    return *family._fit_sample(x, weights, known, start), inside


def _fit_evidence(evidence: Any) -> tuple[Any, Outcome]:
    # Without the names of groups, each set of which would be compiled for anew.
    if isinstance(evidence, Moments):
        return _fit_moments(evidence._replace(labels=None))
    if isinstance(evidence, Extremes):
        return _fit_extremes(evidence._replace(labels=None))
    if not (is_traced(evidence) or evidence.family.labelled):  # of labels, each value is a parameter
        values, counts = few_values(evidence.values, evidence.counts)
        evidence = evidence._replace(values=values, counts=counts, labels=None)
    return _fit_tally(evidence)


@in_float64
def _fit_moments(evidence: Moments) -> tuple[Any, Outcome]:
    return evidence.family._fit_moments(evidence)


@in_float64
def _fit_extremes(evidence: Extremes) -> tuple[Any, Outcome]:
    return evidence.family._fit_extremes(evidence)


@in_float64
def _fit_tally(tally: Tally) -> tuple[Any, Outcome]:
    fit: Any = functools.partial(tally.family._fit_sample, tally.values, known=dict(tally.known))
    for _ in tally.batch_shape:
        fit = jax.vmap(fit)
    return fit(tally.counts)


def make_evidence(family: Any, data: Any, weights: Any, by: Any, known: dict[str, Any]) -> Any:
    """`ExponentialFamily.evidence`: check the observations and reduce them, in float64."""
    known = check_known(family, known)
    if not (has_moments(family, known) or _is_counted(family)):
        need = " and ".join(n for n in family.known_parameters if n not in known)
        raise ValueError(
            f"{family.__name__} has statistics of finite size only when its {need} is known: pass {need}=..., or fit the"
            f" observations themselves with {family.__name__}.fit(x)."
        )
    if is_traced(data, weights, by, known):
        if by is not None:
            raise ValueError(
                "Evidence by group needs known data: under a transformation, use jax.vmap over groups instead."
            )
        if not has_moments(family, known):
            raise ValueError(
                f"{family.__name__} evidence counts distinct values, which cannot be done with traced data."
            )
        x = jnp.asarray(data)
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))
        return _moments(family, x, weights, None, known, groups=0, dtype=x.dtype)
    x = as_observations(data, family.event_dim)
    if by is None and _goes_in_one_pass(family, x, weights):
        with float64_scope():
            moments, trusted = _reduce_in_one_pass(family, x, known, _domain(family, known))
            if trusted:
                return jax.tree.map(np.asarray, moments)
    x, weights = observe(family, x, weights, known)
    labels, codes = (None, None) if by is None else group_codes(by, len(x))
    groups = len(labels or ())
    if _is_counted(family) and np.ndim(x) > 1 and not has_moments(family, known):
        return _tally_of_batch(family, np.asarray(x), weights, codes, labels, known)
    if _is_counted(family) and np.ndim(x) == 1:
        values, counts = count_values(
            np.asarray(x), None if weights is None else np.asarray(weights, np.float64), codes, len(labels or ())
        )
        if not has_moments(family, known):
            return Tally(values, counts, known, family, labels)
        with float64_scope():
            moments = jax.tree.map(np.asarray, _reduce_counts(family, *few_values(values, counts), known))
    else:
        with float64_scope():
            rows = x, weights, codes
            if np.ndim(x) == 1 + family.event_dim and 0 < len(x) <= FEW:
                rows = _few_rows(*rows)
            moments = jax.tree.map(np.asarray, _reduce(family, *rows, known, groups=one_of_few(groups)))
    return moments if labels is None else moments[:groups]._replace(labels=labels)


def _tally_of_batch(family: Any, x: np.ndarray, weights: Any, codes: Any, labels: Any, known: Any) -> Tally:
    """Tally of each column (of each group): distributions of a batch are groups of one tally."""
    batch, columns = x.shape[1:], int(np.prod(x.shape[1:]))
    groups = 1 if labels is None else len(labels)
    places = np.arange(columns) + (0 if codes is None else columns * np.asarray(codes)[:, None])
    places = np.broadcast_to(places, (len(x), columns)).reshape(-1)
    weights = None if weights is None else np.asarray(weights, np.float64).reshape(-1)
    values, counts = count_values(x.reshape(-1), weights, places, groups * columns)
    shape = batch if labels is None else (groups, *batch)
    return Tally(values, counts.reshape(*shape, len(values)), known, family, labels)


def make_extremes(family: Any, data: Any, weights: Any, by: Any, known: dict[str, Any]) -> Extremes:
    """`Uniform.evidence`: number, least and greatest of the observations."""
    known = check_known(family, known)
    if is_traced(data, weights, by, known):
        if by is not None or weights is not None:
            raise ValueError(
                "Evidence with weights or by group needs known data: under a transformation, use jax.vmap instead."
            )
        traced = jnp.asarray(data)
        count = jnp.full(traced.shape[1:], float(traced.shape[0]))
        return Extremes(count, traced.min(axis=0), traced.max(axis=0), known, family)
    rows, weights = observe(family, as_observations(data), weights, known)
    x = np.asarray(rows, np.float64)
    weights = np.ones(x.shape) if weights is None else np.asarray(weights, np.float64)
    lows, highs = np.where(weights > 0, x, np.inf), np.where(weights > 0, x, -np.inf)
    if by is None:
        low, high = lows.min(axis=0, initial=np.inf), highs.max(axis=0, initial=-np.inf)
        return Extremes(np.asarray(weights.sum(axis=0)), np.asarray(low), np.asarray(high), known, family)
    labels, codes = group_codes(by, len(x))
    shape = (len(labels), *x.shape[1:])
    counts, lowest, highest = np.zeros(shape), np.full(shape, np.inf), np.full(shape, -np.inf)
    np.add.at(counts, codes, weights)
    np.minimum.at(lowest, codes, lows)
    np.maximum.at(highest, codes, highs)
    return Extremes(counts, lowest, highest, known, family, labels)


def _goes_in_one_pass(family: Any, x: Any, weights: Any) -> bool:
    layout = family.layout
    flat = not family.event_dim and layout is not None and not layout.rank
    return flat and weights is None and not family.discrete and np.ndim(x) == 1 and len(x) > FEW


def _domain(family: Any, known: Mapping[str, Any]) -> tuple[float, float]:
    support = family._data_support(known)
    return float(support.lower), float(support.upper)


def rounded_evidence(family: Any, data: Any, known: dict[str, Any]) -> Moments | None:
    """Evidence of many rows for a sum that is told in their own precision; None where there is none to be had in one pass."""
    if is_traced(data, known) or not has_moments(family, known) or isinstance(data, list | tuple):
        return None
    x = as_observations(data)
    if x.dtype != np.float32 or not _goes_in_one_pass(family, x, None):
        return None
    with float64_scope():
        moments, trusted = _reduce_in_one_pass(family, x, known, _domain(family, known), np.float32)
        return jax.tree.map(np.asarray, moments) if trusted else None


@functools.partial(jax.jit, static_argnames=("family", "domain", "terms"))
def _reduce_in_one_pass(
    family: Any, x: Any, known: Any, domain: tuple[float, float], terms: Any = np.float64
) -> tuple[Moments, Any]:
    sums = one_pass(family.layout, x, known, domain, terms)
    base = family._log_base(x.astype(jnp.float64), known)
    log_base = jnp.zeros_like(sums.mean) if base is None else jnp.sum(base)
    return Moments(sums.number, sums.mean, sums.gaps, log_base, known, family), sums.trusted


@functools.partial(jax.jit, static_argnames=("family", "domain"))
def _fit_in_one_pass(family: Any, x: Any, known: Any, domain: tuple[float, float]) -> tuple[Any, Outcome, Any]:
    sums = one_pass(family.layout, x, known, domain)
    base = jnp.zeros(())  # a fit does not ask for it
    fit, outcome = family._fit_moments(Moments(sums.number, sums.mean, sums.gaps, base, known, family))
    return fit, outcome, sums.trusted


def _few_rows(x: Any, weights: Any, codes: Any) -> tuple[Any, Any, Any]:
    """Rows padded by copies of the first, of weight 0, to one of a few sizes."""
    x, size = np.asarray(x), one_of_few(len(x))
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    rows = np.concatenate([x, np.broadcast_to(x[:1], (size - len(x), *x.shape[1:]))])
    return rows, padded(weights, size, 0.0), None if codes is None else padded(codes, size, 0)


def has_moments(family: Any, known: Mapping[str, Any]) -> bool:
    return family.layout is not None and all(name in known for name in family.known_parameters)


def has_evidence(family: Any, known: Mapping[str, Any]) -> bool:
    """Whether data are summed up: always, but where statistics depend on a parameter that is not known."""
    return family.layout is None or has_moments(family, known) or _is_counted(family)


def _is_counted(family: Any) -> bool:
    """Whether evidence may be how often each value occurred."""
    return family.discrete and not family.event_dim


def check_known(family: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Known parameters, checked by name and value."""
    may_be_known = (*family.known_parameters, *family.may_be_known)
    unexpected = set(known) - set(may_be_known)
    if unexpected:
        allowed = ", ".join(may_be_known) or "none"
        raise TypeError(
            f"{family.__name__} takes these known parameters: {allowed}; got {', '.join(sorted(unexpected))}."
        )
    known = {name: as_parameter(value) for name, value in known.items() if value is not None}
    for name, value in known.items():
        family.check_known_value(name, value)
    return {name: value if is_traced(value) else to_float64(np.asarray(value)) for name, value in known.items()}


@functools.partial(jax.jit, static_argnames=("family", "groups"))
def _reduce(family: Any, x: Any, weights: Any, codes: Any, known: Any, groups: int) -> Moments:
    return _moments(family, x, weights, codes, known, groups, jnp.float64)


def _moments(family: Any, x: Any, weights: Any, codes: Any, known: Any, groups: int, dtype: Any) -> Moments:
    weights = None if weights is None else jnp.asarray(weights).astype(dtype)
    if family.layout.rank:
        count, mean, gaps = reduce_vectors(family.layout, x, weights, codes, groups, known, dtype, family.event_dim)
        base = family._log_base(x.astype(dtype), known)
        if base is None:
            return Moments(count, mean, gaps, jnp.zeros_like(count), known, family)
        base = base if weights is None else weights * base
        log_base = jnp.sum(base, axis=0) if codes is None else jax.ops.segment_sum(base, codes, num_segments=groups)
        return Moments(count, mean, gaps, log_base, known, family)
    if codes is None:
        total, spread = functools.partial(jnp.sum, axis=0), lambda c: c[None] if c.ndim else c
    else:
        total, spread = (
            functools.partial(jax.ops.segment_sum, segment_ids=codes, num_segments=groups),
            lambda c: c[codes],
        )
    return _assemble(family, x, weights, known, total, spread, dtype)


@functools.partial(jax.jit, static_argnames=("family",))
def _reduce_counts(family: Any, values: Any, counts: Any, known: Any) -> Moments:
    values = values.astype(jnp.float64).reshape((1,) * (counts.ndim - 1) + values.shape)
    total = functools.partial(jnp.sum, axis=-1)
    return _assemble(family, values, counts, known, total, lambda c: c[..., None], jnp.float64)


@functools.partial(jax.jit, static_argnames=("family",))
def reduce_rows(family: Any, x: Any, weights: Any, known: Any) -> Moments:
    """Moments of each row of a matrix (folds × observations), where `weights` is 0 or 1."""
    total = functools.partial(jnp.sum, axis=-1)
    return _assemble(family, x, weights, known, total, lambda c: c[..., None], jnp.float64)


def _assemble(family: Any, x: Any, weights: Any, known: Any, total: Any, spread: Any, dtype: Any) -> Moments:
    count, mean, gaps = family.layout.reduce(x, weights, total, spread, known, dtype)
    base = family._log_base(jax.lax.optimization_barrier((x, mean))[0].astype(dtype), known)
    log_base = jnp.zeros_like(mean) if base is None else total(base if weights is None else weights * base)
    return Moments(count, mean, gaps, log_base, known, family)


class Groups(NamedTuple):
    """Labels of groups that have been numbered already, and the number of each row's group."""

    labels: Any
    codes: np.ndarray


def group_codes(by: Any, rows: int) -> tuple[Any, np.ndarray]:
    """Sorted distinct labels, and for each row the number of its label."""
    if isinstance(by, Groups):
        return by
    by = np.asarray(by)
    if by.shape != (rows,):
        raise ValueError(f"`by` needs one label per observation; got shape {by.shape} for {rows} observations.")
    if by.dtype.kind in "iu" and rows and (width := int(by.max()) - int(by.min()) + 1) <= _DENSE_LABELS:
        # Sorting ten million labels takes a second; counting them does not.
        offset = by.astype(np.int64) - int(by.min())
        seen = np.bincount(offset, minlength=width) > 0
        return tuple((np.flatnonzero(seen) + int(by.min())).tolist()), (np.cumsum(seen, dtype=np.int32) - 1)[offset]
    labels, codes = np.unique(by, return_inverse=True)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(
            f"`by` has missing labels, first in row {int(np.argwhere(np.isnan(by))[0, 0])}: give them a name or drop those rows."
        )
    return tuple(labels.tolist()), codes.astype(np.int32)


def as_observations(data: Any, event_dim: int = 0) -> Any:
    """An array of numbers, one row each, whose last `event_dim` axes belong together; traced data as they are."""
    x = data if is_traced(data) or isinstance(data, jax.Array) else np.asarray(data)
    if np.ndim(x) == 0:
        raise ValueError(f"Observations are an array with one row each; got the single number {x}. Put it in a list.")
    if np.ndim(x) < 1 + event_dim:
        raise ValueError(
            f"Observations are an array with one row each, and {event_dim} more ax{'i' if event_dim == 1 else 'e'}s for what is"
            f" observed at once; got shape {np.shape(x)}. A single observation x goes in a list: [x]."
        )
    if not is_traced(x) and x.dtype.kind not in "biuf" and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"Observations are numbers; got {x.dtype} such as {x.reshape(-1)[0]!r}."
            if x.size
            else "Observations are numbers; got none."
        )
    return x


def as_weights(weights: Any, x: Any, event_dim: int = 0) -> Any:
    """Weights, one to an observation (of `event_dim` axes), finite and at least 0; None stays None."""
    if weights is None:
        return None
    weights = weights if isinstance(weights, jax.Array) else np.asarray(weights)
    if weights.shape != x.shape[: x.ndim - event_dim]:
        raise ValueError(
            f"Weights go one to an observation; got shape {weights.shape} for observations of shape {x.shape}."
        )
    bad = ~(np.isfinite(np.asarray(weights)) & (np.asarray(weights) >= 0))
    if bad.any():
        row = np.argwhere(bad)[0]
        raise ValueError(f"Weights are finite and at least 0; row {row[0]} has {np.asarray(weights)[tuple(row)]}.")
    return weights


def observe(family: Any, data: Any, weights: Any, known: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """Observations and weights as arrays that lie in the family's domain, else an error that names the first row that does not."""
    x = as_observations(data, family.event_dim)
    if is_traced(x, weights):
        return x, weights
    weights = as_weights(weights, x, family.event_dim)
    check_inside(family, x, family._data_support(known or {}))
    return x, weights


def check_inside(family: Any, x: Any, support: Support | Region) -> None:
    """Raise `ValueError` about the first row outside the support, if there is one."""
    if not x.size:
        return
    if isinstance(support, Region):
        with float64_scope():
            good = bool(jnp.all(support.contains(jnp.asarray(x)) & jnp.isfinite(jnp.sum(x))))
    elif x.size <= FEW or isinstance(x, np.ndarray):
        good = bool(_all_inside(np.asarray(x), support))
    else:
        with float64_scope():
            good = bool(_all_inside_on_device(x, support))
    if not good:
        raise ValueError(outside_message(family.__name__, np.asarray(x), support))


def _all_inside(x: Any, support: Support) -> Any:
    xp = np if isinstance(x, np.ndarray) else jnp
    low, high = xp.min(x), xp.max(x)
    ends = Support(support.lower, support.upper, False, support.open_lower, support.open_upper)
    good = ends.contains(low) & ends.contains(high) & xp.isfinite(low) & xp.isfinite(high)
    if support.discrete and x.dtype.kind not in "biu":
        good &= xp.all(x == xp.round(x))
    return good


_all_inside_on_device = jax.jit(_all_inside)


def outside_message(name: str, x: np.ndarray, support: Support | Region) -> str:
    """A sentence about the first observation outside the support."""
    event_dim = support.event_dim if isinstance(support, Region) else 0
    finite = np.isfinite(x).all(axis=tuple(range(-event_dim, 0))) if event_dim else np.isfinite(x)
    bad = ~(np.asarray(support.contains(x)) & finite)
    first = np.argwhere(bad)[0]
    value, row, number = x[tuple(first)], first[0], int(bad.sum())
    if event_dim:
        what = np.array2string(value, precision=6, separator=", ", threshold=8).replace("\n", "")
    else:
        what = "missing (NaN)" if np.isnan(value) else f"{value:g}"
    more = f" ({number:,} such rows in all)" if number > 1 else ""
    return f"{name} lives on {support}; row {row} is {what}{more}. Drop or mend such rows, or choose another family."
