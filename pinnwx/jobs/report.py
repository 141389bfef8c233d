"""The report of a model: one HTML file with its scores, forecasts, training and provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import StabilityError, UsageError
from pinnwx.explaining.budget import budget
from pinnwx.explaining.reading import COLUMNS as BUDGET_COLUMNS
from pinnwx.explaining.reading import budget_fields, in_words, shares
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS, TrainedModel
from pinnwx.jobs.evaluate import default_leads, score_from
from pinnwx.jobs.events import read_log
from pinnwx.jobs.scored_area import OVERLAP, training_part
from pinnwx.model.weights import count_weights
from pinnwx.reporting.budget import budget_figure
from pinnwx.reporting.curves import read_metrics, scores_figure, training_figure
from pinnwx.reporting.maps import forecast_figure
from pinnwx.reporting.page import Picture, Section, Table, page
from pinnwx.runtime import prepare
from pinnwx.training.slowed import SlowedWinds
from pinnwx.variables import describe
from pinnwx.verification.pairing import initial_times_between
from pinnwx.verification.results import COLUMNS, Scores

FORECAST_HOURS = 72.0
MAPS = 3  # the number of fields with maps
BUDGETS = 2
EVENTS_SHOWN = 20


def report(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    start: str | None = None,
    end: str | None = None,
    leads: Sequence[float] | None = None,
    force: bool = False,
) -> Path:
    """Writes a report of the live model of a run, and returns its path.

    It has a model card; scores of forecasts from `start` to `end` (default: `data.validate` of the config) with those
    of persistence and climatology; the newest of these forecasts with the analyses and its budget; the training curve;
    the history of the run; and the provenance. The page loads nothing from the network.

    Raises:
        UsageError: no period is given, and the config has none.
        UnavailableError: the data have no initial analysis.
        StabilityError: a forecast is not finite.
        MissingInputError, CheckpointError, DataError, OutputError: see `pinnwx.errors`.
    """
    prepare()
    check_writable(out, force=force)
    opened = Run.open(run)
    version, trained = opened.live, opened.load()
    period = trained.config.data.validate_
    if period is not None:
        start, end = start or period.start, end or period.end
    if start is None or end is None:
        raise UsageError("the config has no data.validate period; give --start and --end of the scored period")
    archive = matching_archive(trained, data)
    predictor = Predictor(trained, leads or default_leads(trained))
    starts, training = initial_times_between(archive, start, end), training_part(trained, archive)
    scores = score_from(predictor, archive, starts, predictor.needed_offsets, training=training)
    sections = [
        _card(trained, version, scores),
        _scores(trained, scores, start, end),
        *_forecast(predictor, archive, scores),
        *_training(opened, trained.config.name),
        *_history(opened),
        _provenance(trained),
    ]
    config = trained.config
    summary = config.description or f"A forecast model of {', '.join(trained.names)}."
    write_text(out, page(f"{config.name}, version {version}", summary, sections))
    return Path(out)


def _card(trained: TrainedModel, version: str, scores: Scores) -> Section:
    config, table, manifest = trained.config, trained.config.variable_table(), trained.manifest
    model, closure = config.model, config.model.closure
    equations = [
        f"{one.field} by the wind {one.wind}" + (" and a learned one" if one.learned_wind else "")
        for one in model.physics.transport
    ]
    network = f"{closure.blocks} blocks of {closure.width} channels" if closure.enabled else "none"
    if closure.block_widths:
        network += ", inside " + ", ".join(f"{inputs} and {hidden}" for inputs, hidden in closure.block_widths)
    if closure.experts > 1:
        network += f", {closure.experts} experts each"
    facts = {
        "Forecasts": "; ".join(f"{name}: {_inside(describe(name, table).long_name)}" for name in trained.names),
        "Grid": str(trained.grid),
        "Step": f"{model.step_hours:g} h, from {model.input_times} analyses",
        "Equations": "; ".join(equations) or "none",
        "Network": network,
        "Networks": str(model.networks),
        "Trained parameters": f"{count_weights(trained.model):,}",
        "Trained on": " to ".join(manifest.get("trained_on", ("unknown",))),
        "Updates": f"{manifest.get('updates', 0):,}",
        "Version": version,
    }
    for key, title in (("compressed_from", "Compressed from"), ("initialised_from", "Initialised from")):
        if origin := manifest.get(key):
            facts[title] = f"{origin['name']}, version {origin['version']}, with {origin['parameters']:,} parameters"
    if digest := manifest.get("noise_like_sha256"):
        facts["Noise like that of (SHA-256)"] = digest
    worst = [
        f"{entry['variable']} at {entry['lead_hours']:g} h"
        for entry in scores.scores
        if entry.get("climatology_rmse") and entry["rmse"] > entry["climatology_rmse"]
    ]
    limits = (
        "Its RMSE is larger than that of climatology for " + ", ".join(worst) + "." if worst else
        "Its RMSE is smaller than that of climatology at every lead below."
    )  # fmt: skip
    return Section("Model card", [limits, "It uses no other information than its fields on this grid."], facts)


def _inside(text: str) -> str:
    """A name inside a sentence: its first letter in lower case, except in names such as "CO2 at 500 hPa"."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _scores(trained: TrainedModel, scores: Scores, start: str, end: str) -> Section:
    text = (
        f"Forecasts from every analysis from {start} to {end}. RMSE with 95 % bounds from a block bootstrap over days."
    )
    if OVERLAP in scores.settings:
        text += " CAUTION: the model was trained on a part of this period."
    picture = Picture(scores_figure(scores.to_dict()), "Error against lead time, with persistence and climatology")
    table = Table(COLUMNS, scores.table(trained.config.variable_table()))
    return Section("Scores", [text], table=table, pictures=[picture])


