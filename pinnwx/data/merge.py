"""Merges source fields into arrays on one grid, with sorted unique times and checked values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from pinnwx.data import quality
from pinnwx.data.calendar import format_time
from pinnwx.data.check_report import Findings
from pinnwx.data.overlap import Copy, Merged, settle
from pinnwx.data.regrid import regrid
from pinnwx.data.source_field import SourceField
from pinnwx.data.wrapping import WrapDetector
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid

SourceFields = Sequence[SourceField]


def only_grid(sources: SourceFields, findings: Findings) -> Grid:
    """The one grid of all source fields.

    Raises:
        GridError: there are two grids, if `findings` are strict.
    """
    first = sources[0]
    for source in sources:
        if source.grid != first.grid:
            with findings.guard():
                raise GridError(
                    f"two grids at once: {first.file} is {first.grid}, {source.file} is {source.grid}; "
                    "open them separately, or regrid them to one grid first"
                )
    return first.grid


def by_name(
    sources: SourceFields, names: Sequence[str]
) -> tuple[dict[str, list[SourceField]], dict[str, list[SourceField]]]:
    """(source fields with time, static source fields) by name, in the order of `names`."""
    grouped: dict[str, list[SourceField]] = {name: [] for name in names}
    for source in sources:
        if source.name in grouped:
            grouped[source.name].append(source)
    moving = {name: sources for name, sources in grouped.items() if sources and sources[0].times is not None}
    fixed = {name: sources for name, sources in grouped.items() if sources and sources[0].times is None}
    return moving, fixed


def all_times(sources: SourceFields) -> Shaped[np.ndarray, " time"]:
    """The sorted, unique times of all source fields."""
    return np.unique(np.concatenate([source.times for source in sources if source.times is not None]))


def common_times(moving: Mapping[str, SourceFields], findings: Findings) -> Shaped[np.ndarray, " time"]:
    """The sorted times at which the files have every field; a finding counts the other times."""
    if not moving:
        return np.empty(0, "datetime64[ns]")
    own = {name: all_times(sources) for name, sources in moving.items()}
    common = reduce(np.intersect1d, own.values())
    for name, times in own.items():
        if times.size > common.size:
            findings.add(
                "warning", f"{times.size - common.size} step(s) left out: another field is missing", variable=name
            )
    return common


class Field(NamedTuple):
    """A field at the requested times; `filled` marks the times with values, `preliminary` those with ERA5T data."""

    values: Float32[np.ndarray, "time lat lon"]
    filled: Bool[np.ndarray, " time"]
    preliminary: Bool[np.ndarray, " time"]


def read_field(sources: SourceFields, times: Shaped[np.ndarray, " time"], target: Grid, findings: Findings) -> Field:
    """A field at `times` on `target`; a step without any value counts as absent.

    Raises:
        DataError: a file is damaged, values are faulty, or two files differ at one time; if `findings` are strict.
    """
    copies, positions = np.zeros(times.size, dtype=np.int64), []
    for source in sources:
        assert source.times is not None
        positions.append(np.flatnonzero(np.isin(source.times, times)))
        np.add.at(copies, np.searchsorted(times, source.times[positions[-1]]), 1)
    name, units = sources[0].name, sources[0].variable.units
    merged = Merged(times, np.zeros((times.size, *target.shape), np.float32), copies, units)
    for source, steps in zip(sources, positions, strict=True):
        if steps.size:
            with findings.guard(source.file, source.name):
                _read_source_field(source, source.blocks(int(steps[0]), int(steps[-1]) + 1), target, merged, findings)
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


def _read_source_field(
    source: SourceField, blocks: Iterable[slice], target: Grid, merged: Merged, findings: Findings
) -> None:
    """Checks the steps of one file and adds them to `merged`.

    Raises:
        DataError: the file is damaged, or differs from another file at one time.
    """
    assert source.times is not None
    times = merged.times
    preliminary = np.zeros(source.times.size, dtype=bool) if source.preliminary is None else source.preliminary
    detector = None if source.packed_span is None else WrapDetector(source.packed_span, source.grid)
    for block in blocks:
        raw, instants = source.read(block), source.times[block]
        selected, missing = np.isin(instants, times), quality.missing_steps(raw)
        use = selected & ~missing
        merged.skip(np.searchsorted(times, instants[selected & missing]))
        if not use.all():
            raw, instants = raw[use], instants[use]
        for message in quality.faults(raw, instants, source.grid, source.variable):
            findings.add("error", message, source.file, source.name)
        if detector is not None:
            detector.add(raw, instants)
        values = regrid(raw, source.grid, target)
        merged.add(values, np.searchsorted(times, instants), source, preliminary[block][use])
    for severity, message in detector.findings() if detector is not None else ():
        findings.add(severity, message, source.file, source.name)


def read_static(sources: SourceFields, target: Grid, findings: Findings) -> Float32[np.ndarray, "lat lon"]:
    """A static field on `target`; if several files hold it, they must agree.

    Raises:
        DataError: a file is damaged, values are faulty or missing, or files differ; if `findings` are strict.
    """
    copies: list[Copy] = []
    for source in sources:
        with findings.guard(source.file, source.name):
            field = _first_step(source, findings)
            if field is None:
                continue
            for message in quality.faults(field[None], None, source.grid, source.variable):
                findings.add("error", message, source.file, source.name)
            if source.packed_span is not None:
                detector = WrapDetector(source.packed_span, source.grid)
                detector.add(field[None])
                for severity, message in detector.findings():
                    findings.add(severity, message, source.file, source.name)
            preliminary = source.preliminary is not None and bool(source.preliminary.any())
            copies.append(Copy(regrid(field, source.grid, target), source.precision, source.file, preliminary))
    with findings.guard(variable=sources[0].name):
        if not copies:
            raise DataError(f"has no value in {', '.join(dict.fromkeys(source.file for source in sources))}")
        return settle(copies, "is stored twice", sources[0].variable.units).values
    return np.zeros(target.shape, np.float32)


def _first_step(source: SourceField, findings: Findings) -> Float32[np.ndarray, "lat lon"] | None:
    """The first step of a static field with values, or None; a warning counts the steps that differ from it."""
    first, differing = None, 0
    for block in source.blocks(0, source.steps):
        steps = source.read(block)
        steps = steps[~quality.missing_steps(steps)]
        if len(steps):
            first = steps[0] if first is None else first
            apart = np.abs(steps - first, dtype=np.float64)
            differing += int((~(apart <= 2 * source.precision.of(first))).any(axis=(1, 2)).sum())
    if differing:
        message = f"{differing} of its {source.steps} steps differ from the first step with values, which is used"
        findings.add("warning", message, source.file, source.name)
    return first
