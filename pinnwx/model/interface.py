"""The interface of a forecaster: rollouts, training, budgets and pruning use it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.inputs import Inputs
from pinnwx.model.noise import Noise
from pinnwx.model.step_context import StepContext
from pinnwx.model.views import Views

Fields = Float[Array, "batch field lat lon"]
Analyses = Float[Array, "batch input field lat lon"]
TendencyTerms = Mapping[str, Fields]
LearnedFields = Mapping[str, Float[Array, "batch lat lon"]]


class ExplainedStep(NamedTuple):
    """A step, and what it is made of.

    Attributes:
        carry: as `advance` returns it.
        terms: the increment of the fields by each named part of the model over the step. Their sum is the change of
            the fields, up to rounding and excluding unnamed corrections.
        learned: the coefficients that the networks supply at its start, by name: winds, gates, diffusivities.
    """

    carry: Any
    terms: TendencyTerms
    learned: LearnedFields


@runtime_checkable
class Forecaster(Protocol):
    """A model that starts a forecast from analyses, advances a carried state step by step, and gives its fields."""

    input_times: int  # analyses that a forecast starts from
    views: Views  # views that the networks can take
    has_lateral_boundary: bool  # whether a step needs `StepContext.lateral_boundary`
    noise: Noise | None  # draws `StepContext.noise`; None for a model without noise

    @property
    def inputs(self) -> Inputs:
        """The features of the networks, with the normalisation of the fields."""
        ...

    def start(self, analyses: Analyses, context: StepContext) -> Any:
        """The carried state of a forecast that begins at the last of these analyses, one step apart.

        `context` is that of the first step.
        """
        ...

    def advance(self, carry: Any, context: StepContext) -> Any:
        """The carried state one step (`model.step_hours`) later, with `context.perturbation` added to its fields."""
        ...

    def to_fields(self, carry: Any, context: StepContext) -> Fields:
        """The forecast fields of a carried state. `context` is that of the step that led to it."""
        ...

    def explain(self, carry: Any, context: StepContext) -> ExplainedStep:
        """The step that `advance` takes, with its parts."""
        ...

    def channel_groups(self) -> list[ChannelGroup]:
        """The channels that pruning may remove; for a deep ensemble, those of one network.

        Slots have the names of the model's weights. Groups have the names that the closure gives them.

        Raises:
            UsageError: there is nothing to prune.
        """
        ...
