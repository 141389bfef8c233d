"""Scans files for source fields: every field of the variable table in a file of any layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pinnwx.data.archives import unpacked
from pinnwx.data.calendar import format_time
from pinnwx.data.changes import Stamps
from pinnwx.data.check_report import FieldReport, FileReport, Findings
from pinnwx.data.fields import DatasetReader
from pinnwx.data.find import InputFile, Paths, find_files
from pinnwx.data.formats import Format, identify, named_like_gridded_data
from pinnwx.data.grib.reader import GribReader
from pinnwx.data.readers import open_raw, reading
from pinnwx.data.sizes import require_memory
from pinnwx.data.source_field import SourceField
from pinnwx.errors import DataError
from pinnwx.variables import Variable


@dataclass
class Inventory:
    """The contents of a set of files.

    `unresolved` names the variables that cannot be used, with the reason. `contradictory` is the part of it in which a
    file contradicts itself. `left_out` names fields that are not analyses on a latitude-longitude grid and are
    therefore ignored: forecasts, other levels, other grids. `preliminary` is true if some data are ERA5T, which may
    still be replaced. `forecasts` is true if forecasts are to be read and not left out.
    """

    source_fields: list[SourceField] = field(default_factory=list)
    reports: list[FileReport] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    preliminary: bool = False
    forecasts: bool = False


@contextmanager
def scan_files(
    paths: Paths,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int] | None,
    findings: Findings,
    *,
    forecasts: bool = False,
) -> Iterator[Inventory]:
    """Opens every file. The files stay open inside the block, because source fields are lazy.

    Forecasts are left out with a note. If `forecasts` is true, they are read at their valid times.

    Raises:
        MissingInputError: no such file.
        DataError: a file is damaged, if `findings` are strict.
        ChangedError: a file changed before the block ended.
    """
    inventory, stamps = Inventory(forecasts=forecasts), Stamps()
    try:
        with ExitStack() as stack:
            for file in find_files(paths, findings):
                stamps.note(file.path)
                _scan_file(file, inventory, variables, levels or {}, findings, stack)
            yield inventory
    except Exception:
        stamps.require_unchanged()  # a change of the file explains the error better
        raise
    stamps.require_unchanged()


def _scan_file(
    file: InputFile,
    inventory: Inventory,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    findings: Findings,
    stack: ExitStack,
) -> None:
    """Adds the contents of a file, or of the files inside an archive, to the inventory."""
    report, members = FileReport(file.label, "unreadable"), []
    with findings.guard(file=file.label):
        kind = _identify(file, findings)
        if kind is not None:
            description = (kind.name, "") if kind.is_read else ("not gridded data", kind.name)
            report = FileReport(file.label, *description)
        if kind is not None and kind.name == "ZIP":
            with reading("this ZIP archive"):
                members = unpacked(file, stack)
        elif kind is not None and kind.is_read:
            report = _scan_fields(file, kind.name, inventory, variables, levels, findings, stack)
    if not members:
        inventory.reports.append(report)
    for member in members:
        _scan_file(member, inventory, variables, levels, findings, stack)


def _identify(file: InputFile, findings: Findings) -> Format | None:
    """The format of a file; None if it cannot be opened, which is added to the findings.

    Raises:
        DataError: the file has the name of gridded data but another format, or the user named it and it is an archive
            or unreadable.
    """
    try:
        kind = identify(file.path)
    except OSError as error:
        if file.named:
            raise DataError(f"cannot be opened ({error.strerror})") from error
        findings.add("warning", f"skipped: cannot be opened ({error.strerror})", file.label)
        return None
    if not kind.is_read and (named_like_gridded_data(file.path) or (file.named and kind.is_archive)):
        raise DataError(kind.refusal)
    if kind.is_archive:
        findings.add("warning", f"skipped: {kind.name}; {kind.remedy}", file.label)
    return kind


def _scan_fields(
    file: InputFile,
    kind: str,
    inventory: Inventory,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    findings: Findings,
    stack: ExitStack,
) -> FileReport:
    """Adds the fields of a file that is not an archive."""
    shown = file.shown or file.path
    opened = None if kind == "GRIB" else open_raw(file.path, kind)
    readers: list[DatasetReader | GribReader] = []
    if opened is None:
        readers.append(GribReader(file.path, file.label, variables, forecasts=inventory.forecasts))
    else:
        for dataset in opened.datasets:
            stack.callback(dataset.close)
            readers.append(DatasetReader(dataset, shown, file.label, variables, levels, forecasts=inventory.forecasts))
    for reader in readers:
        with reading("its layout"):
            reader.scan()
        if opened is not None:
            opened.require_stored({source.raw: source.spatial_axes for source in reader.source_fields})
        for source in reader.source_fields:
            rows, columns = source.grid.shape
            require_memory(8 * rows * columns, f"a step of {source.raw}, on {rows:,} x {columns:,} points,")
        inventory.source_fields += reader.source_fields
        inventory.unresolved += reader.unresolved
        inventory.contradictory += reader.contradictory
        for reason in reader.left_out:
            inventory.left_out.append(f"{file.label}: {reason}")
            findings.add("note", f"left out: {reason}", file.label)
        if reader.preliminary:
            inventory.preliminary = True
            findings.add("warning", "contains preliminary data (expver 5)", file.label)
        for message in reader.warnings:
            findings.add("warning", message, file.label)
    nothing = not any(reader.source_fields or reader.unresolved or reader.left_out for reader in readers)
    if nothing and opened is not None:
        with reading("its structure"):
            explanation = opened.explanation
        inventory.unresolved += [f"{file.label}: {explanation}"] if explanation else []
    return _file_report(file.label, kind, shown, readers)


def _file_report(file: str, kind: str | None, path: Path, readers: Sequence[DatasetReader | GribReader]) -> FileReport:
    coordinates = {
        str(name) for reader in readers if isinstance(reader, DatasetReader) for name in reader.dataset.variables
    }
    return FileReport(
        file,
        kind or "not gridded data",
        _layout(coordinates, path, kind) if kind else "",
        tuple(dict.fromkeys(_field_report(source) for reader in readers for source in reader.source_fields)),
        tuple(name for reader in readers for name in reader.ignored),
        tuple(dict.fromkeys(note for reader in readers for note in reader.normalised)),
        tuple(dict.fromkeys(axis for reader in readers for axis in reader.axes)),
    )


def _field_report(source: SourceField) -> FieldReport:
    ends = [] if source.times is None or not source.times.size else [source.times.min(), source.times.max()]
    return FieldReport(
        source.name,
        source.raw,
        str(source.array.attrs.get("units", "")),
        str(source.array.dtype),
        source.steps if source.times is None else int(source.times.size),
        *map(format_time, ends),
    )


def _layout(names: set[str], path: Path, kind: str) -> str:
    """The archive that writes files of this layout; for display only."""
    if kind in ("GRIB", "zarr"):
        return {"GRIB": "GRIB", "zarr": "WeatherBench 2 or ARCO-ERA5"}[kind]
    if {"valid_time", "expver"} & names:
        return "Climate Data Store since 2024"
    if "lat" in names:
        return "WeatherBench 1" if path.stem.startswith(path.parent.name) else "NCEP"
    return "CF"
