"""What data say about a parameter, drawn as a curve."""

import os
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surprax.families import Normal
from surprax.numerics.precision import float64_scope
from surprax.plots.density import COLOURS, save_figure

__all__ = ["compatibility"]


def compatibility(curve: Any, *, level: float = 0.95, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw how many bits of surprise the data would be for each value of a parameter (`Estimate.compatibility`).

    The line across is at the s-value of 1 − `level`: the values below it are a confidence interval of that level.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.values, curve.bits, color=COLOURS[0], linewidth=1.8)
    axes.plot([curve.estimate], [0.0], "o", color=COLOURS[0])
    line = -np.log2(1.0 - level)
    inside = curve.bits <= line
    axes.axhline(line, color="0.5", linewidth=1, linestyle=(0, (4, 2)))
    axes.annotate(
        f"{100 * level:g} %", (curve.values[-1], line), (0, 3), textcoords="offset points", ha="right", color="0.35"
    )
    if inside.any():
        axes.fill_between(curve.values, curve.bits, line, where=inside, color=COLOURS[0], alpha=0.12)
    axes.set(xlabel=curve.label, ylabel="surprise of the data, bits")
    axes.set_ylim(bottom=0)
    axes.set_xlim(curve.values[0], curve.values[-1])
    axes.spines[["top", "right"]].set_visible(False)
    sigmas = axes.secondary_yaxis("right", functions=(_sigma_of, _bits_of))
    sigmas.set_ylabel("standard errors")
    sigmas.spines["right"].set_color("0.8")
    if path is not None:
        save_figure(figure, path)
    return figure


def _sigma_of(bits: Any) -> Any:
    """Standard errors behind two-sided s-values."""
    with float64_scope():
        return np.asarray(Normal(0.0, 1.0).isf(0.5 * np.exp2(-np.maximum(bits, 0.0))))


def _bits_of(sigma: Any) -> Any:
    with float64_scope():
        return -(np.asarray(Normal(0.0, 1.0).log_sf(np.abs(sigma))) / np.log(2.0) + 1.0)
