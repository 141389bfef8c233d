"""Training that begins with the weights of another run, such as one that has learned from a simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import ConfigError
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.training_task import origin
from pinnwx.model.weights import named_weights, set_weights


def take_weights(trained: TrainedModel, folder: str | Path, unknown: Archive | None = None) -> dict[str, Any]:
    """Gives `trained` the weights of the live version of a run; returns the entry of the manifest that says so.

    The forecast fields, the step, the input times, and the names and shapes of all weights have to be the same. Data,
    grid, normalisation and climatology may differ: they are those of `trained`, and the weights act on normalised
    fields. `unknown` is an archive that the weights must not know, for cross-fitting: no network would have left out
    anything.

    Raises:
        ConfigError: the weights do not fit, or know the archive.
        CheckpointError: the run has no live version, or it is damaged.
    """
    run = Run.open(folder)
    version, source = run.live, run.load()
    settings = _settings(source)
    for name, own in _settings(trained).items():
        if settings[name] != own:
            there = f"{name} is {settings[name]} there and {own} here"
            raise ConfigError(f"--init-from {folder}: {there}; make them the same")
    weights, own = named_weights(source.model), named_weights(trained.model)
    shapes, expected = ({name: values.shape for name, values in one.items()} for one in (weights, own))
    if shapes != expected:
        (name, *_) = sorted(name for name in shapes | expected if shapes.get(name) != expected.get(name))
        there, here = (_shape(one.get(name)) for one in (shapes, expected))
        raise ConfigError(
            f"--init-from {folder}: the weight {name} {there} there and {here} here; give both models the same "
            "equations, networks and closure"
        )
    if unknown is not None:
        _require_unknown(unknown, source, folder)
    set_weights(trained.model, weights)
    return origin(source, version)


def _require_unknown(unknown: Archive, source: TrainedModel, folder: str | Path) -> None:
    """Raises:
    ConfigError: the model was trained on a part of the time of this archive.
    """
    first, last = map(parse_time, source.manifest["trained_on"])
    if first <= unknown.times[-1] and last >= unknown.times[0]:
        raise ConfigError(
            f"--init-from {folder}: its model was trained on {format_time(first)} to {format_time(last)}, so training."
            "cross_fitting_days would leave out nothing unknown; set it to 0, or begin with other weights"
        )


def _settings(trained: TrainedModel) -> dict[str, str | float]:
    """What has to be the same though the shapes of the weights may not show it."""
    model = trained.config.model
    return {"fields": ", ".join(trained.names), "step_hours": model.step_hours, "input_times": model.input_times}


def _shape(shape: tuple[int, ...] | None) -> str:
    return "is absent" if shape is None else f"has the shape {' x '.join(map(str, shape)) or '1'}"
