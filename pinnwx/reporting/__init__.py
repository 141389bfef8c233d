"""Pictures for people: forecast maps, error growth, training curves. Drawn without a display and without a network."""

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
