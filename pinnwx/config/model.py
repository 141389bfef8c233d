"""Settings of the model: network, corrections towards climatology, and step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

from pinnwx.config.limits import MOST_WEIGHTS, Channels, Option, Timescale
from pinnwx.config.physics import PhysicsSettings
from pinnwx.settings import Settings, agreement


class ClosureSettings(Settings):
    """The network, which represents the processes that the equations omit."""

    enabled: bool = True
    """Whether there is a network. `false`: physics alone."""
    kind: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(default=None, examples=["residual"])
    """`residual`: residual blocks of dense convolutions. `experts`: each region of the grid uses some of several
    experts. `latent_transport`: residual blocks, and before them a transport of channels of the network by
    learned velocities, with the `options` `groups`, `channels`, `blocks`, `reach`, `terms`, `filtered` and `motion`
    (`pinnwx.model.closures.latent_transport`). `relaxation`: no network, each field relaxes towards an equilibrium
    that is fitted at each place; with `patch_size = 1`. Or the name of a user-defined class, see
    `pinnwx.model.closures.register`. Without it, `experts` if `experts` is above 1, else `residual`."""
    width: Channels = 96
    """Channels. Time and memory grow with the square."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 4
    """Residual blocks. Their number determines the range of one step of the network."""
    fine_width: Channels | None = Field(default=None, examples=[48])
    """Channels on the fine grid. Without it, half of `width`, at least 16."""
    block_widths: tuple[tuple[Channels, Channels], ...] | None = Field(
        default=None, examples=[[[96, 192], [64, 128], [64, 128], [96, 192]]]
    )
    """Channels of each block after its convolution and between its dense layers. Pruning writes this key. Without it,
    `width` and twice that."""
    patch_size: Literal[1, 2, 4] = 2
    """Cells in each direction that become one cell of the network's grid. 2 is four times as fast as 1."""
    hemispheric_symmetry: bool = False
    """Also train on weather reflected in the equator, and forecast with the mean of both views. The equations of
    motion have this symmetry. It needs a global grid. It helps most if the training time is short. A forecast takes
    nearly twice as long."""
    gradients: bool = True
    """Use the gradients of the fields as input of the network. If the equations transport the fields, the increment of
    transport replaces them at a lower cost. A network alone is better with them."""
    experts: Annotated[int, Field(ge=1, le=64)] = 1
    """Experts in each block, among which the regions of the grid are divided. 1: no mixture of experts. More
    experts have more weights and need hardly more time."""
    experts_per_region: Annotated[int, Field(ge=1, le=64)] = 1
    """Experts of a region, on average."""
    learned_wind_width: Channels = 32
    """Channels of the network for the learned wind."""
    maximum_learned_wind: Annotated[float, Field(ge=1e-3, le=1e3)] = 20.0
    """Upper bound of the learned wind in m s-1."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of the class that `kind` names, which declares and validates them."""

    @agreement
    def _experts_by_kind(self) -> Iterator[str]:
        if self.kind == "residual" and self.experts > 1:
            yield f'experts = {self.experts} needs kind = "experts", not "residual"'
        if self.kind == "experts" and self.experts == 1:
            yield 'kind = "experts" needs experts = 2 or more'

    @agreement
    def _enough_experts(self) -> Iterator[str]:
        if self.experts_per_region > self.experts:
            yield f"experts_per_region = {self.experts_per_region} of only {self.experts} experts"

    @agreement
    def _widths_for_each_block(self) -> Iterator[str]:
        if self.block_widths is not None and len(self.block_widths) != self.blocks:
            yield f"block_widths has {len(self.block_widths)} pairs for {self.blocks} blocks"

    @property
    def resolved_kind(self) -> str:
        """`kind`, or its value if the key is absent."""
        return self.kind or ("experts" if self.experts > 1 else "residual")

    @property
    def is_network(self) -> bool:
        """Whether there is a network; a relaxation is none."""
        return self.enabled and self.resolved_kind != "relaxation"

    def narrower(self, width: int) -> ClosureSettings:
        """These settings with this width, and all other widths in proportion."""

        def scaled(other: int) -> int:
            return max(round(other * width / self.width), 1)

        changes: dict[str, Any] = {"width": width, "learned_wind_width": scaled(self.learned_wind_width)}
        if self.fine_width is not None:
            changes["fine_width"] = scaled(self.fine_width)
        if self.block_widths is not None:
            changes["block_widths"] = tuple((scaled(inputs), scaled(hidden)) for inputs, hidden in self.block_widths)
        return self.model_copy(update=changes)


