"""Whether values can be what they are said to be.

`faults` finds what is refused: missing values, infinities, sentinels, values out of range. `suspicions` finds what may
be true but seldom is: a field that repeats the step before it or changes all at once, a cell that stands out of its
neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.data.calendar import format_time
from pinnwx.grid import Grid
from pinnwx.variables import Variable

# Numbers that archives write for "no value"; everything from 1e19 up is one as well. Positive ones may be true values.
SENTINELS = (-9999.0, -999.0, -999.9, -99999.0, -32767.0, -32768.0)
_SPIKE = 15.0  # ERA5, ERA-Interim and NCEP analyses reach 12 (aliased vorticity) and 7 (all other fields)
_JUMP = 5.0  # of daily ERA-Interim over Europe 3.4 is the most, of 6-hourly global fields (ERA5, a GCM) 1.6
_FEWEST = 8  # steps from which one knows how much a field usually changes
_STEPS = 256  # scored at once
_BEFORE = np.timedelta64(72, "h")


def missing_steps(values: Float32[np.ndarray, "time lat lon"]) -> Bool[np.ndarray, " time"]:
    """Steps that hold no value at all: they count as absent, not as damaged."""
    missing = np.isnan(values[:, 0, 0])
    missing[missing] = np.isnan(values[missing]).all(axis=(1, 2))
    return missing


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
        yield message(sentinel, "fill value(s) taken for data", "set _FillValue in the file")
    if outside.any():
        yield message(
            outside,
            f"value(s) outside {low:g} to {high:g} {variable.units}",
            _units_hint(float(values[outside][0]), variable),
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
    and 8,000 m2 s-2 of the standard atmosphere (to 11 km, isothermal above). Below 850 hPa metres pass even so.
    """
    if variable.standard_name != "geopotential" or not variable.level:
        return variable.minimum, variable.maximum
    ratio = variable.level / 1013.25
    height = 44330.8 * (1 - ratio**0.190263) if ratio > 0.22336 else 11000 - 6341.6 * np.log(ratio / 0.22336)
    geopotential = STANDARD_GRAVITY * float(height)
    margin = 8000 + 0.25 * abs(geopotential)
    return max(variable.minimum, geopotential - margin), min(variable.maximum, geopotential + margin)


def suspicions(
    values: Float32[np.ndarray, "time lat lon"],
    times: Shaped[np.ndarray, " time"],
    grid: Grid,
    since: np.datetime64 | None = None,
) -> Iterator[str]:
    """Messages for stuck fields, jumps and gross spikes; `values` are sorted in time and without faults.

    Steps before `since` only tell what is usual.
    """
    if not times.size:
        return
    asked = np.ones(times.size, dtype=bool) if since is None else times >= since
    stuck = stuck_steps(values) & asked
    if stuck.any():
        first = format_time(times[int(stuck.argmax())])
        yield f"{int(stuck.sum())} step(s) repeat the step before, the first {first}: a stuck feed?"
    changes = change_ratio(values, times)
    changes[~asked] = 0
    if changes.max(initial=0) > _JUMP:
        step = int((changes > _JUMP).argmax())
        yield f"a jump to {format_time(times[step])}: {changes[step]:.1f} times the usual change of a step"
    for start in range(0, len(values), _STEPS):
        part = values[start : start + _STEPS]
        score = spike_score(part, grid)
        score[~asked[start : start + _STEPS]] = 0
        if score.max() > _SPIKE:
            step, row, column = np.unravel_index(int(score.argmax()), score.shape)
            yield (
                f"a spike at {format_time(times[start + step])}, {grid.latitude[row]:g} N "
                f"{grid.longitude[column]:g} E: {part[step, row, column]:.6g} differs from its neighbours "
                f"{score.max():.0f} times more than 95 % do"
            )
            return


