"""Finds analyses that are possible but unlikely: traces of a stuck feed, a corrupt message or a mixed-up file.

A whole step may be `stuck` or a `jump`; within a step, `pinnwx.data.outliers` scores a `spike`, a `stripe` or a
`seam`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

from pinnwx.data.calendar import format_time
from pinnwx.data.outliers import RUN, Scores, less_skewed, scores
from pinnwx.data.quality import stuck_steps
from pinnwx.grid import Grid
from pinnwx.variables import Variable

Fields = Float32[np.ndarray, "time lat lon"]
Times = Shaped[np.ndarray, " time"]

KINDS = ("stuck", "jump", "spike", "stripe", "seam")
# Over every field and step of ERA5 (2.5 and 5.625 degrees), ERA-Interim (1.5), NCEP (2.5), AIFS (0.25), hourly ERA5
# (0.25) and a GCM (5.625), 6-hourly and daily, the largest scores are 3.0 (a spike), 3.5 (a stripe) and 3.1 (a seam).
_LIMITS = {"spike": 4.0, "stripe": 5.0, "seam": 5.0}
# If cells are wider than the eye of a tropical cyclone, only one grid point lies in it. The pressure p_c + dp (1 -
# exp(-R / r)) with R = 50 km and dp = 70 hPa, sampled at points, scores 4.5 on 2.5 degrees and 6.5 on 5.6; its wind and
# its vorticity score up to 5.
_CYCLONE = {
    "air_pressure_at_mean_sea_level": 7.0, "geopotential": 7.0, "eastward_wind": 6.0, "northward_wind": 6.0,
    "atmosphere_relative_vorticity": 6.0,
}  # fmt: skip
_LOWS = ("air_pressure_at_mean_sea_level", "geopotential")
_CYCLONE_LATITUDE = 50.0  # degrees; at higher latitudes, cyclones are larger
# An excess below this harms no forecast, however smooth the field around it is; in SI units.
_NEGLIGIBLE = {
    "air_pressure_at_mean_sea_level": 200.0, "geopotential": 200.0, "air_temperature": 2.0, "specific_humidity": 1e-3,
    "eastward_wind": 5.0, "northward_wind": 5.0, "atmosphere_relative_vorticity": 5e-5,
}  # fmt: skip
_FEWEST = 8  # the minimum number of steps for the usual change of a field
_HISTORY = 12  # earlier steps that define the usual size of an excess
_STEPS = 256  # scored at once
_BEFORE = np.timedelta64(72, "h")
_DAY = np.timedelta64(24, "h")
# The ratio of the change of a step to the usual change varies more if the grid has fewer independent patches (1,000
# km). The largest ratio is 1.4 for global fields, 2.9 for the North Atlantic, 3.4 for Europe, 7.1 in fifty years of
# Iberia.
_PATCH = 1e12  # m2
_JUMP, _JUMP_OF_A_PATCH, _LARGEST_JUMP = 1.3, 13.0, 9.0


@dataclass(frozen=True)
class Suspicion:
    """One suspicion about one field at one time; `text` describes it with its place."""

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
    """Finds suspicions, sorted by kind and time; `values` are sorted in time and have no faults.

    Steps before `since` only define what is usual. `quick` omits stripes, seams, and spikes that are visible only in
    the change from step to step; it takes a seventh of the time.
    """
    if not times.size:
        return []
    selected = np.ones(times.size, dtype=bool) if since is None else times >= since
    entries = [
        Suspicion("stuck", when, f"the step at {format_time(when)} repeats the previous one: a stuck feed?")
        for when in times[np.flatnonzero(stuck_steps(values) & selected)]
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
        in_part = selected[part] & (np.arange(part.start, part.stop) >= start)
        if in_part.any():
            shapes += _shapes(values[part], times[part], grid, variable, in_part, quick)
    return entries + sorted(shapes, key=lambda one: (KINDS.index(one.kind), one.time))


def summary(suspicions: Sequence[Suspicion]) -> list[str]:
    """One line for each kind: the first suspicion, and the number of further ones."""
    lines = []
    for kind in KINDS:
        same = [one for one in suspicions if one.kind == kind]
        if kind == "stuck" and same:
            first = format_time(same[0].time)
            lines.append(f"{len(same)} step(s) repeat the previous step, the first {first}: a stuck feed?")
        elif same:
            more = f" ({len(same) - 1} more, to {format_time(same[-1].time)})" if len(same) > 1 else ""
            lines.append(same[0].text + more)
    return lines


def names_of(field: str, suspicions: Sequence[Suspicion]) -> list[str]:
    """The values of `--accept-suspicious` that accept these suspicions: one for each kind, with the time if single."""
    names = []
    for kind in KINDS:
        same = [one.time for one in suspicions if one.kind == kind]
        if same:
            names.append(f"{field}:{kind}" + (f"@{format_time(same[0])}" if len(same) == 1 else ""))
    return names


def suspicions_of(
    values: Fields, times: Times, grid: Grid, variable: Variable, first: np.datetime64, last: np.datetime64
) -> list[Suspicion]:
    """`suspicions` of the steps from `first` to `last`; at least three earlier days define what is usual."""
    near = around(times, first, last)
    return suspicions(values[near], times[near], grid, variable, since=first)


def around(times: Times, first: np.datetime64, last: np.datetime64) -> slice:
    """The steps from `first` to `last` and the earlier ones that define what is usual."""
    start = min(np.searchsorted(times, first - _BEFORE), np.searchsorted(times, first) - _HISTORY)
    return slice(max(int(start), 0), int(np.searchsorted(times, last, side="right")))


def change_ratio(values: Fields, times: Times) -> Float[np.ndarray, " time"]:
    """The mean absolute change from the previous step over the usual change; 0 after a gap or with too few steps.

    The usual change is the median, or the change one day earlier if that is larger (warming in the morning is faster
    than cooling at night). This ratio detects a field that was swapped with another time, scaled, or shifted as a
    whole, which every check of single cells accepts.
    """
    ratio = np.zeros(times.size)
    if times.size < _FEWEST:
        return ratio
    regular = _regular(times)
    change, even = np.zeros(times.size), less_skewed(values)
    for step in np.flatnonzero(regular):
        change[step] = np.mean(np.abs(even[step] - even[step - 1]), dtype=np.float64)
    usual = np.full(times.size, np.median(change[regular]) if regular.any() else 0.0)
    day_before = np.searchsorted(times, times - _DAY)
    has_day_before = (times[day_before] == times - _DAY) & (day_before < np.arange(times.size) - 1)
    usual[has_day_before] = np.maximum(usual[has_day_before], change[day_before[has_day_before]])
    np.divide(change, usual, out=ratio, where=usual > 0)
    return ratio


def _regular(times: Times) -> Bool[np.ndarray, " time"]:
    """True for steps that follow the previous step at the usual spacing."""
    spacing = np.diff(times)
    usual = np.median(spacing.astype(np.int64)).astype(spacing.dtype) if spacing.size else 0
    return np.append(False, spacing == usual)


def _jump_limit(grid: Grid) -> float:
    area = len(grid.longitude) * float(grid.cell_area.sum())
    return min(_JUMP + _JUMP_OF_A_PATCH * np.sqrt(_PATCH / area), _LARGEST_JUMP)


def _shapes(
    values: Fields, times: Times, grid: Grid, variable: Variable, selected: Bool[np.ndarray, " time"], quick: bool
) -> list[Suspicion]:
    """The worst spike, stripe and seam of each of the `selected` steps.

    Both the field and its change since the previous step are scored; the change excludes stationary features. A change
    counts only if the change over two steps shows it as well; otherwise the previous step is at fault.
    """
    even = less_skewed(values)
    worst: dict[tuple[str, int], tuple[float, Suspicion]] = {}

    def note(measure: Scores, suspect: np.ndarray, offset: int) -> None:
        for step in np.flatnonzero(suspect.any(axis=(1, 2))).tolist():
            size = np.where(suspect[step], np.abs(measure.score[step]), 0)
            row, column = map(int, np.unravel_index(int(size.argmax()), size.shape))
            most, when = float(size.max()), step + offset
            if most > worst.get((measure.shape, when), (0.0,))[0]:
                text = _describe(measure, float(values[when, row, column]), most, times[when], grid, row, column)
                worst[measure.shape, when] = most, Suspicion(measure.shape, times[when], text)

    for measure in islice(scores(even, grid), 1 if quick else None):  # the first is of spikes
        note(measure, _exceeds(measure, measure.excess, grid, variable, even is values) & selected[:, None, None], 0)
    if not quick and len(values) > 2 and selected[2:].any():
        follows = _regular(times)
        comparable = (selected & follows & np.append(False, follows[:-1]))[1:, None, None]
        for measure in scores(even[1:] - even[:-1], grid):
            suspect = _exceeds(measure, measure.excess, grid, variable, even is values) & comparable
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


def _describe(one: Scores, value: float, score: float, when: np.datetime64, grid: Grid, row: int, column: int) -> str:
    where = f"at {format_time(when)}, {grid.latitude[row]:g} N {grid.longitude[column]:g} E"
    usual = f"{score:.0f} times more than is usual"
    line = "row" if one.axis == 1 else "column"
    if one.shape == "spike":
        return f"a spike {where}: {value:.6g} stands out of its neighbours {usual}"
    if one.shape == "stripe":
        return f"a stripe {where}: {RUN} cells of a {line} stand out of those beside them {usual}"
    return f"a seam {where}: {RUN} cells of a {line} differ from the next ones {usual}"
