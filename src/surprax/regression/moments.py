"""Evidence of normal responses about coefficients, as moments that add and subtract: of folds, sites, pieces.

    G = Σ w x xᵀ,      h = Σ w x y,      s = Σ w y²      with x and y from a common origin near their means

‖y − X b‖² = s − 2 hᵀb + bᵀG b for any b. All rows less a fold are the training set of the fold, without another look at them.
"""

from dataclasses import dataclass, replace

import numpy as np

from surprax.regression.design import Coded, Dense, Design
from surprax.regression.rows import Rows

__all__ = ["Moments", "Origin", "centres", "moments"]

AT_ONCE = 1 << 16
"""Rows that are centred at once."""


@dataclass(frozen=True)
class Moments:
    """Second moments.

    Attributes:
        G, h, s: as above, shapes (p, p), (p,), ().
        weight: Σ of the weights of rows.
    """

    G: np.ndarray
    h: np.ndarray
    s: float
    weight: float

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.G + other.G, self.h + other.h, self.s + other.s, self.weight + other.weight)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.G - other.G, self.h - other.h, self.s - other.s, self.weight - other.weight)

    def residual(self, b: np.ndarray) -> float:
        """Σ w (y − x·b)²; b counts from the origin. Its rounding error is that of s."""
        return max(float(self.s - 2.0 * (self.h @ b) + b @ (self.G @ b)), 0.0)


@dataclass(frozen=True)
class Origin:
    """Where covariates and responses are counted from.

    Attributes:
        x: shape (p,); 0 for the intercept and for indicators, which are small numbers as they are, and where there is no intercept.
        y: of responses less their offset.
        intercept: the intercept's place; None where there is none.
    """

    x: np.ndarray
    y: float
    intercept: int | None

    @classmethod
    def of(cls, rows: Rows, means: np.ndarray) -> "Origin":
        """An origin at the means of the columns, where an intercept makes up for it."""
        names = rows.design.names
        if "Intercept" not in names:
            return cls(np.zeros(len(names)), 0.0, None)
        x = np.array(means)
        x[names.index("Intercept")] = 0.0
        for block, places in rows.design:
            if isinstance(block, Coded) and block.indicators is not None:
                x[places] = 0.0
        w = rows.weights * rows.precision
        return cls(x, float(w @ _target(rows) / np.sum(w)), names.index("Intercept"))

    def back(self, b: np.ndarray) -> np.ndarray:
        """Coefficients of the data as they are, of those from this origin, shape (…, p)."""
        if self.intercept is None:
            return b
        out = np.array(b)
        out[..., self.intercept] += self.y - b @ self.x
        return out

    def moved(self, design: Design) -> Design:
        """A design from this origin."""
        blocks = [
            Dense(block.matrix - self.x[places])
            if isinstance(block, Dense)
            else replace(block, table=block.table - self.x[places])
            if np.any(self.x[places])
            else block
            for block, places in design
        ]
        return Design(design.names, blocks, design.columns)


def _target(rows: Rows) -> np.ndarray:
    return rows.y if rows.offset is None else rows.y - rows.offset


def centres(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means and standard deviations of the columns, shapes (p,); about 0, where there is no intercept."""
    w = rows.weights * rows.precision
    total = float(np.sum(w))
    mean, spread = np.zeros(rows.design.p), np.zeros(rows.design.p)
    about = float("Intercept" in rows.design.names)
    for block, places in rows.design:
        if isinstance(block, Dense):
            mean[places] = np.einsum("i,ij->j", w, block.matrix) / total
            for run in (slice(i, i + AT_ONCE) for i in range(0, rows.n, AT_ONCE)):
                spread[places] += np.einsum("i,ij->j", w[run], (block.matrix[run] - about * mean[places]) ** 2) / total
        else:
            share = block.sums(w) / total
            mean[places] = share @ block.table
            spread[places] = share @ (block.table - about * mean[places]) ** 2
    return mean, np.sqrt(spread)


def moments(rows: Rows, origin: Origin, labels: np.ndarray | None = None, folds: int = 1) -> list[Moments]:
    """Of each fold, in one pass over the rows; labels say which fold a row is in."""
    p = rows.design.p
    out = [Moments(np.zeros((p, p)), np.zeros(p), 0.0, 0.0) for _ in range(folds)]
    for start in range(0, rows.n, AT_ONCE):
        run = slice(start, start + AT_ONCE)
        piece = rows.picked(run)
        for k in range(folds):
            part = piece if labels is None else piece.picked(np.flatnonzero(labels[run] == k))
            if not part.n:
                continue
            w, y = part.weights * part.precision, _target(part) - origin.y
            design = origin.moved(part.design)
            out[k] += Moments(design.gram(w), design.transposed(w * y), float(w @ y**2), float(np.sum(part.weights)))
    return out
