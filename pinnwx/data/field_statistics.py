"""Statistics that distinguish weather from numerical noise: one number for each field and time.

For a field x with departure d from climatology, on a grid of cells (j, i):

    departure          square root of the area mean of d^2
    zonal noise        square root of the area mean of r^2, with r = (2 d_i - d_(i-1) - d_(i+1)) / 4
    meridional noise   the same along a meridian
    largest ... noise  square root of the largest mean of r^2 over a block of about four by four cells
    gradient           square root of the largest mean, over such a block, of the squared differences to the next cells

r keeps a wave of two cells unchanged and reduces a wave of eight cells to a seventh, so it measures the scales that the
grid does not resolve. `area_mean` is separate, because it is judged by its change during the forecast.
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
    """The `STATISTICS` of each field, in the units of the field; not finite if the field is not."""
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
    """The next cell minus this cell; 0 for the last cell of an axis that is not periodic."""
    ahead = np.roll(values, -1, axis=axis) - values
    if not periodic:
        np.moveaxis(ahead, axis, 0)[-1] = 0
    return ahead


def _second_differences(ahead: Departures, axis: int, *, periodic: bool) -> Departures:
    """r of the module docstring, from the differences; 0 at the ends of an axis that is not periodic."""
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
