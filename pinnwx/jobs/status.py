"""The health of a run: the last success of each job, the live model, and the recent skill of its forecasts."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.data.calendar import format_time, now, parse_time
from pinnwx.errors import CheckpointError, DataError, MissingInputError
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.events import EVENTS, Event, Log, read_log
from pinnwx.jobs.series_files import SCORES, time_of
from pinnwx.jobs.status_metrics import require_metrics, write_metrics
from pinnwx.manifest import RESTORE, may_be_live, read_manifest
from pinnwx.variables import difference_units
from pinnwx.verification.results import Scores

RECENT_DAYS = 7.0
LEAST_HISTORY = 8  # the minimum number of earlier forecasts for a statement on drift
USUAL_FRACTION = 0.95  # the quantile of earlier errors above which recent errors count as drift
_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class JobStatus:
    """One command: its last success and the age of it [h], its last outcome, and its failures since then.

    `reason` belongs to the last failure since the last success, or to forecasts that the last series refused.
    """

    verb: str
    last_success: str | None
    age_hours: float | None
    last_outcome: str
    reason: str
    failures: int


@dataclass(frozen=True)
class Skill:
    """RMSE of the recent forecasts of a variable at a lead, and the median of the earlier ones [SI units].

    `drifts` is true if the mean recent error exceeds the 95 % quantile of the earlier errors. `of_persistence` is the
    ratio of the recent error to that of persistence for the same forecasts.
    """

    variable: str
    lead_hours: float
    recent: float
    recent_forecasts: int
    usual: float | None
    earlier_forecasts: int
    drifts: bool
    of_persistence: float | None = None


@dataclass(frozen=True)
class Status:
    """The output of `pinnwx status`; `warnings` need attention.

    `alarm` says that the live version is damaged, so that no forecast is possible, with a remedy; otherwise empty.
    """

    run: str
    version: str | None
    trained_to: str | None
    jobs: tuple[JobStatus, ...]
    skill: tuple[Skill, ...]
    warnings: tuple[str, ...]
    alarm: str = ""

    def require_usable(self) -> None:
        """Raises:
        CheckpointError: the live version is damaged.
        """
        if self.alarm:
            raise CheckpointError(self.alarm)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def status(
    run: str | Path,
    *,
    forecasts: str | Path | None = None,
    json: str | Path | None = None,
    metrics: str | Path | None = None,
    force: bool = False,
) -> Status:
    """Reads the log of a run and the scores in a folder of its forecasts (`pinnwx.forecast_series` with `score`).

    `json` is a file for the result. `metrics` is a file in the text format of Prometheus for the textfile collector of
    its node exporter; it is replaced at every call.

    Raises:
        MissingInputError: the run or the folder of forecasts does not exist.
        OutputError: a file cannot be written.
    """
    opened = Run.open(run)
    if json is not None:
        check_writable(json, force=force)
    if metrics is not None:
        require_metrics(Path(metrics))
    version, trained_to, name, warnings, alarm = None, None, "", [], ""
    try:
        version = opened.live
        manifest = read_manifest(opened.version(version))
        trained_to, name = manifest.get("trained_on", [None])[-1], manifest.get("name", name)
    except CheckpointError as error:
        if opened.versions:
            alarm = f"no forecast is possible: {str(error).removesuffix(f'; {RESTORE}')}; {_way_out(opened)}"
        else:
            warnings.append(str(error))
    log = _log_of(opened.folder, warnings)
    jobs = tuple(_jobs(log.events))
    warnings += [
        f"{job.verb}: " + (f"failed {job.failures} time(s), last: " * bool(job.failures)) + job.reason
        for job in jobs
        if job.reason
    ]
    skill: tuple[Skill, ...] = ()
    if forecasts is not None:
        entries, unreadable = _scores_in(Path(forecasts), name)
        skill = tuple(skill_of(entries))
        warnings += unreadable + _of_silence(entries)
    warnings += [_of_drift(one) for one in skill if one.drifts]
    health = Status(str(opened.folder), version, trained_to, jobs, skill, tuple(warnings), alarm)
    if json is not None:
        write_text(json, json_module.dumps(health.to_dict(), indent=2) + "\n")
    if metrics is not None:
        write_metrics(health, Path(metrics))
    return health


def _log_of(run: Path, warnings: list[str]) -> Log:
    """The log of a run; its problems are added to the warnings."""
    try:
        log = read_log(run)
    except CheckpointError as error:
        warnings.append(str(error))
        return Log()
    if log.unreadable:
        warnings.append(f"{run / EVENTS}: {log.unreadable} line(s) are not events and were skipped")
    return log


def _jobs(events: Sequence[Event]) -> list[JobStatus]:
    """One entry for each command, in the order of their first run."""
    jobs = []
    for verb in dict.fromkeys(event.verb for event in events):
        own = [event for event in events if event.verb == verb]
        well = [index for index, event in enumerate(own) if event.went_well]
        last = own[well[-1]].time if well else None
        age = None if last is None else round(float((now() - parse_time(last)) / _HOUR), 2)
        wrong = [event for event in (own[well[-1] + 1 :] if well else own) if event.went_wrong]
        reason = wrong[-1].reason if wrong else _refused_of_several(own[-1])
        jobs.append(JobStatus(verb, last, age, own[-1].outcome, reason, len(wrong)))
    return jobs


def _refused_of_several(event: Event) -> str:
    """The forecasts that a series refused, although its newest forecast succeeded."""
    refused = event.details.get("refused") if event.went_well else None
    if not isinstance(refused, dict) or not refused:
        return ""
    when, why = next(iter(refused.items()))
    return f"{len(refused)} refused in the last run, the first of {when}: {why}"


def _way_out(run: Run) -> str:
    """A command that makes a usable version live."""
    try:
        live, _ = run.pointer
    except CheckpointError:
        live = ""
    good = [name for name in run.versions if name != live and _is_usable(run, name)]
    older = [name for name in good if live and int(name) < int(live)]
    if older:
        return f"pinnwx models rollback --run {run.folder} makes {older[-1]} live"
    if good:
        return f"pinnwx models promote {good[-1]} --run {run.folder} makes {good[-1]} live"
    return "no other version is usable: restore it from a copy, or train again"


def _is_usable(run: Run, name: str) -> bool:
    """Whether a version is complete and passed its training check, as `models rollback` requires."""
    try:
        return may_be_live(read_manifest(run.version(name)))
    except CheckpointError:
        return False


def _scores_in(folder: Path, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """(score entries of the forecasts of a model, each with its initial time; warnings of unreadable files)."""
    if not folder.is_dir():
        raise MissingInputError(f"no folder of forecasts {folder}")
    scores, unreadable = [], []
    for path in sorted(folder.glob(f"{name}_*{SCORES}")):
        begun = time_of(path, name)
        if begun is None:
            continue
        try:
            scores += [{**one, "begun": begun} for one in Scores.load(path).scores if one["n"]]
        except (DataError, KeyError) as error:
            unreadable.append(f"{path.name}: {error}; remove it, and it is scored again")
    return scores, unreadable


def _of_silence(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A warning if the newest scored forecast is old."""
    if not entries:
        return []
    newest = max(entry["begun"] for entry in entries)
    if (now() - newest) / _HOUR <= 2 * 24 * RECENT_DAYS:
        return []
    return [f"no forecast with an initial time after {format_time(newest)} was scored"]


