"""From pieces to arrays: one grid, sorted unique times, checked values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from pinnwx.data import quality
from pinnwx.data.calendar import format_time
from pinnwx.data.piece import Piece
from pinnwx.data.regrid import regrid
from pinnwx.data.report import Findings
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid

Parts = Sequence[Piece]


def only_grid(pieces: Parts, findings: Findings) -> Grid:
    """The one grid of all pieces.

    Raises:
        GridError: there are two, if `findings` are strict.
    """
    first = pieces[0]
    for piece in pieces:
        if piece.grid != first.grid:
            with findings.guard():
                raise GridError(
                    f"two grids at once: {first.file} is {first.grid}, {piece.file} is {piece.grid}; "
                    "open them apart, or bring them to one grid first"
                )
    return first.grid


def by_name(pieces: Parts, names: Sequence[str]) -> tuple[dict[str, list[Piece]], dict[str, list[Piece]]]:
    """Pieces by name, in the order of `names`: those with time, and the static ones."""
    grouped: dict[str, list[Piece]] = {name: [] for name in names}
    for piece in pieces:
        if piece.name in grouped:
            grouped[piece.name].append(piece)
    moving = {name: parts for name, parts in grouped.items() if parts and parts[0].times is not None}
    fixed = {name: parts for name, parts in grouped.items() if parts and parts[0].times is None}
    return moving, fixed


def all_times(parts: Parts) -> Shaped[np.ndarray, " time"]:
    """Sorted and unique."""
    return np.unique(np.concatenate([part.times for part in parts if part.times is not None]))


def common_times(moving: Mapping[str, Parts], findings: Findings) -> Shaped[np.ndarray, " time"]:
    """The sorted times at which the files have every field; what is left out is counted."""
    if not moving:
        return np.empty(0, "datetime64[ns]")
    own = {name: all_times(parts) for name, parts in moving.items()}
    common = reduce(np.intersect1d, own.values())
    for name, times in own.items():
        if times.size > common.size:
            findings.add(
                "warning", f"{times.size - common.size} step(s) left out: another field lacks them", variable=name
            )
    return common


def read_field(
    parts: Parts, times: Shaped[np.ndarray, " time"], target: Grid, findings: Findings
) -> tuple[Float32[np.ndarray, "time lat lon"], Bool[np.ndarray, " time"]]:
    """(values at `times` on `target`, which of them exist); a step without any value does not exist.

    Raises:
        DataError: a file is damaged, values are faulty, or two differ for one time; if `findings` are strict.
    """
    values = np.zeros((times.size, *target.shape), np.float32)
    filled = np.zeros(times.size, dtype=bool)
    repeated = 0
    for part in parts:
        assert part.times is not None
        wanted = np.flatnonzero(np.isin(part.times, times))
        if wanted.size == 0:
            continue
        with findings.guard(part.file, part.name):
            for block in part.blocks(int(wanted[0]), int(wanted[-1]) + 1):
                raw, instants = part.read(block), part.times[block]
                use = np.isin(instants, times) & ~quality.missing_steps(raw)
                if not use.all():
                    raw, instants = raw[use], instants[use]
                for message in quality.faults(raw, instants, part.grid, part.variable):
                    findings.add("error", message, part.file, part.name)
                fresh = regrid(raw, part.grid, target)
                repeated += _place(fresh, instants, times, values, filled, part)
    name = parts[0].name
    if repeated:
        findings.add("warning", f"{repeated} repeated step(s) with equal values dropped", variable=name)
    if not filled.all():
        count, first = int((~filled).sum()), format_time(times[~filled][0])
        findings.add("warning", f"{count} step(s) without values left out, the first {first}", variable=name)
    return values, filled


def _place(
    fresh: Float32[np.ndarray, "step lat lon"],
    instants: Shaped[np.ndarray, " step"],
    times: Shaped[np.ndarray, " time"],
    values: Float32[np.ndarray, "time lat lon"],
    filled: Bool[np.ndarray, " time"],
    part: Piece,
) -> int:
    """Writes steps to where their instants are in `times`; one that is there already must be equal, and is counted.

    Raises:
        DataError: two different values for one time.
    """
    positions = np.searchsorted(times, instants)
    first_here = np.zeros(positions.size, dtype=bool)
    first_here[np.unique(positions, return_index=True)[1]] = True
    new = first_here & ~filled[positions]
    values[positions[new]] = fresh[new]
    filled[positions[new]] = True
    for index in np.flatnonzero(~new):
        difference = np.abs(fresh[index] - values[positions[index]]).max()
        if not difference <= 2 * part.precision:
            raise DataError(
                f"{format_time(instants[index])} stands twice, with values that differ by up to {difference:.3g} "
                f"{part.variable.units}; remove one of them"
            )
    return int((~new).sum())


def read_static(parts: Parts, target: Grid, findings: Findings) -> Float32[np.ndarray, "lat lon"]:
    """A static field on `target`; several files may hold it if they agree.

    Raises:
        DataError: a file is damaged, values are faulty or missing, or files differ; if `findings` are strict.
    """
    fields = []
    for part in parts:
        with findings.guard(part.file, part.name):
            raw = part.read(slice(0, 1))
            for message in quality.faults(raw, None, part.grid, part.variable):
                findings.add("error", message, part.file, part.name)
            if np.isnan(raw).all():
                raise DataError("holds no value")
            fields.append(regrid(raw[0], part.grid, target))
            if not np.abs(fields[-1] - fields[0]).max() <= 2 * part.precision:
                raise DataError(f"differs from {parts[0].file}; remove one of them")
    return fields[0] if fields else np.zeros(target.shape, np.float32)
