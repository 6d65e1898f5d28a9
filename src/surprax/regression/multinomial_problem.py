"""The log-likelihood of a softmax model of categories, and its derivatives.

p_k = exp(x·b_k) / Σ_j exp(x·b_j),      b_0 = 0
−ℓ = −Σ w Σ_k Y_k log p_k,      ∂/∂b_j = Xᵀ w (N p_j − Y_j),      ∂²/∂b_j∂b_k = Xᵀ diag(w N p_j (δ_jk − p_k)) X
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from surprax.regression.base import LinearlyCoordinated
from surprax.regression.compression import grouped, numbers_dense
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.design import Coded, Design
from surprax.regression.rows import Totals

__all__ = ["CategoryRows", "Cells", "MultinomialProblem", "cells_of", "softmax"]


@dataclass(frozen=True, eq=False)
class CategoryRows:
    """Rows whose responses are categories, or counts of each category.

    Attributes:
        design: n rows, p columns.
        codes: the category of each row, shape (n,); None for counts.
        counts: how often each category occurred in each row, shape (n, K); None for categories.
        classes: the K categories; the first one is the baseline.
        weights: how often each row occurs.
    """

    design: Design
    codes: np.ndarray | None
    counts: np.ndarray | None
    classes: tuple[str, ...]
    weights: np.ndarray

    @property
    def n(self) -> int:
        """How many there are."""
        return self.design.n

    @functools.cached_property
    def trials(self) -> np.ndarray:
        """N of each row, shape (n,)."""
        return np.ones(self.n) if self.counts is None else self.counts.sum(axis=1)

    def some(self, picked: np.ndarray) -> "CategoryRows":
        """Some of them."""

        def cut(part: np.ndarray | None) -> np.ndarray | None:
            return None if part is None else part[picked]

        design, weights = self.design.rows(picked), self.weights[picked]
        return CategoryRows(design, cut(self.codes), cut(self.counts), self.classes, weights)

    def table(self) -> np.ndarray:
        """Y, shape (K, n)."""
        return self.summed(np.ones(self.n), None, self.n)

    def summed(self, weights: np.ndarray, key: np.ndarray | None, cells: int) -> np.ndarray:
        """Σ w Y by cell, shape (K, cells); rows are cells if there is no key."""
        K = len(self.classes)
        key = np.arange(self.n) if key is None else key
        if self.codes is not None:
            return np.bincount(self.codes * cells + key, weights, K * cells).reshape(K, cells)
        assert self.counts is not None
        return np.stack([np.bincount(key, weights * column, cells) for column in self.counts.T])

    def picked(self, log_p: np.ndarray) -> np.ndarray:
        """Σ_k Y_k log p_k of each row, shape (n,)."""
        if self.codes is not None:
            return log_p[self.codes, np.arange(self.n)]
        assert self.counts is not None
        return np.einsum("ki,ik->i", log_p, self.counts)

    @functools.cached_property
    def log_ways(self) -> np.ndarray | float:
        """log(N!/ΠY!) of each row; 0 for categories."""
        if self.counts is None:
            return 0.0
        log_factorial = scipy.special.gammaln
        return log_factorial(self.trials + 1.0) - np.sum(log_factorial(self.counts + 1.0), axis=1)


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows by covariate vector.

    Attributes:
        design: of the cells.
        key: the cell of each row, shape (n,); None where rows are cells.
        note: what was done: "10,000 rows → 12 cells"; "" for nothing.
    """

    design: Design
    key: np.ndarray | None
    note: str


def cells_of(rows: CategoryRows) -> Cells:
    """Rows with one covariate vector put together, where covariates are discrete and this makes them fewer by half at least."""
    blocks = rows.design.blocks
    if not all(isinstance(block, Coded) for block in blocks):
        return Cells(rows.design, None, "")
    parts = {id(b.codes): (b.codes, len(b.table)) for b in blocks if isinstance(b, Coded) and len(b.table) > 1}
    found = grouped(list(parts.values()), rows.n)
    if found is None:
        return Cells(numbers_dense(rows.design), None, "")
    return Cells(rows.design.rows(found.first), found.key, f"{rows.n:,} rows → {found.m:,} cells")


