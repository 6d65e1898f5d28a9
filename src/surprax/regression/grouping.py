"""Rows grouped by combinations of codes, and sums by group, a run of rows at a time: nothing as long as the data is made."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RUN", "Grouping", "Whole", "is_one", "sums_by_code", "tabulated", "whole_numbers"]

RUN = 1 << 17
"""Rows at a time: keys and values of these stay in the cache."""

SPARSE = 1 << 16
SAMPLE = 4000


def _runs(n: int, least: int = RUN) -> Iterator[slice]:
    for start in range(0, n, step := max(RUN, least)):
        yield slice(start, min(start + step, n))


class Grouping:
    """Groups of rows that have the same codes.

    Args:
        parts: pairs of codes, shape (n,), and how many levels they have.
        n: how many rows there are.

    Attributes:
        m: how many groups occur; None where they were not looked for, there being too many.

    >>> groups = Grouping([(np.array([0, 1, 1, 0]), 2), (np.array([2, 0, 0, 2]), 3)], 4)
    >>> groups.m, groups.sums(), groups.sums(np.array([1.0, 2.0, 3.0, 4.0])), groups.codes
    (2, array([2., 2.]), array([5., 5.]), [array([0, 1]), array([2, 0])])
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, int]], n: int) -> None:
        self._parts, self.n = parts, n
        self._size = 1
        for _, levels in parts:
            self._size *= levels
        self.m: int | None = None
        self._hashed: np.ndarray | None = None
        if self._size <= max(2 * n, SPARSE):
            counts = np.zeros(self._size)
            for _, key in self._keys():
                counts += np.bincount(key, minlength=self._size)
            self._seen = np.flatnonzero(counts)
            self._counts = counts[self._seen]
            self.m = len(self._seen)
        elif self._size < 2**62 and not self._seem_many():
            self._hash()

    def _keys(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows, and the combined code of each row, of the narrowest type."""
        kind = np.min_scalar_type(self._size)
        for run in _runs(self.n, min(self._size, self.n)):
            key = self._parts[0][0][run].astype(kind) if self._parts else np.zeros(run.stop - run.start, kind)
            for codes, levels in self._parts[1:]:
                key *= kind.type(levels)
                key += codes[run].astype(kind, copy=False)
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
        self._seen = coded.dictionary.to_numpy().astype(np.int64)
        self.m = len(self._seen)
        self._hashed = coded.indices.to_numpy()
        self._counts = sums_by_code(self._hashed, self.m)

    @functools.cached_property
    def codes(self) -> list[np.ndarray]:
        """What each group has in each part, of shape (m,) each."""
        rest, found = self._seen, []
        for _, levels in reversed(self._parts):
            rest, one = np.divmod(rest, levels)
            found.append(one)
        return found[::-1]

    def runs(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows, and the group of each row."""
        if self._hashed is not None:
            yield from ((run, self._hashed[run]) for run in _runs(self.n))
            return
        place = np.zeros(self._size, np.intp)
        place[self._seen] = np.arange(len(self._seen))
        yield from ((run, place.take(key)) for run, key in self._keys())

    @functools.cached_property
    def key(self) -> np.ndarray:
        """The group of each row, shape (n,)."""
        return np.concatenate([group for _, group in self.runs()]).astype(np.intp, copy=False)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """A row of each group, shape (m,)."""
        assert self.m is not None
        some = np.zeros(self.m, np.intp)
        for run, group in self.runs():
            some[group] = np.arange(run.start, run.stop)
        return some

    def sums(self, values: np.ndarray | None = None, weights: np.ndarray | None = None) -> np.ndarray:
        """Σ w x by group, shape (m,); the number of rows for neither."""
        if values is None and weights is None:
            return self._counts
        if values is None:
            values, weights = weights, None
        assert values is not None
        assert self.m is not None
        size = self.m if self._hashed is not None else self._size
        total = np.zeros(size)
        for run, key in self._keys() if self._hashed is None else self.runs():
            total += np.bincount(key, values[run] if weights is None else weights[run] * values[run], size)
        return total if self._hashed is not None else total[self._seen]


def sums_by_code(codes: np.ndarray, levels: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Σ w by code, shape (levels,), float64; how often each occurs where there are no weights.

    >>> sums_by_code(np.array([2, 0, 2], np.uint8), 4)
    array([1., 0., 2., 0.])
    """
    total = np.zeros(levels)
    for run in _runs(len(codes), levels):
        total += np.bincount(codes[run], None if weights is None else weights[run], levels)
    return total


def is_one(values: np.ndarray) -> bool:
    """Whether all are 1; known without a look where one number stands for all (a broadcast view)."""
    if values.ndim and values.strides[0] == 0 and len(values):
        return bool(values[0] == 1.0)
    return all(bool(np.all(values[run] == 1.0)) for run in _runs(len(values)))


class Whole(NamedTuple):
    """Whole numbers of a short range: row i has low + codes[i], of which there are `levels`, whether or not all occur."""

    low: float
    codes: np.ndarray
    levels: int


def whole_numbers(values: np.ndarray, most: int = 4096) -> Whole | None:
    """Numbers, shape (n,), as their distances from the least, of the narrowest type; None unless they are whole, of `most` at most.

    >>> whole_numbers(np.array([2.0, 5.0, 2.0]))
    Whole(low=2.0, codes=array([0, 3, 0], dtype=uint8), levels=4)
    """
    if not len(values):
        return None
    low, high = float(np.min(values)), float(np.max(values))
    if not (high - low < most and low == np.floor(low)):
        return None
    codes = np.empty(len(values), np.min_scalar_type(int(high - low)))
    for run in _runs(len(values)):
        part = values[run] - low if low else values[run]
        codes[run] = part
        if np.any(codes[run] != part):
            return None
    return Whole(low, codes, int(high - low) + 1)


def tabulated(whole: Whole, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of whole numbers, and how much weight each has.

    >>> tabulated(whole_numbers(np.array([2.0, 0.0, 2.0])), np.ones(3))
    (array([0., 2.]), array([1., 2.]))
    """
    total = sums_by_code(whole.codes, whole.levels, None if is_one(weights) else weights)
    (seen,) = np.nonzero(total)
    return whole.low + seen, total[seen]
