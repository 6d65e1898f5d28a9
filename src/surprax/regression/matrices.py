"""Matrices as variables: the columns of an array or of a data frame, by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from surprax.data.errors import DataError, are, quoted
from surprax.regression.encoding import Continuous, Discrete, all_few, variable
from surprax.regression.variables import Variables, column_names, read_variables

__all__ = ["is_array", "read_matrix"]


TOGETHER = 8
"""So many neighbouring columns are copied at once: they share the lines of the cache."""


def is_array(X: Any) -> bool:
    """Whether something has rows and columns, but no names for them."""
    if isinstance(X, np.ndarray | list | tuple):
        return True
    if hasattr(X, "iloc") and not all(isinstance(name, str) for name in getattr(X, "columns", ())):
        return True  # a frame of pandas whose columns are numbered, not named
    return hasattr(X, "__array__") and hasattr(X, "ndim") and not (hasattr(X, "columns") or hasattr(X, "column_names"))


def read_matrix(X: Any, names: Sequence[str] | None = None) -> Variables:
    """The columns of X as variables.

    `names` are those of an array's columns, by default `x0`, `x1` …; of a data frame, the columns to take, by default
    all. The columns of an array become `Discrete` if all of them have few distinct values; if not, all are `Continuous`
    and, where X has float64, views of it.

    Raises `DataError`, one sentence, for what is no matrix of finite numbers, and as `read_variables` does.

    >>> read_matrix(np.array([[0, 1], [1, 1], [0, 1]]))["x0"].codes
    array([0, 1, 0], dtype=uint8)
    """
    if not is_array(X):
        return read_variables(X, column_names(X) if names is None else names)
    try:
        array = np.asarray(X)
    except ValueError:
        raise DataError("X must be a matrix of n rows and p columns: found rows of unequal length") from None
    if array.ndim != 2 or not array.size:
        one = "; use X.reshape(-1, 1) for one column" if array.ndim == 1 else ""
        raise DataError(f"X must be a matrix of n rows and p columns: found shape {array.shape}{one}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"X must hold numbers: found values of type {array.dtype}; pass text in a data frame")
    names = [f"x{j}" for j in range(array.shape[1])] if names is None else list(names)
    if len(names) != array.shape[1] or len(set(names)) != len(names):
        raise DataError(f"X must have {array.shape[1]} names for its columns, all different: found {quoted(names)}")
    if array.dtype.kind == "f" and not np.isfinite(array.sum()) and (bad := ~np.isfinite(array)).any():
        row, column = np.argwhere(bad)[0]
        count = int(bad.sum())
        raise DataError(
            f"X must be finite: {count} of {array.size} values {are(count)} not, first {array[row, column]} at "
            f"X[{row}, {column}], in column {names[column]!r}; fill in or drop such rows"
        )
    return Variables(_discrete(array, names) or _continuous(array, names), len(array), whose="X")


def _discrete(array: np.ndarray, names: Sequence[str]) -> dict[str, Discrete] | None:
    """The columns, if every one has few distinct values."""
    if not all_few(array):
        return None
    found: list[Discrete] = []
    for start in range(0, len(names), TOGETHER):
        for column in np.ascontiguousarray(array[:, start : start + TOGETHER].T):
            one = variable(column)
            if isinstance(one, Continuous):
                return None
            found.append(one)
    return dict(zip(names, found))


def _continuous(array: np.ndarray, names: Sequence[str]) -> dict[str, Continuous]:
    whole = array.dtype.kind in "biu"
    return {name: Continuous(array[:, j].astype(np.float64, copy=False), whole) for j, name in enumerate(names)}
