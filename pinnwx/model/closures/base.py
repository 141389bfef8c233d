"""The interface of a closure: the network that represents what the equations leave out.

    outputs = closure(features),    both (batch, lat, lon, channel)

A closure of your own is a final subclass of `Closure` with `__init__` and `__call__`, registered under a name:

    @closures.register("shallow")
    class Shallow(Closure):
        class Options(Settings):
            scale: float = 1.0

        def __init__(self, grid, features, outputs, settings, *, rngs):
            signs = [feature.pole_parity for feature in features]
            self.scale = self.options(settings).scale
            self.convolution = SphereConv(grid, len(features), len(outputs), signs=signs, gain=0.0, rngs=rngs)

        def __call__(self, features):
            return self.scale * self.convolution(features)

Then `model.closure.kind = "shallow"` is that closure, and the table `[model.closure.options]` holds its options. The
rest is optional: a closure that lists its channels can be pruned, and a mixture reports the use of its experts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float
from pydantic import ValidationError

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError, UsageError
from pinnwx.grid import Grid
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.features import FeatureSpec
from pinnwx.settings import Settings
from pinnwx.tomltext import problems_of


class NoOptions(Settings):
    """The options of a closure that has none."""


class Closure(nnx.Module):
    """The interface; it is abstract, and its subclasses are final.

    Attributes:
        Options: the keys that `[model.closure.options]` may have.
    """

    Options: ClassVar[type[Settings]] = NoOptions

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
            features: the channels of the features.
            outputs: the channels of the outputs.
            settings: its size and its options.
            rngs: of the first weights.

        Raises:
            ConfigError: the settings do not fit the grid.
        """

    @abstractmethod
    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        """The outputs. Those of an untrained closure should be zero."""

    @classmethod
    def options(cls, settings: ClosureSettings) -> Any:
        """The options in the settings, as an object of the class's `Options`.

        Raises:
            ConfigError: there is an unknown option, or a value of the wrong type.
        """
        try:
            return cls.Options.model_validate(settings.options)
        except ValidationError as error:
            problems = problems_of(error, cls.Options, settings.options)
            known = ", ".join(cls.Options.model_fields) or "none"
            raise ConfigError(f"model.closure.options: {problems}; {cls.__name__} has the options: {known}") from None

    def channel_groups(self) -> list[ChannelGroup]:
        """The channels that pruning may remove; names are relative to the closure.

        `__call__` records the inputs of the readers of a group by `record_activation`.

        Raises:
            UsageError: the closure does not list its channels.
        """
        raise UsageError(f"a closure of type {type(self).__name__} lists no channels: there is nothing to prune")

    @classmethod
    def with_widths(
        cls,
        settings: ClosureSettings,  # noqa: ARG003
        widths: Mapping[str, int],  # noqa: ARG003
    ) -> ClosureSettings:
        """The settings of a closure whose layers have these numbers of channels."""
        raise UsageError(f"a closure of type {cls.__name__} has no widths of its layers: there is nothing to prune")

    def expert_use(
        self,
        features: Float[Array, "batch lat lon channel"],  # noqa: ARG002
    ) -> Float[Array, "batch lat lon expert"] | None:
        """The fraction of the blocks in which each expert is used; None where there are no experts."""
        return None


def record_activation(module: nnx.Module, name: str, values: Array) -> Array:
    """The values themselves; `captured` returns them under the path of the module and this name."""
    if hasattr(module, "__captures__"):  # outside of nnx.capture, `sow` would change the module
        module.sow(nnx.Intermediate, name, values)
    return values


def captured(function: Callable[..., Any], module: Any, *arguments: Any) -> dict[str, tuple[Array, ...]]:
    """The activations recorded in `function(module, *arguments)`, by path and name: one array for each call."""
    _, state = nnx.capture(function, nnx.Intermediate)(module, *arguments)
    return {"/".join(map(str, path)): tuple(variable.get_value()) for path, variable in nnx.to_flat_state(state)}
