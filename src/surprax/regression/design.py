"""Design matrices in blocks: columns of numbers, and columns that depend on a row only through a code.

    η = X b,      Xᵀu,      Xᵀ diag(v) X

A categorical covariate with L levels is n codes and a small table, not n × L numbers; sums over rows are sums by code first.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsyrk

__all__ = ["Block", "Coded", "Dense", "Design"]

AT_ONCE = 1 << 14
"""Rows of a dense block that are multiplied at once: they stay in the cache."""

ALONE = 500_000
"""Products that BLAS makes without threads, which on a busy machine wait for each other longer than they work."""


@dataclass(frozen=True)
class Dense:
    """Columns of numbers.

    Attributes:
        matrix: shape (n, c), float64.
    """

    matrix: np.ndarray

    @property
    def width(self) -> int:
        return self.matrix.shape[1]

    def rows(self, picked: slice | np.ndarray) -> "Dense":
        return Dense(self.matrix[picked])


@dataclass(frozen=True)
class Coded:
    """Columns that depend on a row through its code: row i has table[codes[i]].

    Attributes:
        codes: shape (n,), integers from 0 to L − 1.
        table: shape (L, c), float64.
    """

    codes: np.ndarray
    table: np.ndarray

    @property
    def width(self) -> int:
        return self.table.shape[1]

    @functools.cached_property
    def indicators(self) -> np.ndarray | None:
        """Which level each column is the indicator of, where all columns are such."""
        one = np.argmax(self.table, axis=0) if self.table.size else np.zeros(self.width, int)
        expected = np.zeros_like(self.table)
        expected[one, np.arange(self.width)] = 1.0
        return one if np.array_equal(expected, self.table) else None

    def rows(self, picked: slice | np.ndarray) -> "Coded":
        return Coded(self.codes[picked], self.table)

    def sums(self, u: np.ndarray) -> np.ndarray:
        """Σ u by level, shape (L,)."""
        if len(self.table) == 1:
            return np.array([u.sum()])
        return np.bincount(self.codes, u, len(self.table))

    def tabled(self, by_level: np.ndarray) -> np.ndarray:
        """tableᵀ of what has been summed by level, shape (L, …)."""
        return by_level[self.indicators] if self.indicators is not None else self.table.T @ by_level


type Block = Dense | Coded


class Design:
    """A matrix X of n rows and p named columns.

    Args:
        names: of the columns.
        blocks: the columns, in groups.
        columns: which columns each block has, as positions in `names`; in order, one after the other, if not given.

    >>> import numpy as np
    >>> region = Coded(np.array([0, 1, 1, 2]), np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> X = Design(["Intercept", "b", "c"], [Dense(np.ones((4, 1))), region])
    >>> X.linear(np.array([1.0, 10.0, 100.0]))
    array([  1.,  11.,  11., 101.])
    >>> X.transposed(np.array([1.0, 2.0, 3.0, 4.0]))
    array([10.,  5.,  4.])
    >>> X.gram(np.ones(4))
    array([[4., 2., 1.],
           [2., 2., 0.],
           [1., 0., 1.]])
    """

    def __init__(
        self, names: Sequence[str], blocks: Sequence[Block], columns: Sequence[np.ndarray] | None = None
    ) -> None:
        self.names, self.blocks = tuple(names), tuple(blocks)
        if columns is None:
            ends = np.cumsum([0, *(block.width for block in blocks)])
            columns = [np.arange(low, high) for low, high in itertools.pairwise(ends)]
        self.columns = tuple(np.asarray(places, int) for places in columns)
        first = self.blocks[0]
        self.n = len(first.matrix if isinstance(first, Dense) else first.codes)
        self.p = len(self.names)

    def __iter__(self) -> Iterator[tuple[Block, np.ndarray]]:
        return iter(zip(self.blocks, self.columns))

    def rows(self, picked: slice | np.ndarray) -> "Design":
        """The design of some rows."""
        return Design(self.names, [block.rows(picked) for block in self.blocks], self.columns)

    def parts(self, rows: int) -> Iterator[tuple[slice, "Design"]]:
        """Designs of runs of at most so many rows."""
        for start in range(0, self.n, rows):
            run = slice(start, min(start + rows, self.n))
            yield run, self.rows(run)

    def linear(self, b: np.ndarray) -> np.ndarray:
        """X b, shape (n,); of a matrix b (p, k), shape (n, k)."""
        out = np.zeros((self.n, *b.shape[1:]))
        for block, places in self:
            if isinstance(block, Dense):
                out += block.matrix @ b[places]
            else:
                out += (block.table @ b[places]).take(block.codes, axis=0)
        return out

    def transposed(self, u: np.ndarray) -> np.ndarray:
        """Xᵀ u, shape (p,)."""
        out = np.zeros(self.p)
        for block, places in self:
            if isinstance(block, Dense):
                out[places] += np.einsum("i,ij->j", u, block.matrix)  # memory is the limit: threads would only wait
            else:
                out[places] += block.tabled(block.sums(u))
        return out

    def gram(self, v: np.ndarray) -> np.ndarray:
        """Xᵀ diag(v) X, shape (p, p), for weights v of any sign."""
        out = np.zeros((self.p, self.p))
        pairs = list(self)
        for i, (block, places) in enumerate(pairs):
            out[np.ix_(places, places)] = _own(block, v)
            for other, others in pairs[:i]:
                part = _cross(block, other, v)
                out[np.ix_(places, others)] = part
                out[np.ix_(others, places)] = part.T
        return out

    def quadratic(self, A: np.ndarray) -> np.ndarray:
        """xᵀ A x for the row x of each observation, shape (n,)."""
        out = np.empty(self.n)
        for run, part in self.parts(AT_ONCE):
            matrix = part.matrix()
            out[run] = np.einsum("ij,ij->i", matrix @ A, matrix)
        return out

    def column(self, j: int) -> np.ndarray:
        """Column j as numbers, shape (n,)."""
        for block, places in self:
            (where,) = np.nonzero(places == j)
            if len(where):
                return (
                    block.matrix[:, where[0]]
                    if isinstance(block, Dense)
                    else block.table[:, where[0]].take(block.codes)
                )
        raise IndexError(f"A design of {self.p} columns has none of number {j}.")

    def matrix(self) -> np.ndarray:
        """All columns as numbers, shape (n, p)."""
        out = np.zeros((self.n, self.p))
        for block, places in self:
            out[:, places] = block.matrix if isinstance(block, Dense) else block.table[block.codes]
        return out


def _own(block: Block, v: np.ndarray) -> np.ndarray:
    if isinstance(block, Coded):
        weights = block.sums(v)
        if block.indicators is not None:
            return np.diag(weights[block.indicators])
        return block.table.T @ (weights[:, None] * block.table)
    total = _squares(block.matrix, np.maximum(v, 0.0))
    if np.any(v < 0):
        total -= _squares(block.matrix, np.maximum(-v, 0.0))
    return total


def _squares(matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Mᵀ diag(v) M for v ≥ 0; BLAS makes one half of it."""
    width = matrix.shape[1]
    total = np.zeros((width, width), order="F")
    run = min(max(ALONE // max(width * width, 1), 256), AT_ONCE)
    for start in range(0, len(matrix), run):
        part = np.sqrt(v[start : start + run])[:, None] * matrix[start : start + run]
        total = dsyrk(1.0, part.T, beta=1.0, c=total, overwrite_c=True)
    return total + np.triu(total, 1).T


def _cross(one: Block, other: Block, v: np.ndarray) -> np.ndarray:
    if isinstance(one, Dense) and isinstance(other, Coded):
        return _cross(other, one, v).T
    if isinstance(one, Coded) and isinstance(other, Coded):
        L, M = len(one.table), len(other.table)
        if L == 1:
            return one.tabled(other.tabled(other.sums(v))[None, :])
        if M == 1:
            return _cross(other, one, v).T
        both = np.bincount(one.codes.astype(np.intp) * M + other.codes, v, L * M).reshape(L, M)
        return one.tabled(other.tabled(both.T).T)
    if isinstance(one, Coded) and isinstance(other, Dense):
        if len(one.table) == 1:
            return one.tabled(np.einsum("i,ij->j", v, other.matrix)[None, :])
        sums = [one.sums(v * other.matrix[:, j]) for j in range(other.width)]
        return one.tabled(np.stack(sums, axis=1) if sums else np.zeros((len(one.table), 0)))
    assert isinstance(one, Dense)
    assert isinstance(other, Dense)
    total = np.zeros((one.width, other.width))
    for start in range(0, len(v), AT_ONCE):
        run = slice(start, start + AT_ONCE)
        total += one.matrix[run].T @ (v[run, None] * other.matrix[run])
    return total
