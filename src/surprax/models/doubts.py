"""What a model does that its author can hardly have meant: rows of no probability at any value, and indices beyond the end."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from surprax.models.graph import Graph, Operation, Value, evaluate, inputs_of
from surprax.models.reading import Reading, Site
from surprax.models.rows import before_wrapping

__all__ = ["beyond_the_ends", "impossible_rows"]


def impossible_rows(reading: Reading, names: Iterable[str]) -> list[str]:
    """Sentences about observed sites: the first row, if any, to which no value of the latent sites gives a density.

    These are missing values, and what lies outside of a support that does not depend on parameters. Rows that are masked do not
    count, nor do sites of which NumPyro does not validate values.
    """
    found = (_first_impossible(reading.sites[name]) for name in names)
    return [sentence for sentence in found if sentence]


def _first_impossible(site: Site) -> str | None:
    if site.value is None or not site.value.known or not site.rows or (site.mask is not None and not site.mask.known):
        return None
    values = _array(site.value)
    if values.dtype.kind not in "biuf" or not values.size:
        return None
    own = tuple(range(values.ndim - site.event_dim, values.ndim))
    missing = np.any(np.isnan(values), axis=own) if values.dtype.kind == "f" else np.False_
    bad = missing if site.support is None else missing | ~np.asarray(site.support(values), bool)
    if not np.any(bad):
        return None
    bad = np.broadcast_to(bad, site.shape)
    if site.mask is not None:
        mask = _array(site.mask)
        bad = bad & mask.reshape(mask.shape + (1,) * site.events)
    if not np.any(bad):
        return None
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    value = np.broadcast_to(values, (*site.shape, *values.shape[len(values.shape) - site.event_dim :]))[place]
    row = (
        f"Row {place[0] if len(place) == 1 else place} of what {site.name!r} observes"
        if place
        else f"What {site.name!r} observes"
    )
    if np.any(np.isnan(value)):
        return (
            f"{row} is {value}: a missing value has no density. Leave such rows out, or mask them (numpyro.handlers.mask, or"
            " obs_mask of numpyro.sample)."
        )
    name = site.distribution.__name__ if site.distribution else "its distribution"
    return f"{row} is {value}, which is outside of the support of {name}: mend or drop such rows, or choose another distribution."


def beyond_the_ends(graph: Graph, memo: dict[Value, Any]) -> list[str]:
    """Sentences about arrays that are indexed by data beyond their ends, where JAX takes the entry at the end without a word, and
    without a gradient: what samplers then draw from is no density."""
    sentences = []
    for operation in _lookups(graph.outputs):
        source, indices = operation.inputs[:2]
        places = operation.params["dimension_numbers"].start_index_map
        raw, wrap = before_wrapping(indices)
        array = np.asarray(evaluate([indices if raw is None else raw], {}, memo)[0])
        columns = [array] if raw is not None else [array[..., j] for j in range(len(places))]
        for column, axis in zip(columns, places):
            size = source.shape[axis]
            least = 0 if raw is None else -wrap
            if not column.size or (column.min() >= least and column.max() < size):
                continue
            flat = column.ravel()
            first = int(np.argmax((flat < least) | (flat >= size)))
            of = ", ".join(sorted(map(repr, inputs_of([source])))) or "data"
            sentences.append(
                f"Index {flat[first]} (at place {first}) is beyond the end of an axis of length {size}, in an array computed from"
                f" {of}: JAX takes the entry at the end instead, without a gradient. Indices count from 0; subtract 1 from those"
                " that count from 1."
            )
    return list(dict.fromkeys(sentences))


def _lookups(values: Iterable[Value]) -> list[Operation]:
    """The operations behind these values that look up single entries at places that are data, trusting them."""
    found: dict[Operation, None] = {}
    seen: set[Value] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        operation = value.operation
        if value in seen or operation is None:
            continue
        seen.add(value)
        stack.extend(operation.inputs)
        stack.extend(operation.body or ())
        if (
            operation.name == "gather"
            and operation.inputs[1].known
            and "PROMISE" in str(operation.params["mode"])
            and all(
                operation.params["slice_sizes"][i] == 1 for i in operation.params["dimension_numbers"].start_index_map
            )
        ):
            found[operation] = None
    return list(found)


def _array(value: Value) -> np.ndarray:
    return np.asarray(evaluate([value], {}, {})[0])
