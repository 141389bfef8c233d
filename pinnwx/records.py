"""Schemas of the JSON files that pinnwx reads, and functions that validate them.

Each of these files may be untrusted or damaged. A number in place of a list, a missing key, NaN, 1e400 or a hundred
thousand brackets gives an error that names the file and the key.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

LARGEST_NUMBER = 1e30  # far above any score, loss or number of seconds
_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # the range of times in nanoseconds
_HEX = re.compile(r"[0-9a-f]{64}")
_DIGITS = 19  # an integer with so many digits may be too large for 64 bits
_PROBLEMS = 3  # the largest number of problems in a message


class NotARecord(ValueError):
    """The text is not JSON, or does not fit the schema; the message describes the problem briefly."""


def parsed(content: str | bytes) -> Any:
    """Parses a JSON text in UTF-8 with finite numbers.

    Raises:
        NotARecord: the text is not such JSON.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text, parse_constant=_not_a_number, parse_float=_finite, parse_int=_whole)
    except UnicodeDecodeError as error:
        raise NotARecord(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise NotARecord("nested too deeply") from None
    except ValueError as error:
        raise NotARecord(f"not JSON: {error}") from None


Schema = TypeVar("Schema", bound=BaseModel)


def checked(value: Any, schema: type[Schema]) -> Schema:
    """Validates a JSON value against a schema.

    Raises:
        NotARecord: the value does not fit; the message names the first invalid keys.
    """
    if not isinstance(value, dict):
        raise NotARecord("not a JSON object")
    try:
        return schema.model_validate(value, strict=True)
    except RecursionError:
        raise NotARecord("nested too deeply") from None
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors(include_url=False, include_input=False)[:_PROBLEMS]]
        more = error.error_count() - len(problems)
        raise NotARecord("; ".join(problems) + (f"; and {more} more" if more else "")) from None


def record(content: str | bytes, schema: type[Schema]) -> Schema:
    """Parses and validates a JSON text."""
    return checked(parsed(content), schema)


def _problem(error: Any) -> str:
    path = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _not_a_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int | float:
    """An integer that fits into 64 bits; a larger one becomes a float."""
    return int(text) if len(text) < _DIGITS else _finite(text)


def _is_time(text: str) -> str:
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        raise ValueError(f'"{text[:40]}" is not an ISO 8601 time') from None
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ValueError(f'"{text[:40]}" is not between {_FIRST_YEAR} and {_LAST_YEAR}')
    return text


def _is_file_name(text: str) -> str:
    path = PurePosixPath(text)
    inside = path.parts and not path.is_absolute() and ".." not in path.parts and str(path) == text
    if not inside or "\\" in text or ":" in text or not text.isprintable() or max(map(len, path.parts)) > 255:
        raise ValueError(f'"{text[:80]}" is not the name of a file inside its folder')
    return text


def _is_sha256(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ValueError(f'"{text[:80]}" is not a SHA-256')
    return text


Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER, allow_inf_nan=False)]
Error = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Time = Annotated[str, AfterValidator(_is_time)]
Text = Annotated[str, Field(max_length=10_000)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, AfterValidator(_is_sha256)]


