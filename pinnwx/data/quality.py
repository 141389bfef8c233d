"""Finds impossible values: missing values, infinities, fill values, values out of range.

`pinnwx.data.suspicion` finds values that are possible but unlikely.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.data.calendar import format_time
from pinnwx.grid import Grid
from pinnwx.variables import Variable

# Numbers that archives write for "no value"; so is everything from 1e19 up. Positive numbers may be true values.
SENTINELS = (-9999.0, -999.0, -999.9, -99999.0, -32767.0, -32768.0)


def missing_steps(values: Float32[np.ndarray, "time lat lon"]) -> Bool[np.ndarray, " time"]:
    """True for steps without any value, which count as absent, not as damaged."""
    missing = np.isnan(values[:, 0, 0])
    missing[missing] = np.isnan(values[missing]).all(axis=(1, 2))
    return missing


def faults(
    values: Float32[np.ndarray, "time lat lon"],
    times: Shaped[np.ndarray, " time"] | None,
    grid: Grid,
    variable: Variable,
) -> Iterator[str]:
    """Yields a message for each kind of fault: the number of values, the first of them, and the remedy."""

    def message(bad: np.ndarray, what: str, remedy: str) -> str:
        step, row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        when = f" at {format_time(times[step])}" if times is not None else ""
        where = f"{grid.latitude[row]:g} N {grid.longitude[column]:g} E"
        return f"{int(bad.sum())} {what}, the first{when}, {where}: {values[step, row, column]:.6g}; {remedy}"

    low, high = plausible_range(variable)
    sentinels = [value for value in SENTINELS if low <= value <= high]
    if values.size == 0 or (low <= values.min() and values.max() <= high and not sentinels):
        return  # a NaN makes either comparison false
    nan = np.isnan(values)
    nan[missing_steps(values)] = False
    if nan.any():
        yield message(nan, "missing value(s) (NaN)", "fill them or drop the step")
    infinite = np.isinf(values)
    sentinel = (np.abs(values) >= 1e19) & ~infinite | np.isin(values, np.asarray(SENTINELS, np.float32))
    outside = ((values < low) | (values > high)) & ~infinite & ~sentinel
    if infinite.any():
        yield message(infinite, "infinite value(s)", "fetch the file again")
    if sentinel.any():
        yield message(sentinel, "fill value(s) among the data", "set _FillValue in the file")
    if outside.any():
        yield message(
            outside,
            f"value(s) outside {low:g} to {high:g} {variable.units}",
            _units_hint(float(values[outside][0]), variable),
        )


def _units_hint(value: float, variable: Variable) -> str:
    """Suggests the unit that would explain the value; the value is not converted."""
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
    """The range of the variable table; for geopotential, narrowed around the standard atmosphere at its level.

    A range wide enough for all levels would accept geopotential height in metres. Therefore the range is the standard
    atmosphere at the level (to 11 km, isothermal above) plus or minus 25 % and 8,000 m2 s-2. At levels below 850 hPa
    (nearer to the ground), this range still accepts metres.
    """
    if variable.standard_name != "geopotential" or not variable.level:
        return variable.minimum, variable.maximum
    ratio = variable.level / 1013.25
    height = 44330.8 * (1 - ratio**0.190263) if ratio > 0.22336 else 11000 - 6341.6 * np.log(ratio / 0.22336)
    geopotential = STANDARD_GRAVITY * float(height)
    margin = 8000 + 0.25 * abs(geopotential)
    return max(variable.minimum, geopotential - margin), min(variable.maximum, geopotential + margin)


def stuck_steps(values: Float32[np.ndarray, "time lat lon"]) -> Bool[np.ndarray, " time"]:
    """True for steps that repeat the previous step and should not.

    A field that is updated every n steps (a daily field, for example) legitimately repeats n - 1 times after each
    change. It is recognised by at least three changes, all of them n steps apart.
    """
    repeats = np.append(False, (values[1:] == values[:-1]).all(axis=(1, 2)))
    changes = np.flatnonzero(~repeats)[1:]  # the step before the first is unknown
    apart = np.diff(changes)
    if apart.size < 2 or (apart != apart[0]).any() or apart[0] == 1:
        return repeats
    since = np.arange(repeats.size) - np.maximum.accumulate(np.where(repeats, 0, np.arange(repeats.size)))
    return repeats & (since >= apart[0])
