"""L-BFGS in NumPy, for searches of a few dozen steps.

SciPy's hands small matrices to a BLAS with threads, which wait for each other: where the cores are busy with compiling, that takes
a hundred times as long as the search.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Descent", "descend"]

_LOWER, _FLATTER = 1e-4, 0.9
"""Wolfe's conditions."""


@dataclass(frozen=True)
class Descent:
    """Where a search ended.

    Attributes:
        position: shape (d,).
        value: there.
        pairs: of the last steps and changes of the gradient, the latest last.
    """

    position: np.ndarray
    value: float
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]

    def scaled(self, v: np.ndarray) -> np.ndarray:
        """The inverse Hessian, as far as the steps tell, times v."""
        return _scaled(self.pairs, v)


@np.errstate(over="ignore", invalid="ignore")  # of numbers on the way there, not of the end
def descend(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    z: np.ndarray,
    steps: int,
    slope: float = 1e-5,
    memory: int = 20,
) -> Descent:
    """Down from z (Nocedal & Wright 2006, algorithm 7.4), until no entry of the gradient is above `slope`, or nothing goes on.

    `evaluate` gives value and gradient, the value +inf where there is none.

    >>> found = descend(lambda z: (0.5 * np.sum(z**2 * [1.0, 9.0]), z * [1.0, 9.0]), np.array([2.0, -1.0]), 30)
    >>> bool(np.max(np.abs(found.position)) < 1e-5), bool(np.allclose(found.scaled(np.array([1.0, 9.0])), 1.0, rtol=0.1))
    (True, True)
    """
    value, gradient = evaluate(z)
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=memory)
    for _ in range(steps):
        if not np.isfinite(value) or np.max(np.abs(gradient), initial=0.0) <= slope:
            break
        direction = -_scaled(tuple(pairs), gradient)
        if not pairs:
            largest = float(np.max(np.abs(gradient)))
            direction /= max(1.0, largest * float(np.linalg.norm(gradient / largest)))  # squares may overflow
        if not (along := float(direction @ gradient)) < 0.0:
            break
        low, high, length = 0.0, np.inf, 1.0
        found = None
        for _ in range(40):
            tried, its = evaluate(z + length * direction)
            if not tried <= value + _LOWER * length * along:
                high = length
            else:
                found = length, tried, its
                if float(its @ direction) >= _FLATTER * along:
                    break
                low = length
            length = 2.0 * low if high == np.inf else 0.5 * (low + high)
        if found is None:
            break
        length, tried, its = found
        step, change = length * direction, its - gradient
        if float(step @ change) > 1e-12 * float(change @ change):
            pairs.append((step, change))
        settled = value - tried <= 1e-13 * max(abs(value), abs(tried), 1.0)
        z, value, gradient = z + step, tried, its
        if settled:
            break
    return Descent(z, value, tuple(pairs))


def _scaled(pairs: tuple[tuple[np.ndarray, np.ndarray], ...], v: np.ndarray) -> np.ndarray:
    found, shares = v.copy(), []
    for step, change in reversed(pairs):
        share = float(step @ found) / float(step @ change)
        shares.append(share)
        found -= share * change
    if pairs:
        step, change = pairs[-1]
        found *= float(step @ change) / float(change @ change)
    for (step, change), share in zip(pairs, reversed(shares)):
        found += (share - float(change @ found) / float(step @ change)) * step
    return found
