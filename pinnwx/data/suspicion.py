"""Analyses that may be true but seldom are: what a stuck feed, a bad message or a mixed-up file leaves behind.

A whole step may be `stuck` or a `jump`; within a step `pinnwx.data.outliers` looks for a `spike`, a `stripe` or a
`seam`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

from pinnwx.data.calendar import format_time
from pinnwx.data.outliers import RUN, Scores, evened, scores
from pinnwx.data.quality import stuck_steps
from pinnwx.grid import Grid
from pinnwx.variables import Variable

Fields = Float32[np.ndarray, "time lat lon"]
Times = Shaped[np.ndarray, " time"]

KINDS = ("stuck", "jump", "spike", "stripe", "seam")
# Over every field and step of ERA5 (2.5 and 5.625 degrees), ERA-Interim (1.5), NCEP (2.5), AIFS (0.25), hourly ERA5
# (0.25) and a GCM (5.625), 6-hourly and daily, the largest scores are 3.0 (a spike), 3.5 (a stripe) and 3.1 (a seam).
_LIMITS = {"spike": 4.0, "stripe": 5.0, "seam": 5.0}
# A grid point in the eye of a tropical cyclone has no neighbour in it where cells are wider than the eye: pressure
# p_c + dp (1 - exp(-R / r)), with R = 50 km and dp = 70 hPa, scores 4.5 on 2.5 degrees and 6.5 on 5.6, by points; its
# wind and its vorticity score up to 5.
_CYCLONE = {
    "air_pressure_at_mean_sea_level": 7.0, "geopotential": 7.0, "eastward_wind": 6.0, "northward_wind": 6.0,
    "atmosphere_relative_vorticity": 6.0,
}  # fmt: skip
_LOWS = ("air_pressure_at_mean_sea_level", "geopotential")
_CYCLONE_LATITUDE = 50.0  # degrees; farther from the equator they have grown into larger storms
# An excess below this harms no forecast, however calm the field around it is; in SI units.
_NEGLIGIBLE = {
    "air_pressure_at_mean_sea_level": 200.0, "geopotential": 200.0, "air_temperature": 2.0, "specific_humidity": 1e-3,
    "eastward_wind": 5.0, "northward_wind": 5.0, "atmosphere_relative_vorticity": 5e-5,
}  # fmt: skip
_FEWEST = 8  # steps from which one knows how much a field usually changes
_HISTORY = 12  # steps before that tell what is usual in a step
_STEPS = 256  # scored at once
_BEFORE = np.timedelta64(72, "h")
_DAY = np.timedelta64(24, "h")
# The change of a step over the usual one scatters the more the fewer independent patches, of 1,000 km, a grid has. The
# largest is 1.4 for global fields, 2.9 for the North Atlantic, 3.4 for Europe, 7.1 in fifty years of Iberia.
_PATCH = 1e12  # m2
_JUMP, _JUMP_OF_A_PATCH, _LARGEST_JUMP = 1.3, 13.0, 9.0


@dataclass(frozen=True)
class Suspicion:
    """One finding of one field at one time; `text` says where and what."""

    kind: str
    time: np.datetime64
    text: str


def suspicions(
    values: Fields,
    times: Times,
    grid: Grid,
    variable: Variable,
    since: np.datetime64 | None = None,
    *,
    quick: bool = False,
) -> list[Suspicion]:
    """What is suspicious, each kind in order of time; `values` are sorted in time and without faults.

    Steps before `since` only tell what is usual. `quick` looks for no stripes and seams, nor for spikes that are seen
    in the change from step to step alone, and takes a seventh of the time.
    """
    if not times.size:
        return []
    selected = np.ones(times.size, dtype=bool) if since is None else times >= since
    entries = [
        Suspicion("stuck", times[step], f"a step repeats the one before, at {format_time(times[step])}: a stuck feed?")
        for step in np.flatnonzero(stuck_steps(values) & selected)
    ]
    changes = change_ratio(values, times)
    entries += [
        Suspicion(
            "jump", times[step], f"a jump to {format_time(times[step])}: {changes[step]:.1f} times the usual change"
        )
        for step in np.flatnonzero((changes > _jump_limit(grid)) & selected)
    ]
    shapes: list[Suspicion] = []
    for start in range(0, times.size, _STEPS):
        first = max(start - _HISTORY, 0)
        part = slice(first, min(start + _STEPS, times.size))
        wanted = selected[part] & (np.arange(part.start, part.stop) >= start)
        if wanted.any():
            shapes += _shapes(values[part], times[part], grid, variable, wanted, quick)
    return entries + sorted(shapes, key=lambda one: (KINDS.index(one.kind), one.time))


def summary(suspicions: Sequence[Suspicion]) -> list[str]:
    """A line for each kind: the first of it, and how many more there are."""
    lines = []
    for kind in KINDS:
        same = [one for one in suspicions if one.kind == kind]
        if kind == "stuck" and same:
            first = format_time(same[0].time)
            lines.append(f"{len(same)} step(s) repeat the step before, the first {first}: a stuck feed?")
        elif same:
            more = f" ({len(same) - 1} more, to {format_time(same[-1].time)})" if len(same) > 1 else ""
            lines.append(same[0].text + more)
    return lines


def names_of(field: str, suspicions: Sequence[Suspicion]) -> list[str]:
    """What `--accept-suspicious` takes to accept just these: one of each kind, with its time where there is one."""
    names = []
    for kind in KINDS:
        same = [one.time for one in suspicions if one.kind == kind]
        if same:
            names.append(f"{field}:{kind}" + (f"@{format_time(same[0])}" if len(same) == 1 else ""))
    return names


def suspicions_of(
    values: Fields, times: Times, grid: Grid, variable: Variable, first: np.datetime64, last: np.datetime64
) -> list[Suspicion]:
    """`suspicions` of the steps from `first` to `last`; those of three days before, or more, tell what is usual."""
    near = around(times, first, last)
    return suspicions(values[near], times[near], grid, variable, since=first)


def around(times: Times, first: np.datetime64, last: np.datetime64) -> slice:
    """The steps from `first` to `last` and those before that tell what is usual."""
    start = min(np.searchsorted(times, first - _BEFORE), np.searchsorted(times, first) - _HISTORY)
    return slice(max(int(start), 0), int(np.searchsorted(times, last, side="right")))


def change_ratio(values: Fields, times: Times) -> Float[np.ndarray, " time"]:
    """The mean absolute change from the step before over what is usual; 0 after a gap, and for too few steps to know.

    Usual is the median, or the change a day before where that is larger: mornings warm more than nights cool. A field
    that was swapped for that of another time, scaled, or shifted as a whole, passes every check of its cells.
    """
    ratio = np.zeros(times.size)
    if times.size < _FEWEST:
        return ratio
    regular = _regular(times)
    change, even = np.zeros(times.size), evened(values)
    for step in np.flatnonzero(regular):
        change[step] = np.mean(np.abs(even[step] - even[step - 1]), dtype=np.float64)
    usual = np.full(times.size, np.median(change[regular]) if regular.any() else 0.0)
    day_before = np.searchsorted(times, times - _DAY)
    there = (times[day_before] == times - _DAY) & (day_before < np.arange(times.size) - 1)
    usual[there] = np.maximum(usual[there], change[day_before[there]])
    np.divide(change, usual, out=ratio, where=usual > 0)
    return ratio


def _regular(times: Times) -> Bool[np.ndarray, " time"]:
    """Steps that follow the one before at the usual spacing."""
    spacing = np.diff(times)
    usual = np.median(spacing.astype(np.int64)).astype(spacing.dtype) if spacing.size else 0
    return np.append(False, spacing == usual)


def _jump_limit(grid: Grid) -> float:
    area = len(grid.longitude) * float(grid.cell_area.sum())
    return min(_JUMP + _JUMP_OF_A_PATCH * np.sqrt(_PATCH / area), _LARGEST_JUMP)


def _shapes(
    values: Fields, times: Times, grid: Grid, variable: Variable, wanted: Bool[np.ndarray, " time"], quick: bool
) -> list[Suspicion]:
    """Spikes, stripes and seams of the `wanted` steps, at most one of each shape and step: the worst.

    The field is scored, and the change since the step before: what stays in place is not in that. A change is held
    against a step only if it is there since two steps before as well, or the step before would be at fault.
    """
    even = evened(values)
    worst: dict[tuple[str, int], tuple[float, Suspicion]] = {}

    def note(measure: Scores, suspect: np.ndarray, offset: int) -> None:
        for step in np.flatnonzero(suspect.any(axis=(1, 2))).tolist():
            size = np.where(suspect[step], np.abs(measure.score[step]), 0)
            row, column = map(int, np.unravel_index(int(size.argmax()), size.shape))
            most, when = float(size.max()), step + offset
            if most > worst.get((measure.shape, when), (0.0,))[0]:
                text = _told(measure, float(values[when, row, column]), most, times[when], grid, row, column)
                worst[measure.shape, when] = most, Suspicion(measure.shape, times[when], text)

    for measure in islice(scores(even, grid), 1 if quick else None):  # the first is of spikes
        note(measure, _exceeds(measure, measure.excess, grid, variable, even is values) & wanted[:, None, None], 0)
    if not quick and len(values) > 2 and wanted[2:].any():
        follows = _regular(times)
        judged = (wanted & follows & np.append(False, follows[:-1]))[1:, None, None]
        for measure in scores(even[1:] - even[:-1], grid):
            suspect = _exceeds(measure, measure.excess, grid, variable, even is values) & judged
            if suspect.any():
                longer = np.pad(_same(even[2:] - even[:-2], grid, measure), ((1, 0), (0, 0), (0, 0)))
                suspect &= _exceeds(measure, longer, grid, variable, even is values) & (longer * measure.excess > 0)
            note(measure, suspect, 1)
    return [one for _, one in worst.values()]


def _same(values: Fields, grid: Grid, like: Scores) -> np.ndarray:
    """The excess of the same shape."""
    return next(one.excess for one in scores(values, grid) if (one.shape, one.axis) == (like.shape, like.axis))


def _exceeds(measure: Scores, excess: np.ndarray, grid: Grid, variable: Variable, has_units: bool) -> np.ndarray:
    """Where an excess is beyond its limit, which is wider where a tropical cyclone would give it: in lows, winds,
    vorticity of its sense."""
    limit = _LIMITS[measure.shape]
    wider = _CYCLONE.get(variable.standard_name)
    if wider is not None and measure.shape == "spike":
        latitude = np.asarray(grid.latitude, np.float32)[:, None]
        cyclonic = np.abs(latitude) <= _CYCLONE_LATITUDE
        if variable.standard_name in _LOWS:
            cyclonic = cyclonic & (excess < 0)
        elif not variable.standard_name.endswith("wind"):
            cyclonic = cyclonic & (excess * np.sign(latitude) > 0)
        limit = np.where(cyclonic, np.float32(wider), np.float32(limit))
    negligible = _NEGLIGIBLE.get(variable.standard_name, 0.0) if has_units else 0.0
    return np.abs(excess) > np.maximum(limit * measure.usual, np.float32(negligible))


def _told(measure: Scores, value: float, score: float, when: np.datetime64, grid: Grid, row: int, column: int) -> str:
    where = f"at {format_time(when)}, {grid.latitude[row]:g} N {grid.longitude[column]:g} E"
    usual = f"{score:.0f} times more than is usual"
    line = "row" if measure.axis == 1 else "column"
    if measure.shape == "spike":
        return f"a spike {where}: {value:.6g} stands out of its neighbours {usual}"
    if measure.shape == "stripe":
        return f"a stripe {where}: {RUN} cells of a {line} stand out of those beside them {usual}"
    return f"a seam {where}: {RUN} cells of a {line} differ from the next ones {usual}"
