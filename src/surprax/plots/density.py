"""Data and distributions drawn twice: as density, where the bulk shows, and as surprise, where the tails separate."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from surprax.families import Distribution
from surprax.files import replaced
from surprax.numerics.precision import float64_scope
from surprax.units import Unit, nats_per

__all__ = ["curves", "density_and_surprise", "save_figure", "show"]

# Okabe & Ito (2008): told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (8, 2)))
POINTS = 801


def density_and_surprise(
    data: Any,
    distributions: Mapping[str, Distribution],
    *,
    name: str = "x",
    unit: Unit = "bit",
    discrete: bool = False,
    limits: tuple[float, float] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw distributions, and data if there are any, as density (left) and as surprise (right).

    Args:
        data: observations, one-dimensional, or None.
        distributions: single distributions by name.
        name: of the quantity, for the axis.
        unit: of surprise.
        discrete: whether values are whole numbers with probabilities, drawn as points.
        limits: of the horizontal axis; by default the range of the data, the density's trimmed of its far tails.
        path: where to write the figure too (PNG, PDF, SVG by suffix).

    Returns:
        The matplotlib figure.
    """
    x = None if data is None else np.asarray(data, np.float64)
    if x is None and limits is None:
        raise ValueError("Without data a picture needs limits=(lower, upper).")
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    bulk, whole = (limits, limits) if x is None or limits else _ranges(x, discrete)
    assert bulk is not None
    assert whole is not None
    logarithmic = (
        x is not None and not discrete and limits is None and whole[0] > 0 and whole[1] > 60 * float(np.median(x))
    )

    _draw(left, x, distributions, bulk, discrete, logarithmic=False, unit=None)
    left.set(title="density" if not discrete else "probability", xlabel=name, xlim=bulk)
    left.set_ylim(bottom=0)
    _draw(right, x, distributions, whole, discrete, logarithmic, unit)
    right.set(title="surprise", xlabel=name + (" (log scale)" if logarithmic else ""), ylabel=f"{unit}s", xlim=whole)
    if logarithmic:
        right.set_xscale("log")
    if x is not None:
        right.plot(
            _extremes(x), np.full(2, 0.02), "|", color="#666666", markersize=9, transform=right.get_xaxis_transform()
        )
    _finish(figure, left, right)
    if path is not None:
        save_figure(figure, path)
    return figure


def curves(x: Any, log_densities: Mapping[str, Any], *, name: str = "x", unit: Unit = "bit") -> Figure:
    """Draw log-densities (in nats, at points `x`) twice: as density, and as surprise in `unit`. A matplotlib figure."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (label, values) in enumerate(log_densities.items()):
        values = np.asarray(values, np.float64)
        style = _style(i, label)
        left.plot(x, np.exp(values), **style)
        right.plot(x, np.where(np.isfinite(values), -values, np.nan) / nats_per(unit), **style)
    left.set(title="density", xlabel=name)
    left.set_ylim(bottom=0)
    right.set(title="surprise", xlabel=name, ylabel=f"{unit}s")
    _finish(figure, left, right)
    return figure


def _style(i: int, label: str) -> dict[str, Any]:
    colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
    return {"color": colour, "linestyle": dash, "linewidth": 1.8, "label": label}


def _finish(figure: Figure, left: Axes, right: Axes) -> None:
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, all of it or nothing; the suffix decides the format."""
    path = Path(path)
    supported = figure.canvas.get_supported_filetypes()
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in supported:
        raise ValueError(f"Pictures are written as {', '.join(sorted(supported))}; got {path.name!r}.")
    with replaced(path) as file:
        figure.savefig(file, format=suffix, dpi=140)


