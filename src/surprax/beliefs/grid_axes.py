"""Axes of grids: values of a parameter in increasing order, the cells around them, and where to put new ones."""

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

__all__ = ["around", "as_axis", "as_wide", "between", "cells", "is_whole", "resolution", "widths"]

MOST_VALUES = 50_000_000


def as_axis(name: str, spec: Any) -> np.ndarray:
    """Values of a parameter: `(lo, hi, n)`, or a list or array of them.

    >>> as_axis("loc", (0, 1, 3)), as_axis("loc", [0.0, 1.0, 3.0])
    (array([0. , 0.5, 1. ]), array([0., 1., 3.]))
    """
    if isinstance(spec, tuple):
        if len(spec) != 3 or not is_whole(spec[2]):
            raise ValueError(
                f"{name}: a tuple is (lo, hi, n), with n the number of values; got {spec!r}. A list or array has the values"
                " themselves."
            )
        lo, hi, n = float(spec[0]), float(spec[1]), int(spec[2])
        if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
            raise ValueError(f"{name}: (lo, hi, n) goes from a number to a greater one; got {lo:g} to {hi:g}.")
        if n < 2:
            raise ValueError(
                f"{name}: an axis has at least 2 values; got {n}. A single number holds a parameter there."
            )
        if n > MOST_VALUES:
            raise ValueError(
                f"{name}: an axis has at most {MOST_VALUES:,} values; got {n:,}. Take fewer, and `refine` the grid."
            )
        return np.linspace(lo, hi, n)
    values = np.asarray(spec)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"{name}: an axis is a vector of real numbers; got an array of {values.dtype}, shape {values.shape}."
        )
    values = values.astype(np.float64)
    if len(values) < 2:
        raise ValueError(
            f"{name}: an axis has at least 2 values; got {len(values)}. A single number holds a parameter there."
        )
    if not np.all(np.isfinite(values)) or not np.all(np.diff(values) > 0):
        at = (
            int(np.argmax(~(np.diff(values) > 0)))
            if np.all(np.isfinite(values))
            else int(np.argmax(~np.isfinite(values)))
        )
        raise ValueError(
            f"{name}: values on an axis are finite and increasing; number {at} is {values[at]:g}{_next(values, at)}."
        )
    return values


def _next(values: np.ndarray, at: int) -> str:
    return f", and then comes {values[at + 1]:g}" if np.isfinite(values[at]) and at + 1 < len(values) else ""


def is_whole(n: Any) -> bool:
    """Whether it is a whole number, and not a truth value."""
    try:
        operator.index(n)
    except TypeError:
        return False
    return not isinstance(n, bool)


def widths(x: np.ndarray) -> np.ndarray:
    """Width of the cell around each value: half of the way to either neighbour (the trapezoidal rule).

    >>> widths(np.array([0.0, 1.0, 3.0]))
    array([0.5, 1.5, 1. ])
    """
    half = 0.5 * np.diff(x)
    return np.append(half, 0.0) + np.append(0.0, half)


def cells(axes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Volumes of the cells around all nodes, of one axis for each parameter."""
    return reduce(np.multiply.outer, [widths(x) for x in axes.values()])


def around(p: np.ndarray, x: np.ndarray, tail: float, first: tuple[float, float]) -> tuple[float, float]:
    """From where to where an axis has to go: all but `tail` of the mass at either end, and a node more.

    Where mass stands at an end that is not one of the first, which are never left, the end moves out again.
    """
    p = p.reshape(-1, p.shape[-1])
    below, above = np.cumsum(p, axis=-1), np.cumsum(p[:, ::-1], axis=-1)
    i = max(int(np.min(np.sum(below <= tail, axis=-1))) - 1, 0)
    j = min(p.shape[-1] - int(np.min(np.sum(above <= tail, axis=-1))), p.shape[-1] - 1)
    width = x[-1] - x[0]
    lo = max(first[0], x[0] - width) if i == 0 and np.any(p[:, 0] > tail) else float(x[i])
    hi = min(first[1], x[-1] + width) if j == p.shape[-1] - 1 and np.any(p[:, -1] > tail) else float(x[j])
    if i + 2 >= j:  # the peak lies between nodes
        lo, hi = max(first[0], float(x[max(i - 1, 0)])), min(first[1], float(x[min(j + 1, len(x) - 1)]))
    return float(lo), float(hi)


def between(x: np.ndarray, lo: float, hi: float, number: int) -> np.ndarray:
    """So many values from lo to hi, spaced as those of x are: evenly, geometrically, or as they come."""
    steps = np.diff(x)
    if np.allclose(steps, steps[0], rtol=1e-6):
        return np.linspace(lo, hi, number)
    if x[0] > 0 and lo > 0 and np.allclose(ratios := np.diff(np.log(x)), ratios[0], rtol=1e-6):
        return np.geomspace(lo, hi, number)
    order = np.arange(len(x))
    first, last = (float(v) for v in np.interp([lo, hi], x, order))
    places = np.asarray(np.interp(np.linspace(first, last, number), order, x))
    return places if np.all(np.diff(places) > 0) and lo >= x[0] and hi <= x[-1] else np.linspace(lo, hi, number)


def as_wide(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether going from one to the other would change little."""
    return len(old) == len(new) and 0.7 < (new[-1] - new[0]) / (old[-1] - old[0]) < 1.001


def resolution(log_density: np.ndarray, axes: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """Standard deviations by spacings along each axis through the highest node, by the curvature there; each of shape batch."""
    batch = log_density.shape[: log_density.ndim - len(axes)]
    flat = log_density.reshape(-1, *log_density.shape[len(batch) :])
    found = np.array([[_along(one, i, axes[i]) for i in range(len(axes))] for one in flat])
    return {name: found[:, i].reshape(batch)[()] for i, name in enumerate(names)}


def _along(log_density: np.ndarray, axis: int, x: np.ndarray) -> float:
    top = np.unravel_index(int(np.argmax(log_density)), log_density.shape)
    if not np.isfinite(log_density[top]):
        return float("nan")
    line = np.moveaxis(log_density, axis, -1)[tuple(i for j, i in enumerate(top) if j != axis)]
    if len(x) < 3:
        return float("inf") if np.all(np.isfinite(line)) else 0.0
    i = min(max(int(top[axis]), 1), len(x) - 2)
    (before, here, after), (left, right) = line[i - 1 : i + 2], np.diff(x[i - 1 : i + 2])
    if not np.isfinite(here):
        return 0.0
    curvature = -2.0 * ((after - here) / right - (here - before) / left) / (left + right)
    if np.isnan(curvature) or curvature <= 0:
        return float("inf")
    return float(1.0 / np.sqrt(curvature) / (0.5 * (left + right)))
