"""Quadratic functions with an l1 penalty, in a box: the problem inside every penalised fit.

    q(b) = gᵀ(b − b₀) + ½ (b − b₀)ᵀ H (b − b₀) + Σ l1ⱼ |bⱼ|,      lowⱼ ≤ bⱼ ≤ highⱼ

Coordinates that break their optimality condition are moved one at a time (coordinate descent: Friedman, Hastie & Tibshirani 2010).
Those that are free are then solved for together, by a Cholesky factor, as far as their signs and bounds hold (Lee et al. 2007).
Every move lowers q, and the last one is a direct solution: the digits are those of H.
"""

from typing import Any

import numpy as np
from scipy.linalg.lapack import dposv

__all__ = ["free", "least", "violations"]

ROUNDS = 500
FACES = 200
EXACT = 1e-14
"""Steps, of the largest coefficient in units of √H, below which rounding is all that is left."""


def violations(b: np.ndarray, g: np.ndarray, l1: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much each optimality condition is broken, shape (p,): the slope downhill that the box leaves open.

    With slopes g of the smooth part: 0 ∈ gⱼ + l1ⱼ ∂|bⱼ| within the box, ≥ 0 at a lower bound and ≤ 0 at an upper one.

    >>> one = np.ones(3)
    >>> violations(np.array([0.0, 0.0, 2.0]), np.array([0.5, -1.5, -1.0]), one, -9 * one, 9 * one)
    array([0. , 0.5, 0. ])
    """
    right = g + np.where(b >= 0, l1, -l1)
    left = g + np.where(b > 0, l1, -l1)
    return np.maximum(np.where(b < high, -right, 0.0), np.maximum(np.where(b > low, left, 0.0), 0.0))


def free(b: np.ndarray, l1: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which coordinates are at no kink and no bound: a mask (p,)."""
    return ((b != 0) | (l1 == 0)) & (b > low) & (b < high)


def least(H: np.ndarray, g: np.ndarray, l1: np.ndarray, low: np.ndarray, high: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The minimum of q.

    Args:
        H: positive semidefinite, shape (p, p).
        g: slopes of the smooth part at b, shape (p,).
        l1, low, high: shapes (p,).
        b: where to start, inside the box.
    """
    diagonal = np.diagonal(H)
    alive = diagonal > 0
    root = np.sqrt(np.where(alive, diagonal, 1.0))
    tolerance = EXACT * float(np.max((np.abs(g) + l1)[alive] / root[alive], initial=0.0))
    state = _State(H, g, l1, low, high, b, alive)
    for _ in range(ROUNDS):
        before = state.b.copy()
        state.solve_faces()
        broken = np.where(alive, violations(state.b, state.g, l1, low, high) / root, 0.0)
        if np.max(broken, initial=0.0) <= max(tolerance, EXACT * float(np.max(np.abs(state.b) * root, initial=0.0))):
            break
        state.sweep(np.flatnonzero(broken > tolerance))
        if np.max(np.abs(state.b - before) * root, initial=0.0) <= EXACT * np.max(np.abs(before) * root, initial=0.0):
            break
    return state.b


class _State:
    """A point and the slopes of the smooth part there."""

    def __init__(
        self, H: np.ndarray, g: np.ndarray, l1: np.ndarray, low: np.ndarray, high: np.ndarray, b: Any, alive: Any
    ) -> None:
        self.H, self.l1, self.low, self.high, self.alive = H, l1, low, high, alive
        self.b, self.g = np.array(b, np.float64), np.array(g, np.float64)
        self.spared = l1 == 0

    def sweep(self, places: np.ndarray) -> None:
        """The minimum along each of some coordinates in turn."""
        b, g, H = self.b, self.g, self.H
        parts = (places, np.diagonal(H)[places], self.l1[places], self.low[places], self.high[places])
        for j, h, threshold, low, high in zip(*(part.tolist() for part in parts)):
            now = float(b[j])
            aim = h * now - float(g[j])
            new = (aim - threshold if aim > threshold else aim + threshold if aim < -threshold else 0.0) / h
            new = min(max(new, low), high)
            if new != now:
                g += (new - now) * H[j]
                b[j] = new

    def solve_faces(self) -> None:
        """The minimum over the coordinates that are free, with their signs; those that come to a kink or a bound stay there."""
        for _ in range(FACES):
            places = np.flatnonzero(
                ((self.b != 0) | self.spared) & (self.b > self.low) & (self.b < self.high) & self.alive
            )
            if not len(places):
                return
            b = self.b[places]
            sign = np.sign(b)
            l1 = self.l1[places]
            slope = self.g[places] + l1 * sign
            rows = self.H[places]
            step = _downhill(rows[:, places], slope)
            floor = np.where((sign > 0) & (l1 > 0), np.maximum(self.low[places], 0.0), self.low[places])
            roof = np.where((sign < 0) & (l1 > 0), np.minimum(self.high[places], 0.0), self.high[places])
            target = np.clip(b + step, floor, roof)
            blocked = target != b + step
            if not np.any(blocked):
                self._move(places, target, rows)
                return
            # As far as the first kink; or all that are blocked at once, where that is lower.
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.where(blocked, (np.where(step > 0, roof, floor) - b) / step, np.inf)
            t = float(np.min(room))
            near = np.where(room <= t, np.where(step > 0, roof, floor), b + t * step)
            options = [(self._change(rows[:, places], slope, where - b), where) for where in (near, target)]
            change, where = min(options, key=lambda option: option[0])
            self._move(places, where, rows)
            if not change < 0 and not np.any(where != b):
                return

    @staticmethod
    def _change(H: np.ndarray, slope: np.ndarray, step: np.ndarray) -> float:
        """By how much q changes along a step that leaves signs as they are."""
        return float(slope @ step + 0.5 * (step @ (H @ step)))

    def _move(self, places: np.ndarray, where: np.ndarray, rows: np.ndarray) -> None:
        self.g += (where - self.b[places]) @ rows
        self.b[places] = where


def _downhill(H: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """−H⁻¹ slope; damped, and as long as is best, where H has no inverse."""
    _, step, failed = dposv(H, -slope, lower=0)
    if not failed and np.all(np.isfinite(step)):
        return step
    ridge = 1e-9 * np.diagonal(H)
    for _ in range(8):
        _, step, failed = dposv(H + np.diag(ridge), -slope, lower=0)
        if not failed:
            curved = float(step @ (H @ step))
            return step * (-float(slope @ step) / curved) if curved > 0 else step
        ridge = ridge * 100.0
    return -slope / np.diagonal(H)
