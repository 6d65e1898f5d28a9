"""Shapes of densities that are straight between nodes: quantiles, shortest intervals, regions of highest density, draws."""

from typing import Any

import numpy as np

from surprax.beliefs.grid_axes import widths

__all__ = ["highest", "lines", "of_hat", "quantiles", "shortest"]

ALIKE = 1e-5
"""Densities that differ by less, relatively, are equal but for rounding in float32."""


def lines(p: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """Marginal probabilities along one of the last `rank` axes, which comes last."""
    others = tuple(i - rank for i in range(rank) if i != axis)
    return np.sum(p, axis=others)


def quantiles(p: np.ndarray, x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Values below which a straight density has the mass `levels`; shape batch + that of `levels`."""
    flat = p.reshape(-1, p.shape[-1])
    out = np.stack([_quantiles(row, x, levels.reshape(-1)) for row in flat])
    return out.reshape((*p.shape[:-1], *levels.shape))


def _quantiles(p: np.ndarray, x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    if np.isnan(p).any():
        return np.full(levels.shape, np.nan)
    density = p / widths(x)
    h = np.diff(x)
    mass = 0.5 * h * (density[1:] + density[:-1])
    below = np.concatenate([[0.0], np.cumsum(mass)])
    below = below / below[-1]
    some = np.flatnonzero(mass > 0)  # cells of no mass hold no quantile
    i = some[np.clip(np.searchsorted(below[some + 1], levels, side="left"), 0, len(some) - 1)]
    gap = np.clip(levels - below[i], 0.0, None)
    a, slope = density[i], (density[i + 1] - density[i]) / h[i]
    # gap = a t + slope t²/2, by the form that does not cancel
    root = np.sqrt(np.maximum(a * a + 2.0 * slope * gap, 0.0))
    t = np.where(gap > 0, 2.0 * gap / np.where(a + root > 0, a + root, 1.0), 0.0)
    return x[i] + np.clip(t, 0.0, h[i])


def shortest(p: np.ndarray, x: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the shortest interval of mass `level`, each of shape batch."""
    flat = p.reshape(-1, p.shape[-1])
    ends = np.stack([_shortest(row, x, level) for row in flat]).reshape(*p.shape[:-1], 2)
    return ends[..., 0], ends[..., 1]


def _shortest(p: np.ndarray, x: np.ndarray, level: float) -> np.ndarray:
    # How long it is, by the mass below it, looked for ever closer: first as closely as the nodes are.
    lo, hi = 0.0, 1.0 - level
    for number in (4 * len(x), 64, 64):
        starts = np.linspace(lo, hi, number + 1)
        ends = np.clip(starts + level, 0.0, 1.0)
        left, right = np.split(_quantiles(p, x, np.concatenate([starts, ends])), 2)
        best = int(np.argmin(right - left))
        lo, hi = starts[max(best - 1, 0)], starts[min(best + 1, number)]
    return np.array([left[best], right[best]])


def highest(p: np.ndarray, volumes: np.ndarray, level: float, batch_rank: int) -> np.ndarray:
    """Nodes of a density at least as great as that at which these together have mass `level`."""
    density = (p / volumes).reshape(-1 if batch_rank else 1, volumes.size)
    flat = p.reshape(density.shape)
    order = np.argsort(-density, axis=-1, kind="stable")
    below = np.cumsum(np.take_along_axis(flat, order, axis=-1), axis=-1) < level
    last = np.minimum(np.sum(below, axis=-1, keepdims=True), volumes.size - 1)
    least = np.take_along_axis(density, np.take_along_axis(order, last, axis=-1), axis=-1)
    return (density >= (1.0 - ALIKE) * least).reshape(p.shape)


def of_hat(x: np.ndarray, index: np.ndarray, u: Any, v: Any) -> np.ndarray:
    """Draws from the hat of each node, which falls straight from it to 0 at its neighbours; u, v uniform on [0, 1)."""
    left = np.where(index > 0, x[index] - x[np.maximum(index - 1, 0)], 0.0)
    right = np.where(index < len(x) - 1, x[np.minimum(index + 1, len(x) - 1)] - x[index], 0.0)
    side = np.where(u * (left + right) < left, -left, right)
    return x[index] + side * (1.0 - np.sqrt(1.0 - v))
