"""Least squares: the evidence of normal responses about coefficients is a triangle, the best coefficients, and what is left.

    Σ w (y − x·b)² = ‖R (b − b̂)‖² + rss,      RᵀR = Xᵀ diag(w) X

Few rows are decomposed by Householder's QR, with the solution refined in sums of two numbers (Björck 1967): it is then as good as
the numbers in X allow, whatever their condition. Many rows are summed to XᵀX first; their residuals correct what was lost by it
(the corrected semi-normal equations, Björck 1987). Rows that do not fit into memory are decomposed block by block.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from surprax.regression.design import Dense, Design
from surprax.regression.powers import two_product
from surprax.regression.rows import Rows

__all__ = ["Triangle", "least_squares"]

FEW = 2_000_000
"""Numbers in X up to which it is decomposed as it is."""

BLOCK = 1 << 15
REFINEMENTS = 12


@dataclass(frozen=True)
class Triangle:
    """Evidence about coefficients.

    Attributes:
        R: upper triangle, shape (p, p).
        b: the best coefficients, shape (p,).
        rss: Σ w (y − x·b̂)².
        how: what was done, in words.
    """

    R: np.ndarray
    b: np.ndarray
    rss: float
    how: str

    @property
    def full_rank(self) -> bool:
        """Whether no column is a combination of others, but for rounding."""
        size = np.abs(np.diagonal(self.R))
        return bool(np.all(size > 1e-13 * np.linalg.norm(self.R, axis=0)))

    def rows(self, names: tuple[str, ...]) -> Rows:
        """p rows that have the same evidence, but for rss."""
        p = len(self.b)
        return Rows(Design(names, [Dense(self.R)]), self.R @ self.b, np.ones(p), np.ones(p))


def least_squares(source: Any) -> Triangle | None:
    """The evidence of rows (or of anything that has `parts`); None where columns are combinations of each other."""
    if isinstance(source, Rows) and source.n * source.design.p <= FEW:
        return _decomposed(source)
    R = _triangle(source)
    if R is None:
        return None
    p = R.shape[0]
    b, rss = np.zeros(p), 0.0
    for _ in range(3):
        g, rss = np.zeros(p), 0.0
        for rows in source.parts():
            w = rows.weights * rows.precision
            left = rows.y - rows.eta(b)
            g += rows.design.transposed(w * left)
            rss += float(w @ left**2)
        step = scipy.linalg.solve_triangular(R, scipy.linalg.solve_triangular(R, g, trans="T"))
        gain = float(np.sum((R @ step) ** 2))
        if gain <= 1e-20 * rss:
            break
        b, rss = b + step, max(rss - gain, 0.0)
    return Triangle(R, b, rss, "triangle of XᵀX")


def _triangle(source: Any) -> np.ndarray | None:
    """R with RᵀR = XᵀWX."""
    G: Any = 0.0
    for rows in source.parts():
        G = G + rows.design.gram(rows.weights * rows.precision)
    scale = np.sqrt(np.maximum(np.diagonal(G), 1e-300))
    try:
        R = scipy.linalg.cholesky(G / np.outer(scale, scale))
        if np.min(np.diagonal(R)) > 1e-5:
            return R * scale
    except np.linalg.LinAlgError:
        pass
    R = np.zeros((0, len(scale)))
    for rows in source.parts():
        root = np.sqrt(rows.weights * rows.precision)
        for run, part in rows.design.parts(BLOCK):
            R = scipy.linalg.qr(np.vstack([R, root[run, None] * part.matrix() / scale]), mode="r", overwrite_a=True)[0]
            R = R[: len(scale)]
    triangle = Triangle(R * scale, scale, 0.0, "")
    return triangle.R if len(R) == len(scale) and triangle.full_rank else None


def _decomposed(rows: Rows) -> Triangle | None:
    root = np.sqrt(rows.weights * rows.precision)
    X = root[:, None] * rows.design.matrix()
    y = root * (rows.y if rows.offset is None else rows.y - rows.offset)
    n, p = X.shape
    if n < p:
        return None
    scale = _powers_of_two(np.linalg.norm(X, axis=0))
    X = X / scale
    rest = None if rows.rest is None else root[:, None] * rows.rest / scale
    Q, R = scipy.linalg.qr(X, mode="economic")
    triangle = Triangle(R * scale, scale, 0.0, "QR")
    if not triangle.full_rank:
        return None
    b = scipy.linalg.solve_triangular(R, Q.T @ y)
    left = y - X @ b
    before = np.inf
    for _ in range(REFINEMENTS):
        f = _residual(y, left, X, b, rest)
        g = -_residual(np.zeros(p), np.zeros(p), np.ascontiguousarray(X.T), -left, None if rest is None else rest.T)
        h = scipy.linalg.solve_triangular(R, g, trans="T")
        along = Q.T @ f
        step = scipy.linalg.solve_triangular(R, along - h)
        size = float(np.max(np.abs(step) / np.maximum(np.abs(b), 1e-300), initial=0.0))
        if not size < 0.5 * before:
            break
        b, left, before = b + step, left + (Q @ h + (f - Q @ along)), size
        if size < 1e-16:
            break
    return Triangle(_corrected(X, Q, R, rest) * scale, b / scale, float(left @ left), "QR")


def _corrected(X: np.ndarray, Q: np.ndarray, R: np.ndarray, rest: np.ndarray | None) -> np.ndarray:
    """The triangle of X + rest: E = X + rest − Q R is what rounding left out, and RᵀR + RᵀQᵀE + EᵀQR what it should have been."""
    if not R.size or np.linalg.cond(R) < 1e4:
        return R
    none = np.zeros(len(X))
    E = np.stack([_residual(x, none, Q, r, None) for x, r in zip(X.T, R.T)], axis=1)
    M = scipy.linalg.solve_triangular(R, (Q.T @ (E if rest is None else E + rest)).T, trans="T").T
    try:
        return np.asarray(scipy.linalg.cholesky(np.eye(len(R)) + M + M.T) @ R)
    except np.linalg.LinAlgError:
        return R


def _powers_of_two(size: np.ndarray) -> np.ndarray:
    return np.exp2(np.round(np.log2(np.where(size > 0, size, 1.0))))


def _residual(y: np.ndarray, left: np.ndarray, X: np.ndarray, b: np.ndarray, rest: np.ndarray | None) -> np.ndarray:
    """y − left − (X + rest) b, each product and sum kept as two numbers, rounded once at the end."""
    high, low = _two_sum(y, -left)
    for j in range(X.shape[1]):
        product, error = two_product(X[:, j], b[j : j + 1])
        high, lost = _two_sum(high, -product)
        low = low + (lost - error)
    return high + (low if rest is None else low - rest @ b)


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
