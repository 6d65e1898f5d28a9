"""Observations on their way into the fit of a mixture: checked, and rows that are alike counted."""

from typing import Any, NamedTuple

import numpy as np

from surprax.evidence import Evidence
from surprax.families.fitting import as_observations, as_weights, check_inside, check_known
from surprax.families.multinomial import known_total
from surprax.families.supports import Region, Support

__all__ = ["Rows", "take_in"]


class Rows(NamedTuple):
    """Distinct rows where many are alike, else all of them; and how often each occurred (the sum of its weights)."""

    x: np.ndarray
    weights: np.ndarray


def take_in(family: Any, k: int, data: Any, weights: Any, known: dict[str, Any]) -> tuple[Rows, int, dict[str, Any]]:
    """Rows, about how many are different, and known parameters; or an error that names the first row that does not belong."""
    if isinstance(data, Evidence):
        raise TypeError(
            "A mixture is fitted to observations: evidence for one distribution no longer tells which row is which."
        )
    x = np.asarray(as_observations(data, family.event_dim))
    if x.ndim != 1 + family.event_dim:
        raise ValueError(
            f"A mixture of {family.__name__} is fitted to observations along one axis"
            + (f" and {family.event_dim} more for each" if family.event_dim else "")
            + f"; got an array of shape {x.shape}."
        )
    known = {name: value for name, value in known.items() if value is not None}
    if family.event_dim == 1 and "total_count" in family.known_parameters:
        known = known_total(family.__name__, x, known)
    weights = as_weights(weights, x, family.event_dim)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    if not any(isinstance(value, type | tuple | list) for value in known.values()):  # else the family checks by itself
        categories = known.pop("num_categories", None)
        known = check_known(family, known)
        support = family._data_support(known)
        if isinstance(support, Support | Region):
            check_inside(family, x, support)
        if family.labelled and x.size:  # a component need not see them all
            known["num_categories"] = int(x.max()) + 1 if categories is None else categories
    if not len(x) or not w.any():
        raise ValueError("There is nothing to fit to: no observation has a weight above 0.")
    if not w.all():
        x, w = x[w > 0], w[w > 0]
    with np.errstate(over="ignore"):
        if not np.isfinite(w.sum()):
            raise ValueError("The sum of the weights is beyond the greatest float64. Divide them by their mean.")
    return *_distinct(x, w, k), known


def _distinct(x: np.ndarray, w: np.ndarray, k: int) -> tuple[Rows, int]:
    """Rows that are alike as one, with their total weight, where that makes few of many; and about how many there are."""
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    glance = np.unique(flat[:: max(1, len(x) // 4096)], axis=0)
    if len(x) > 4096 and len(glance) > max(1024, k):
        return Rows(x, w), len(glance)
    if flat.shape[1] == 1:
        values, inverse = np.unique(flat[:, 0], return_inverse=True)
    else:
        values, inverse = np.unique(flat, axis=0, return_inverse=True)
    if len(values) > len(x) // 2:
        return Rows(x, w), len(values)
    return Rows(values.reshape(len(values), *x.shape[1:]), np.bincount(inverse.ravel(), w)), len(values)
