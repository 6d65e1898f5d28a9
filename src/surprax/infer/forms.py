"""The forms that a posterior may have besides a closed one: draws, and a single point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jax import Array

__all__ = ["Draws", "Form", "Point"]


class Form(Protocol):
    """What all forms of a posterior have; arrays in the shape of the site, float64."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sites, in order."""

    def mean(self, name: str) -> np.ndarray: ...

    def sd(self, name: str) -> np.ndarray: ...

    def quantile(self, name: str, q: Any) -> np.ndarray: ...

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        """n joint draws of all sites."""


@dataclass(frozen=True)
class Draws:
    """Joint draws of all sites.

    Attributes:
        arrays: (chains, draws, …) by site.
        fresh: `fresh(key, n)` draws anew, where what was drawn from is known; None to draw from the draws.
    """

    arrays: Mapping[str, np.ndarray]
    fresh: Callable[[Array, int], dict[str, np.ndarray]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    def mean(self, name: str) -> np.ndarray:
        return np.mean(self.arrays[name], axis=(0, 1), dtype=np.float64)

    def sd(self, name: str) -> np.ndarray:
        flat = self._flat(name)
        if len(flat) < 2:
            return np.full(flat.shape[1:], np.nan)
        return np.std(flat, axis=0, dtype=np.float64, ddof=1)

    def quantile(self, name: str, q: Any) -> np.ndarray:
        return np.quantile(self._flat(name).astype(np.float64), np.asarray(q, np.float64), axis=0)

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        if self.fresh is not None:
            return self.fresh(key, n)
        count = len(self._flat(self.names[0]))
        chosen = np.asarray(jax.random.choice(key, count, (n,), replace=n > count))
        return {name: self._flat(name)[chosen] for name in self.names}

    def _flat(self, name: str) -> np.ndarray:
        whole = self.arrays[name]
        return whole.reshape(-1, *whole.shape[2:])


@dataclass(frozen=True)
class Point:
    """A point without spread: the mode.

    Attributes:
        values: by site.
    """

    values: Mapping[str, np.ndarray]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def mean(self, name: str) -> np.ndarray:
        return np.asarray(self.values[name], np.float64)

    def sd(self, name: str) -> np.ndarray:
        raise ValueError(_NO_SPREAD)

    def quantile(self, name: str, q: Any) -> np.ndarray:
        raise ValueError(_NO_SPREAD)

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        raise ValueError(_NO_SPREAD)


_NO_SPREAD = (
    'A mode (method="map") is a point, and says nothing about spread. Infer with method="laplace" or "nuts" for that.'
)
