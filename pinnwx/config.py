"""Settings of a training run: pydantic models read from TOML.

Unknown keys, wrong types and impossible combinations are reported all at once, each by its path, as one
`ConfigError`. `experiments/template.toml` shows every key with a comment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from pinnwx.dates import dates_meant
from pinnwx.errors import ConfigError, GridError, MissingInputError, PinnwxError, UsageError
from pinnwx.grid import Grid
from pinnwx.settings import NotJudged, Settings, agreement, as_read
from pinnwx.tomltext import LARGEST, problems_of, toml_table
from pinnwx.variables import VARIABLES, Variable, split_name


def _is_grid(text: str) -> str:
    if text != "native":
        try:
            Grid.parse(text)
        except GridError as error:
            raise ValueError(str(error)) from None
    return text


def _is_time(text: str) -> str:
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        meant = dates_meant(text)
        example = f"did you mean {meant}?" if meant else "write for example 2026-02-04"
        raise ValueError(f'"{text}" is not an ISO 8601 time (year-month-day); {example}') from None
    if not 1678 <= year <= 2261:
        raise ValueError(f'"{text}": the year is outside 1678 to 2261')
    return text


_Time = Annotated[str, AfterValidator(_is_time)]


class Period(Settings):
    """A span of time; both ends belong to it, and a bare end date includes its whole day."""

    start: _Time
    end: _Time

    @agreement
    def _ordered(self) -> Iterator[str]:
        first, last = (datetime.fromisoformat(end).replace(tzinfo=None) for end in (self.start, self.end))
        if first > last and not (len(self.end) <= len("2000-01-01") and first.date() == last.date()):
            yield f"starts at {self.start}, after its end {self.end}"


def _is_a_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("nan is no number")
    return value


_Bound = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_is_a_number)]  # inf: there is none


class VariableSettings(Settings):
    """A variable of the user's own, in the terms of `pinnwx.variables.Variable`; forecasts keep its bounds."""

    standard_name: str = ""
    long_name: str = ""
    units: str
    minimum: _Bound
    maximum: _Bound
    on_pressure_levels: bool = False
    static: bool = False
    aliases: tuple[str, ...] = ()

    def variable(self, name: str) -> Variable:
        """This entry under its name."""
        values = {key: getattr(self, key) for key in type(self).model_fields}
        return Variable(name=name, bounded=True, **{**values, "long_name": self.long_name or name})


_Name = Annotated[str, Field(max_length=100)]


class DataSettings(Settings):
    """Which fields are forecast, on which grid, from which times."""

    fields: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=1000)]
    static: Annotated[tuple[_Name, ...], Field(max_length=1000)] = ()
    levels: dict[str, Annotated[int, Field(ge=1, le=200_000)]] = Field(default_factory=dict)
    grid: Annotated[str, AfterValidator(_is_grid)] = "5.625deg"
    train: Period
    validate_: Annotated[Period | None, Field(alias="validate")] = None

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


MOST_MINUTES = 525_600  # a year
MOST_UPDATES = 10**9
MOST_WEIGHTS = 10**9  # numbers that a model may train
_Channels = Annotated[int, Field(ge=1, le=4096)]
_Minutes = Annotated[float, Field(gt=0, le=MOST_MINUTES)]
_Updates = Annotated[int, Field(ge=1, le=MOST_UPDATES)]
_Days = Annotated[float, Field(ge=1e-3, le=1e6)]
MINIMUM_PROMOTION_DAYS = 3  # that bounds need at least: the MINIMUM_BLOCKS of verification.significance, a day each
_WIND = re.compile(r"prognostic:(\d+m?|\d*)|rotational:vo\d+|geostrophic:(z\d+|msl)|none")


def _is_wind(text: str) -> str:
    if not _WIND.fullmatch(text):
        raise ValueError(f'wind "{text}" is not one of prognostic:LEVEL, rotational:voLEVEL, geostrophic:zLEVEL, none')
    return text