class ClimateSettings(Settings):
    """Corrections after every step that keep forecasts of weeks and months near the climate of the training time.

    A correction whose key is absent is not applied. Conserved fields are not corrected.
    """

    relaxation_days: Timescale | None = Field(default=None, examples=[25.0])
    """Time scale in days of the decay of departures from climatology."""
    smoothing_hours: Timescale | None = Field(default=None, examples=[300.0])
    """Time scale in hours of the decay of waves of two cells. Waves of eight cells stay. A network that trains on
    single steps may create stripes of two cells within days; 1 removes them after every step."""
    mean_relaxation_days: Timescale | None = Field(default=None, examples=[5.0])
    """Time scale in days of the decay of the area mean of departures, whatever its change in the step. It needs a
    global grid."""
    bound_margin: NonNegativeFloat | None = Field(default=None, examples=[0.1])
    """Fraction by which departures may exceed the extremes of the training time at the same place. Larger departures
    are clipped."""

    @property
    def is_set(self) -> bool:
        """Whether any correction is set."""
        return self != ClimateSettings()


class NoiseSettings(Settings):
    """Noise in every step of a member of an ensemble. Stages of `training.curriculum` with `members` above 1 learn what
    it does. A single forecast has no noise."""

    numbers: Annotated[int, Field(ge=0, le=256)] = 0
    """Numbers that are the same everywhere."""
    fields: Annotated[int, Field(ge=0, le=64)] = 0
    """Smooth fields."""
    length_km: Annotated[float, Field(ge=10, le=20_000)] = 1500.0
    """Length scale of the fields in km."""
    acts_on: Annotated[tuple[Literal["network", "gates", "winds"], ...], Field(min_length=1)] = ("network",)
    """What it changes: the `network`; the `gates`, which multiply the increments of the equations; the learned `winds`,
    so that transport differs, and what is conserved stays so."""

    @property
    def is_set(self) -> bool:
        """Whether there is any noise."""
        return self.numbers + self.fields > 0


class ModelSettings(Settings):
    """One step of the model."""

    kind: Literal["transport", "second_order"] = "transport"
    """`transport`: physics and network in one step. `second_order`: a network forecasts the velocity, after ClimODE."""
    step_hours: Annotated[float, Field(ge=0.01, le=744)] = 6.0
    """Hours of one step. A multiple of the spacing of the data."""
    input_times: Literal[1, 2, 3, 4] = 1
    """Number of input analyses of a forecast, one step apart. 2 show the motion of weather systems. 4 steps of 6 h
    cover a whole day."""
    networks: Annotated[int, Field(ge=1, le=16)] = 1
    """Networks of a deep ensemble. They train in turn, and each step of a forecast is the mean of their steps.
    Several are better if there is more time than data. They share the updates, and the time of a forecast is
    proportional to their number."""
    boundary_width: Annotated[int, Field(ge=0, le=8)] = 0
    """Width in cells of the lateral boundary of a regional grid, which is set at the end of every step: from a
    forecast for a larger area, or, in training and hindcasts, from the analyses. 0: none."""
    physics: PhysicsSettings = PhysicsSettings()
    closure: ClosureSettings = ClosureSettings()
    climate: ClimateSettings = ClimateSettings()
    noise: NoiseSettings = NoiseSettings()

    @property
    def weights(self) -> int:
        """The approximate number of trained parameters, without those that depend on the number of fields."""
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
    def _increments_reach_the_fields(self) -> Iterator[str]:
        if self.physics.increment_use == "shown" and not self.closure.is_network:
            yield 'physics.increment_use = "shown" needs a network that sees the increments'

    @agreement
    def _noise_is_seen(self) -> Iterator[str]:
        if self.noise.is_set and "network" in self.noise.acts_on and not self.closure.is_network:
            yield "noise needs a network that sees it"

    @agreement
    def _errors_of_a_step_before(self) -> Iterator[str]:
        if self.physics.equation_error != "unused" and self.input_times == 1:
            yield f'physics.equation_error = "{self.physics.equation_error}" needs input_times of at least 2'

    @agreement
    def _of_a_size_that_can_be(self) -> Iterator[str]:
        if self.weights > MOST_WEIGHTS:
            yield (
                f"{self.networks} network(s) of width {self.closure.width} have about {self.weights:,} weights, more "
                f"than {MOST_WEIGHTS:,}; lower networks, closure.width or closure.blocks"
            )