class _Record(BaseModel):
    """Allows unknown keys, because later versions may write more keys."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Origin(_Record):
    """`compressed_from` or `initialised_from` of a manifest."""

    name: ModelName
    version: Text
    parameters: Annotated[Count, Field(ge=1)]


class TrainingCheckNotes(_Record):
    """The result of the training check (`pinnwx.jobs.training_check`), and who made the version live in spite of it."""

    passed: bool = True
    objections: list[str] = []
    not_checked: str = ""
    remedy: str = ""
    promoted_anyway: bool = False
    saved_by_user: bool = False
    usable_hours: Error | None = None

    @model_validator(mode="after")
    def _has_a_reason(self) -> TrainingCheckNotes:
        if not self.passed and not self.objections:
            raise ValueError("not passed, and no objection")
        return self


class SlowedWindsNotes(_Record):
    """`slowed_winds` of a manifest (`pinnwx.training.slowed`)."""

    field: Text
    fraction: Number
    median_courant: Number
    largest_courant: Number
    courant_limit: Number
    substeps: Count
    substeps_needed: Count
    substeps_for_all: Count


class Manifest(_Record):
    """`manifest.json` (`pinnwx.manifest`)."""

    format: int
    files: dict[Annotated[str, AfterValidator(_is_file_name)], Sha256]
    pinnwx: Text = ""
    sha256: Text | None = None
    name: ModelName = ""
    seed: Count = 0
    data_sha256: Text = ""
    trained_on: Annotated[list[Time], Field(min_length=2, max_length=2)] = []
    learned_fresh_to: Time = ""
    analyses: Count = 0
    parameters: Count = 0
    updates: Count = 0
    updates_between_rounds: Count = 0
    source: Text = ""
    device: Text = ""
    substeps: Annotated[int, Field(ge=1, le=1000)] | None = None
    slowed_winds: SlowedWindsNotes | None = None
    versions: dict[str, Text] = {}
    compressed_from: Origin | None = None
    initialised_from: Origin | None = None
    noise_like_sha256: Text = ""
    training_check: TrainingCheckNotes = TrainingCheckNotes()


class Details(_Record):
    """`details` of a score; empty if there are none."""

    regions: dict[str, Error] = {}
    percentiles: dict[str, Error] = {}
    variance_ratio: Number | None = None


Probability = Annotated[Number, Field(ge=0, le=1)]


class EventScores(_Record):
    """An event of `probabilities` (`pinnwx.verification.events`)."""

    event: Annotated[str, Field(min_length=1, max_length=200)]
    frequency: Probability
    brier: Number
    brier_climatology: Error
    roc_area: Probability | None = None
    slope: Number | None = None
    slope_low: Number | None = None
    slope_high: Number | None = None
    probabilities: list[Probability]
    areas: list[Error]
    frequencies: list[Error | None]


class SpreadBins(_Record):
    """`spread_bins` of `probabilities`."""

    spread: list[Error | None]
    error: list[Error | None]


class Probabilities(_Record):
    """`probabilities` of a score (`pinnwx.verification.ensemble_details`)."""

    ranks: list[Error]
    outer_ranks: Error
    spread_bins: SpreadBins
    energy_score: Number
    variogram_score: Error
    variance_ratio: Number | None = None
    events: list[EventScores] = []


class Score(_Record):
    """One variable and lead of a scores file; undefined values are null."""

    variable: Annotated[str, Field(min_length=1, max_length=200)]
    lead_hours: Annotated[Number, Field(ge=0)]
    n: Count
    n_days: Count = 0
    rmse: Error | None = None
    rmse_low: Error | None = None
    rmse_high: Error | None = None
    rmse_pooled: Error | None = None
    bias: Number | None = None
    acc: Number | None = None
    persistence_rmse: Error | None = None
    persistence_rmse_low: Error | None = None
    persistence_rmse_high: Error | None = None
    persistence_ratio: Error | None = None
    climatology_ratio: Error | None = None
    damped_persistence_ratio: Error | None = None
    linear_inverse_ratio: Error | None = None
    persistence_ratio_p_adjusted: Annotated[Number, Field(ge=0, le=1)] | None = None
    climatology_rmse: Error | None = None
    climatology_rmse_low: Error | None = None
    climatology_rmse_high: Error | None = None
    damped_persistence_rmse: Error | None = None
    damped_persistence_rmse_low: Error | None = None
    damped_persistence_rmse_high: Error | None = None
    linear_inverse_rmse: Error | None = None
    linear_inverse_rmse_low: Error | None = None
    linear_inverse_rmse_high: Error | None = None
    crps: Number | None = None
    spread: Error | None = None
    mean_rmse_pooled: Error | None = None
    single_rmse_pooled: Error | None = None
    climatology_crps: Error | None = None
    climatology_crps_ratio: Number | None = None
    climatology_crps_ratio_low: Error | None = None
    climatology_crps_ratio_high: Error | None = None
    dressed_crps: Error | None = None
    dressed_crps_ratio: Number | None = None
    dressed_crps_ratio_low: Error | None = None
    dressed_crps_ratio_high: Error | None = None
    details: Details | None = None
    probabilities: Probabilities | None = None
    daily: list[Annotated[list[Any], Field(min_length=3, max_length=3), AfterValidator(lambda day: _day(day))]] = []

    @model_validator(mode="after")
    def _is_scored(self) -> Score:
        if self.n and self.rmse is None:
            raise ValueError("rmse is missing, although n is not 0")
        return self


class _Day(_Record):
    """One day of `daily`."""

    day: Time
    n: Annotated[Count, Field(ge=1)]
    rmse: Error


def _day(values: list[Any]) -> list[Any]:
    _Day.model_validate(dict(zip(("day", "n", "rmse"), values, strict=True)), strict=True)
    return values


class ScoresFile(_Record):
    """The scores file of `evaluate` and `verify` (`pinnwx.verification.results`)."""

    run: Text | None
    scores: list[Score]
    skipped: dict[str, Count]
    settings: dict[str, Any]


class EventLine(_Record):
    """A line of `events.jsonl` (`pinnwx.jobs.events`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    verb: Annotated[str, Field(min_length=1, max_length=40)]
    time: Time
    outcome: Annotated[str, Field(min_length=1, max_length=200)] = "done"
    exit_code: Annotated[int, Field(ge=0, le=255)] = 0
    seconds: Error = 0.0
    reason: str = ""
    details: dict[str, Any] = {}


class MetricsLine(_Record):
    """A line of `metrics.jsonl`: one update of a training."""

    update: Count | None = None
    wall_seconds: Error | None = None
    loss: Number | None = None
    validation_loss: Number | None = None
    stage_steps: Count | None = None
    stage_members: Count | None = None


class Round(_Record):
    """A round of pruning."""

    updates: Count


class CompressionReport(_Record):
    """`reports/compression.json` (`pinnwx.jobs.compress`)."""

    rounds: list[Round]
    budget: Count | None


class CheckpointNotes(_Record):
    """The notes beside a training state (`pinnwx.training.recording`)."""

    data: Sha256
    config: Sha256
    teacher_trajectories: Sha256 | None = None
    initial_weights: Sha256 | None = None
    seconds: Error
    steps: Annotated[list[Annotated[Count, Field(ge=1)]], Field(min_length=1)]
    updates: Annotated[list[Count], Field(min_length=1)]

    @model_validator(mode="after")
    def _as_many(self) -> CheckpointNotes:
        if len(self.steps) != len(self.updates):
            raise ValueError("steps and updates differ in number")
        return self


class ForecastAttributes(_Record):
    """Attributes of a forecast file that are read back (`pinnwx.forecasting.cf`)."""

    model: Text = ""
    config: Annotated[str, Field(max_length=2**20)] = ""
    boundary_width: Annotated[int, Field(ge=0, le=1000)] = 0
    request_sha256: Text = ""
    inputs_sha256: Text = ""
    boundary_sha256: Text = ""
    data_sha256: Text = ""
    target: Text = ""
    target_units: Text = ""


class VariableAttributes(_Record):
    """Attributes of a field that are read back."""

    units: Text = ""
    standard_name: Text = ""
    long_name: Text = ""
