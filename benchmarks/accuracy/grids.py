"""Where accuracy is measured: deterministic parameters and arguments that span the range of float32.

Any first rows of a grid spread over all of it, so that a sample of the published grid is a coarser grid.
"""

import itertools
from collections.abc import Iterator

import numpy as np

__all__ = ["Columns", "beyond", "levels", "log_uniform", "near", "scores", "signed"]


class Columns:
    """Columns of uniform numbers in (0, 1): Richtmyer's sequence, frac(i √p) for the primes p."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._primes = _primes()

    def __call__(self) -> np.ndarray:
        """The next column."""
        return np.modf((np.arange(self.rows) + 0.5) * np.sqrt(next(self._primes)))[0]


def _primes() -> Iterator[int]:
    return (n for n in itertools.count(2) if all(n % k for k in range(2, int(n**0.5) + 1)))


def log_uniform(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """From low to high > low > 0, even in logarithms."""
    return low * (high / low) ** u


def signed(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers of both signs whose sizes are even in logarithms."""
    return np.where(u < 0.5, -1.0, 1.0) * log_uniform(np.modf(2 * u)[0], low, high)


def scores(u: np.ndarray, most: float = 30.0) -> np.ndarray:
    """Standard scores of both signs: a third near 0 (to 1e-4), a third ordinary, a third far in the tails."""
    part, v = (3 * u).astype(int), np.modf(3 * u)[0]
    size = np.select([part == 0, part == 1], [10 ** (-4 + 3.5 * np.abs(2 * v - 1)), 3.0 * np.abs(2 * v - 1)], most)
    size = np.where(part == 2, 3.0 * (most / 3.0) ** np.abs(2 * v - 1), size)
    return np.sign(v - 0.5) * size


def near(value: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Half of the values moved by relative 1e-6 to 0.3, half by factors up to 1000."""
    v = np.modf(2 * u)[0]
    size = np.abs(2 * v - 1)
    sign = np.sign(v - 0.5)
    return value * np.where(u < 0.5, 1 + sign * 0.3 * 10 ** (-5.5 * size), 10 ** (sign * 3 * size))


def levels(u: np.ndarray) -> np.ndarray:
    """Probabilities: half in the lower tail, from 1e-35, half from ½ up to 1 − 1e-7."""
    v = np.modf(2 * u)[0]
    return np.where(u < 0.5, 0.5 * 10 ** (-34.0 * v), 1 - 0.5 * 10 ** (-6.5 * v))


def beyond(x: np.ndarray, outside: np.ndarray | float, every: int = 10) -> np.ndarray:
    """The same points, with every tenth outside of the support."""
    return np.where(np.arange(len(x)) % every == every - 1, outside, x)
