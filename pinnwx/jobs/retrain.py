"""Retraining: the live model learns on from fresh analyses, and its successor takes its place if it is not worse."""

from __future__ import annotations

import dataclasses
import json as json_module
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.data.windows import window_indices
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.files import check_writable, write_text, writing
from pinnwx.forecasting.trained import CONFIG, Trained, error_scale, load_optimiser, load_trained
from pinnwx.jobs.evaluate import default_leads, matching_archive
from pinnwx.jobs.events import recorded
from pinnwx.jobs.gate import Verdict, judge
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.readiness import require_credible
from pinnwx.jobs.runs import Run
from pinnwx.jobs.train import budget_ends, lineage
from pinnwx.model.committee import give_weights, members_of
from pinnwx.runtime import prepare
from pinnwx.training.fit import Report
from pinnwx.training.optimiser import from_named_leaves, named_leaves
from pinnwx.training.refit import Material, Refitted, refit, set_aside
from pinnwx.training.update import initial_state

_log = logging.getLogger(__name__)
LEARNING_SHARE = 0.6  # of the budget; the rest is for the gate


@dataclass(frozen=True, eq=False)
class Retrained:
    """What became of a retraining: the version that was made, what the gate said, and how learning went."""

    version: str
    verdict: Verdict
    refitted: Refitted


@dataclass(frozen=True)
class Periods:
    """Who sees which analyses: those up to `learn_to` are learned from, of which those after `since` are fresh; those
    from `judge_from` to `judge_to` are held out."""

    since: np.datetime64
    learn_to: np.datetime64
    judge_from: np.datetime64
    judge_to: np.datetime64


def retrain(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    since: str | None = None,
    minutes: float | None = None,
    accept_suspicious: bool = False,
    json: str | Path | None = None,
    force: bool = False,
    report: Callable[[Report], None] = lambda _: None,
    started: float | None = None,
) -> Retrained:
    """Makes a successor of the live version out of `data`, and stores it and makes it live if it passes the gate.

    The newest days (`retraining.hold_out_days`) are held out: the gate (`jobs.gate`) judges both there. From what is
    older, windows that end after `since` are mixed with a share of older ones (`retraining.replay`). Normalisation and
    climatology stay those of the live version, which is never touched. What the gate said is kept in the run folder,
    under `reports/`. A retraining that is stopped or killed leaves nothing; start it again.

    The settings are those of `[retraining]` in the run folder's config.toml, which may be changed for it.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores: the fresh analyses, and older ones to replay.
        since: ISO 8601 time after which analyses are fresh; by default the end of what the live version learned from.
        minutes: wall-clock budget of the whole call; `retraining.minutes` if None. Ignored where
            `retraining.updates` is set.
        accept_suspicious: learn from a stuck field, a jump or a spike all the same.
        json: another place for what the gate said.
        force: replace what is at `json`.
        report: called as learning goes on, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the successor is worse, or learning on did not help; the live version stays.
        UnavailableError: nothing is fresh, or what is to be held out was learned from already.
        LockedError: another job is at work in the run.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError: as their names say.
        Interrupted: a signal asked to stop.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    opened = Run.open(run)
    with recorded(run, "retrain") as event, opened.lock():
        if json is not None:
            check_writable(json, force=force)
        live, _ = opened.live, opened.next_version
        incumbent = _with_settings_of(opened, load_trained(opened.version(live)))
        successor = dataclasses.replace(incumbent, model=nnx.clone(incumbent.model))
        ends = budget_ends(incumbent.config.retraining.minutes if minutes is None else minutes, begun)
        archive = matching_archive(incumbent, data)
        periods = split(incumbent, archive, since)
        require_credible(archive, periods.since, periods.judge_to, accept=accept_suspicious)
        lessons = material(incumbent, archive, periods)
        refitted = _learn(successor, archive, lessons, load_optimiser(opened.version(live)), ends, report)
        successor = dataclasses.replace(
            successor, manifest=_notes(incumbent, live, archive, periods, lessons, refitted)
        )
        verdict = _judged(successor, incumbent, archive, periods, refitted)
        found = {"successor_of": live, **verdict.to_dict(), "watched_error": list(refitted.watch)}
        text = json_module.dumps(found, indent=2) + "\n"
        with writing(opened.folder):
            write_text(opened.reports() / f"{format_time(periods.learn_to)[:13]}.json", text)
        if json is not None:
            write_text(json, text)
        verdict.require_passed(f"the successor of {live}", live)
        with writing(opened.folder):
            optimiser = named_leaves(refitted.optimiser)
            name = opened.publish(successor, successor.manifest, optimiser, ends_training=False)
        event.details["version"] = name
    return Retrained(name, verdict, refitted)


def split(incumbent: Trained, archive: Archive, since: str | None) -> Periods:
    """Which analyses are fresh, and which are held out.

    Raises:
        UnavailableError: no analysis is fresh, or the live version has learned from some of those to hold out.
        UsageError: `since` is not given, and the live version does not say what it learned from.
    """
    days = incumbent.config.retraining.hold_out_days
    known = incumbent.manifest.get("trained_on")
    if since is None and known is None:
        raise UsageError("the live version does not say what it was trained on; give --since")
    learned_to = None if known is None else parse_time(known[-1])
    since_when = parse_time(incumbent.manifest.get("learned_fresh_to", known and known[-1]) if since is None else since)
    last = archive.times[-1]
    cut = last - np.timedelta64(round(86400 * days), "s")
    if learned_to is not None and learned_to > cut:
        why = f"the live version learned from analyses up to {format_time(learned_to)}"
    elif since_when >= cut or archive.times[0] > cut:
        why = f"no analysis after {format_time(since_when)}" + ("" if since is None else " (--since)")
        why += " is older than those"
    else:
        judged = archive.times[archive.times > cut]
        return Periods(since_when, archive.times[archive.times <= cut][-1], judged[0], last)
    raise UnavailableError(
        f"nothing to learn from: the data end at {format_time(last)}, the newest {days:g} days of them are held out, "
        f"and {why}; wait for newer analyses, or lower hold_out_days of [retraining] in the run's config.toml"
    )


def material(incumbent: Trained, archive: Archive, periods: Periods) -> Material:
    """The windows that end in the fresh time, those to watch among them, and older ones.

    What is watched is not learned from: no window to learn from ends after the forecast of a watched one begins.

    Raises:
        UnavailableError: there are too few fresh windows.
    """
    config = incumbent.config
    inputs = config.model.input_times
    windows = window_indices(archive.times, config.model.step_hours, inputs - 1 + config.retraining.steps)
    ends = archive.times[windows[:, -1]]
    windows, ends = windows[ends <= periods.learn_to], ends[ends <= periods.learn_to]
    newest = windows[ends > periods.since]
    fresh, watched = set_aside(newest, archive.times, inputs)
    if not len(fresh):
        raise UnavailableError(
            f"only {len(newest)} windows of {inputs + config.retraining.steps} analyses end after "
            f"{format_time(periods.since)} and by {format_time(periods.learn_to)}, too few to learn from and to watch; "
            "wait for newer analyses, or lower steps or hold_out_days of [retraining] in the run's config.toml"
        )
    return Material(fresh, windows[ends <= periods.since], watched)


def _with_settings_of(run: Run, trained: Trained) -> Trained:
    """With the settings of retraining from the run's own config, which may be edited as that of a version may not."""
    text = run.text(CONFIG)
    if text is None:
        return trained
    retraining = parse_config(text, str(run.folder / CONFIG)).retraining
    return dataclasses.replace(trained, config=trained.config.model_copy(update={"retraining": retraining}))


