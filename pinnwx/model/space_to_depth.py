"""Blocks of cells: the coarser grid that they are the cells of, and fields laid out by block."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid


def coarse_grid(grid: Grid, factor: int) -> Grid:
    """The grid whose cells are blocks of `factor` x `factor` cells.

    Raises:
        ConfigError: the grid does not divide into such blocks, or has rows on the poles.
    """
    rows, columns = grid.shape
    if factor == 1:
        return grid
    if rows % factor or rows < 3 * factor or columns % (2 * factor) or grid.has_pole_rows:
        raise ConfigError(
            f"model.closure.patch_size = {factor} does not divide the {rows} x {columns} grid; use patch_size = 1"
        )
    latitude = np.asarray(grid.latitude).reshape(-1, factor).mean(axis=1)
    longitude = np.asarray(grid.longitude).reshape(-1, factor).mean(axis=1)
    return Grid(tuple(latitude.tolist()), tuple(longitude.tolist()))


def space_to_depth(
    fine: Float[Array, "batch lat lon channel"], factor: int
) -> Float[Array, "batch lat2 lon2 channel2"]:
    """`factor` x `factor` neighbouring cells laid out as channels of one coarse cell."""
    batch, rows, columns, channels = fine.shape
    blocks = fine.reshape(batch, rows // factor, factor, columns // factor, factor, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows // factor, columns // factor, -1)


def patch_mean(fine: Float[Array, "batch lat lon channel"], factor: int) -> Float[Array, "batch lat2 lon2 channel"]:
    """The mean over the cells of each coarse cell."""
    batch, rows, columns, channels = fine.shape
    return fine.reshape(batch, rows // factor, factor, columns // factor, factor, channels).mean(axis=(2, 4))


def depth_to_space(
    coarse: Float[Array, "batch lat lon channel"], factor: int
) -> Float[Array, "batch lat2 lon2 channel2"]:
    """The inverse of `space_to_depth`."""
    batch, rows, columns, channels = coarse.shape
    blocks = coarse.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * factor, columns * factor, -1)
