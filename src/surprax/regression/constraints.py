"""Constraints on coefficients: linear equations in words, or bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from formulaic.utils.constraints import LinearConstraints

from surprax.regression.syntax import one_line

__all__ = ["linear_constraints"]

type Bounds = dict[str, tuple[float, float]]


def linear_constraints(given: Any, names: Sequence[str]) -> tuple[tuple[np.ndarray, np.ndarray] | None, Bounds]:
    """Equations (E, e), E b = e, and bounds by name, of what a user wrote.

    >>> linear_constraints("a + b = 1", ["a", "b"])[0]
    (array([[1., 1.]]), array([1.]))
    >>> linear_constraints({"a": (0, None)}, ["a", "b"])[1]
    {'a': (0.0, inf)}
    """
    if given is None:
        return None, {}
    if isinstance(given, Mapping):
        return None, {name: _bounds(name, ends, names) for name, ends in given.items()}
    if isinstance(given, str | list):
        return _equations(given, names), {}
    if isinstance(given, tuple) and len(given) == 2:
        E, e = np.atleast_2d(np.asarray(given[0], np.float64)), np.atleast_1d(np.asarray(given[1], np.float64))
        if E.shape != (len(e), len(names)):
            raise ValueError(f"Constraints (E, e) have shapes (m, {len(names)}) and (m,); got {E.shape} and {e.shape}.")
        return (E, e), {}
    raise ValueError(
        'Constraints are equations, "a = b, x + z = 1", a pair (E, e) with E b = e, or bounds {"x": (0, None)}; got'
        f" {type(given).__name__}."
    )


def _equations(given: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    try:
        found = LinearConstraints.from_spec(given, variable_names=list(names))
    except Exception as error:
        raise ValueError(
            f"Constraints are linear equations of coefficients, such as '{names[-1]} = 0' ({', '.join(names[:6])}; odd names"
            f" between backticks); {given!r} is none: {one_line(str(error))}"
        ) from error
    return np.asarray(found.constraint_matrix, np.float64), np.asarray(found.constraint_values, np.float64)


def _bounds(name: str, ends: Any, names: Sequence[str]) -> tuple[float, float]:
    if name not in names:
        raise KeyError(f"Coefficients are {', '.join(names)}; got bounds for {name!r}.")
    try:
        low, high = ends
    except TypeError as error:
        raise ValueError(
            f"Bounds of {name} are a pair (low, high), either of which may be None; got {ends!r}."
        ) from error
    low, high = -np.inf if low is None else float(low), np.inf if high is None else float(high)
    if not low <= high:
        raise ValueError(f"Bounds of {name} must be in order; got {low:g} and {high:g}.")
    return low, high