def _learn(successor: Trained, archive: Archive, lessons: Material, stored, ends: float, report) -> Refitted:
    """Teaches the successor, whose weights are changed; the whole job has time until `ends`."""
    config, members = successor.config, members_of(successor.model)
    like = [initial_state(member, config.training).optimiser for member in members]
    optimiser = None if stored is None else from_named_leaves(stored, like)
    if optimiser is None:
        _log.info("note: the live version keeps no state of this optimiser; it starts afresh")
    now = time.monotonic()
    deadline = now + LEARNING_SHARE * (ends - now) if config.retraining.updates is None else None
    with Interrupts("stopping") as interrupts:
        refitted = refit(
            successor.model, archive, config, error_scale(successor), lessons,
            optimiser=optimiser, deadline=deadline, report=report, stop=interrupts.arrived,
        )  # fmt: skip
        if interrupts.arrived():
            interrupts.raise_for("nothing was changed; start it again")
    give_weights(successor.model, refitted.parameters)
    return refitted


def _judged(successor: Trained, incumbent: Trained, archive: Archive, periods: Periods, refitted: Refitted) -> Verdict:
    """What the gate says; what has learned nothing is not worth its time."""
    if not refitted.helped:
        before, after = refitted.watch[0], min(refitted.watch[1:])
        return Verdict((f"learning on did not help: the watched error went from {before:.4g} to {after:.4g}",))
    step = incumbent.config.model.step_hours
    leads = tuple(lead for lead in incumbent.config.retraining.leads if lead % step == 0) or default_leads(incumbent)
    start, end = format_time(periods.judge_from), format_time(periods.judge_to)
    return judge(successor, incumbent, (archive, archive), start, end, leads, block_days=1)


def _notes(
    incumbent: Trained, live: str, archive: Archive, periods: Periods, lessons: Material, refitted: Refitted
) -> dict[str, Any]:
    learned = archive.select(None, format_time(periods.learn_to))
    before = incumbent.manifest.get("trained_on", [])[:1]
    return {
        **lineage(incumbent, learned),
        "trained_on": [min([*before, format_time(learned.times[0])]), format_time(periods.learn_to)],
        "learned_fresh_to": format_time(archive.times[lessons.fresh[:, -1]].max()),
        "updates": refitted.updates,
        "source": "pinnwx retrain",
        "successor_of": live,
        "fresh_since": format_time(periods.since),
    }
