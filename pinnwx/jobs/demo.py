"""A demonstration without data and network: training on the sample, forecast, verification, figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from pinnwx.config import Config, load_config
from pinnwx.data.open import sample_path
from pinnwx.errors import DataError
from pinnwx.forecasting.runs import new_run
from pinnwx.jobs.budget import budget_ends
from pinnwx.jobs.evaluate import evaluate
from pinnwx.jobs.forecast import forecast
from pinnwx.jobs.plot import plot
from pinnwx.jobs.train import train
from pinnwx.training.progress import Progress
from pinnwx.verification.results import Scores

CONFIG = Path(__file__).with_name("demo.toml")
LEADS = (6, 12, 24, 48, 72)
FORECAST_HOURS = 120


@dataclass(frozen=True)
class Demonstration:
    """The result of `demo`: the scores, the forecast, and the names of the files in its folder."""

    scores: Scores
    forecast: xr.Dataset
    files: tuple[str, ...]


def demo(
    out: str | Path = "demo",
    *,
    minutes: float | None = None,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Demonstration:
    """Trains for `minutes` on the synthetic sample, and writes the run, a forecast, scores and figures into `out`.

    Raises:
        OutputError: `out` is not empty and `force` is false.
    """
    if minutes is not None:
        budget_ends(minutes, 0.0)  # checks the minutes before the folder is created
    folder = new_run(out, force=force, remedy="--force to start again").folder
    sample, config = sample_path(), load_config(CONFIG)
    period = _validation(config)
    run = folder / "run"
    say(f"Training on {sample.name} (synthetic), {config.data.train.start} to {config.data.train.end} ...")
    # The model is promoted even after a very short training; its scores are shown with those of persistence.
    train(CONFIG, sample, run, minutes=minutes, force=force, promote_anyway=True, progress=progress)
    say("Scoring hindcasts from later days, outside the training time ...")
    scores = evaluate(
        run, sample, start=period.start, end=period.end, leads=LEADS, json=folder / "scores.json", force=force
    )
    say("Forecasting ...")
    dataset = forecast(
        run, sample, init=f"{period.start}T00:00", hours=FORECAST_HOURS, out=folder / "forecast.nc", force=force
    )
    plot(
        folder / "forecast.nc",
        folder / "forecast.png",
        data=sample,
        variables=("z500", "t850"),
        leads=(24, 72),
        force=force,
    )
    plot(folder / "scores.json", folder / "scores.png", force=force)
    plot(run, folder / "training.png", force=force)
    return Demonstration(scores, dataset, tuple(sorted(path.name for path in folder.iterdir())))


def _validation(config: Config):
    if config.data.validate_ is None:
        raise DataError(f"{CONFIG.name} has no data.validate period to score")
    return config.data.validate_
