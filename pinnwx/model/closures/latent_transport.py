"""Residual blocks, and transport of channels of the network before them, with velocities that the network chooses.

    q = P x,    x <- x + W (q(departure point) - q)

x are the channels on the grid of the blocks, normalised where a layer reads them. P and W are dense layers. The
channels q form groups. A dense layer of x gives each group a displacement; the departure point is the end of the great
circle against it, and q is interpolated there by cubic or linear polynomials (`operators.interpolation`). So a channel
can cross many cells in one block (at most 12,742 km, see `operators.departure`), where a convolution reaches its
neighbours only. Where the displacement is zero, only the bias of W is added. A residual block follows.

`terms` add local terms of a partial differential equation to each group. A dense layer gives the coefficients a, D and
r of each cell. The differences are centred, in units of cells:

    advection    a_x q_x + a_y q_y
    diffusion    D_xx q_xx + D_yy q_yy + D_xy q_xy        D has any sign, so that it can sharpen too
    reaction     r q

A channel that moves less than a cell needs no interpolation then, and what moves can also mix, grow and decay.

`filtered` gives other channels to a filter: a sum over 3 x 3 cells with weights that a dense layer of x gives, for each
group and cell. A block then reads the sum of what came from afar and what was mixed nearby.

The idea is that of PARADIS (arXiv 2601.21151), which moves every channel by a velocity of its own, and blends x with
what has moved by a gate. Two placebos measure the effect of the transport:

- `motion = "none"`: the displacement is multiplied by zero. It has the same layers.
- `motion = "filter"`: q(departure point) - q is replaced by the filter. It can represent the linear interpolation of a
  displacement below one cell, and none beyond. It has more weights and takes half of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal, final

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from pydantic import Field

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures.base import record_activation
from pinnwx.model.closures.channels import ChannelGroup, read, written
from pinnwx.model.closures.patched import Modulation, PatchedClosure, modulated, normalisation
from pinnwx.model.closures.residual import ResidualClosure
from pinnwx.model.features import FeatureSpec
from pinnwx.model.initialisers import layer_norm, linear
from pinnwx.model.space_to_depth import coarse_grid
from pinnwx.operators.departure import departure_points
from pinnwx.operators.interpolation import Points, interpolate, require_interpolation
from pinnwx.operators.polar import cap_groups, zonal_group_mean
from pinnwx.operators.stencils import pad
from pinnwx.settings import Settings

WINDOW = 3  # cells of the filter, each way
COEFFICIENTS = {"advection": 2, "diffusion": 3, "reaction": 1}  # of each term


class LatentTransportOptions(Settings):
    """`[model.closure.options]` of `kind = "latent_transport"`."""

    groups: Annotated[int, Field(ge=1, le=256)] = 8
    """Groups of moved channels, each with its own displacement."""
    channels: Annotated[int, Field(ge=1, le=2048)] = 32
    """Moved channels; a multiple of `groups`."""
    blocks: Annotated[int, Field(ge=1)] | None = None
    """Blocks that transport precedes, from the first on; all if unset."""
    reach: Annotated[float, Field(gt=0, le=5000)] = 1000.0
    """Standard deviation of each component of the displacement of an untrained network [km]."""
    degree: Literal[1, 3] = 3
    """Of the interpolating polynomials. Linear ones (1) read 4 cells instead of 16, and smooth the moved channels."""
    motion: Literal["transport", "none", "filter"] = "transport"
    """`none` and `filter` are placebos."""
    terms: tuple[Literal["advection", "diffusion", "reaction"], ...] = ()
    """Local terms of the moved channels, with coefficients that the network chooses."""
    filtered: Annotated[int, Field(ge=0, le=2048)] = 0
    """Channels beside the moved ones that a filter mixes; a multiple of `groups`."""


@final
class LatentTransport(nnx.Module):
    """What transport of channels adds to the features of a block."""

    def __init__(self, grid: Grid, width: int, options: LatentTransportOptions, noise: int, *, rngs: nnx.Rngs):
        self.grid, self.groups, self.motion, self.degree = grid, options.groups, options.motion, options.degree
        self.metres = 1e3 * options.reach
        self.norm = layer_norm(width, rngs=rngs)
        self.modulation = Modulation.of(noise, width, rngs=rngs)
        self.project = linear(width, options.channels, rngs=rngs)
        self.terms = options.terms
        coefficients = sum(COEFFICIENTS[term] for term in self.terms)
        self.local = linear(width, coefficients * options.groups, 0.3, rngs=rngs) if coefficients else None
        outputs = WINDOW**2 if options.motion == "filter" else 2
        self.move = linear(width, outputs * options.groups, 1.0 if outputs == 2 else 0.3, rngs=rngs)
        self.combine = linear(options.channels, width, 0.1, rngs=rngs)

    def __call__(
        self, features: Float[Array, "batch lat lon channel"], noise: Float[Array, "batch lat lon noise"]
    ) -> Float[Array, "batch lat lon channel"]:
        normalised = modulated(self.norm(record_activation(self, "norm", features)), noise, self.modulation)
        channels = self.project(record_activation(self, "project", normalised))
        motion = self.move(record_activation(self, "move", normalised))
        shape = (len(features), self.groups, -1, *self.grid.shape)
        moved = jnp.moveaxis(channels, -1, 1).reshape(shape)
        change = self._change(moved, jnp.moveaxis(motion, -1, 1).reshape(shape))
        if self.local is not None:
            coefficients = self.local(record_activation(self, "local", normalised))
            change += self._local(moved, jnp.moveaxis(coefficients, -1, 1).reshape(shape))
        change = jnp.moveaxis(change.reshape(len(features), -1, *self.grid.shape), 1, -1)
        return self.combine(change)

    def _change(
        self, channels: Float[Array, "batch group own lat lon"], motion: Float[Array, "batch group number lat lon"]
    ) -> Float[Array, "batch group own lat lon"]:
        if self.motion == "filter":
            return self._filtered(channels, motion)
        metres = self.metres * (1.0 if self.motion == "transport" else 0.0)
        eastward, northward = metres * motion[:, :, 0], metres * motion[:, :, 1]
        channels = zonal_group_mean(channels, self.grid, cap_groups(self.grid))  # a row on a pole is one point
        points = departure_points(eastward, northward, self.grid, 1.0, iterations=1)
        arriving = Points(*(coordinate[:, :, None] for coordinate in points))
        return interpolate(channels, arriving, self.grid, degree=self.degree).value - channels

    def _local(self, channels: Array, coefficients: Array) -> Array:
        """The sum of the local terms."""
        rows, columns = self.grid.shape
        padded = pad(channels, self.grid, 1)

        def at(row: int, column: int) -> Array:
            return padded[..., 1 + row : 1 + row + rows, 1 + column : 1 + column + columns]

        east, west, north, south = at(0, 1), at(0, -1), at(1, 0), at(-1, 0)
        differences = {
            "advection": lambda: [(east - west) / 2, (north - south) / 2],
            "diffusion": lambda: [
                east - 2 * channels + west,
                north - 2 * channels + south,
                (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4,
            ],
            "reaction": lambda: [channels],
        }
        parts = [part for term in self.terms for part in differences[term]()]
        products = [coefficients[:, :, number, None] * part for number, part in enumerate(parts)]
        return sum(products[1:], products[0])

    def _filtered(self, channels: Array, weights: Array) -> Array:
        rows, columns = self.grid.shape
        padded = pad(channels, self.grid, WINDOW // 2)
        parts = [
            weights[:, :, WINDOW * row + column, None] * padded[..., row : row + rows, column : column + columns]
            for row in range(WINDOW)
            for column in range(WINDOW)
        ]
        return sum(parts[1:], parts[0])


@final
class LatentTransportClosure(PatchedClosure):
    """`closure.kind = "latent_transport"`."""

    Options = LatentTransportOptions

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
        Raises:
            ConfigError: also where the channels do not divide into groups, there are fewer blocks than transport is
                to precede, or no row of a global grid lies on a pole or half a spacing from it.
        """
        super().__init__(grid, features, outputs, settings, rngs=rngs)
        options, coarse = self.options(settings), coarse_grid(grid, settings.patch_size)
        for name, number in (("channels", options.channels), ("filtered", options.filtered)):
            if number % options.groups:
                raise ConfigError(
                    f"model.closure.options.{name} = {number} is not a multiple of groups = {options.groups}"
                )
        require_interpolation(coarse, 'model.closure.kind = "latent_transport"', '"residual"')
        blocks = options.blocks or len(self.blocks)
        if blocks > len(self.blocks):
            raise ConfigError(
                f"model.closure.options.blocks = {blocks} is more than the {len(self.blocks)} blocks of model.closure"
            )

        def layers(options: LatentTransportOptions) -> nnx.List[LatentTransport]:
            one = partial(LatentTransport, coarse, settings.width, options, self.noise, rngs=rngs)
            return nnx.List([one() for _ in range(blocks if options.channels else 0)])

        self.transports = layers(options)
        self.filters = layers(
            options.model_copy(update={"channels": options.filtered, "motion": "filter", "terms": ()})
        )

    make_block = ResidualClosure.make_block

    def processed(
        self, coarse: Float[Array, "batch lat lon channel"], noise: Float[Array, "batch lat lon noise"]
    ) -> Float[Array, "batch lat lon channel"]:
        for number, block in enumerate(self.blocks):
            before = [*self.transports[number : number + 1], *self.filters[number : number + 1]]
            coarse = block(sum((layer(coarse, noise) for layer in before), coarse), noise)
        return coarse

    def channel_groups(self) -> list[ChannelGroup]:
        """Those of a residual closure. The transport reads and writes the channels of `residual`. The channels that it
        moves are no group of their own, because groups of equal size share one displacement."""

        parts = {
            f"{name}/{number}": layer
            for name, layers in (("transports", self.transports), ("filters", self.filters))
            for number, layer in enumerate(layers)
        }
        writers = tuple(slot for path in parts for slot in written(f"{path}/combine", 1))
        readers = tuple(
            read(f"{path}/{layer}", 0, norm=f"{path}/norm")
            for path, transport in parts.items()
            for layer in ("project", "move", *(("local",) if transport.local is not None else ()))
        )
        scales = tuple(slot for path, part in parts.items() for slot in normalisation(path, part.modulation))

        def with_transport(group: ChannelGroup) -> ChannelGroup:
            return replace(
                group,
                writers=(*group.writers, *writers),
                readers=(*group.readers, *readers),
                scales=(*group.scales, *scales),
            )

        return [with_transport(group) if group.name == "residual" else group for group in super().channel_groups()]
