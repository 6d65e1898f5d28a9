"""Cells: rows that no parameter tells apart, because all their keys are the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from surprax.models.expressions import Column, Expression, Key, Table, leaves_of

__all__ = ["Cells", "is_plain", "join", "key_of_column", "keys_of"]

DENSE = 1 << 22
"""Combinations of keys up to this number are counted; more are sorted."""
SAMPLE = 1 << 12
"""Rows that are looked at to see whether a column repeats its values."""
REPEATS = 0.5
"""A column repeats its values where a sample has at most this share of distinct ones."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Which cell each row is in.

    Attributes:
        codes: number of the cell of each row, shape (rows,); None where there is only one.
        number: of cells.
        places: for each key, its value in each cell, shape (number,).
    """

    codes: np.ndarray | None
    number: int
    places: dict[Key, np.ndarray]


def keys_of(expressions: Iterable[Expression]) -> list[Key]:
    """The distinct keys that expressions look up, in the order of their first use."""
    keys = [leaf.key for leaf in leaves_of(expressions) if isinstance(leaf, Table) and leaf.key is not None]
    return list(dict.fromkeys(keys))


def is_plain(e: Expression) -> bool:
    """Whether an expression depends on the row only through keys."""
    return all(not isinstance(leaf, Column) or leaf.is_same for leaf in leaves_of([e]))


def join(keys: Sequence[Key]) -> Cells:
    """The cells that several keys make together: their combinations that occur."""
    if not keys:
        return Cells(None, 1, {})
    codes, known = _present(keys[0].values, keys[0].size)
    places = {keys[0]: known}
    for key in keys[1:]:
        number = len(next(iter(places.values())))
        size = number * key.size
        wide = codes.astype(np.int64) if size > np.iinfo(np.int32).max else codes
        codes, pairs = _present(wide * key.size + key.values, size)
        places = {k: v[pairs // key.size] for k, v in places.items()}
        places[key] = pairs % key.size
    number = len(next(iter(places.values())))
    return Cells(codes if number > 1 else None, number, places)


def _present(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the values that occur, row by row, and those values."""
    if size <= max(DENSE, 4 * len(values)):
        seen = np.flatnonzero(np.bincount(values, minlength=size))
        if len(seen) == size:
            return np.asarray(values, np.int32), seen
        rank = np.zeros(size, np.int32)
        rank[seen] = np.arange(len(seen), dtype=np.int32)
        return rank[values], seen
    seen, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int32), seen


def key_of_column(column: Column, most: int, *, whatever: bool = False) -> tuple[Key, np.ndarray] | None:
    """A key for the distinct values of a column, and these values; None where they are more than `most`, or (but for `whatever`)
    hardly repeat in a sample."""
    values = np.asarray(column.values)
    flat = values.reshape(len(values), -1)
    sample = flat[:: max(1, len(flat) // SAMPLE)]
    if not whatever and len(sample) > 16 and len(np.unique(sample, axis=0)) > max(REPEATS * len(sample), 16):
        return None
    keys = []
    for one in flat.T:
        found = _distinct(one, most)
        if found is None:
            return None
        keys.append(found)
    cells = join(keys)
    if cells.number > most:
        return None
    codes = np.zeros(len(flat), np.int32) if cells.codes is None else cells.codes
    first = np.zeros(cells.number, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return Key(codes, cells.number), values[first]


def _distinct(one: np.ndarray, most: int) -> Key | None:
    if one.dtype.kind in "biu":
        low = int(one.min())
        width = int(one.max()) - low + 1
        if width <= DENSE:
            codes, seen = _present(one.astype(np.int64) - low, width)
            return Key(codes, len(seen)) if len(seen) <= most else None
    seen, codes = np.unique(one, return_inverse=True)
    return Key(codes.astype(np.int32), len(seen)) if len(seen) <= most else None
