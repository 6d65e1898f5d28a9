"""Columns that lie far from zero, as years and timestamps do, are counted from near their means where an intercept makes up for it.

    b₀ + X b = c₀ + (X − m) b,      b₀ = c₀ − m·b

Xᵀ diag(v) X of numbers that lie k standard deviations from zero loses k² of its digits; that of X − m loses none. Fits are made in
(c₀, b) and told in (b₀, b).
"""

from dataclasses import dataclass, replace

import numpy as np

from surprax.regression.design import Block, Coded, Dense, Design

__all__ = ["Centring", "centring_of"]

FAR = 20.0
"""Standard deviations from zero from which on a column lies far: XᵀX would lose some three digits."""

CONSTANT = 1e-13
"""Standard deviation, of the mean, below which a column is a constant but for rounding."""

SAMPLE = 256


@dataclass(frozen=True, eq=False)
class Centring:
    """Where columns are counted from.

    Attributes:
        mean: m, near the means of columns that lie far from zero; 0 for those that stay as they are, shape (p,).
        spread: standard deviations of the former, down to a power of 2; 1 for the latter, shape (p,).
        intercept: the intercept's place.

    Coefficients of several equations, (c₀, b) of one after those of another, are what a model of categories has.

    >>> centring = Centring(np.array([0.0, 2000.0]), np.array([1.0, 10.0]), 0)
    >>> centring.told(np.array([1.5, 0.5])), centring.counted(np.array([-998.5, 0.5]))
    (array([-998.5,    0.5]), array([1.5, 0.5]))
    """

    mean: np.ndarray
    spread: np.ndarray
    intercept: int

    def moved(self, design: Design) -> Design:
        """A design whose columns are X − m."""
        blocks = [_less(block, self.mean[places]) for block, places in design]
        return Design(design.names, blocks, design.columns)

    def told(self, c: np.ndarray) -> np.ndarray:
        """Coefficients of X, of those of X − m, along the first axis."""
        return self._with_intercept(c, -1.0)

    def counted(self, b: np.ndarray) -> np.ndarray:
        """Coefficients of X − m, of those of X, along the first axis."""
        return self._with_intercept(b, 1.0)

    def _with_intercept(self, b: np.ndarray, sign: float) -> np.ndarray:
        out = np.array(b).reshape(-1, len(self.mean), *b.shape[1:])
        out[:, self.intercept] += sign * np.tensordot(out, self.mean, axes=(1, 0))
        return out.reshape(b.shape)

    def equations(self, E: np.ndarray) -> np.ndarray:
        """E with E · told(c) = (what is returned) · c, shape (m, K p)."""
        out = np.array(E).reshape(len(E), -1, len(self.mean))
        out -= out[:, :, self.intercept, None] * self.mean
        return out.reshape(E.shape)

    def units(self, size: int) -> np.ndarray:
        """By how much coefficients change where a linear predictor changes by 1, about, shape (size,)."""
        return np.tile(1.0 / self.spread, size // len(self.spread))


def centring_of(design: Design) -> Centring | None:
    """Where to count the columns of a design from; None where all are near zero, or there is no intercept."""
    if "Intercept" not in design.names or design.n < 2:
        return None
    mean, spread = np.zeros(design.p), np.ones(design.p)
    for block, places in design:
        if isinstance(block, Coded) and block.indicators is not None:
            continue
        some = block.rows(slice(None, None, max(1, design.n // SAMPLE)))
        (far,) = np.nonzero(_are_far(*_moments(some, np.arange(block.width))))
        at, deviation = _moments(block, far)
        far, at, deviation = (
            part[_are_far(at, deviation) & (deviation > CONSTANT * abs(at))] for part in (far, at, deviation)
        )
        grid = np.exp2(np.floor(np.log2(deviation)))  # X − m has no more digits than X, then
        mean[places[far]], spread[places[far]] = np.round(at / grid) * grid, grid
    return Centring(mean, spread, design.names.index("Intercept")) if np.any(mean) else None


def _are_far(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return abs(mean) > FAR * spread


def _moments(block: Block, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of some columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(block, Dense):
            matrix = block.matrix[:, columns]
            return np.mean(matrix, axis=0), np.std(matrix, axis=0)
        share = np.bincount(block.codes, minlength=len(block.table)) / len(block.codes)
        table = block.table[:, columns]
        mean = share @ table
        return mean, np.sqrt(share @ np.square(table - mean))


def _less(block: Block, shift: np.ndarray) -> Block:
    if not np.any(shift):
        return block
    if isinstance(block, Dense):
        return Dense(block.matrix - shift)
    return replace(block, table=block.table - shift)
