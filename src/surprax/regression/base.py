"""Problems whose parameters have linear coordinates."""

import abc
from typing import Any

import numpy as np

from surprax.estimate.problem import Problem
from surprax.regression.coordinates import LinearCoordinates

__all__ = ["LinearlyCoordinated"]


class LinearlyCoordinated(Problem):
    """A problem in linear coordinates, by one function that gives value, gradient and Hessian."""

    @abc.abstractmethod
    def evaluate(
        self, z: np.ndarray, second: str = "", weights: Any = None
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Value, gradient, and a Hessian if asked for: "observed" or "expected"."""

    @property
    def slots(self) -> Any:
        return self.coordinates.slots

    @property
    def size(self) -> int:
        return self.coordinates.size

    @property
    def linear(self) -> LinearCoordinates:
        """The coordinates, which are linear ones here."""
        return self.coordinates  # type: ignore[return-value]

    def value(self, z: np.ndarray, weights: Any = None) -> float:
        return self.evaluate(z, weights=weights)[0]

    def value_and_slope(self, z: np.ndarray, weights: Any = None) -> tuple[float, np.ndarray]:
        value, slope, _ = self.evaluate(z, weights=weights)
        return value, slope

    def derivatives(self, z: np.ndarray, weights: Any = None) -> tuple[float, np.ndarray, np.ndarray]:
        value, slope, H = self.evaluate(z, "observed", weights)
        assert H is not None
        return value, slope, H

    def theta(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.linear.theta(z), self.linear.slopes(z)

    def values(self, z: np.ndarray) -> dict[str, np.ndarray]:
        return self.linear.values(z)
