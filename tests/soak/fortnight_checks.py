"""The outcome of a fortnight of the scheduled job, and everything in it that is not as it should be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS, TrainedModel
from pinnwx.jobs.events import Event, read_events
from pinnwx.jobs.series_files import forecasts_in

HOURS = 24  # length of each forecast


@dataclass
class Fortnight:
    """The folder of a fortnight, and what happened in it."""

    folder: Path
    expected: list[np.datetime64]  # initial times from which a forecast is possible
    turns: int = 0
    kills: int = 0
    codes: Counter[str] = field(default_factory=Counter)  # of "VERB exit code"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def messages(self) -> Path:
        return self.folder / "messages.log"

    @property
    def analyses(self) -> Path:
        return self.folder / "analyses"

    @property
    def forecasts(self) -> dict[np.datetime64, Path]:
        return forecasts_in(self.folder / "forecasts", "fortnight")

    @property
    def events(self) -> list[Event]:
        return read_events(self.run)

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason of a refusal is in the log."""
        reasons = [
            reason for event in self.events for reason in (event.reason, *event.details.get("refused", {}).values())
        ]
        return Counter(filter(None, reasons))


def problems_of(outcome: Fortnight) -> list[str]:
    """Everything that is not as it should be; empty if all is well."""
    return [
        *_forecast_problems(outcome),
        *_verb_problems(outcome),
        *_log_problems(outcome),
        *_content_problems(outcome),
    ]


def _forecast_problems(outcome: Fortnight) -> list[str]:
    """Forecasts that are missing or were made twice, and files that are out of place."""
    problems, forecasts = [], outcome.forecasts
    if list(forecasts) != outcome.expected:
        problems.append(f"{len(forecasts)} forecasts for {len(outcome.expected)} that could be made")
    counts = Counter(time for event in outcome.events for time in event.details.get("made", ()))
    problems += [f"{time} was made {count} times" for time, count in counts.items() if count > 1]
    folder = outcome.folder / "forecasts"
    if forecasts and (folder / "latest.nc").resolve() != forecasts[max(forecasts)].resolve():
        problems.append("latest.nc is not the newest")
    return problems + [f"left behind: {path.name}" for path in folder.rglob("*.tmp*")]


def _verb_problems(outcome: Fortnight) -> list[str]:
    """Verbs that did not end as they should."""
    problems, codes = [], outcome.codes
    if codes["promote 77"] != 1:
        problems.append("the bad candidate was not refused")
    if codes["retrain 0"] + codes["retrain 77"] != 2:
        problems.append("the model was not retrained twice")
    return problems


def _log_problems(outcome: Fortnight) -> list[str]:
    """Refusals and failures that the log does not explain."""
    problems = []
    logged = Counter(f"{event.verb} {event.exit_code}" for event in outcome.events if event.exit_code)
    for what, count in outcome.codes.items():
        verb, code = what.split()
        refused = [event for event in outcome.events if event.verb == verb and event.details.get("refused")]
        if code != "0" and logged[what] + len(refused) < count:
            problems.append(f"{what}: {count} time(s), of which the log has {logged[what]}")
    unexplained = [event for event in outcome.events if event.exit_code and not event.reason]
    return problems + [f"{event.verb} {event.exit_code} without a reason" for event in unexplained]


def _content_problems(outcome: Fortnight) -> list[str]:
    """Forecasts that differ from what their model makes of the analyses as they are in the end."""
    by_model: dict[str, list[Path]] = {}
    for path in outcome.forecasts.values():
        by_model.setdefault(read_forecast(path).attrs["model_sha256"], []).append(path)  # which checks its digest
    run, problems = Run(outcome.run), []
    for version in run.versions:
        trained = TrainedModel.load(run.version(version))
        paths = by_model.pop(trained.manifest["files"][WEIGHTS], [])
        problems += [f"{path.name} is not what version {version} makes" for path in _different(outcome, trained, paths)]
    return problems + [f"{path.name} is by no version of the run" for paths in by_model.values() for path in paths]


def _different(outcome: Fortnight, trained: TrainedModel, paths: list[Path]) -> list[Path]:
    """The files whose values differ from a new forecast of the model."""
    if not paths:
        return []
    archive, predictor = matching_archive(trained, outcome.analyses), Predictor(trained, range(6, HOURS + 1, 6))

    def is_equal(path: Path) -> bool:
        dataset = read_forecast(path)
        (fields,) = predictor.from_archive(archive, dataset["forecast_reference_time"].values.reshape(1))
        return all(np.array_equal(dataset[name].values, fields[:, k]) for k, name in enumerate(trained.names))

    return [path for path in paths if not is_equal(path)]
