"""Whether values can be what they are said to be.

`faults` finds what is refused: missing values, infinities, sentinels, values out of range. `suspicions` finds what may
be true but seldom is: a field that repeats the step before it, a cell that stands out of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.data.calendar import format_time
from pinnwx.grid import Grid
from pinnwx.variables import Variable

# Numbers that archives write for "no value"; everything from 1e19 up is one as well. Positive ones may be true values.
SENTINELS = (-9999.0, -999.0, -999.9, -99999.0, -32767.0, -32768.0)
_SPIKE = 30.0  # robust deviations; the sharpest real cell of the shared reanalyses reaches about 20


def missing_steps(values: Float32[np.ndarray, "time lat lon"]) -> Bool[np.ndarray, " time"]:
    """Steps that hold no value at all: they count as absent, not as damaged."""
    return np.asarray(np.isnan(values).all(axis=(1, 2)))


def faults(
    values: Float32[np.ndarray, "time lat lon"],
    times: Shaped[np.ndarray, " time"] | None,
    grid: Grid,
    variable: Variable,
) -> Iterator[str]:
    """One message for each kind of fault: how many values, the first of them, and the remedy."""

    def message(bad: np.ndarray, what: str, remedy: str) -> str:
        step, row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        when = f" at {format_time(times[step])}" if times is not None else ""
        where = f"{grid.latitude[row]:g} N {grid.longitude[column]:g} E"
        return f"{int(bad.sum())} {what}, the first{when}, {where}: {values[step, row, column]:.6g}; {remedy}"

    nan = np.isnan(values)
    nan[missing_steps(values)] = False
    if nan.any():
        yield message(nan, "missing value(s) (NaN)", "fill them or drop the step")
    infinite = np.isinf(values)
    sentinel = (np.abs(values) >= 1e19) & ~infinite | np.isin(values, np.asarray(SENTINELS, np.float32))
    low, high = plausible_range(variable)
    outside = ((values < low) | (values > high)) & ~infinite & ~sentinel
    if infinite.any():
        yield message(infinite, "infinite value(s)", "fetch the file again")
    if sentinel.any():
        yield message(sentinel, "fill value(s) taken for data", "set _FillValue in the file")
    if outside.any():
        yield message(
            outside, f"value(s) outside {low:g} to {high:g} {variable.units}", _units_hint(values[outside][0], variable)
        )


def _units_hint(value: float, variable: Variable) -> str:
    """Names the unit that would explain the value, without using it."""
    guesses = {
        "K": (("degC", value + 273.15), ("degF", (value + 459.67) / 1.8)),
        "Pa": (("hPa", value * 100),),
        "m2 s-2": (("m (geopotential height)", value * STANDARD_GRAVITY),),
        "kg kg-1": (("g kg-1", value / 1000),),
        "1": (("%", value / 100),),
    }
    low, high = plausible_range(variable)
    for units, converted in guesses.get(variable.units, ()):
        if low <= converted <= high:
            return f"it looks like {units}: correct the units attribute"
    return "correct the units attribute or the data"


def plausible_range(variable: Variable) -> tuple[float, float]:
    """The range of the table; for geopotential narrowed about the standard atmosphere at its level.

    Geopotential height in metres would pass any range wide enough for all levels, so the level decides: within 25 %
    and 4000 m2 s-2 of the standard atmosphere (ICAO, to 11 km; isothermal above).
    """
    if variable.standard_name != "geopotential" or not variable.level:
        return variable.minimum, variable.maximum
    ratio = variable.level / 1013.25
    height = 44330.8 * (1 - ratio**0.190263) if ratio > 0.22336 else 11000 - 6341.6 * np.log(ratio / 0.22336)
    geopotential = STANDARD_GRAVITY * float(height)
    margin = 4000 + 0.25 * abs(geopotential)
    return max(variable.minimum, geopotential - margin), min(variable.maximum, geopotential + margin)


def suspicions(
    values: Float32[np.ndarray, "time lat lon"], times: Shaped[np.ndarray, " time"], grid: Grid
) -> Iterator[str]:
    """Messages for stuck fields and gross spikes; `values` are sorted in time and without faults."""
    stuck = (values[1:] == values[:-1]).all(axis=(1, 2))
    if stuck.any():
        first = format_time(times[1 + int(stuck.argmax())])
        yield f"{int(stuck.sum())} step(s) repeat the step before, the first {first}: a stuck feed?"
    sharpness = spike_score(values, grid)
    if sharpness.size and sharpness.max() > _SPIKE:
        step, row, column = np.unravel_index(int(sharpness.argmax()), sharpness.shape)
        yield (
            f"a spike at {format_time(times[step])}, {grid.latitude[row]:g} N {grid.longitude[column]:g} E: "
            f"{values[step, row, column]:.6g}, {sharpness[step, row, column]:.0f} times the usual contrast of its row"
        )


def spike_score(values: Float32[np.ndarray, "time lat lon"], grid: Grid) -> np.ndarray:
    """|x - mean of the zonal neighbours| over the median of that contrast in its row and step."""
    if grid.is_periodic:
        contrast = values - 0.5 * (np.roll(values, 1, axis=-1) + np.roll(values, -1, axis=-1))
    else:
        contrast = np.zeros_like(values)
        contrast[..., 1:-1] = values[..., 1:-1] - 0.5 * (values[..., :-2] + values[..., 2:])
    contrast = np.abs(contrast)
    usual = np.median(contrast, axis=(0, 2), keepdims=True)
    return contrast / np.maximum(usual, np.maximum(1e-3 * contrast.mean(), np.finfo(np.float32).tiny))
