"""Figures: forecast maps, error growth, training curves; they need neither a display nor a network connection."""

from pinnwx.reporting.curves import plot_scores, plot_training, scores_figure, training_figure
from pinnwx.reporting.maps import forecast_figure, plot_forecast

__all__ = [
    "forecast_figure",
    "plot_forecast",
    "plot_scores",
    "plot_training",
    "scores_figure",
    "training_figure",
]
