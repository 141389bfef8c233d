"""What a forecaster is to those who roll it out, train it or ask why it forecast what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.views import View, Views

Fields = Float[Array, "batch field lat lon"]
Analyses = Float[Array, "batch input field lat lon"]
Time = Float[Array, "batch 5"]
TendencyTerms = Mapping[str, Fields]
LearnedFields = Mapping[str, Float[Array, "batch lat lon"]]


@runtime_checkable
class Forecaster(Protocol):
    """What rollout and training need of a model: how a forecast starts, advances, and is read."""

    input_times: int  # analyses that a forecast starts from
    views: Views  # views that the networks can take
    has_lateral_boundary: bool  # whether `advance` needs the lateral boundary fields

    def start(self, analyses: Analyses, time: Time, view: View | None = None) -> Any:
        """The carried state of a forecast that begins at the last of these analyses, one step apart."""
        ...

    def advance(self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None) -> Any:
        """The carried state one step (`model.step_hours`) later; `time` describes the middle of the step.

        `lateral_boundary` holds the fields of a larger area at the end of the step; only the edge of it is read.
        """
        ...

    def to_fields(self, carry: Any, time: Time, view: View | None = None) -> Fields:
        """The forecast fields of a carried state."""
        ...

    def tendency_terms(
        self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> TendencyTerms:
        """What each named part of the model adds to the fields in the step that `advance` would go on by.

        They add up to the change of the fields but for rounding, and but for what `advance` does to no field's name.
        """
        ...

    def learned_fields(
        self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> LearnedFields:
        """What the networks make of the equations where that step begins, by name: a wind, a gate, a diffusivity."""
        ...

    def channel_groups(self) -> list[ChannelGroup]:
        """The channels that pruning may remove; of a deep ensemble, those of each network. Slots have the names of the
        model's weights; names of groups are those of its closure.

        Raises:
            UsageError: there is nothing to prune.
        """
        ...
