"""pinnwx: a physics-informed neural weather forecaster.

Each command of the command line is a function here, with the same name and meaning. The functions return xarray
datasets or plain dataclasses. Large libraries are imported at the first use of a function.
"""

from __future__ import annotations

from pinnwx.lazy import lazy_attributes
from pinnwx.version import __version__

_HOMES = {
    "calibrate": "pinnwx.jobs.calibrate",
    "check": "pinnwx.jobs.check",
    "compare": "pinnwx.jobs.compare",
    "distill": "pinnwx.jobs.distill",
    "demo": "pinnwx.jobs.demo",
    "doctor": "pinnwx.jobs.doctor",
    "evaluate": "pinnwx.jobs.evaluate",
    "explain": "pinnwx.jobs.explain",
    "export": "pinnwx.jobs.export",
    "fetch": "pinnwx.jobs.fetch",
    "forecast": "pinnwx.jobs.forecast",
    "forecast_series": "pinnwx.jobs.series",
    "list_models": "pinnwx.jobs.models",
    "plot": "pinnwx.jobs.plot",
    "promote": "pinnwx.jobs.promote",
    "prune": "pinnwx.jobs.prune",
    "prune_models": "pinnwx.jobs.models",
    "report": "pinnwx.jobs.report",
    "retrain": "pinnwx.jobs.retrain",
    "rollback": "pinnwx.jobs.promote",
    "show_model": "pinnwx.jobs.models",
    "status": "pinnwx.jobs.status",
    "train": "pinnwx.jobs.train",
    "verify": "pinnwx.jobs.verify",
    "point": "pinnwx.jobs.point",
    "weatherbench2_view": "pinnwx.forecasting.cf",
    "open_data": "pinnwx.data.open",
    "sample_path": "pinnwx.data.open",
    "load_config": "pinnwx.config",
    "Grid": "pinnwx.grid",
    "State": "pinnwx.forecasting.state",
    "TrainedModel": "pinnwx.forecasting.trained_model",
    "Trajectory": "pinnwx.forecasting.state",
    "Scores": "pinnwx.verification.results",
}

__all__ = ["__version__", *sorted(_HOMES)]
__getattr__ = lazy_attributes(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
