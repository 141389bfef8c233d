"""From pieces to arrays: one grid, sorted unique times, checked values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from pinnwx.data import quality
from pinnwx.data.calendar import format_time
from pinnwx.data.overlap import Copy, Merged, settle
from pinnwx.data.piece import Piece
from pinnwx.data.regrid import regrid
from pinnwx.data.report import Findings
from pinnwx.data.wrapping import WrapDetector
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


class Field(NamedTuple):
    """A field at the times asked for: which of them exist, and which of those may still be replaced."""

    values: Float32[np.ndarray, "time lat lon"]
    filled: Bool[np.ndarray, " time"]
    preliminary: Bool[np.ndarray, " time"]


def read_field(parts: Parts, times: Shaped[np.ndarray, " time"], target: Grid, findings: Findings) -> Field:
    """A field at `times` on `target`; a step without any value does not exist.

    Raises:
        DataError: a file is damaged, values are faulty, or two differ for one time; if `findings` are strict.
    """
    copies, wanted = np.zeros(times.size, dtype=np.int64), []
    for part in parts:
        assert part.times is not None
        wanted.append(np.flatnonzero(np.isin(part.times, times)))
        np.add.at(copies, np.searchsorted(times, part.times[wanted[-1]]), 1)
    name, units = parts[0].name, parts[0].variable.units
    merged = Merged(times, np.zeros((times.size, *target.shape), np.float32), copies, units)
    for part, steps in zip(parts, wanted, strict=True):
        if steps.size:
            with findings.guard(part.file, part.name):
                _read_part(part, part.blocks(int(steps[0]), int(steps[-1]) + 1), target, merged, findings)
    with findings.guard(variable=name):
        merged.finish()
    if merged.repeated:
        findings.add("warning", f"{merged.repeated} repeated step(s) with equal values dropped", variable=name)
    if merged.replaced:
        findings.add("note", f"{merged.replaced} preliminary step(s) replaced by final data", variable=name)
    if not merged.filled.all():
        count, first = int((~merged.filled).sum()), format_time(times[~merged.filled][0])
        findings.add("warning", f"{count} step(s) without values left out, the first {first}", variable=name)
    return Field(merged.values, merged.filled, merged.preliminary)


def _read_part(part: Piece, blocks: Iterable[slice], target: Grid, merged: Merged, findings: Findings) -> None:
    """Adds the steps of one file, checked, to those that are there.

    Raises:
        DataError: the file is damaged, or holds another value for a time than another file.
    """
    assert part.times is not None
    times = merged.times
    preliminary = np.zeros(part.times.size, dtype=bool) if part.preliminary is None else part.preliminary
    detector = None if part.packed_span is None else WrapDetector(part.packed_span, part.grid)
    for block in blocks:
        raw, instants = part.read(block), part.times[block]
        asked, missing = np.isin(instants, times), quality.missing_steps(raw)
        use = asked & ~missing
        merged.skip(np.searchsorted(times, instants[asked & missing]))
        if not use.all():
            raw, instants = raw[use], instants[use]
        for message in quality.faults(raw, instants, part.grid, part.variable):
            findings.add("error", message, part.file, part.name)
        if detector is not None:
            detector.add(raw, instants)
        fresh = regrid(raw, part.grid, target)
        merged.add(fresh, np.searchsorted(times, instants), part, preliminary[block][use])
    for severity, message in detector.findings() if detector is not None else ():
        findings.add(severity, message, part.file, part.name)


def read_static(parts: Parts, target: Grid, findings: Findings) -> Float32[np.ndarray, "lat lon"]:
    """A static field on `target`; several files may hold it if they agree.

    Raises:
        DataError: a file is damaged, values are faulty or missing, or files differ; if `findings` are strict.
    """
    copies: list[Copy] = []
    for part in parts:
        with findings.guard(part.file, part.name):
            field = _first_step(part, findings)
            if field is None:
                continue
            for message in quality.faults(field[None], None, part.grid, part.variable):
                findings.add("error", message, part.file, part.name)
            if part.packed_span is not None:
                detector = WrapDetector(part.packed_span, part.grid)
                detector.add(field[None])
                for severity, message in detector.findings():
                    findings.add(severity, message, part.file, part.name)
            preliminary = part.preliminary is not None and bool(part.preliminary.any())
            copies.append(Copy(regrid(field, part.grid, target), part.precision, part.file, preliminary))
    with findings.guard(variable=parts[0].name):
        if not copies:
            raise DataError(f"holds no value in {', '.join(dict.fromkeys(part.file for part in parts))}")
        return settle(copies, "stands twice", parts[0].variable.units).values
    return np.zeros(target.shape, np.float32)


def _first_step(part: Piece, findings: Findings) -> Float32[np.ndarray, "lat lon"] | None:
    """The first step of a static field that has values, or None; steps that differ from it, by more than they are
    precise, are counted."""
    found, differing = None, 0
    for block in part.blocks(0, part.steps):
        steps = part.read(block)
        steps = steps[~quality.missing_steps(steps)]
        if len(steps):
            found = steps[0] if found is None else found
            apart = np.abs(steps - found, dtype=np.float64)
            differing += int((~(apart <= 2 * part.precision.of(found))).any(axis=(1, 2)).sum())
    if differing:
        said = f"{differing} of its {part.steps} steps differ from the first with values, which is taken"
        findings.add("warning", said, part.file, part.name)
    return found
