"""Pictures: distributions and data as density and as surprise."""

from surprax.plots.density import curves, density_and_surprise, save_figure, show
from surprax.plots.estimates import compatibility
from surprax.plots.paths import penalty_path

__all__ = ["compatibility", "curves", "density_and_surprise", "penalty_path", "save_figure", "show"]
