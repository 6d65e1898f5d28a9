"""Where a distribution lives: supports as values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "COUNTS",
    "NONNEGATIVE",
    "NONNEGATIVE_INTEGERS",
    "OPEN_SIMPLEX",
    "OPEN_UNIT_INTERVAL",
    "POSITIVE",
    "POSITIVE_DEFINITE",
    "POSITIVE_INTEGERS",
    "REAL",
    "REAL_MATRIX",
    "REAL_VECTOR",
    "SIMPLEX",
    "SPHERE",
    "UNIT_INTERVAL",
    "ZERO_OR_ONE",
    "Region",
    "Support",
]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Support:
    """An interval of the real line, or of the integers.

    Attributes:
        lower, upper: ends; arrays where they depend on parameters.
        discrete: whether only whole numbers belong.
        open_lower, open_upper: whether the end itself is left out.
    """

    lower: Any = -np.inf
    upper: Any = np.inf
    discrete: bool = field(default=False, metadata={"static": True})
    open_lower: bool = field(default=False, metadata={"static": True})
    open_upper: bool = field(default=False, metadata={"static": True})

    def contains(self, x: Any) -> Any:
        """Elementwise membership (NaN is nowhere); arrays of NumPy or JAX."""
        above = x > self.lower if self.open_lower else x >= self.lower
        below = x < self.upper if self.open_upper else x <= self.upper
        inside = above & below
        return inside & (x == (jnp if isinstance(x, jax.Array) else np).floor(x)) if self.discrete else inside

    def __str__(self) -> str:
        low, high = (f"{float(v):g}" if np.ndim(v) == 0 else "…" for v in (self.lower, self.upper))
        if self.discrete:
            if high == "inf":
                return "whole numbers" if low == "-inf" else f"whole numbers from {low}"
            return f"whole numbers {low} to {high}"
        left = "(" if self.open_lower or low == "-inf" else "["
        right = ")" if self.open_upper or high == "inf" else "]"
        return "the real line" if (low, high) == ("-inf", "inf") else f"{left}{low}, {high}{right}".replace("inf", "∞")


@dataclass(frozen=True)
class Region:
    """Where observations of several numbers lie: vectors, or matrices.

    Attributes:
        name: in words.
        holds: whether an observation belongs, from arrays whose last `event_dim` axes are one observation.
        event_dim: 1 for vectors, 2 for matrices.
        inner: a point inside, for an observation of that shape.
        discrete: whether all numbers are whole.
    """

    name: str
    holds: Callable[[Any], Any]
    event_dim: int
    inner: Callable[[tuple[int, ...]], Any]
    discrete: bool = False

    def contains(self, x: Any) -> Any:
        """Whether each observation belongs: shape of `x` without its last `event_dim` axes."""
        return self.holds(jnp.asarray(x))

    def __str__(self) -> str:
        return self.name


def _rounding(x: Any) -> Any:
    """How far arithmetic in the precision of the data may have moved a sum of them."""
    return 64 * jnp.finfo(x.dtype).eps * x.shape[-1] if jnp.issubdtype(x.dtype, jnp.floating) else 0.0


def _is_positive_definite(x: Any) -> Any:
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
    size = jnp.max(jnp.abs(x), axis=(-1, -2))
    even = jnp.max(jnp.abs(x - jnp.swapaxes(x, -1, -2)), axis=(-1, -2)) <= _rounding(x) * size
    return even & jnp.all(jnp.isfinite(jnp.linalg.cholesky(x)), axis=(-1, -2))


REAL_VECTOR = Region("vectors of finite numbers", lambda x: jnp.all(jnp.isfinite(x), axis=-1), 1, np.zeros)
REAL_MATRIX = Region("matrices of finite numbers", lambda x: jnp.all(jnp.isfinite(x), axis=(-1, -2)), 2, np.zeros)
SIMPLEX = Region(
    "vectors of probabilities, at least 0, that sum to 1",
    lambda x: jnp.all(x >= 0, axis=-1) & (jnp.abs(jnp.sum(x, axis=-1) - 1.0) <= _rounding(x)),
    1,
    lambda shape: np.full(shape, 1.0 / shape[-1]),
)
OPEN_SIMPLEX = Region(
    "vectors of probabilities, above 0, that sum to 1",
    lambda x: jnp.all(x > 0, axis=-1) & (jnp.abs(jnp.sum(x, axis=-1) - 1.0) <= _rounding(x)),
    1,
    SIMPLEX.inner,
)
SPHERE = Region(
    "vectors of length 1",
    lambda x: jnp.abs(jnp.sum(x * x, axis=-1) - 1.0) <= _rounding(x),
    1,
    lambda shape: np.eye(1, shape[-1])[0],
)
POSITIVE_DEFINITE = Region(
    "symmetric positive definite matrices", _is_positive_definite, 2, lambda shape: np.eye(shape[-1])
)
COUNTS = Region(
    "vectors of whole numbers, at least 0",
    lambda x: jnp.all((x >= 0) & (x == jnp.floor(x)) & (x < jnp.inf), axis=-1),
    1,
    np.zeros,
    discrete=True,
)

REAL = Support()
NONNEGATIVE = Support(0.0)
POSITIVE = Support(0.0, open_lower=True)
UNIT_INTERVAL = Support(0.0, 1.0)
OPEN_UNIT_INTERVAL = Support(0.0, 1.0, open_lower=True, open_upper=True)
ZERO_OR_ONE = Support(0.0, 1.0, discrete=True)
NONNEGATIVE_INTEGERS = Support(0.0, discrete=True)
POSITIVE_INTEGERS = Support(1.0, discrete=True)
