"""Observed sites of exponential families: evidence by cell, and what the parameters of a cell add to the surprise of its fit."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Moments
from surprax.families.fitting import Groups, make_evidence
from surprax.families.scores import at_maximum, below_peak, excess_of, has_direct_peak, maximum_of, peak_of
from surprax.models.affine import affine_form
from surprax.models.aside import begun
from surprax.models.cells import Cells, is_plain
from surprax.models.compact import Compact, Store
from surprax.models.expressions import Column, Expression, at_places, leaves_of
from surprax.numerics.compilation import SOON_RUN
from surprax.numerics.precision import float64_scope

__all__ = ["by_cells"]

DIGITS = 1e-7
"""Nats that the energy of a site may be off for a program that takes half as long to be compiled."""


def by_cells(site: Any, family: Any) -> Compact | str:
    """Evidence of the rows of each cell; `site` is an observed site of `surprax.models.rules`. A string says why not."""
    parameters, exposed = _without_exposure(site, family)
    if family.__name__ == "Binomial":
        parameters = {name: e for name, e in parameters.items() if name != "total_count"}
    cells = site.cells(list(parameters.values()))
    if isinstance(cells, str):
        return cells
    known = {} if family.__name__ == "Binomial" else _known(site, family)
    if isinstance(known, str):
        return known
    with float64_scope():
        scalars = family.event_dim == family.layout.rank == 0
        compiled = begun(_at_maximum, _awaited(family, cells.number, known)) if scalars else None
    evidence = _evidence(site, family, cells, exposed, known)
    with float64_scope():
        if compiled is not None:
            compiled.result()
        e, fit, ok, maximum, peak = jax.tree.map(np.asarray, _at_maximum(evidence))
    constant = float(np.sum(maximum))
    store = Store()
    settled = {name: store.settle(expression, cells, site.codes()) for name, expression in parameters.items()}
    arrays: dict[str, Any] = {"slots": store.arrays, "evidence": e}
    # Programs hold no more than the data ask for.
    if not np.all(ok):
        arrays |= {"fit": fit, "ok": ok}
    elif peak is not None and np.sum(e.count * peak[1]) * np.finfo(np.float64).eps < DIGITS:
        arrays |= {"peak": peak[0]}
    else:
        arrays |= {"fit": fit}

    def at_cells(arrays: Mapping[str, Any], tables: Sequence[Any]) -> dict[str, Any]:
        memo: dict[int, Any] = {}
        return {name: expression(arrays["slots"], tables, memo) for name, expression in settled.items()}

    def energy(arrays: Mapping[str, Any], tables: Sequence[Any]) -> Any:
        given = at_cells(arrays, tables)
        e = arrays["evidence"]
        if family.__name__ == "Binomial":
            given["total_count"] = e.known["total_count"]
        q = family(**given)
        if "peak" in arrays:
            return -jnp.sum(below_peak(e, arrays["peak"], q))
        return -jnp.sum(excess_of(e, arrays["fit"], arrays.get("ok"), q))

    numbers = sum(np.size(leaf) for leaf in (e.count, e.mean, e.gaps))
    rule = "identical rows" if cells.number == 1 else "cells"
    detail = f"{family.__name__} evidence" + ("" if cells.number == 1 else f" of {cells.number:,} cells")
    return Compact(
        site.site.name,
        rule,
        site.site.rows,
        numbers,
        detail,
        tuple(store.tables),
        arrays,
        energy,
        constant,
        family,
        evidence,
        at_cells,
        expressions=tuple(settled.values()),
    )


# Exposure: data by which a rate is multiplied.

_RATES = {"Poisson": "rate", "Exponential": "rate", "Gamma": "rate"}


def _without_exposure(site: Any, family: Any) -> tuple[dict[str, Expression], np.ndarray | None]:
    """The parameters, and by which data the rate of each row is multiplied: None where by none, or where cells tell it as well."""
    parameters = dict(site.parameters)
    name = _RATES.get(family.__name__)
    if name is None or all(not isinstance(leaf, Column) or leaf.is_same for leaf in leaves_of([parameters[name]])):
        return parameters, None
    form = affine_form(parameters[name])
    if form is None or form.offset is not None or len(form.terms) != 1:
        return parameters, None
    (term,) = form.terms
    if term.weight is None or not np.min(term.weight) > 0:
        return parameters, None
    parameters[name] = term.node
    return parameters, np.broadcast_to(np.asarray(term.weight, np.float64), (site.number,))


@partial(jax.jit, compiler_options=SOON_RUN)
def _at_maximum(evidence: Moments) -> tuple[Moments, Any, Any, Any, Any]:
    """The fit of evidence, whether it is a maximum, the log-likelihood there, and, if it has one, what `peak_of` says."""
    e, fit, ok = at_maximum(evidence)
    if not has_direct_peak(e.family, e.known):
        return e, fit, ok, maximum_of(e, fit, ok), None
    peak, size = peak_of(e, fit)
    return e, fit, ok, jnp.where(ok, e.count * peak, 0.0) + e.log_base, (peak, size)


def _awaited(family: Any, number: int, known: Mapping[str, Any]) -> Moments:
    """Evidence of so many cells of scalars, by its shapes."""
    count, gaps = (jax.ShapeDtypeStruct((number, *more), np.float64) for more in ((), (len(family.layout.gaps),)))
    same = count if number == 1 else jax.ShapeDtypeStruct((), np.float64)
    told = {"total_count": count} if family.__name__ == "Binomial" else dict.fromkeys(known, same)
    return Moments(count, count, gaps, count, told, family)


def _evidence(site: Any, family: Any, cells: Cells, exposed: np.ndarray | None, known: dict[str, Any]) -> Moments:
    y, weights = site.y(), site.weights
    if family.__name__ == "Binomial":
        return _binomial(site, family, cells, y, weights)
    if exposed is None:
        return _plain(family, cells, y, weights, known)
    if family.__name__ == "Poisson":
        base = _plain(family, cells, y, weights, {}).log_base
        # e^(−c θ) (c θ)^y / y!: in θ, the sum of y in a time of c.
        total = _sum(exposed, weights, cells)
        mean = _sum(y, weights, cells) / total
        own = _sum(np.asarray(y, np.float64) * np.log(exposed), weights, cells)
        return Moments(total, mean, np.zeros((*total.shape, 0)), base + own, {}, family)
    found = _plain(family, cells, np.asarray(y, np.float64) * exposed, weights, {})
    power = _sum(np.log(exposed), weights, cells)  # of the change of the measure
    return found._replace(log_base=found.log_base + power)


def _plain(family: Any, cells: Cells, y: np.ndarray, weights: Any, known: dict[str, Any]) -> Moments:
    by = Groups(range(cells.number), np.zeros(len(y), np.int32) if cells.codes is None else cells.codes)
    if cells.number == 1:
        found = make_evidence(family, y, weights, None, known)
        spread = {name: np.asarray(v)[None] for name, v in found._arrays().items()}
        return found._replace(**spread, known={k: np.asarray(v)[None] for k, v in known.items()})
    return make_evidence(family, y, weights, by, known)._replace(labels=None)


def _known(site: Any, family: Any) -> dict[str, Any] | str:
    """The known parameters that the statistics of a family need; one number each."""
    known = {}
    for name in family.known_parameters:
        column = site.parameters[name]
        value = at_places(column, lambda leaf: leaf.values) if is_plain(column) else None
        if value is None:
            return f"its {name} changes from row to row"
        known[name] = np.asarray(value)[0]
    return known


def _sum(x: Any, weights: Any, cells: Cells) -> np.ndarray:
    x = np.asarray(x, np.float64) if weights is None else np.asarray(x, np.float64) * weights
    return np.array([np.sum(x)]) if cells.codes is None else np.bincount(cells.codes, x, cells.number)


def _binomial(site: Any, family: Any, cells: Cells, y: np.ndarray, weights: Any) -> Moments:
    """Rows of the same chance are one binomial, of all their trials; log C(n, y) does not depend on it."""
    trials: Column = site.parameters["total_count"]
    n = np.broadcast_to(np.asarray(trials.values, np.float64), y.shape)
    x = np.asarray(y, np.float64)
    bad = ~((x >= 0) & (x <= n) & (x == np.round(x)))
    if np.any(bad):
        row = int(np.argmax(bad))
        raise ValueError(
            f"row {row} of what it observes is {x[row]:g}, which is no number of successes in {n[row]:g} trials"
        )
    with float64_scope():
        base = np.asarray(family._log_base(jnp.asarray(x), {"total_count": jnp.asarray(n)}))
    count = _sum(np.ones(len(x)), weights, cells)
    mean, many = _sum(x, weights, cells) / count, _sum(n, weights, cells) / count
    return Moments(count, mean, np.zeros((*count.shape, 0)), _sum(base, weights, cells), {"total_count": many}, family)
