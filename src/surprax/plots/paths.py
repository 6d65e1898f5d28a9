"""Coefficients over penalties, and how well each penalty predicts."""

import os
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surprax.plots.density import COLOURS, DASHES, save_figure

__all__ = ["penalty_path"]

NAMED = 12
"""Paths that get a name each; of more, the largest at the end."""


def penalty_path(path: Any, *, standardized: bool = True, path_to: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the coefficients of a `PenaltyPath` against the penalty, and its cross-validated deviance if there is one.

    Args:
        path: the path.
        standardized: whether coefficients are drawn as the penalty sees them, times the scale of their columns.
        path_to: where to write the figure too.
    """
    validated = path.fold_deviances is not None
    figure = Figure(figsize=(11 if validated else 6.4, 4.2), layout="constrained")
    panels = figure.subplots(1, 1 + validated, squeeze=False)[0]
    left = panels[0]
    shrunk = np.flatnonzero(path.scale > 0)
    values = path.coefficients[:, shrunk] * (path.scale[shrunk] if standardized else 1.0)
    named = set(np.argsort(-np.max(np.abs(values), axis=0))[:NAMED].tolist())
    for i in range(len(shrunk)):
        style: dict[str, Any] = {"color": "0.75", "linewidth": 0.8, "zorder": 1}
        if i in named:
            style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "linewidth": 1.6}
            style |= {"label": path.names[shrunk[i]]}
        left.plot(path.penalties, values[:, i], **style)
    left.axhline(0.0, color="0.5", linewidth=0.8)
    left.set(ylabel="coefficient", title="coefficients")
    if validated:
        right = panels[1]
        middle, error = path.cv_deviance, path.cv_standard_error
        right.plot(path.penalties, middle, color=COLOURS[0], linewidth=1.8)
        right.fill_between(path.penalties, middle - error, middle + error, color=COLOURS[0], alpha=0.15, linewidth=0)
        right.set(ylabel="deviance per observation", title="held-out deviance")
        for at, label, dash in (
            (path.best, "best", (0, (1.2, 1.2))),
            (path.one_se, "one standard error", (0, (5, 1.5))),
        ):
            for axes in panels:
                axes.axvline(at, color="0.4", linewidth=1, linestyle=dash, label=label if axes is right else None)
        right.legend(frameon=False)
    for axes in panels:
        if path.penalties[-1] > 0:
            axes.set_xscale("log")
        axes.invert_xaxis()
        axes.set_xlabel("penalty (weaker to the right)")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    if path_to is not None:
        save_figure(figure, path_to)
    return figure
