"""Integrals over the line and the plane of functions with one peak, wherever it is and however wide.

The trapezoidal rule in t, where x = centre + width · sinh t: as many points near the peak as it takes, and points as far as 1,490
widths from it, so that tails that fall exponentially are covered, and those that fall faster are too. In the plane, the line along
the first coordinate has a centre and a width of its own at each value of the second, which follow the ridge of the function.

Half the points of each line make a rule of their own, whose difference from the whole is far more than the error of the whole:
that error is about the square of it (Trefethen & Weideman 2014, SIAM Review 56, 385).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import fori_loop, stop_gradient

from surprax.numerics.elementary import argmax, by_dtype

__all__ = ["Grid", "draw_on_grid", "grid_on_line", "grid_on_plane", "log_total", "settled"]

_END = 8.0
_ON_LINE, _ON_PLANE = 32, 12
"""How many points there are to a unit of t."""
_SEARCH = np.sinh(0.4 * np.arange(-20, 21))
_PASSES = 14


class Grid(NamedTuple):
    """Points, and how much of the integral belongs to each.

    Attributes:
        points: one array for each coordinate; in the plane, the second has an axis of length 1 before its own.
        log_mass: log(weight · function) at the points, −∞ where that is no number.
    """

    points: tuple[Array, ...]
    log_mass: Array


def _rule(density: int) -> tuple[np.ndarray, np.ndarray]:
    """sinh t and log(step · cosh t) at the points t."""
    count = round(_END * density)
    t: np.ndarray = np.arange(-count, count + 1) / density
    return np.sinh(t), np.log(np.cosh(t) / density)


def _finite(log_value: Array) -> Array:
    return jnp.where(jnp.isfinite(log_value), log_value, -jnp.inf)


def _locate(log_f: Callable[[Array], Array], start: Array, width: Array) -> tuple[Array, Array]:
    """The place and width of the peak of log_f, of each entry of `start`; log_f sees a further axis in front.

    Again and again the best of a few points becomes the centre, and the width is made to fit the drop beside it.
    """
    offsets = jnp.asarray(_SEARCH, start.dtype).reshape((-1,) + (1,) * start.ndim)
    middle = len(_SEARCH) // 2
    beside = float(_SEARCH[middle + 1])

    def step(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        centre, width = state[:2]
        values = _finite(log_f(centre[None] + width[None] * offsets))
        low, peak, high = values[middle - 1], values[middle], values[middle + 1]
        fall, lean = peak - 0.5 * (low + high), 0.5 * (high - low)
        best = argmax(values, axis=0)
        here = (best == middle) & jnp.isfinite(peak)
        factor = jnp.where(fall > 2.0, 0.25, jnp.where(fall < 0.02, 4.0, 1.0))
        fits = here & (factor == 1.0)
        # Where the width fits, what is left is the vertex of a parabola, and its width.
        vertex, narrow = 0.5 * beside * lean / fall, beside / jnp.sqrt(2.0 * fall)
        moved = centre + width * jnp.asarray(_SEARCH, start.dtype)[best]
        return moved, width * jnp.where(here, factor, 1.0), jnp.where(fits, vertex, 0.0), jnp.where(fits, narrow, 1.0)

    nothing = jnp.zeros_like(start)
    centre, width, vertex, narrow = fori_loop(
        0, _PASSES, step, (start, width * jnp.ones_like(start), nothing, jnp.ones_like(start))
    )
    return centre + width * vertex, width * narrow


def _line(log_f: Callable[[Array], Array], start: Array, width: Array, density: int) -> tuple[Array, Array]:
    """Points and log masses of a rule along a further axis in front, of each entry of `start`."""
    centre, width = _locate(log_f, start, width)
    centre, width = stop_gradient(centre), stop_gradient(width)
    sinh, log_weight = (jnp.asarray(v, start.dtype).reshape((-1,) + (1,) * start.ndim) for v in _rule(density))
    points = centre[None] + width[None] * sinh
    return points, _finite(log_f(points) + log_weight + jnp.log(width)[None])


def grid_on_line(log_f: Callable[[Array], Array], start: Array, width: Array, refined: int = 1) -> Grid:
    """A rule for ∫ f(x) dx over the line, from a guess at the place and the width of the peak (numbers).

    `refined` is how many times as many points it takes.
    """
    points, log_mass = _line(log_f, start, width, refined * _ON_LINE)
    return Grid((points,), log_mass)


def grid_on_plane(log_f: Callable[[Array, Array], Array], start: Array, precision: Array, refined: int = 1) -> Grid:
    """A rule for ∫∫ f(x, y) dx dy, from a guess at the place (2,) and the inverse covariance (2, 2) of the peak.

    `refined` is how many times as many points it takes along both coordinates.
    """
    density = refined * _ON_PLANE
    lean = -precision[0, 1] / precision[0, 0]
    width = 1.0 / jnp.sqrt(precision[0, 0])
    spread = 1.0 / jnp.sqrt(jnp.maximum(precision[1, 1] + lean * precision[0, 1], 1e-12 * precision[1, 1]))
    sinh, log_weight = (jnp.asarray(v, start.dtype) for v in _rule(density))
    y = start[1] + spread * sinh
    x, log_mass = _line(lambda x: log_f(x, y[None]), start[0] + lean * (y - start[1]), width, density)
    return Grid((x, y[None]), log_mass + log_weight[None] + jnp.log(spread))


def log_total(grid: Grid) -> Array:
    """log of the integral."""
    return jax.nn.logsumexp(grid.log_mass)


def settled(grid: Grid) -> tuple[Array, Array]:
    """Whether the rule may be trusted, and by how much half of its points disagree on the logarithm of the integral.

    It may not where that is more than what rounding and the square rule forgive, or where mass lies at the end of a line.
    """
    mass, total = grid.log_mass, log_total(grid)
    half = mass[(slice(None, None, 2),) * mass.ndim]
    difference = jnp.abs(jax.nn.logsumexp(half) + mass.ndim * float(np.log(2.0)) - total)
    edge = jnp.asarray(-jnp.inf, mass.dtype)
    for axis in range(mass.ndim):
        length = mass.shape[axis]
        for side in (0, length - 1):
            edge = jnp.maximum(edge, jnp.max(jnp.take(mass, side, axis=axis)))
        gone = mass == -jnp.inf
        before, after = (jnp.take(gone, jnp.clip(jnp.arange(length) + s, 0, length - 1), axis=axis) for s in (-1, 1))
        edge = jnp.maximum(edge, jnp.max(jnp.where(before | after, mass, -jnp.inf)))
    tolerance, most = by_dtype(mass, (1e-3, -11.0), (1e-4, -20.0))
    return jnp.isfinite(total) & (difference < tolerance) & (edge - total < most), difference


def _draw_cell(key: Array, mass: Array) -> tuple[Array, Array]:
    """Of each column of masses at points equidistant in t: between which two points a draw falls, and how far along."""
    low, high = mass[:-1], mass[1:]
    edges = jnp.cumsum(0.5 * (low + high), axis=0)
    level = jax.random.uniform(key, mass.shape[1:], mass.dtype) * edges[-1]
    cell = jnp.minimum(jnp.sum(edges <= level[None], axis=0), len(low) - 1)
    left, right, end = (jnp.take_along_axis(v, cell[None], axis=0)[0] for v in (low, high, edges))
    rest = end - level  # what is left of the cell
    # From its far end, u of the cell: right·u − (right − left) u²/2 = rest.
    root = jnp.sqrt(jnp.maximum(right**2 - 2.0 * (right - left) * rest, 0.0))
    u = 2.0 * rest / jnp.maximum(right + root, jnp.finfo(mass.dtype).tiny)
    return cell, 1.0 - jnp.clip(u, 0.0, 1.0)


def _between(points: Array, cell: Array, part: Array) -> Array:
    """Of each column of points, where it is at that part of the cell in t."""
    step = 2.0 * _END / (len(points) - 1)
    t = -_END + step * jnp.arange(len(points), dtype=points.dtype)
    sinh, cosh = jnp.sinh(t), jnp.cosh(t)
    here = sinh[cell] * jnp.cosh(step * part) + cosh[cell] * jnp.sinh(step * part)
    share = (here - sinh[cell]) / (sinh[cell + 1] - sinh[cell])
    low, high = (jnp.take_along_axis(points, index[None], axis=0)[0] for index in (cell, cell + 1))
    return low + share * (high - low)


def draw_on_grid(key: Array, grid: Grid, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Draws of the point, from the function as a density, taken as straight in t between points of the grid."""
    count = int(np.prod(shape))
    mass = jnp.exp(grid.log_mass - log_total(grid))

    def columns(v: Array) -> Array:
        return jnp.broadcast_to(v[:, None], (len(v), count))

    key_last, key_first = jax.random.split(key)
    if mass.ndim == 1:
        return (_between(columns(grid.points[0]), *_draw_cell(key_last, columns(mass))).reshape(shape),)
    x, y = grid.points
    along = jnp.sum(mass, axis=0)
    low, part = _draw_cell(key_last, columns(along))
    # The line at a y between two of the grid has its centre, width and masses between theirs.
    share = mass / jnp.maximum(along, jnp.finfo(mass.dtype).tiny)[None]
    points, masses = ((1.0 - part)[None] * v[:, low] + part[None] * v[:, low + 1] for v in (x, share))
    first = _between(points, *_draw_cell(key_first, masses))
    return first.reshape(shape), _between(columns(y[0]), low, part).reshape(shape)
