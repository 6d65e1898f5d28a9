"""Where a distribution lives: supports as values."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "NONNEGATIVE",
    "NONNEGATIVE_INTEGERS",
    "OPEN_UNIT_INTERVAL",
    "POSITIVE",
    "POSITIVE_INTEGERS",
    "REAL",
    "UNIT_INTERVAL",
    "ZERO_OR_ONE",
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


REAL = Support()
NONNEGATIVE = Support(0.0)
POSITIVE = Support(0.0, open_lower=True)
UNIT_INTERVAL = Support(0.0, 1.0)
OPEN_UNIT_INTERVAL = Support(0.0, 1.0, open_lower=True, open_upper=True)
ZERO_OR_ONE = Support(0.0, 1.0, discrete=True)
NONNEGATIVE_INTEGERS = Support(0.0, discrete=True)
POSITIVE_INTEGERS = Support(1.0, discrete=True)