def stuck_steps(values: Float32[np.ndarray, "time lat lon"]) -> Bool[np.ndarray, " time"]:
    """Steps that repeat the one before and should not.

    A field that is told every n steps, a daily one say, repeats itself by nature: n - 1 times after each change, where
    at least three changes stand n apart and no others.
    """
    repeats = np.append(False, (values[1:] == values[:-1]).all(axis=(1, 2)))
    changes = np.flatnonzero(~repeats)[1:]  # what came before the first step is not known
    apart = np.diff(changes)
    if apart.size < 2 or (apart != apart[0]).any() or apart[0] == 1:
        return repeats
    since = np.arange(repeats.size) - np.maximum.accumulate(np.where(repeats, 0, np.arange(repeats.size)))
    return repeats & (since >= apart[0])


def suspicions_of(
    values: Float32[np.ndarray, "time lat lon"],
    times: Shaped[np.ndarray, " time"],
    grid: Grid,
    first: np.datetime64,
    last: np.datetime64,
) -> Iterator[str]:
    """`suspicions` of the steps from `first` to `last`; those of three days before, or more, tell what is usual."""
    start = min(np.searchsorted(times, first - _BEFORE), np.searchsorted(times, first) - _FEWEST)
    near = slice(max(int(start), 0), int(np.searchsorted(times, last, side="right")))
    yield from suspicions(values[near], times[near], grid, since=first)


def change_ratio(
    values: Float32[np.ndarray, "time lat lon"], times: Shaped[np.ndarray, " time"]
) -> Float[np.ndarray, " time"]:
    """The RMS change from the step before over its median; 0 after a gap, and for too few steps to know what is usual.

    A field that was swapped for that of another time, or shifted as a whole, passes every check of its cells.
    """
    ratio = np.zeros(times.size)
    if times.size < _FEWEST:
        return ratio
    spacing = np.diff(times)
    regular = spacing == np.median(spacing.astype(np.int64)).astype(spacing.dtype)
    change = np.array([np.sqrt(np.mean((b - a) ** 2, dtype=np.float64)) for a, b in pairwise(values)])
    usual = np.median(change[regular]) if regular.any() else 0.0
    if usual > 0:
        ratio[1:] = np.where(regular, change / usual, 0.0)
    return ratio


def spike_score(values: Float32[np.ndarray, "time lat lon"], grid: Grid) -> Float32[np.ndarray, "time lat lon"]:
    """How far a cell stands out of its neighbours, in every direction at once.

    score = min over east-west, north-south and time of |x - what its neighbours there say| / (95th percentile of that
    in the row): a front or a mountain stands out in some directions, a damaged cell in all. Two neighbours say their
    mean, the one at the edge of a box itself; of the first and last step, the two next to it say the line through them.
    Rows at the poles score 0.
    """
    directions = [(2, grid.is_periodic), (1, False)] + ([(0, False)] if len(values) > 2 else [])
    score = np.full(values.shape, np.inf, np.float32)
    for axis, periodic in directions:
        contrast = _contrast(values, axis, periodic)
        usual = np.quantile(contrast, 0.95, axis=(0, 2), keepdims=True)
        floor = max(1e-3 * float(usual.mean()), float(np.finfo(np.float32).tiny))
        np.minimum(score, contrast / np.maximum(usual, floor).astype(np.float32), out=score)
    if grid.is_global:
        score[:, [0, -1]] = 0
    return score


def _contrast(values: np.ndarray, axis: int, periodic: bool) -> np.ndarray:
    """|x - what its neighbours along an axis say|, as `spike_score` has it."""
    along = np.moveaxis(values, axis, -1)
    said = 0.5 * (np.roll(along, 1, axis=-1) + np.roll(along, -1, axis=-1))
    if axis == 0:
        said[..., 0], said[..., -1] = 2 * along[..., 1] - along[..., 2], 2 * along[..., -2] - along[..., -3]
    elif not periodic:
        said[..., 0], said[..., -1] = along[..., 1], along[..., -2]
    return np.moveaxis(np.abs(along - said), -1, axis)
