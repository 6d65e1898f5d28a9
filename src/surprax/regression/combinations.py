"""Combinations of the values of discrete variables: codes into them, and frames with one row for each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from surprax.regression.encoding import Discrete, Variable, coded, narrowest

__all__ = ["combined", "frame_of_rows", "frame_of_values", "recoded"]

GRID = 1 << 12
"""So many combinations are listed whether or not they occur."""
COUNTED = 1 << 24
"""Of so many possible combinations those that occur are found by counting."""


def combined(chosen: Sequence[Discrete], n: int, *, observed: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """Codes into combinations, shape (n,), and the place of each combination's value in each variable.

    Combinations that do not occur are left out if `observed`, and wherever there are too many to list.

    >>> size, shape = Discrete(np.array([0, 1, 1]), np.array([10, 20])), Discrete(np.array([1, 0, 1]), np.array(["a", "b"]))
    >>> codes, places = combined([size, shape], 3, observed=True)
    >>> codes, places
    (array([0, 1, 2], dtype=uint8), [array([0, 1, 1]), array([1, 0, 1])])
    """
    codes, places = np.zeros(n, np.uint8), [np.zeros(1, np.intp)]
    for i, one in enumerate(chosen):
        L = len(one.values)
        total = len(places[0]) * L
        if i == 0:
            codes = one.codes
        else:
            codes = codes.astype(np.min_scalar_type(total - 1))
            codes *= codes.dtype.type(L)
            codes += one.codes.astype(codes.dtype, copy=False)
        kept = np.arange(total)
        if observed or (i > 0 and total > GRID):
            codes, kept = _occurring(codes, total)
        places = [*(place[kept // L] for place in places), kept % L]
    return codes, places[1:]


def _occurring(codes: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes into those of `total` codes that occur, and which these are."""
    if total > COUNTED:
        kept, codes = np.unique(codes, return_inverse=True)
        return narrowest(codes, len(kept)), kept.astype(np.intp)
    kept = np.flatnonzero(np.bincount(codes, minlength=total))
    if len(kept) == total:
        return codes, kept
    rank = np.zeros(total, np.min_scalar_type(len(kept) - 1))
    rank[kept] = np.arange(len(kept))
    return rank.take(codes), kept


def frame_of_values(columns: Mapping[str, Discrete], places: Sequence[np.ndarray]) -> pd.DataFrame:
    """One row for each combination; one row in all where there are no variables."""
    parts = {name: _values(one, place) for (name, one), place in zip(columns.items(), places)}
    return pd.DataFrame(parts, index=range(len(places[0]) if places else 1))


def frame_of_rows(columns: Mapping[str, Variable], names: Sequence[str], run: slice) -> pd.DataFrame:
    """A run of rows of the variables."""
    parts: dict[str, Any] = {}
    for name in names:
        one = columns[name].rows(run)
        parts[name] = _values(one, one.codes) if isinstance(one, Discrete) else one.column()
    return pd.DataFrame(parts, index=range(run.stop - run.start))


def _values(one: Discrete, places: np.ndarray) -> Any:
    if one.categorical:  # pandas then knows all categories, and their order
        return pd.Categorical.from_codes(places, categories=pd.Index(one.values))
    return one.values.take(places)


def recoded(name: str, one: Variable, known: np.ndarray, row: Callable[[int], int], *, categorical: bool) -> Discrete:
    """A variable coded by the values that were there in training; refuses others that occur.

    `row` says which row of the data a row of the variable is.
    """
    if isinstance(one, Discrete) and one.values is known:
        return one
    one = coded(one)
    where = {value: i for i, value in enumerate(known.tolist())}
    places = np.array([where.get(value, -1) for value in one.values.tolist()], int)
    unknown = places < 0
    if unknown.any() and (new := np.flatnonzero(unknown & (one.counts() > 0))).size:
        rows = np.isin(one.codes, new)
        raise ValueError(
            f"Column {name!r} must hold categories that the model was fitted to ({_listed(known)}): found "
            f"{_listed(one.values[new], 3)} in {int(rows.sum()):,} of {len(one):,} rows, first in row {row(int(rows.argmax()))}; "
            "drop such rows or fit again with them"
        )
    return Discrete(narrowest(np.maximum(places, 0), len(known)).take(one.codes), known, categorical)


def _listed(values: np.ndarray, most: int = 6) -> str:
    shown = ", ".join(map(repr, values[:most].tolist()))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
