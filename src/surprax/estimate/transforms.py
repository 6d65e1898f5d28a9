"""Maps from numbers without bounds, which an optimiser moves, onto the domains of parameters."""

import abc
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["REAL", "LowerTriangle", "Transform", "above", "below", "between", "domain"]


class Transform(abc.ABC):
    """A map from numbers without bounds onto a domain. It compares by what it does, and can be pickled.

    Attributes:
        words: the domain.
        elementwise: whether each element has a free number of its own.
    """

    elementwise: bool = True

    @property
    @abc.abstractmethod
    def words(self) -> str: ...

    @abc.abstractmethod
    def forward(self, z: Any) -> Any:
        """The parameter of the free numbers."""

    @abc.abstractmethod
    def back(self, v: Any) -> Any:
        """The free numbers of the parameter; infinite or NaN outside the domain and on its border."""


@final
@dataclass(frozen=True)
class _Real(Transform):
    @property
    def words(self) -> str:
        return "any number"

    def forward(self, z: Any) -> Any:
        return z

    def back(self, v: Any) -> Any:
        return v


@final
@dataclass(frozen=True)
class _Above(Transform):
    lo: float

    @property
    def words(self) -> str:
        return f"above {self.lo:g}"

    def forward(self, z: Any) -> Any:
        return self.lo + jnp.exp(z)

    def back(self, v: Any) -> Any:
        return jnp.log(v - self.lo)


@final
@dataclass(frozen=True)
class _Below(Transform):
    hi: float

    @property
    def words(self) -> str:
        return f"below {self.hi:g}"

    def forward(self, z: Any) -> Any:
        return self.hi - jnp.exp(z)

    def back(self, v: Any) -> Any:
        return jnp.log(self.hi - v)


@final
@dataclass(frozen=True)
class _Between(Transform):
    lo: float
    hi: float

    @property
    def words(self) -> str:
        return f"between {self.lo:g} and {self.hi:g}"

    def forward(self, z: Any) -> Any:
        return self.lo + (self.hi - self.lo) * jax.nn.sigmoid(z)

    def back(self, v: Any) -> Any:
        return jnp.log(v - self.lo) - jnp.log(self.hi - v)


@final
@dataclass(frozen=True)
class LowerTriangle(Transform):
    """Lower triangles (n, n) with a positive diagonal, by their entries and the logarithms of the diagonal, row by row.

    >>> print(LowerTriangle(2).forward(jnp.array([0.0, 3.0, 0.0])))
    [[1. 0.]
     [3. 1.]]
    """

    n: int
    elementwise = False

    @property
    def words(self) -> str:
        return "a lower triangle with a positive diagonal"

    @property
    def size(self) -> int:
        """How many free numbers there are."""
        return self.n * (self.n + 1) // 2

    def forward(self, z: Any) -> Any:
        rows, columns = np.tril_indices(self.n)
        entries = jnp.where(rows == columns, jnp.exp(jnp.where(rows == columns, z, 0.0)), z)
        return jnp.zeros((self.n, self.n)).at[rows, columns].set(entries)

    def back(self, v: Any) -> Any:
        rows, columns = np.tril_indices(self.n)
        entries = v[rows, columns]
        return jnp.where(rows == columns, jnp.log(jnp.where(rows == columns, entries, 1.0)), entries)


REAL = _Real()


def above(lo: float) -> Transform:
    """Numbers above `lo`, by their logarithm."""
    return _Above(lo)


def below(hi: float) -> Transform:
    """Numbers below `hi`."""
    return _Below(hi)


def between(lo: float, hi: float) -> Transform:
    """Numbers between two ends, by their log-odds.

    >>> print(between(0.0, 2.0).forward(jnp.array(0.0)), between(0.0, 2.0).back(jnp.array(1.0)))
    1.0 0.0
    """
    return _Between(lo, hi)


def domain(lo: float | None, hi: float | None) -> Transform:
    """The domain between two ends, either of which may be missing (None, or infinite)."""
    low = None if lo is None or lo == -np.inf else float(lo)
    high = None if hi is None or hi == np.inf else float(hi)
    if low is None:
        return REAL if high is None else below(high)
    return above(low) if high is None else between(low, high)