def softmax(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and log p, shapes (K, n), of linear predictors (K − 1, n) besides the baseline's, which is 0.

    >>> softmax(np.array([[np.log(3.0)]]))[0].round(12)
    array([[0.25],
           [0.75]])
    """
    log_p = np.concatenate([np.zeros((1, eta.shape[1])), eta])
    log_p -= np.max(log_p, axis=0)
    p = np.exp(log_p)
    total = np.sum(p, axis=0)
    p /= total
    log_p -= np.log(total)
    return p, log_p


class MultinomialProblem(LinearlyCoordinated):
    """−log-likelihood of categories, to be minimised over coefficients b_1 … b_{K−1}, one after the other.

    Args:
        title: what is fitted, for people.
        original: the rows.
        cells: what they were put together to.
        coordinates: of the (K − 1) p coefficients.
        ridge: Λ of a penalty ½ bᵀΛb; None for none.
    """

    def __init__(
        self,
        title: str,
        original: CategoryRows,
        cells: Cells,
        coordinates: LinearCoordinates,
        ridge: np.ndarray | None = None,
    ) -> None:
        self.title, self.original, self.cells, self.ridge = title, original, cells, ridge
        self.coordinates = coordinates  # type: ignore[assignment]
        self.rows = float(np.sum(original.weights))
        self.each = self._each_is_known
        self.response = None
        self.totals = Totals(self.rows, 0.0, np.ones(1), np.array([self.rows]))
        self.base = float(np.sum(original.weights * original.log_ways))
        self.counts = original.summed(original.weights, cells.key, cells.design.n)
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def _each_is_known(self, values: Any, data: Any) -> Any:
        raise NotImplementedError

    def with_coordinates(self, coordinates: Any) -> "MultinomialProblem":
        return MultinomialProblem(self.title, self.original, self.cells, coordinates, self.ridge)

    def matrix_of(self, z: np.ndarray) -> np.ndarray:
        """Coefficients at z, shape (K − 1, p)."""
        return self.linear.coefficients(z).reshape(-1, self.cells.design.p)

    def probabilities(self, z: np.ndarray, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """p and log p for the rows of a design, shapes (K, n)."""
        return softmax(np.stack([design.linear(b) for b in self.matrix_of(z)]))

    def _here(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the cells, kept for the next call."""
        if self._last is None or not np.array_equal(self._last[0], z):
            self._last = (np.array(z), *self.probabilities(z, self.cells.design))
        return self._last[1:]

    def evaluate(
        self, z: np.ndarray, second: str = "", weights: Any = None, unit: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Value, gradient, and the Hessian if `second` is any word: the observed and the expected one are the same here.

        Args:
            z: free numbers.
            second: whether a Hessian is wanted.
            weights: of the rows, times their own.
            unit: without meaning here; other laws have a dispersion.
        """
        p, log_p = self._here(z)
        Y, base = self.counts, self.base
        if weights is not None:
            w = self.original.weights * np.asarray(weights)
            Y, base = self.original.summed(w, self.cells.key, p.shape[1]), float(np.sum(w * self.original.log_ways))
        X, N = self.cells.design, np.sum(Y, axis=0)
        value = -float(np.einsum("ki,ki->", Y, log_p)) - base
        gradient = np.concatenate([X.transposed(N * p_k - Y_k) for p_k, Y_k in zip(p[1:], Y[1:])])
        H = self._hessian(p, N) if second else None
        linear = self.linear
        if self.ridge is not None:
            b = linear.coefficients(z)
            pull = self.ridge @ b
            value, gradient = value + 0.5 * float(b @ pull), gradient + pull
            H = None if H is None else H + self.ridge
        if H is not None and linear.B is not None:
            H = linear.B.T @ H @ linear.B
        return value, linear.pulled_back(gradient), H

    def _hessian(self, p: np.ndarray, N: np.ndarray) -> np.ndarray:
        X, K = self.cells.design, len(p)
        H = np.empty((K - 1, X.p, K - 1, X.p))
        for j in range(1, K):
            N_j = N * p[j]
            H[j - 1, :, j - 1] = X.gram(
                N_j * (np.sum(p[:j], axis=0) + np.sum(p[j + 1 :], axis=0))
            )  # 1 − p_j, with its digits
            for k in range(1, j):
                H[j - 1, :, k - 1] = H[k - 1, :, j - 1] = -X.gram(N_j * p[k])
        return H.reshape((K - 1) * X.p, -1)

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Gradients of the log-likelihoods of the rows in the free numbers, each once whatever its weight, (n, d)."""
        rows, X = self.original, self.original.design.matrix()
        gap = rows.table() - rows.trials * self.probabilities(z, rows.design)[0]
        out = np.concatenate([X * each[:, None] for each in gap[1:]], axis=1)
        return out if self.linear.B is None else out @ self.linear.B
