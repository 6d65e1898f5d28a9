"""Newton's method for a few hundred numbers, with steps that lead away from saddles and a decrement that tells when it is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Descent", "newton"]

STEPS = 100
NATS = 1e-5
"""Decrement at which a minimum is found: 10⁻⁵ nats are 1/200 of a standard deviation."""


@dataclass(frozen=True)
class Descent:
    """Where a search ended.

    Attributes:
        position: shape (d,).
        value: of the function there.
        gradient, curvature: its derivatives there, shapes (d,) and (d, d).
        found: whether this is a minimum: the curvature is positive, and the decrement small.
        steps: how many evaluations it took.
    """

    position: np.ndarray
    value: float
    gradient: np.ndarray
    curvature: np.ndarray
    found: bool
    steps: int

    @property
    def decrement(self) -> float:
        """½ gᵀH⁻¹g, by how much the minimum is expected to lie below; +inf where H is not positive."""
        _, eigenvalues, slope, _ = scaled(self.gradient, self.curvature)
        if not len(eigenvalues):
            return 0.0
        return float(0.5 * np.sum(slope**2 / eigenvalues)) if eigenvalues[0] > 0 else float("inf")


def scaled(gradient: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units in which the curvature has ones on its diagonal; its eigenvalues in these, least first, the gradient along its
    eigenvectors, and these."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diagonal(curvature)), 1e-8))
    eigenvalues, vectors = np.linalg.eigh(scale[:, None] * curvature * scale)
    return scale, eigenvalues, vectors.T @ (scale * gradient), vectors


def newton(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]], z: np.ndarray, nats: float = NATS
) -> Descent:
    """Damped steps down from z, along the eigenvectors of the scaled Hessian by the size of its eigenvalues (Dauphin et al. 2014).

    `evaluate` gives value, gradient and Hessian. Ends where the decrement is below `nats`, or no step leads down.
    """
    value, gradient, curvature = evaluate(z)
    damping, found, steps = 1e-3, False, 1
    for _ in range(STEPS):
        if not _finite(value, gradient, curvature):
            break
        scale, eigenvalues, slope, vectors = scaled(gradient, curvature)
        lengths = np.maximum(np.abs(eigenvalues), 1e-10)
        found = bool(eigenvalues[0] > 1e-10 and 0.5 * np.sum(slope**2 / lengths) < nats) if len(z) else True
        if found:
            break
        step = -scale * (vectors @ (slope / (lengths + damping)))
        # Free numbers are logarithms and the like: none moves by more than 3 at once, or doubles.
        step /= max(1.0, float(np.max(np.abs(step) / np.maximum(3.0, np.abs(z)))))
        tried, steps = evaluate(z + step), steps + 1
        if _finite(*tried) and tried[0] <= value + 1e-12 * abs(value):
            z, (value, gradient, curvature) = z + step, tried
            damping = max(damping / 10.0, 1e-12)
        elif damping > 1e8:
            break
        else:
            damping = max(damping * 10.0, 1e-6)
    return Descent(z, float(value), gradient, curvature, found, steps)


def _finite(*parts: Any) -> bool:
    return all(np.all(np.isfinite(part)) for part in parts)
