"""Columns as codes into their distinct values: which columns have few enough, and how to find them fast.

Integers of a small range are their own codes; other numbers and text are encoded by Arrow.
"""

from dataclasses import dataclass
from typing import Any, TypeGuard, final

import numpy as np
import pyarrow as pa

from surprax.regression.grouping import RUN, sums_by_code, whole_numbers

__all__ = ["Continuous", "Discrete", "Variable", "all_few", "coded", "narrowest", "number", "variable"]

MOST = 1_000
"""Numbers with more distinct values than this are continuous."""
SAMPLE, MOST_IN_SAMPLE = 2_000, 300
RANGE = 1 << 16
"""Integers from so small a range are coded by counting."""


@final
@dataclass(frozen=True, eq=False)
class Discrete:
    """A variable that takes few values: row i has values[codes[i]].

    Attributes:
        codes: shape (n,), integers from 0 to L − 1 of the narrowest type.
        values: shape (L,), distinct and in order: sorted, or as the categories were given.
        categorical: whether a formula takes the values for categories without being told, which it does for text.

    >>> size = Discrete(np.array([1, 0, 1], np.uint8), np.array([10, 20]))
    >>> size.column(), len(size), size.rows(slice(0, 2)).codes
    (array([20, 10, 20]), 3, array([1, 0], dtype=uint8))
    """

    codes: np.ndarray
    values: np.ndarray
    categorical: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, picked: slice | np.ndarray) -> "Discrete":
        """The variable in some rows; all values stay known, also those that no longer occur."""
        return Discrete(self.codes[picked], self.values, self.categorical)

    def column(self) -> np.ndarray:
        """The values row by row, shape (n,)."""
        return self.values.take(self.codes)

    def used(self) -> "Discrete":
        """The variable without values that no row has."""
        seen = np.zeros(len(self.values), bool)
        for start in range(0, len(self.codes), RUN):
            seen |= np.bincount(self.codes[start : start + RUN], minlength=len(seen)) > 0
            if seen.all():
                return self
        codes = narrowest((np.cumsum(seen) - 1).take(self.codes), int(seen.sum()))
        return Discrete(codes, self.values[seen], self.categorical)

    def counts(self) -> np.ndarray:
        """How often each value occurs, shape (L,)."""
        return sums_by_code(self.codes, len(self.values)).astype(np.intp)


@final
@dataclass(frozen=True, eq=False)
class Continuous:
    """A variable that takes many values.

    Attributes:
        values: shape (n,), float64.
        whole: whether they were integers.
    """

    values: np.ndarray
    whole: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, picked: slice | np.ndarray) -> "Continuous":
        """The variable in some rows."""
        return Continuous(self.values[picked], self.whole)

    def column(self) -> np.ndarray:
        """The values row by row, shape (n,); integers where they were such."""
        return self.values.astype(np.int64) if self.whole else self.values


type Variable = Discrete | Continuous


def narrowest(codes: np.ndarray, levels: int) -> np.ndarray:
    """Codes from 0 to levels − 1 in the narrowest unsigned type that holds them."""
    kind = np.min_scalar_type(max(levels - 1, 0))
    return codes.view(kind) if codes.dtype == kind.name[1:] else codes.astype(kind, copy=False)


def variable(values: np.ndarray) -> Variable:
    """Finite numbers, shape (n,), as a variable: discrete where few of them are distinct.

    >>> variable(np.array([3, 5, 3])).values
    array([3, 5])
    """
    if values.dtype.kind == "b":
        return _booleans(values)
    if values.dtype.kind in "iu":
        found = _small_range(values)
        if found is None:
            found = _encoded(values) if _few(values) else None
    else:
        values = values.astype(np.float64, copy=False)
        found = _encoded(values) if _few(values) else None
    return found if _worth_coding(found, len(values)) else number(values)


