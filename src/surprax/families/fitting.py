"""From observations to evidence and to the distribution at the maximum: intake, checks, and the two ways to a fit.

Families with finite statistics are fitted from `Moments`; the others from the sample itself, which for discrete data is first
counted, so that a pass over it is a pass over its distinct values.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Evidence, Extremes, Moments, Tally
from surprax.evidence.grouped import GroupSums, reduce_by_group
from surprax.evidence.one_pass import one_pass
from surprax.evidence.repeats import reduce_values_by_group, repeats
from surprax.evidence.tally import count_values, few_values
from surprax.evidence.vectors import reduce_vectors
from surprax.families.observations import (
    FEW,
    Groups,
    all_inside,
    as_observations,
    as_weights,
    check_inside,
    check_values,
    group_codes,
    numbered_groups,
    observe,
    outside_message,
)
from surprax.families.outcomes import Outcome
from surprax.families.parameters import as_parameter
from surprax.families.scores import score_of
from surprax.numerics.precision import float64_scope, in_float64, is_traced, to_float64
from surprax.numerics.shapes import one_of_few, padded

__all__ = [
    "FEW",
    "Groups",
    "as_observations",
    "as_weights",
    "check_inside",
    "check_known",
    "fit_sample",
    "has_evidence",
    "has_moments",
    "make_evidence",
    "make_extremes",
    "observe",
    "outside_message",
    "reduce_rows",
    "rounded_score",
    "try_fit",
]


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
    inside = True if support is None else all_inside(x, support)
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
    if (found := _evidence_of_many(family, x, weights, by, known)) is not None:
        return found
    x, weights = observe(family, x, weights, known)
    labels, codes = (None, None) if by is None else group_codes(by, len(x))
    groups = len(labels or ())
    if _is_counted(family) and np.ndim(x) > 1 and not has_moments(family, known):
        return _tally_of_batch(family, np.asarray(x), weights, codes, labels, known)
    if _is_counted(family) and np.ndim(x) == 1:
        values, counts = count_values(
            np.asarray(x), None if weights is None else np.asarray(weights, np.float64), codes, len(labels or ())
        )
        moments = _evidence_of_counted(family, values, counts, known, labels)
        return moments if labels is None else moments._replace(labels=labels)
    with float64_scope():
        rows = x, weights, codes
        if np.ndim(x) == 1 + family.event_dim and 0 < len(x) <= FEW:
            rows = _few_rows(*rows)
        moments = jax.tree.map(np.asarray, _reduce(family, *rows, known, groups=one_of_few(groups)))
    return moments if labels is None else moments[:groups]._replace(labels=labels)


def _evidence_of_many(family: Any, x: Any, weights: Any, by: Any, known: dict[str, Any]) -> Any:
    """Evidence of very many rows where the CPU has a fast way to it, else None."""
    if len(x) <= FEW or np.ndim(x) != 1 + family.event_dim or jax.default_backend() != "cpu":
        return None
    if any(np.ndim(value) > family.known_event_dim(name) for name, value in known.items()):
        return None  # of a batch
    whole = family.discrete and weights is None and x.dtype.kind in "iu"
    if by is None:
        return _evidence_of_counts(family, np.asarray(x), known) if whole else None
    if not has_moments(family, known) or family.event_dim > 1:
        return None
    rows = repeats(np.asarray(x)) if whole and not family.layout.gaps else None
    if rows is None and _is_counted(family):
        return None  # of which a table of groups and values tells all
    if rows is None:
        x, weights = observe(family, x, weights, known)
    else:
        check_values(family, x, rows.values if x.ndim > 1 else rows.values[[0, -1]], known)
    labels, codes = numbered_groups(by, len(x), weights)
    sums = None
    if rows is not None:
        count = len(rows.values)
        with float64_scope():
            some = np.resize(rows.values, (one_of_few(count), *x.shape[1:]))
            carried, base = jax.tree.map(lambda v: np.asarray(v)[:count], _of_values(family, some, known))
        sums = reduce_values_by_group(family.layout, rows, carried, base, codes)
    if sums is None:
        weights = None if weights is None else np.asarray(weights)
        sums = reduce_by_group(family.layout, family._log_base, np.asarray(x), weights, codes, known)
    if labels is None:  # all whole numbers of a range, of which some need not occur
        labels = tuple(range(codes.low, codes.low + codes.groups))
        if not sums.number.all():
            kept = np.flatnonzero(sums.number)
            sums, labels = GroupSums(*(v[kept] for v in sums)), tuple((kept + codes.low).tolist())
    return Moments(*sums, known, family, labels)


def _evidence_of_counts(family: Any, x: np.ndarray, known: dict[str, Any]) -> Any:
    """Evidence of integers by how often each value occurs; None for vectors that are nearly all different."""
    if x.ndim == 1:
        values, counts = count_values(x, None, None, 0)
        check_values(family, x, values, known)
        return _evidence_of_counted(family, values, counts, known, None)
    rows = repeats(x) if x.ndim == 2 and has_moments(family, known) else None
    if rows is None:
        return None
    check_values(family, x, rows.values, known)
    with float64_scope():
        return jax.tree.map(np.asarray, _reduce(family, *_few_rows(rows.values, rows.counts(), None), known, groups=0))


def _evidence_of_counted(family: Any, values: np.ndarray, counts: np.ndarray, known: Any, labels: Any) -> Any:
    if not has_moments(family, known):
        return Tally(values, counts, known, family, labels)
    with float64_scope():
        return jax.tree.map(np.asarray, _reduce_counts(family, *few_values(values, counts), known))


@functools.partial(jax.jit, static_argnums=0)
def _of_values(family: Any, values: Any, known: Any) -> tuple[Any, Any]:
    """The carrier and log h (or None) at each of some values."""
    return family.layout.carrier.given(known).of(values), family._log_base(values, known)


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


def rounded_score(q: Any, data: Any) -> Any:
    """The log-likelihood of many rows, told in their own precision; None where it is not to be had in one pass."""
    family, known = type(q), q._known()
    if is_traced(data, q) or not has_moments(family, known) or isinstance(data, list | tuple):
        return None
    x = as_observations(data)
    if x.dtype != np.float32 or not _goes_in_one_pass(family, x, None):
        return None
    with float64_scope():
        value, trusted = _score_in_one_pass(jax.tree.map(to_float64, q), x, _domain(family, known))
        return np.asarray(value) if trusted else None


@functools.partial(jax.jit, static_argnames="domain")
def _score_in_one_pass(q: Any, x: Any, domain: tuple[float, float]) -> tuple[Any, Any]:
    moments, trusted = _reduce_in_one_pass(type(q), x, q._known(), domain, np.float32)
    return score_of(moments, q), trusted


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
