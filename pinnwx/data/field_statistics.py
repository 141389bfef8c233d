"""Numbers that tell weather from noise: one for each field and time, each with a largest value that weather reaches.

Of a field x with departure d from climatology, on a grid of cells (j, i):

    departure          root of the area mean of d^2
    zonal noise        root of the area mean of r^2, r = (2 d_i - d_(i-1) - d_(i+1)) / 4
    meridional noise   the same along a meridian
    largest ... noise  the root of the mean of r^2 over that block of about four by four cells where it is largest
    gradient           the root of the mean, over such a block, of the squared differences to the next cells

r of a wave of two cells is the wave itself, of one of eight cells a seventh: it measures what no grid resolves.
`area_mean` is kept apart, for what counts is how far it moves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from pinnwx.grid import Grid

STATISTICS = (
    "departure", "zonal_noise", "meridional_noise", "largest_zonal_noise", "largest_meridional_noise", "gradient",
)  # fmt: skip
_BLOCK = 4  # cells

Departures = Float[np.ndarray, "*time lat lon"]
Numbers = Float[np.ndarray, "*time"]


def field_statistics(departure: Departures, grid: Grid) -> Mapping[str, Numbers]:
    """The `STATISTICS` of each field, in its units; not finite where the field is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        statistics = {"departure": _root_mean_square(departure, grid)}
        steepness = np.zeros_like(departure)
        for name, axis in (("zonal", -1), ("meridional", -2)):
            ahead = _differences(departure, axis, periodic=axis == -1 and grid.is_periodic)
            noise = _second_differences(ahead, axis, periodic=axis == -1 and grid.is_periodic)
            statistics[f"{name}_noise"] = _root_mean_square(noise, grid)
            statistics[f"largest_{name}_noise"] = _largest_block(noise * noise)
            steepness += ahead * ahead
        statistics["gradient"] = _largest_block(steepness)
    return {name: statistics[name] for name in STATISTICS}


def area_mean(departure: Departures, grid: Grid) -> Numbers:
    """The area-weighted mean."""
    return (departure * grid.area_weights).mean(axis=(-2, -1))


def _root_mean_square(values: Departures, grid: Grid) -> Numbers:
    return np.sqrt(((values * values).mean(axis=-1, keepdims=True) * grid.area_weights).mean(axis=(-2, -1)))


def _differences(values: Departures, axis: int, *, periodic: bool) -> Departures:
    """Each cell's next one minus itself; 0 for the last of an axis that has an end."""
    ahead = np.roll(values, -1, axis=axis) - values
    if not periodic:
        np.moveaxis(ahead, axis, 0)[-1] = 0
    return ahead


def _second_differences(ahead: Departures, axis: int, *, periodic: bool) -> Departures:
    """r of the module, from the differences; 0 at the ends of an axis."""
    noise = (np.roll(ahead, 1, axis=axis) - ahead) / 4
    if not periodic:
        ends = np.moveaxis(noise, axis, 0)
        ends[0] = ends[-1] = 0
    return noise


def _largest_block(squares: Departures) -> Numbers:
    for axis in (-2, -1):
        edges = np.linspace(0, squares.shape[axis], max(squares.shape[axis] // _BLOCK, 1) + 1).round().astype(int)
        shape = [1] * squares.ndim
        shape[axis] = -1
        squares = np.add.reduceat(squares, edges[:-1], axis=axis) / np.diff(edges).reshape(shape)
    return np.sqrt(squares.max(axis=(-2, -1)))