def number(values: np.ndarray) -> Variable:
    """Finite numbers, shape (n,), as they are, however few are distinct; booleans, which are discrete, as codes.

    >>> number(np.array([3, 5, 3]))
    Continuous(values=array([3., 5., 3.]), whole=True)
    """
    if values.dtype.kind == "b":
        return _booleans(values)
    exact = values.dtype.kind in "iu" and max(-int(values.min()), int(values.max())) <= 2**53
    return Continuous(values.astype(np.float64, copy=False), whole=exact)


def coded(one: Variable) -> Discrete:
    """A variable as a discrete one, however many values it has."""
    if isinstance(one, Discrete):
        return one
    column = one.column()
    small = _small_range(column) if one.whole else _encoded(column) if _few(column) else None
    if small is not None:
        return small
    values, codes = np.unique(column, return_inverse=True)
    return Discrete(narrowest(codes, len(values)), values)


def all_few(matrix: np.ndarray) -> bool:
    """Whether in a sample of the rows no column of a matrix has many distinct values."""
    return all(_few(matrix[:, j]) for j in range(matrix.shape[1]))


def _worth_coding(found: Discrete | None, n: int) -> TypeGuard[Discrete]:
    return found is not None and len(found.values) <= MOST and (len(found.values) <= 16 or 8 * len(found.values) <= n)


def _few(values: np.ndarray) -> bool:
    sample = values[:: max(1, len(values) // SAMPLE)][:SAMPLE]
    return len(np.unique(sample)) <= MOST_IN_SAMPLE


def _booleans(values: np.ndarray) -> Discrete:
    if values.all() or not values.any():
        return Discrete(np.zeros(len(values), np.uint8), values[:1].copy())
    return Discrete(np.ascontiguousarray(values).view(np.uint8), np.array([False, True]))


def _small_range(values: np.ndarray) -> Discrete | None:
    """Integers coded by their distance from the least; None where they range too widely."""
    low, high = int(values.min()), int(values.max())
    span = high - low + 1
    if span > RANGE:
        return None
    narrow = np.min_scalar_type(span - 1)
    # Differences modulo 2^bits: exact, since they fit, and narrow from the start.
    codes = np.subtract(values, values.dtype.type(low), dtype=narrow, casting="unsafe")
    present = np.flatnonzero(sums_by_code(codes, span))
    wide = np.uint64 if high > np.iinfo(np.int64).max else np.int64
    if len(present) == span:
        return Discrete(codes, np.arange(span).astype(wide) + wide(low))
    places = np.zeros(span, np.min_scalar_type(len(present) - 1))
    places[present] = np.arange(len(present))
    return Discrete(places.take(codes), present.astype(wide) + wide(low))


def _whole(values: np.ndarray) -> Discrete | None:
    """Floats that are integers of a small range, coded as such; None if they are not."""
    found = whole_numbers(values, RANGE)
    if found is None or (small := _small_range(found.codes)) is None:
        return None
    return Discrete(small.codes, found.low + small.values.astype(np.float64))


def _encoded(values: np.ndarray) -> Discrete | None:
    """Numbers by way of Arrow's dictionary; None where they have more than `MOST` values."""
    if values.dtype.kind == "f":
        if (whole := _whole(values)) is not None:
            return whole
        values = values + 0.0  # of 0 and −0 one is enough
    start = 100 * SAMPLE
    if len(values) > 2 * start and len(pa.array(values[:start]).unique()) > MOST:
        return None
    encoding: Any = pa.array(values).dictionary_encode()
    distinct = encoding.dictionary.to_numpy(zero_copy_only=False)
    if len(distinct) > MOST:
        return None
    order = np.argsort(distinct)
    places = np.empty(len(order), np.min_scalar_type(len(order) - 1))
    places[order] = np.arange(len(order))
    wide = {"i": np.int64, "u": np.uint64}.get(distinct.dtype.kind, np.float64)
    return Discrete(places.take(encoding.indices.to_numpy(zero_copy_only=False)), distinct[order].astype(wide))
