"""Intake of observations: arrays, weights and labels, checked, with errors that name the first row that is at fault."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence.grouped import Codes, runs, sums_by_group
from surprax.families.supports import Region, Support
from surprax.numerics.precision import float64_scope, is_traced

__all__ = [
    "FEW",
    "Groups",
    "all_inside",
    "as_observations",
    "as_weights",
    "check_inside",
    "check_values",
    "group_codes",
    "numbered_groups",
    "observe",
    "outside_message",
]

FEW = 1 << 16
"""Up to this many rows, shapes are padded, so that data of many sizes share compiled code."""

_DENSE_LABELS = 1 << 22
"""Whole-number labels that span at most this range are numbered without sorting."""


class Groups(NamedTuple):
    """Labels of groups that have been numbered already, and the number of each row's group."""

    labels: Any
    codes: np.ndarray


def group_codes(by: Any, rows: int) -> tuple[Any, np.ndarray]:
    """Sorted distinct labels, and for each row the number of its label."""
    if isinstance(by, Groups):
        return by
    by = _labels(by, rows)
    if (dense := _dense(by, _DENSE_LABELS)) is not None:
        # Sorting ten million labels takes a second; counting them does not.
        seen = sums_by_group(lambda run, _: [np.ones(run.stop - run.start)], dense)[0] > 0
        numbers = np.cumsum(seen, dtype=np.int32) - 1
        codes = np.concatenate([numbers.take(dense.of(run)) for run in runs(rows)])
        return tuple((np.flatnonzero(seen) + dense.low).tolist()), codes
    labels, codes = np.unique(by, return_inverse=True)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(
            f"`by` has missing labels, first in row {int(np.argwhere(np.isnan(by))[0, 0])}: give them a name or drop those rows."
        )
    return tuple(labels.tolist()), codes.astype(np.int32)


def _labels(by: Any, rows: int) -> np.ndarray:
    by = np.asarray(by)
    if by.shape != (rows,):
        raise ValueError(f"`by` needs one label per observation; got shape {by.shape} for {rows} observations.")
    return by


def _dense(by: np.ndarray, most: int) -> Codes | None:
    """Integers from a range of at most so many are their own numbers."""
    if by.dtype.kind not in "iu" or not len(by):
        return None
    low, high = int(by.min()), int(by.max())
    return Codes(by, low, high - low + 1) if high - low < most and high < 2**63 else None


def numbered_groups(by: Any, rows: int, weights: Any) -> tuple[Any, Codes]:
    """Labels of the groups, and the group of each row; None for labels that are all whole numbers of a range.

    Groups of that range of which there are no rows are those without count, unless there are weights.
    """
    if weights is None and not isinstance(by, Groups):
        by = _labels(by, rows)
        if (dense := _dense(by, min(max(rows, FEW), _DENSE_LABELS))) is not None:
            return None, dense
    labels, codes = group_codes(by, rows)
    return labels, Codes(codes, 0, len(labels))


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
        good = bool(all_inside(np.asarray(x), support))
    else:
        with float64_scope():
            good = bool(_inside_on_device(x, support))
    if not good:
        raise ValueError(outside_message(family.__name__, np.asarray(x), support))


def check_values(family: Any, x: Any, values: np.ndarray, known: dict[str, Any]) -> None:
    """Raise `ValueError` about the first of the rows x outside the support, whose values these are."""
    support = family._data_support(known)
    with float64_scope():
        good = bool(np.all(np.asarray(support.contains(values))))
    if not good:
        raise ValueError(outside_message(family.__name__, np.asarray(x), support))


def all_inside(x: Any, support: Support) -> Any:
    xp = np if isinstance(x, np.ndarray) else jnp
    low, high = xp.min(x), xp.max(x)
    ends = Support(support.lower, support.upper, False, support.open_lower, support.open_upper)
    good = ends.contains(low) & ends.contains(high) & xp.isfinite(low) & xp.isfinite(high)
    if support.discrete and x.dtype.kind not in "biu":
        good &= xp.all(x == xp.round(x))
    return good


_inside_on_device = jax.jit(all_inside)


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
