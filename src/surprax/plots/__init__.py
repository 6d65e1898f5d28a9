"""Pictures: distributions and data as density and as surprise."""

from surprax.plots.density import curves, density_and_surprise, save_figure

__all__ = ["curves", "density_and_surprise", "save_figure"]
