"""All settings of an experiment, and the checks that combine several tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pinnwx.config.data import DataSettings, VariableSettings
from pinnwx.config.model import ModelSettings
from pinnwx.config.output import OutputSettings
from pinnwx.config.training import SHORTEST_BLOCK_DAYS, CompressionSettings, RetrainingSettings, TrainingSettings
from pinnwx.config.transport import inputs_of_wind
from pinnwx.errors import PinnwxError
from pinnwx.extensions import PINNWX_EXTENSIONS, missing_extensions
from pinnwx.settings import NotJudged, Settings, agreement
from pinnwx.variables import VARIABLES, Variable, split_name


def _are_available(names: tuple[str, ...]) -> tuple[str, ...]:
    if missing := missing_extensions(names):
        raise ValueError(
            f'"{missing[0]}" is not listed in {PINNWX_EXTENSIONS}; settings import no code: list the module, or the '
            "path of its file, there if you trust it"
        )
    return names


class Config(Settings):
    """Everything that defines a run, except the data."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = Field(examples=["my_experiment"])
    """Letters, digits, - and _, at most 64."""
    description: str = ""
    """A description in one line. It is stored with the run."""
    extensions: Annotated[tuple[str, ...], AfterValidator(_are_available)] = ()
    """Python modules with user-defined terms or winds. Settings import nothing: also list each module, or the path of
    its file, in the environment variable PINNWX_EXTENSIONS."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the first weights and of the order of training windows. The same seed and data give the same run."""
    data: DataSettings
    variables: dict[str, VariableSettings] = Field(default_factory=dict, examples=[{"ozone": {}}])
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
            yield "data.fields: a name is repeated"

    @agreement
    def _transport_has_its_fields(self) -> Iterator[str]:
        fields = self.data.fields
        for transport in self.model.physics.transport:
            with suppress(NotJudged):
                yield from (f'model.physics.transport of "{transport.field}"{text}' for text in transport.lacks(fields))

    @agreement
    def _carrying_winds_have_their_fields(self) -> Iterator[str]:
        for field, wind in self.model.physics.equation_error_winds.items():
            for name in (field, *inputs_of_wind(wind)):
                if name not in self.data.fields:
                    yield f'model.physics.equation_error_winds of "{field}" needs "{name}", which is not in data.fields'

    @agreement
    def _terms_have_their_inputs(self) -> Iterator[str]:
        for term in self.model.physics.made_terms():
            for name in term.inputs:
                if name not in (*self.data.fields, *self.data.static):
                    yield f'model.physics.terms: "{term.name}" needs "{name}", which is not in data'

    @agreement
    def _transported_once(self) -> Iterator[str]:
        carried = [transport.field for transport in self.model.physics.transport]
        if len(set(carried)) < len(carried):
            yield "model.physics.transport: a field is transported twice"

    @agreement
    def _transport_is_fixed(self) -> Iterator[str]:
        if not self.training.precompute_transport:
            return
        physics, needs = self.model.physics, "training.precompute_transport = true needs"
        if not physics.transport or self.model.kind != "transport":
            yield f"{needs} a [[model.physics.transport]] table"
        if physics.backpropagate:
            yield f"{needs} model.physics.backpropagate = false"
        if physics.coupling_steps > 1:
            yield f"{needs} model.physics.coupling_steps = 1; wind_updates may be larger"
        if self.training.perturbation_scale:
            yield f"{needs} training.perturbation_scale = 0"

    @agreement
    def _several_networks_are_cross_fitted(self) -> Iterator[str]:
        days = self.training.cross_fitting_days
        if days and self.model.networks < 2:
            yield "training.cross_fitting_days needs model.networks = 2 or more"
        if 0 < days < SHORTEST_BLOCK_DAYS:
            yield f"training.cross_fitting_days = {days:g} is too short; give {SHORTEST_BLOCK_DAYS} or more, or 0"

    @agreement
    def _noise_is_trained(self) -> Iterator[str]:
        members = max((stage.members for stage in self.training.curriculum), default=1)
        if self.model.noise.is_set and members == 1:
            yield "model.noise needs a stage of training.curriculum with members = 2, in which it is trained"
        if self.training.noise_alone and not self.model.noise.is_set:
            yield "training.noise_alone needs model.noise"
        if self.training.noise_alone and self.training.curriculum[0].members > 1:
            yield "training.noise_alone needs a first stage of training.curriculum with members = 1"
        if members > 1 and not self.model.noise.is_set:
            yield f"training.curriculum: members = {members} needs model.noise, or all members would be equal"

    @agreement
    def _weighted_fields_exist(self) -> Iterator[str]:
        for name in self.training.field_weights:
            if name not in self.data.fields:
                yield f'training.field_weights: "{name}" is not in data.fields'

    def with_model(self, **changes: Any) -> Config:
        """These settings with changes of the model."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_training(self, **changes: Any) -> Config:
        """These settings with changes of the training."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

    def variable_table(self) -> dict[str, Variable]:
        """The built-in table with the user-defined variables, which take precedence."""
        return {**VARIABLES, **{name: entry.variable(name) for name, entry in self.variables.items()}}

    def reading_options(self) -> dict[str, Any]:
        """The variables and levels as options of `open_data` and `check_data`."""
        return {"variables": self.variable_table(), "levels": self.data.levels}