class Transport(Settings):
    """How the wind carries one field.

    `wind` is the physical part of the velocity: `prognostic:850` (fields u850 and v850), `prognostic:10m` (u10 and
    v10), `rotational:vo850` (inverted from vorticity), `geostrophic:z500` or `geostrophic:msl`, or `none`.
    `absolute_vorticity` adds the planetary vorticity to the carried field (vorticity only). Vorticity that is not
    itself forecast is that of a prognostic or geostrophic wind, whose fields take up what transport makes of it;
    `balanced_field` names the geopotential, or `msl`, that follows too.
    """

    field: str
    wind: Annotated[str, AfterValidator(_is_wind)] = "none"
    form: Literal["flux", "advective"] = "advective"
    scheme: Literal["upwind1", "centred2", "upwind3", "limited"] = "upwind3"
    absolute_vorticity: bool = False
    balanced_field: str | None = None
    learned_wind: bool = False
    conserved: bool = False
    gated: bool = True
    diffusivity: Annotated[float, Field(ge=0, le=1e7)] = 0.0

    @agreement
    def _conserved_by_its_scheme(self) -> Iterator[str]:
        if self.conserved and (self.form, self.scheme) != ("flux", "limited"):
            yield 'a conserved field needs form = "flux" and scheme = "limited"'

    @agreement
    def _conserved_without_source(self) -> Iterator[str]:
        if self.conserved and self.absolute_vorticity:
            yield "absolute_vorticity adds a source, so the field cannot be conserved"

    @agreement
    def _absolute_vorticity(self) -> Iterator[str]:
        if self.absolute_vorticity and not re.fullmatch(r"vo\d+", self.field):
            yield f"absolute_vorticity = true is for vorticity (vo850 ...), not for {self.field}"

    @agreement
    def _balanced_vorticity(self) -> Iterator[str]:
        if self.balanced_field is not None and not (
            re.fullmatch(r"vo\d+", self.field) and re.fullmatch(r"z\d+|msl", self.balanced_field)
        ):
            pair = f'balanced_field = "{self.balanced_field}" of "{self.field}"'
            yield f"{pair}: only z500 (any level) or msl follow, and only vorticity"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Fields the physical wind is made from."""
        kind, _, source = self.wind.partition(":")
        if kind == "none":
            return ()
        if kind == "prognostic":
            level = source.removesuffix("m")
            return f"u{level}", f"v{level}"
        return (source,)

    def lacks(self, fields: Sequence[str]) -> Iterator[str]:
        """What stands in the way where these are the forecast fields."""
        of_the_wind = self.field.startswith("vo") and self.wind.startswith(("prognostic", "geostrophic"))
        level, source = self.field.removeprefix("vo"), self.wind.rpartition(":")[2].lstrip("z")
        if of_the_wind and self.field not in fields and source not in (level, "msl"):
            yield f': wind "{self.wind}" is of another level'
        own = () if of_the_wind else (self.field,)
        for name in (*own, *self.inputs, *(() if self.balanced_field is None else (self.balanced_field,))):
            if name not in fields:
                yield f' needs "{name}", which is not in data.fields'

    def targets(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The forecast fields that this transport changes."""
        own = (self.field,) if self.field in fields else self.inputs
        return own if self.balanced_field is None else (*own, self.balanced_field)


class PhysicsSettings(Settings):
    """The discretised equations.

    The wind is held over one coupling interval: as it is at its start, or, with `wind_time = "midpoint"`, as the
    equations make it half-way. `backpropagate` lets gradients pass through them; without it what they add to the fields
    is taken as given, which is cheaper, and possible where nothing in them is learned.
    """

    transport: tuple[Transport, ...] = ()
    substeps: Annotated[int, Field(ge=1, le=1000)] = 4
    coupling_steps: Annotated[int, Field(ge=1, le=100)] = 1
    wind_time: Literal["start", "midpoint"] = "start"
    solver: Literal["euler", "heun", "ssprk3"] = "heun"
    courant_limit: Annotated[float, Field(gt=0, le=1)] = 0.9
    learned_diffusivity: bool = False
    backpropagate: bool = True

    @agreement
    def _learns_by_gradients(self) -> Iterator[str]:
        if self.backpropagate:
            return
        if self.learned_diffusivity or any(transport.learned_wind for transport in self.transport):
            yield "backpropagate = false excludes learned_wind and learned_diffusivity, which need gradients"