def show(figure: Figure, name: str, folder: str | os.PathLike[str] = "play") -> None:
    """Display a figure where that can be done, in a notebook; elsewhere write it to a folder (made if need be) and say so."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(bool(axes.images))  # images keep their frame
    interactive = sys.modules.get("IPython")
    if interactive is not None and interactive.get_ipython() is not None:
        interactive.display.display(figure)
        return
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
    print(f"wrote {path}")


def _ranges(x: np.ndarray, discrete: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """What the density shows (99 of 100 rows, if the rest lies far away), and all of the data with a margin."""
    low, high = float(x.min()), float(x.max())
    margin = 0.5 if discrete else 0.03 * (high - low)
    q0, q1 = np.quantile(x, [0.01, 0.99])
    far = (high - q1) > 0.3 * (q1 - q0), (q0 - low) > 0.3 * (q1 - q0)
    bulk = (float(q0) - margin * far[1] if far[1] else low - margin, float(q1) if far[0] else high + margin)
    whole = (low - margin, high + margin)
    if low >= 0 and not discrete:
        bulk, whole = (max(bulk[0], 0.0), bulk[1]), (max(whole[0], 0.6 * low), whole[1])
    return bulk, whole


def _extremes(x: np.ndarray) -> np.ndarray:
    return np.array([x.min(), x.max()])


def _draw(
    axes: Axes,
    x: Any,
    distributions: Mapping[str, Distribution],
    span: tuple[float, float],
    discrete: bool,
    logarithmic: bool,
    unit: Unit | None,
) -> None:
    """One panel: density where `unit` is None, else surprise in that unit."""
    if discrete:
        first, last = int(np.ceil(span[0])), int(np.floor(span[1]))
        grid = np.unique(np.round(np.linspace(first, last, min(last - first + 1, POINTS))))
    else:
        grid = np.geomspace(*span, POINTS) if logarithmic else np.linspace(*span, POINTS)
    scale = 1.0 if unit is None else nats_per(unit)

    def shown(density: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return density if unit is None else -np.log(density) / scale

    top: float = 0.0
    heights: list[np.ndarray] = []
    if x is not None:
        top = _draw_data(axes, x, span, discrete, logarithmic, shown, unit)
    for i, (label, distribution) in enumerate(distributions.items()):
        with float64_scope():
            log_density = np.asarray(distribution.log_prob(grid))
        y = np.exp(log_density) if unit is None else -log_density / scale
        y = np.where(np.isfinite(y), y, np.nan)
        heights.append(y)
        style = _style(i, label)
        if discrete and len(grid) <= 60:
            style |= {"marker": "o", "markersize": 3.5}
        axes.plot(grid, y, **style)
        if unit is None and x is not None and np.isfinite(y).any():
            # A density that shoots up at an end must not flatten all the others.
            top = max(top, float(np.nanquantile(y, 0.99)))
    if unit is None and top > 0:
        axes.set_ylim(0, 1.15 * top)
    if unit is not None and x is not None and len(heights) > 1:
        # The first is the least surprised; a family that is surprised many times as much would flatten the rest.
        first, most = float(np.nanmax(heights[0], initial=0.0)), max(float(np.nanmax(h, initial=0.0)) for h in heights)  # type: ignore[assignment]
        if most > 3 * first > 0:
            axes.set_ylim(top=3 * first)
    if discrete:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_data(
    axes: Axes,
    x: np.ndarray,
    span: tuple[float, float],
    discrete: bool,
    logarithmic: bool,
    shown: Any,
    unit: Unit | None,
) -> float:
    """The data's own density, from counts in bins; the height it reaches."""
    if discrete:
        values, counts = np.unique(x, return_counts=True)
        share = counts / len(x)
        kept = (values >= span[0]) & (values <= span[1])
        if unit is None:
            axes.bar(values[kept], share[kept], width=0.85, color="#cccccc", label="data")
        else:
            axes.plot(values[kept], shown(share[kept]), "s", color="#aaaaaa", markersize=4, label="data")
        return float(share[kept].max())
    inside = x[(x >= span[0]) & (x <= span[1])]
    # Freedman & Diaconis (1981): bins as wide as the middle half of the data asks for, whatever the tails do.
    width = 2 * float(np.subtract(*np.quantile(x, [0.75, 0.25]))) / len(x) ** (1 / 3)
    bins = int(np.clip((span[1] - span[0]) / width if width > 0 else 12, 12, 120))
    edges = np.geomspace(*span, bins + 1) if logarithmic else np.linspace(*span, bins + 1)
    counts, edges = np.histogram(inside, edges)
    density = counts / (len(x) * np.diff(edges))
    if unit is None:
        axes.stairs(density, edges, fill=True, color="#cccccc", label="data")
    else:
        seen = counts > 0
        middle = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
        axes.plot(middle[seen], shown(density[seen]), "s", color="#aaaaaa", markersize=4, label="data")
    return float(density.max())
