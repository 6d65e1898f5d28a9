"""Parameters of distributions: their domains, defaults and checks."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.numerics.precision import is_traced

__all__ = [
    "Constraint",
    "as_parameter",
    "check_components",
    "check_parameter",
    "components",
    "count",
    "parameter",
    "positive",
    "probability",
    "real",
]


@dataclass(frozen=True)
class Constraint:
    """What a parameter must be, in words and as a test that works on Python numbers and on NumPy arrays.

    `event_dim`: how many of the last axes the words are about together.
    """

    words: str
    holds: Callable[[Any], Any]
    event_dim: int = 0


_INF = float("inf")

real = Constraint("finite", lambda v: (v > -_INF) & (v < _INF))
positive = Constraint("positive and finite", lambda v: (v > 0) & (v < _INF))
probability = Constraint("between 0 and 1", lambda v: (v >= 0) & (v <= 1))
count = Constraint("a whole number, at least 0", lambda v: (v >= 0) & (v < _INF) & (v % 1 == 0))
not_nan = Constraint("a number", lambda v: v == v)


def parameter(constraint: Constraint, *, default: Any = dataclasses.MISSING, event_dim: int = 0) -> Any:
    """A dataclass field that holds a parameter; `event_dim` of its last axes belong to one distribution, the others are batch."""
    return dataclasses.field(default=default, metadata={"constraint": constraint, "event_dim": event_dim})


def components(*, many: bool = False) -> Any:
    """A dataclass field that holds a distribution, or a tuple of them, that another one is made of."""
    return dataclasses.field(metadata={"constraint": None, "event_dim": 0, "kind": tuple if many else object})


def check_components(owner: str, name: str, value: Any, kind: type) -> None:
    """Raise `TypeError` unless it is a distribution (or a tuple of them)."""
    parts = value if kind is tuple else (value,)
    if not isinstance(value, kind) or not parts or not all(hasattr(part, "log_prob") for part in parts):
        what = "a tuple of distributions" if kind is tuple else "a distribution"
        raise TypeError(f"{owner}: {name} must be {what}; got {value!r}.")


def as_parameter(value: Any) -> Any:
    """An array that keeps the digits given: NumPy float64 for Python numbers, the given dtype for floating arrays.

    A distribution holds what it was given; JAX's precision decides how it computes with it.
    """
    if type(value) is float or type(value) is int:
        return np.array(value, np.float64)
    if is_traced(value):
        return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(jnp.result_type(float))
    if hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Parameters are real numbers; got {value!r}.")
    return array.astype(np.float64)


def check_parameter(owner: str, name: str, value: Any, constraint: Constraint) -> None:
    """Raise `ValueError` naming distribution, parameter, value and index; traced values are left alone."""
    if is_traced(value):
        return
    if getattr(value, "ndim", None) == 0 and isinstance(value, np.ndarray) and constraint.holds(value.item()):
        return  # a tenth of the time of the general case, and the usual one
    array = np.asarray(value)
    good = constraint.holds(array)
    if not np.all(good):
        index = tuple(int(i) for i in np.argwhere(~good)[0][: array.ndim - constraint.event_dim])
        where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
        raise ValueError(f"{owner}: {name} must be {constraint.words}; got {array[index]!s}{where}.")
