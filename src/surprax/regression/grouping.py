"""Rows grouped by combinations of codes, and sums by group, a run of rows at a time: nothing as long as the data is made."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Grouping", "is_one", "tabulated"]

RUN = 1 << 17
"""Rows at a time: keys and values of these stay in the cache."""

SPARSE = 1 << 16
SAMPLE = 4000


class Grouping:
    """Groups of rows that have the same codes.

    Args:
        parts: pairs of codes, shape (n,), and how many levels they have.
        n: how many rows there are.

    Attributes:
        m: how many groups occur; None where they were not looked for, there being too many.
        first: a row of each group, shape (m,).

    >>> groups = Grouping([(np.array([0, 1, 1, 0]), 2), (np.array([2, 0, 0, 2]), 3)], 4)
    >>> groups.m, groups.sums(), groups.sums(np.array([1.0, 2.0, 3.0, 4.0]))
    (2, array([2., 2.]), array([5., 5.]))
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, int]], n: int) -> None:
        self._parts, self.n = parts, n
        self._size = 1
        for _, levels in parts:
            self._size *= levels
        self.m: int | None = None
        self._hashed: np.ndarray | None = None
        if self._size <= max(2 * n, SPARSE):
            counts = np.zeros(self._size, np.intp)
            some_row = np.zeros(self._size, np.intp)
            for run, key in self._keys():
                counts += np.bincount(key, minlength=self._size)
                some_row[key] = np.arange(run.start, run.stop)
            self._seen = np.flatnonzero(counts)
            self._counts = counts[self._seen].astype(np.float64)
            self.m, self.first = len(self._seen), some_row[self._seen]
        elif self._size < 2**62 and not self._seem_many():
            self._hash()

    def _keys(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows, and the combined code of each row."""
        for start in range(0, self.n, RUN):
            run = slice(start, min(start + RUN, self.n))
            key = np.zeros(run.stop - run.start, np.intp)
            for codes, levels in self._parts:
                key *= levels
                key += codes[run]
            yield run, key

    def _seem_many(self) -> bool:
        """Whether in a sample of the rows nearly all groups differ."""
        if self.n <= SAMPLE:
            return False
        picked = np.random.default_rng(0).choice(self.n, SAMPLE, replace=False)
        key = np.zeros(SAMPLE, np.int64)
        for codes, levels in self._parts:
            key = key * levels + codes[picked]
        return len(np.unique(key)) > 0.9 * SAMPLE

    def _hash(self) -> None:
        coded = pc.dictionary_encode(pa.array(np.concatenate([key for _, key in self._keys()])))
        self.m = len(coded.dictionary)
        self._hashed = coded.indices.to_numpy().astype(np.intp)
        self._counts = np.bincount(self._hashed, minlength=self.m).astype(np.float64)
        self.first = np.zeros(self.m, np.intp)
        self.first[self._hashed] = np.arange(self.n)

    @functools.cached_property
    def key(self) -> np.ndarray:
        """The group of each row, shape (n,)."""
        if self._hashed is not None:
            return self._hashed
        place = np.zeros(self._size, np.intp)
        place[self._seen] = np.arange(len(self._seen))
        return np.concatenate([place[key] for _, key in self._keys()]) if self.n else np.zeros(0, np.intp)

    def sums(self, values: np.ndarray | None = None, weights: np.ndarray | None = None) -> np.ndarray:
        """Σ w x by group, shape (m,); the number of rows for neither."""
        if values is None and weights is None:
            return self._counts
        if values is None:
            assert weights is not None
            values, weights = weights, None
        assert self.m is not None
        if self._hashed is not None:
            return np.bincount(self._hashed, values if weights is None else weights * values, self.m)
        total = np.zeros(self._size)
        for run, key in self._keys():
            x = values[run] if weights is None else weights[run] * values[run]
            total += np.bincount(key, x, self._size)
        return total[self._seen]


def is_one(values: np.ndarray) -> bool:
    """Whether all are 1; known without a look where one number stands for all (a broadcast view)."""
    if values.ndim and values.strides[0] == 0 and len(values):
        return bool(values[0] == 1.0)
    return all(bool(np.all(values[start : start + RUN] == 1.0)) for start in range(0, len(values), RUN))


def tabulated(y: np.ndarray, weights: np.ndarray, most: int = 4096) -> tuple[np.ndarray, np.ndarray] | None:
    """Distinct values and how much weight each has, where they are whole numbers in a short range; None elsewhere.

    >>> tabulated(np.array([2.0, 0.0, 2.0]), np.ones(3))
    (array([0., 2.]), array([1., 2.]))
    """
    if not len(y):
        return None
    low, high = float(np.min(y)), float(np.max(y))
    if not high - low <= most:
        return None
    size = int(high - low) + 1
    total = np.zeros(size)
    plain = is_one(weights)
    for start in range(0, len(y), RUN):
        part = y[start : start + RUN] - low
        codes = part.astype(np.intp)
        if np.any(codes != part):
            return None
        total += np.bincount(codes, None if plain else weights[start : start + RUN], size)
    (seen,) = np.nonzero(total)
    return low + seen, total[seen]