class ClosureSettings(Settings):
    """The network that learns what the equations leave out.

    With `experts` above 1 each of its blocks is a mixture: every region is given on average `experts_per_region` of
    them (`model.experts`). `fine_width` and `block_widths` say what follows from `width` if they are None
    (`model.closure.ClosureNetwork`).
    """

    enabled: bool = True
    width: _Channels = 96
    blocks: Annotated[int, Field(ge=1, le=64)] = 4
    fine_width: _Channels | None = None
    block_widths: tuple[tuple[_Channels, _Channels], ...] | None = None
    patch_size: Literal[1, 2, 4] = 2
    hemispheric_symmetry: bool = False
    gradients: bool = True
    experts: Annotated[int, Field(ge=1, le=64)] = 1
    experts_per_region: Annotated[int, Field(ge=1, le=64)] = 1
    learned_wind_width: _Channels = 32
    maximum_learned_wind: Annotated[float, Field(ge=1e-3, le=1e3)] = 20.0

    @agreement
    def _enough_experts(self) -> Iterator[str]:
        if self.experts_per_region > self.experts:
            yield f"experts_per_region = {self.experts_per_region} of only {self.experts} experts"

    @agreement
    def _widths_for_each_block(self) -> Iterator[str]:
        if self.block_widths is not None and len(self.block_widths) != self.blocks:
            yield f"block_widths has {len(self.block_widths)} pairs for {self.blocks} blocks"

    def narrower(self, width: int) -> ClosureSettings:
        """Of this width, all other widths in proportion."""

        def scaled(other: int) -> int:
            return max(round(other * width / self.width), 1)

        changes: dict[str, Any] = {"width": width, "learned_wind_width": scaled(self.learned_wind_width)}
        if self.fine_width is not None:
            changes["fine_width"] = scaled(self.fine_width)
        if self.block_widths is not None:
            changes["block_widths"] = tuple((scaled(inputs), scaled(hidden)) for inputs, hidden in self.block_widths)
        return self.model_copy(update=changes)


class ClimateSettings(Settings):
    """What holds long forecasts near the climate of the training time (`model.climate`); nothing unless set.

    `relaxation_days` is the time in which a departure from climatology decays to 1/e, beside what the model does with
    it; `smoothing_hours` the same of waves of two cells, and of longer ones less and less; `mean_relaxation_days` the
    same of its area mean, in place of what the model does with it; `bound_margin` bounds the departure at every place
    to the extremes of the training time, and this share more.
    """

    relaxation_days: _Days | None = None
    smoothing_hours: _Days | None = None
    mean_relaxation_days: _Days | None = None
    bound_margin: NonNegativeFloat | None = None

    @property
    def is_set(self) -> bool:
        """Whether anything is to be held."""
        return self != ClimateSettings()