def _forecast(predictor: Predictor, archive: Archive, scores: Scores) -> list[Section]:
    """The newest forecast of the period with analyses at all leads: maps of each field, and its budget."""
    trained = predictor.trained
    step = trained.config.model.step_hours
    start, hours = _newest(archive, scores, predictor.needed_offsets, step)
    try:
        dataset = budget(trained, archive, start, hours, provenance={"model": trained.config.name})
    except StabilityError as error:
        return [Section("Forecast", [f"The newest forecast of the period, from {format_time(start)}, fails: {error}."])]
    analyses, beside = _analyses(trained, archive), ", the analyses, and the difference"
    if not np.isin(dataset["time"].values, archive.times).all():  # a gap
        analyses, beside = None, ""
    maps = [
        Picture(
            forecast_figure(dataset, variables=[name], truth=analyses),
            f"{name}: the forecast from {format_time(start)}{beside}",
        )
        for name in trained.names[:MAPS]
    ]
    shown = budget_fields(dataset)[:BUDGETS]
    pictures = [Picture(budget_figure(dataset, field=name), f"Changes of {name} by part") for name in shown]
    table = Table(BUDGET_COLUMNS, in_words(shares(dataset), trained.config.variable_table()), words=2)
    text = "The contribution of each part of the model to the change of each field in this forecast."
    return [Section("Forecast", pictures=maps), Section("Budget", [text], table=table, pictures=pictures)]


def _newest(archive: Archive, scores: Scores, needed: np.ndarray, step: float) -> tuple[np.datetime64, float]:
    """(the latest initial time whose forecast the analyses cover, the length of that forecast in hours)."""
    first = parse_time(scores.settings["first_initial_time"])
    reach = (archive.times[-1] - first) / np.timedelta64(1, "h")
    hours = max(min(FORECAST_HOURS, reach) // step, 1) * step
    longest = max(entry["lead_hours"] for entry in scores.scores)
    last = parse_time(scores.settings["last_valid_time"]) - _duration(longest)
    starts = archive.times[(archive.times > first) & (archive.times <= last)]
    starts = starts[starts + _duration(hours) <= archive.times[-1]]
    covered = [start for start in starts if np.isin(start + needed, archive.times).all()]
    return (covered[-1] if covered else first), hours


def _duration(hours: float) -> np.timedelta64:
    return np.timedelta64(round(hours * SECONDS_PER_HOUR), "s")


def _analyses(trained: TrainedModel, archive: Archive) -> xr.Dataset:
    places = {"time": archive.times, "latitude": list(archive.grid.latitude), "longitude": list(archive.grid.longitude)}
    fields = {name: (tuple(places), archive.fields[:, place]) for place, name in enumerate(trained.names)}
    return xr.Dataset(fields, coords=places)


def _training(run: Run, name: str) -> list[Section]:
    path = run.folder / "metrics.jsonl"
    if not path.is_file():
        return []
    figure = training_figure(read_metrics(path), name)
    return [Section("Training", pictures=[Picture(figure, "The loss during training")])]


def _history(run: Run) -> list[Section]:
    """The jobs of the run, the newest first."""
    log = read_log(run.folder)
    if not log.events:
        return []
    rows = [
        (event.time, event.verb, str(event.details.get("version", "")), event.outcome, event.reason)
        for event in reversed(log.events[-EVENTS_SHOWN:])
    ]
    text = f"Stored versions: {', '.join(run.versions)}. The last {len(rows)} of {len(log.events)} jobs, newest first."
    if log.unreadable:
        text += f" {log.unreadable} lines of the log cannot be read."
    headings = ("time", "job", "version", "outcome", "reason")
    return [Section("History", [text], table=Table(headings, rows, words=len(headings)))]


def _provenance(trained: TrainedModel) -> Section:
    manifest = trained.manifest
    facts = {
        "Weights (SHA-256)": manifest["files"][WEIGHTS],
        "Training data (SHA-256)": manifest.get("data_sha256", "unknown"),
        "Source": str(manifest.get("source", "unknown")),
        "Seed": str(manifest.get("seed", "unknown")),
        "Device": str(manifest.get("device", "unknown")),
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items()),
    }
    if (slowed := manifest.get("slowed_winds")) is not None:
        facts["Winds"] = SlowedWinds.from_dict(slowed).summary()
    return Section("Provenance", facts=facts, listing=trained.config_text)
