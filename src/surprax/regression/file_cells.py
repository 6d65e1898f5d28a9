"""Cells of a file, added up while it is read: sums of the rows that have one combination of discrete values.

W = Σ w,      ȳ = Σ w y/W,      Σ w (y − ȳ)² (Chan, Golub & LeVeque 1983)

Of counts y with exposures e, rates y/e with weights w e are summed so: then Σ w (y − μ e)²/(μ e) follows from these sums as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from surprax.regression.rows import Rows

__all__ = ["CellRows", "CellSums"]

MOST = 1 << 20
"""Cells are given up where there are more: their sums would take as much memory as blocks do."""

FEW = 1 << 18
WORTH = 2


@dataclass(frozen=True, eq=False)
class CellRows(Rows):
    """Rows that are cells of others.

    Attributes:
        gaps: Σ w p (yᵢ − y)² of the responses of each cell, or what takes its place in Pearson's χ², shape (n,).
    """

    gaps: Any = None

    @property
    def spread(self) -> np.ndarray | None:
        return self.gaps


@final
class CellSums:
    """Sums by combination of codes.

    Args:
        width: how many codes a combination has.

    Attributes:
        given_up: whether there were too many combinations.
        combinations: those that occur, shape (width, m).
        first: the row of the file in which each occurs first.
        weight, mean, gaps: W, ȳ and Σ w (y − ȳ)².
        count: Σ of other weights.

    >>> cells = CellSums(1)
    >>> for codes, y in (([0, 1, 0], [1.0, 5.0, 3.0]), ([2, 0], [7.0, 5.0])):
    ...     rows = np.arange(len(y))
    ...     cells.add([np.array(codes)], [3], rows, np.ones(len(y)), np.array(y))
    >>> cells.combinations, cells.weight, cells.mean, cells.gaps
    (array([[0, 1, 2]]), array([3., 1., 1.]), array([3., 5., 7.]), array([8., 0., 0.]))
    """

    def __init__(self, width: int) -> None:
        self.given_up, self._width, self._seen = False, width, 0
        self._begin()

    def _begin(self) -> None:
        self.combinations = np.zeros((self._width, 0), np.int64)
        self.first = np.zeros(0, np.int64)
        self.weight, self.count, self.mean, self.gaps = (np.zeros(0) for _ in range(4))

    def give_up(self) -> None:
        """Forgets all."""
        self._begin()
        self.given_up = True

    def add(
        self,
        codes: Sequence[np.ndarray | None],
        sizes: Sequence[int],
        rows: np.ndarray,
        weights: np.ndarray,
        y: np.ndarray,
        counts: np.ndarray | None = None,
    ) -> None:
        """A block.

        Args:
            codes: of each row, `width` arrays (n,); None for a variable of too many values.
            sizes: how many codes each variable has by now.
            rows: which rows of the file these are.
            weights, y: of each row.
            counts: other weights; the same if not given.
        """
        total = int(np.prod([float(size) for size in sizes])) if sizes else 1
        if self.given_up or total >= 2**62 or any(one is None for one in codes):
            return self.give_up()
        n = len(rows)
        self._seen += n
        keys = np.zeros(n, np.int64)
        for one, size in zip(codes, sizes):
            keys *= size
            keys += one  # type: ignore[arg-type]
        found, first, place = _distinct(keys, total)
        m = len(found)
        weight = np.bincount(place, weights, m)
        mean = np.bincount(place, weights * y, m) / np.where(weight > 0, weight, 1.0)
        mean = np.where(weight > 0, mean, y[first])
        gaps = np.bincount(place, weights * (y - mean[place]) ** 2, m)
        count = weight if counts is None else np.bincount(place, counts, m)
        known = np.zeros(self.combinations.shape[1], np.int64)
        for one, size in zip(self.combinations, sizes):
            known *= size
            known += one
        keys, parts = np.concatenate([known, found]), (weight, count, mean, gaps, rows[first])
        self._merge(keys, parts, sizes)
        if len(self.weight) > min(MOST, max(FEW, self._seen // WORTH)):
            self.give_up()
        return None

    def _merge(self, keys: np.ndarray, parts: tuple[np.ndarray, ...], sizes: Sequence[int]) -> None:
        whole = [np.concatenate([mine, theirs]) for mine, theirs in zip(self._parts, parts)]
        found, first, place = np.unique(keys, return_index=True, return_inverse=True)
        weight, count, mean, gaps, rows = whole
        m = len(found)
        self.weight, self.count = np.bincount(place, weight, m), np.bincount(place, count, m)
        self.mean = np.bincount(place, weight * mean, m) / np.where(self.weight > 0, self.weight, 1.0)
        self.mean = np.where(self.weight > 0, self.mean, mean[first])
        between = weight * (mean - self.mean[place]) ** 2
        self.gaps, self.first = np.bincount(place, gaps + between, m), rows[first]
        combinations = np.empty((len(sizes), m), np.int64)
        for i in range(len(sizes) - 1, -1, -1):
            found, combinations[i] = np.divmod(found, sizes[i])
        self.combinations = combinations

    @property
    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.weight, self.count, self.mean, self.gaps, self.first

    @property
    def worth_it(self) -> bool:
        """Whether the cells are so many fewer than the rows."""
        return not self.given_up and len(self.weight) * WORTH <= self._seen


def _distinct(keys: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The keys that occur, where each occurs first, and the place of each row's."""
    n = len(keys)
    if total > max(2 * n, 1 << 16):
        found, first, place = np.unique(keys, return_index=True, return_inverse=True)
        return found, first, place
    found = np.flatnonzero(np.bincount(keys, minlength=total))
    rank = np.zeros(total, np.intp)
    rank[found] = np.arange(len(found))
    place = rank[keys]
    first = np.zeros(len(found), np.intp)
    first[place[::-1]] = np.arange(n - 1, -1, -1)
    return found, first, place
