"""What a closure is: a network that makes of features what the equations leave out.

    outputs = closure(features),    both (batch, lat, lon, channel)

A closure of one's own is a final subclass of `Closure` with `__init__` and `__call__`, registered under a name:

    @closures.register("shallow")
    class Shallow(Closure):
        def __init__(self, grid, features, outputs, settings, *, rngs):
            signs = [feature.pole_parity for feature in features]
            self.convolution = SphereConv(grid, len(features), len(outputs), signs=signs, gain=0.0, rngs=rngs)

        def __call__(self, features):
            return self.convolution(features)

Then `model.closure.kind = "shallow"` is that closure. What else it can do is optional: list its channels, which
makes it prunable, and tell which experts it uses.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings
from pinnwx.errors import UsageError
from pinnwx.grid import Grid
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.features import FeatureSpec


class Closure(nnx.Module):
    """The interface; it is abstract, and its subclasses are final."""

    @abstractmethod
    def __init__(
        self,
        grid: Grid,
        features: Sequence[FeatureSpec],
        outputs: Sequence[FeatureSpec],
        settings: ClosureSettings,
        *,
        rngs: nnx.Rngs,
    ):
        """
        Args:
            grid: of the features and of the outputs.
            features: the channels that the closure is given.
            outputs: the channels that it makes.
            settings: its size.
            rngs: of the first weights.

        Raises:
            ConfigError: the settings do not fit the grid.
        """

    @abstractmethod
    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        """The outputs. The first of an untrained closure should be zero."""

    def channel_groups(self) -> list[ChannelGroup]:
        """The channels that pruning may remove; names are relative to the closure.

        What the readers of a group are given is recorded in `__call__` by `record_activation`.

        Raises:
            UsageError: the closure does not tell.
        """
        raise UsageError(f"a closure of type {type(self).__name__} lists no channels: there is nothing to prune")

    @classmethod
    def with_widths(
        cls,
        settings: ClosureSettings,  # noqa: ARG003
        widths: Mapping[str, int],  # noqa: ARG003
    ) -> ClosureSettings:
        """The settings of a closure of which each layer of the channel groups has so many channels."""
        raise UsageError(f"a closure of type {cls.__name__} has no widths of its layers: there is nothing to prune")

    def expert_use(
        self,
        features: Float[Array, "batch lat lon channel"],  # noqa: ARG002
    ) -> Float[Array, "batch lat lon expert"] | None:
        """The fraction of the blocks in which each expert is used; None where there are no experts."""
        return None


def record_activation(module: nnx.Module, name: str, values: Array) -> Array:
    """The values as they are; `captured` keeps them under the path of the module and this name."""
    if hasattr(module, "__captures__"):  # outside of nnx.capture, `sow` would change the module
        module.sow(nnx.Intermediate, name, values)
    return values


def captured(function: Callable[..., Any], module: Any, *arguments: Any) -> dict[str, tuple[Array, ...]]:
    """What is recorded in `function(module, *arguments)`, by path and name: one array for each call of the layer."""
    _, state = nnx.capture(function, nnx.Intermediate)(module, *arguments)
    return {"/".join(map(str, path)): tuple(variable.get_value()) for path, variable in nnx.to_flat_state(state)}
