"""Observed sites as cells: groups of rows that share a distribution, which latent values change, and the evidence of each cell."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Moments
from surprax.families.base import Distribution
from surprax.families.fitting import Groups, observe
from surprax.infer.anatomy import Anatomy, Latents
from surprax.models.compact import Compact

__all__ = ["Cells", "cells_of"]


@dataclass(frozen=True, eq=False)
class Cells:
    """An observed site.

    Attributes:
        name: of the site.
        family: of its distributions.
        number: of cells.
        parameters: latent values → parameters of the family at the cells, by name, with the cells on the first axis.
        evidence: (group of each cell, number of groups, known parameters by name with the groups on the first axis) → the evidence
            of each group. Cells of a group share the known parameters.
        merges: whether cells may share a group; else each must be its own.
    """

    name: str
    family: type[Distribution]
    number: int
    parameters: Callable[[Latents], dict[str, Any]]
    evidence: Callable[[np.ndarray, int, Mapping[str, np.ndarray]], Any]
    merges: bool

    def distribution(self, latents: Latents) -> Any:
        """The distributions of the cells, a batch along one axis."""
        return _made(self.family, self.parameters(latents))


@functools.partial(jax.jit, static_argnums=0)
def _made(family: Any, parameters: dict[str, Any]) -> Any:
    # Traced, parameters are not judged: a Binomial of the mean number of trials may well have a fraction.
    return family(**parameters)


def cells_of(anatomy: Anatomy, name: str) -> Cells | str:
    """The cells of an observed site, or why it has none."""
    site = anatomy.site(name)
    if site.family is None:
        return f"{name!r} is {anatomy.what(name)}, of which no conjugate pair is known"
    if site.trouble:
        return f"{name!r} has {site.trouble}"
    if any(v is not None and not v.known for v in (site.value, site.mask, site.scale)):
        return f"the value, the mask or the scale of {name!r} depends on latent sites"
    compact = anatomy.compacts.get(name)
    if compact is not None and isinstance(compact.evidence, Moments):
        return _compressed(anatomy, compact)
    try:
        return _by_row(anatomy, name)
    except ValueError as error:  # observations that the family does not take
        return f"{name!r}: {str(error).rstrip('.')}"


def _compressed(anatomy: Anatomy, compact: Compact) -> Cells:
    e, family = compact.evidence, compact.family
    number = len(e.count)

    def parameters(latents: Latents) -> dict[str, Any]:
        assert compact.parameters is not None
        found = dict(compact.parameters(compact.arrays, anatomy.tables(compact.name, latents)))
        if family.__name__ == "Binomial":  # of which cells pool rows of different numbers of trials
            found["total_count"] = e.known["total_count"]
        return _spread(family, found, number)

    def evidence(codes: np.ndarray, groups: int, known: Mapping[str, np.ndarray]) -> Any:
        own = {name: np.broadcast_to(v, (number, *np.shape(v)[1:])) for name, v in e.known.items() if np.ndim(v)}
        return e._replace(known=dict(known) | own, labels=None)

    return Cells(compact.name, family, number, parameters, evidence, False)


def _spread(family: Any, parameters: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Parameters with the cells on their first axis."""
    found = {}
    for name, v in parameters.items():
        array = jnp.asarray(v)
        own = array.shape[1:] if array.ndim else ()
        found[name] = jnp.broadcast_to(array, (number, *own))
    return found


def _by_row(anatomy: Anatomy, name: str) -> Cells:
    """The cells are the elements of the parameters' own batch, and the rows take them by position."""
    site, family = anatomy.site(name), anatomy.site(name).family
    assert family is not None
    assert site.value is not None
    sources, event_dims = list(site.parameters.values()), [site.event_dims[n] for n in site.parameters]
    batch = np.broadcast_shapes(*(v.shape[: len(v.shape) - e] for v, e in zip(sources, event_dims)))
    number = int(np.prod(batch, dtype=np.int64))
    cell = np.broadcast_to(np.arange(number).reshape(batch), site.shape).reshape(-1)
    y = np.asarray(anatomy.evaluate([site.value], {})[0])
    event = y.shape[y.ndim - site.event_dim :]
    y = np.broadcast_to(y, (*site.shape, *event)).reshape(-1, *event)
    weights = _weights(anatomy, name)
    if weights is not None:
        y, cell, weights = y[weights > 0], cell[weights > 0], weights[weights > 0]
    observe(family, y, None)  # refuses what lies outside of the support

    def parameters(latents: Latents) -> dict[str, Any]:
        found = {}
        for key, v, e in zip(site.parameters, anatomy.evaluate(sources, latents), event_dims):
            own = jnp.shape(v)[jnp.ndim(v) - e :]
            found[key] = jnp.broadcast_to(v, (*batch, *own)).reshape((number, *own))
        return found

    def evidence(codes: np.ndarray, groups: int, known: Mapping[str, np.ndarray]) -> Any:
        of_row = codes[cell]
        layout = getattr(family, "layout", None)
        if layout is not None and not layout.gaps:
            return _means(family, y, weights, of_row, groups, known)
        found = family.evidence(y, weights, by=Groups(range(groups), of_row.astype(np.int32)))  # type: ignore[attr-defined]
        return found._replace(known=dict(known), labels=None)

    return Cells(name, family, number, parameters, evidence, True)


def _weights(anatomy: Anatomy, name: str) -> np.ndarray | None:
    """Weights of the rows by mask and scale, shape (rows,); None for 1 each."""
    site = anatomy.site(name)
    weights = None
    for value in (site.mask, site.scale):
        if value is not None:
            array = np.asarray(anatomy.evaluate([value], {})[0], np.float64)
            # Both belong to the batch, to the left of what to_event took.
            array = array.reshape(array.shape + (1,) * site.events)
            own = np.broadcast_to(array, site.shape).reshape(-1)
            weights = own if weights is None else weights * own
    return weights


def _means(
    family: Any, y: np.ndarray, weights: Any, of_row: np.ndarray, groups: int, known: Mapping[str, Any]
) -> Moments:
    """Evidence of a family without gaps: means alone. Σ log h(x) is left out, which no belief depends on."""
    carrier = family.layout.carrier
    at_rows = {name: jnp.asarray(v)[of_row] for name, v in known.items()}
    x = np.asarray(carrier.given(at_rows).of(jnp.asarray(y, jnp.float64)))
    w = np.ones(len(x)) if weights is None else weights
    count = np.bincount(of_row, w, groups)
    total = np.zeros((groups, *x.shape[1:]))
    np.add.at(total, of_row, w.reshape(-1, *[1] * (x.ndim - 1)) * x)
    mean = total / np.where(count > 0, count, 1.0).reshape(-1, *[1] * (x.ndim - 1))
    return Moments(count, mean, np.zeros((groups, 0)), np.zeros(groups), dict(known), family)