def skill_of(entries: Sequence[dict[str, Any]]) -> list[Skill]:
    """Compares the forecasts of the last `RECENT_DAYS` with the earlier ones, for each variable and lead."""
    skills = []
    for variable, lead in dict.fromkeys((entry["variable"], entry["lead_hours"]) for entry in entries):
        own = [entry for entry in entries if (entry["variable"], entry["lead_hours"]) == (variable, lead)]
        times, errors = np.array([one["begun"] for one in own]), np.array([one["rmse"] for one in own])
        recent = times > times.max() - np.timedelta64(round(86400 * RECENT_DAYS), "s")
        of_late, earlier = float(errors[recent].mean()), errors[~recent]
        enough = len(earlier) >= LEAST_HISTORY
        drifts = enough and of_late > float(np.quantile(earlier, USUAL_FRACTION))
        persisted = [one.get("persistence_rmse") or np.nan for one in own]
        ratios = (errors / np.array(persisted, np.float64))[recent]
        ratio = float(np.nanmean(ratios)) if np.isfinite(ratios).any() else None
        usual = float(np.median(earlier)) if len(earlier) else None
        skills.append(Skill(variable, lead, of_late, int(recent.sum()), usual, len(earlier), bool(drifts), ratio))
    return skills


def _of_drift(one: Skill) -> str:
    factor, units = difference_units(one.variable)
    usual = factor * (one.usual or 0.0)
    return (
        f"{one.variable} at {one.lead_hours:g} h: recent RMSE {factor * one.recent:.3g} {units}, earlier median "
        f"{usual:.3g} {units}"
    )
