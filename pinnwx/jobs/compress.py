"""The common course of pruning and distillation: a smaller model from a run's live one, in a run folder of its own."""

from __future__ import annotations

import abc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.compression.prune import Round
from pinnwx.config import MOST_UPDATES, parse_config
from pinnwx.data.archive import Archive
from pinnwx.enclosed import read_own
from pinnwx.errors import CheckpointError, UsageError
from pinnwx.files import write_text, writing
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import CONFIG, TrainedModel
from pinnwx.jobs.budget import budget_ends
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.training_check import require_promoted, validation_archive
from pinnwx.jobs.training_task import TrainingTask, origin, train_in_run
from pinnwx.records import CompressionReport, NotARecord, checked, parsed
from pinnwx.runlayout import REPORTS
from pinnwx.runtime import prepare
from pinnwx.training.progress import Progress

REPORT = "compression.json"


@dataclass(frozen=True)
class Budget:
    """The number of updates, or the `time.monotonic()` at which all must be done where there is no number."""

    updates: int | None
    deadline: float
    progress: Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Start:
    """The smaller model, before the training in its own folder, and the rounds of pruning that made it."""

    model: TrainedModel
    rounds: tuple[Round, ...] = ()


class Method(abc.ABC):
    """One way to a smaller model."""

    @abc.abstractmethod
    def plan(self, trained: TrainedModel, updates: int | None) -> Callable[[Archive, Budget], Start]:
        """Checks the request before any data are read; the result makes the smaller model from the training time.

        Raises:
            UsageError: the model cannot be made smaller in this way.
        """

    @abc.abstractmethod
    def notes(self, trained: TrainedModel) -> dict[str, Any]:
        """What the manifest of the smaller model says of the method."""

    def teacher_trajectories(self, trained: TrainedModel, archive: Archive) -> list[Archive]:  # noqa: ARG002
        """Forecasts of the live model that the smaller one trains on, beside the analyses."""
        return []


def compress(
    method: Method,
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    minutes: float | None,
    updates: int | None,
    resume: bool,
    force: bool,
    promote_anyway: bool,
    progress: Callable[[Progress], None],
    started: float | None,
) -> Run:
    """Makes the smaller model; the arguments are those of `jobs.prune.prune` and `jobs.distill.distill`."""
    prepare()
    begun = time.monotonic() if started is None else started
    _require_one_budget(minutes, updates)
    source = Run.open(run)
    if source.folder.resolve() == Path(out).resolve():
        raise UsageError(f"{out} is the run to compress; give the smaller model a folder of its own")
    live = source.live
    trained = source.load()
    deadline = budget_ends(trained.config.compression.minutes if minutes is None else minutes, begun)
    start_from = method.plan(trained, updates)
    archive = training_time(trained, data)
    notes = {"source": "pinnwx compress", "compressed_from": origin(trained, live), **method.notes(trained)}
    smaller = Run.open(out) if resume else new_run(out, force=force)
    with recorded(out, "compress") as event, smaller.lock():
        continued = resume and not smaller.may_begin()
        if continued:
            model = _begun(smaller, trained, notes, updates)
            if smaller.is_finished():
                event.outcome = NOTHING_TO_DO
                require_promoted(smaller, anyway=promote_anyway)
                return smaller
        else:
            start = start_from(archive, Budget(updates, deadline, progress))
            model = start.model
            _begin(smaller, notes | {"budget": updates, "rounds": _summary(start.rounds)})
        teacher_trajectories = method.teacher_trajectories(trained, archive)
        notes["updates_between_rounds"] = sum(one["updates"] for one in _report(smaller)["rounds"])
        validation = validation_archive(model, data)
        task = TrainingTask(model, archive, validation, deadline, teacher_trajectories, notes)
        event.details["version"] = train_in_run(
            smaller, task, resume=continued, promote_anyway=promote_anyway, progress=progress
        )
    return smaller


def training_time(trained: TrainedModel, data: Sequence[str | Path] | str | Path) -> Archive:
    """The part of the data that the model was trained on.

    Raises:
        UnavailableError: the data hold none of it.
    """
    train = trained.config.data.train
    start, end = trained.manifest.get("trained_on", (train.start, train.end))
    return matching_archive(trained, data).select(start, end)


def _require_one_budget(minutes: float | None, updates: int | None) -> None:
    if updates is not None and minutes is not None:
        raise UsageError("give one of --minutes and --updates: a budget of time, or of updates")
    if updates is not None and not 1 <= updates <= MOST_UPDATES:
        raise UsageError(f"--updates {str(updates)[:40]}: at least 1 is needed, and at most {MOST_UPDATES:,}")


def _begin(run: Run, report: Mapping[str, Any]) -> None:
    with writing(run.folder):
        run.begin()
        write_text(run.reports() / REPORT, json.dumps(report, indent=1) + "\n")


def _begun(run: Run, trained: TrainedModel, notes: Mapping[str, Any], updates: int | None) -> TrainedModel:
    """The untrained model of the compression that began in the run.

    Raises:
        CheckpointError: another compression began there.
    """
    stored, config = _report(run), run.text(CONFIG)
    expected = {**notes, "budget": updates}
    other = [key for key, value in expected.items() if stored.get(key) != value]
    if other or config is None:
        raise CheckpointError(
            f"{run.folder} is not of this compression ({', '.join(other) or CONFIG} differs); resume with what it "
            "began with, or --force"
        )
    return trained.with_config(parse_config(config, str(run.folder / CONFIG)))


def _report(run: Run) -> dict[str, Any]:
    """What was written when the compression in the run began; nothing where none did.

    Raises:
        CheckpointError: it is damaged.
    """
    content = read_own(run.folder, f"{REPORTS}/{REPORT}")
    if content is None:
        return {}
    try:
        report = parsed(content)
        checked(report, CompressionReport)
        return report
    except NotARecord as error:
        path = run.folder / REPORTS / REPORT
        raise CheckpointError(f"{path} is damaged ({error}); start afresh with --force") from None


def _summary(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """The rounds as JSON: of each group of channels the scores, the highest first."""
    return [
        {
            "widths": one.widths,
            "updates": one.updates,
            "importance": [{name: _ranked(scores) for name, scores in own.items()} for own in one.importance],
        }
        for one in rounds
    ]


def _ranked(scores: np.ndarray) -> list[float]:
    return [float(f"{score:.4g}") for score in np.sort(scores)[::-1]]