class ModelSettings(Settings):
    """`transport` is physics and closure in one step; `second_order` is the ClimODE-like velocity equation."""

    kind: Literal["transport", "second_order"] = "transport"
    step_hours: Annotated[float, Field(ge=0.01, le=744)] = 6.0
    input_times: Literal[1, 2, 3, 4] = 1
    networks: Annotated[int, Field(ge=1, le=16)] = 1
    boundary_width: Annotated[int, Field(ge=0, le=8)] = 0
    physics: PhysicsSettings = PhysicsSettings()
    closure: ClosureSettings = ClosureSettings()
    climate: ClimateSettings = ClimateSettings()

    @property
    def weights(self) -> int:
        """About how many numbers the networks train: the products of layers, without what fields decide."""
        one, count = self.closure, 0
        if one.enabled:
            fine = (one.fine_width or max(one.width // 2, 16)) * one.patch_size**2
            pairs = one.block_widths or ((one.width, 2 * one.width),) * one.blocks
            blocks = sum(
                9 * one.width * inputs + one.experts * (inputs + one.width) * hidden for inputs, hidden in pairs
            )
            count = 2 * fine * one.width + blocks
        return self.networks * count

    @agreement
    def _of_a_size_that_can_be(self) -> Iterator[str]:
        if self.weights > MOST_WEIGHTS:
            yield (
                f"{self.networks} network(s) of width {self.closure.width} train about {self.weights:,} numbers, more "
                f"than {MOST_WEIGHTS:,}; lower networks, closure.width or closure.blocks"
            )


class Stage(Settings):
    """One stage of the curriculum: a fraction of the updates spent on rollouts of `steps` steps."""

    steps: Annotated[int, Field(ge=1, le=1000)]
    fraction: PositiveFloat


class TrainingSettings(Settings):
    """How the weights are fitted. `updates` fixes the number of updates; otherwise `--minutes` decides it.

    `perturbation_scale` is the usual size of the zonal-mean perturbations that half of the windows are given, in
    changes of a step (`training.perturbation`).
    """

    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-2
    clip_norm: PositiveFloat = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    curriculum: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage(steps=1, fraction=1.0),)
    updates: _Updates | None = None
    minutes: _Minutes = 10.0
    field_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    perturbation_scale: NonNegativeFloat = 0.0


class RetrainingSettings(Settings):
    """How a trained model learns on from fresh analyses (`pinnwx retrain`).

    The newest `hold_out_days` are learned from by nobody: there the candidate is judged against the live model, at
    `leads` hours (those that the model's step divides); more days are held out where these allow too few forecasts. It
    learns from rollouts of `steps` steps, or, where that is not given, of a day and at most 4 steps. `replay` is the
    share of older windows in a batch.
    """

    replay: Annotated[float, Field(ge=0, lt=1)] = 0.5
    hold_out_days: Annotated[float, Field(ge=1, le=366)] = 4.0
    leads: Annotated[tuple[Annotated[float, Field(gt=0, le=8784)], ...], Field(min_length=1, max_length=100)] = (6, 24)
    learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.2
    steps: Annotated[int, Field(ge=1, le=1000)] = 4
    minutes: _Minutes = 1.0
    updates: _Updates | None = None

    @agreement
    def _enough_days(self) -> Iterator[str]:
        needed = MINIMUM_PROMOTION_DAYS + max(self.leads) / 24
        if self.hold_out_days < needed:
            yield (
                f"hold_out_days = {self.hold_out_days:g} is too short to judge forecasts of {max(self.leads):g} h: "
                f"bounds need {MINIMUM_PROMOTION_DAYS} days of them, so {needed:g}"
            )


class CompressionSettings(Settings):
    """How a trained model is made smaller (`pinnwx compress`).

    Pruned: in `rounds` of scoring channels, removing the least and learning on; the `widths` of layers shrink by the
    gain of their channels over all layers ("global") or by the same fraction ("uniform"; `compression.widths`).
    Distilled: the student is trained as its teacher was, but that a `teacher_fraction` of each batch are
    `teacher_trajectories` that the teacher made, half of them from analyses with a `perturbation_scale`
    (`compression.distill`).
    """

    rounds: Annotated[int, Field(ge=1, le=16)] = 2
    widths: Literal["uniform", "global"] = "uniform"
    teacher_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    teacher_trajectories: Annotated[int, Field(ge=1, le=100_000)] = 256
    perturbation_scale: Annotated[float, Field(ge=0, le=1)] = 0.3
    minutes: _Minutes = 5.0


_OWN_ATTRIBUTES = frozenset({
    "Conventions", "history", "model", "model_sha256", "config", "versions", "data_sha256", "inputs_sha256",
    "boundary_sha256", "request_sha256", "content_sha256", "members", "perturbation_scale", "boundary_width",
    "accepted", "preliminary",
})  # fmt: skip
_AttributeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
_AttributeText = Annotated[str, Field(min_length=1, max_length=4096)]


class OutputSettings(Settings):
    """What forecast files say beside the forecast: `attributes` are global ones, such as `institution`.

    Those in the config.toml of a run folder, which may be edited, hold for its next forecast.
    """

    attributes: dict[_AttributeName, _AttributeText] = Field(default_factory=dict)

    @agreement
    def _not_ours(self) -> Iterator[str]:
        if taken := sorted(_OWN_ATTRIBUTES & self.attributes.keys()):
            yield f"attributes: {', '.join(taken)} are written by pinnwx; choose other names"


class Config(Settings):
    """Everything that a run is made from, besides the data themselves."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataSettings
    variables: dict[str, VariableSettings] = Field(default_factory=dict)
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    compression: CompressionSettings = CompressionSettings()
    output: OutputSettings = OutputSettings()

    @agreement
    def _names_exist(self) -> Iterator[str]:
        table, unread = dict(VARIABLES), []
        for name, entry in self.variables.items():
            try:
                table[name] = entry.variable(name)
            except NotJudged:
                unread.append(name)
        for name in (*self.data.fields, *self.data.static):
            try:
                split_name(name, table)
            except PinnwxError as error:
                if not name.startswith(tuple(unread)):
                    yield f"data: {error}"

    @agreement
    def _fields_differ(self) -> Iterator[str]:
        if len(set(self.data.fields)) < len(self.data.fields):
            yield "data.fields: a name stands twice"

    @agreement
    def _transport_has_its_fields(self) -> Iterator[str]:
        fields = self.data.fields
        for transport in self.model.physics.transport:
            with suppress(NotJudged):
                yield from (f'model.physics.transport of "{transport.field}"{text}' for text in transport.lacks(fields))

    @agreement
    def _transported_once(self) -> Iterator[str]:
        carried = [transport.field for transport in self.model.physics.transport]
        if len(set(carried)) < len(carried):
            yield "model.physics.transport: a field is carried twice"

    @agreement
    def _weighted_fields_exist(self) -> Iterator[str]:
        for name in self.training.field_weights:
            if name not in self.data.fields:
                yield f'training.field_weights: "{name}" is not in data.fields'

    def with_model(self, **changes: Any) -> Config:
        """These settings with other ones of the model."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_training(self, **changes: Any) -> Config:
        """These settings with other ones of the training."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

    def variable_table(self) -> dict[str, Variable]:
        """The built-in table and the user's own variables; the user's win."""
        return {**VARIABLES, **{name: entry.variable(name) for name, entry in self.variables.items()}}

    def reading_options(self) -> dict[str, Any]:
        """The variables and levels that data are read with, as options of `open_data` and `check_data`."""
        return {"variables": self.variable_table(), "levels": self.data.levels}


def parse_config(text: str, source: str = "config") -> Config:
    """The settings in a TOML text.

    Raises:
        ConfigError: with every problem, each by its path; `source` names the file in the message.
        UsageError: its name is a path.
    """
    raw = toml_table(text, source)
    name = raw.get("name")
    if isinstance(name, str) and any(part in name for part in ("..", "/", "\\")):
        raise UsageError(f'{source}: name "{name}" leads out of its folder; use letters, digits, - and _')
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems_of(error, Config, raw)}") from None


def config_text(config: Config) -> str:
    """Settings as a TOML text that `parse_config` reads back as they are; what was not given is left out."""
    return tomli_w.dumps(config.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True))


def load_config(path: str | Path) -> Config:
    """The settings in a TOML file.

    Raises:
        MissingInputError: there is no such file.
        ConfigError: as `parse_config`.
    """
    return parse_config(_text_of(Path(path)), str(path))


def config_as_read(path: str | Path) -> Config:
    """As much of the settings in a TOML file as can be read (`pinnwx.settings.as_read`).

    Raises:
        MissingInputError, ConfigError: there is no such file, or it is no TOML.
    """
    return as_read(Config, toml_table(_text_of(Path(path)), str(path)))


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise MissingInputError(f"no config file {path}")
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes are more than the {LARGEST} a config may have")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
