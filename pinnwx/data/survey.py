"""From files to pieces: every field of the variable table that a file holds, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.archives import unpacked
from pinnwx.data.calendar import format_time
from pinnwx.data.changes import Stamps
from pinnwx.data.conventions import conversion, level_from_text, names_of, recognise
from pinnwx.data.coordinates import Axes, axes_of, grid_of, pressure_levels, valid_times
from pinnwx.data.find import InputFile, Paths, find_files
from pinnwx.data.formats import Format, identify, named_like_gridded_data
from pinnwx.data.grib.reader import GribReader
from pinnwx.data.piece import Piece
from pinnwx.data.readers import open_raw, reading
from pinnwx.data.report import FieldReport, FileReport, Findings
from pinnwx.errors import DataError
from pinnwx.variables import Variable, describe


@dataclass
class Survey:
    """What a set of files holds; `unresolved` says which variables cannot be used as they stand, and why.

    `left_out` says what is no analysis on a latitude-longitude grid, so that nothing is lost by passing it over:
    forecasts, other levels, other grids. `preliminary`: some of it is ERA5T, which may still be replaced.
    """

    pieces: list[Piece] = field(default_factory=list)
    reports: list[FileReport] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    preliminary: bool = False


@contextmanager
def surveyed(
    paths: Paths, variables: Mapping[str, Variable], levels: Mapping[str, int] | None, findings: Findings
) -> Iterator[Survey]:
    """Opens every file; they stay open inside the block, because pieces are lazy.

    Raises:
        MissingInputError: no such file.
        DataError: a file is damaged, if `findings` are strict.
        ChangedError: a file changed before the block ended.
    """
    survey, stamps = Survey(), Stamps()
    try:
        with ExitStack() as stack:
            for file in find_files(paths, findings):
                stamps.note(file.path)
                _scan_file(file, survey, variables, levels or {}, findings, stack)
            yield survey
    except Exception:
        stamps.require_unchanged()  # else that is what was wrong
        raise
    stamps.require_unchanged()


def _scan_file(
    file: InputFile,
    survey: Survey,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    findings: Findings,
    stack: ExitStack,
) -> None:
    """Adds what a file holds to the survey; of an archive, what the files inside hold."""
    report, members = FileReport(file.label, "unreadable"), []
    with findings.guard(file=file.label):
        kind = _identified(file, findings)
        if kind is not None:
            told = (kind.name, "") if kind.is_read else ("not gridded data", kind.name)
            report = FileReport(file.label, *told)
        if kind is not None and kind.name == "ZIP":
            with reading("this ZIP archive"):
                members = unpacked(file, stack)
        elif kind is not None and kind.is_read:
            report = _scan_fields(file, kind.name, survey, variables, levels, findings, stack)
    if not members:
        survey.reports.append(report)
    for member in members:
        _scan_file(member, survey, variables, levels, findings, stack)


def _identified(file: InputFile, findings: Findings) -> Format | None:
    """What a file is; None where it cannot be opened, which is added to the findings.

    Raises:
        DataError: it is no gridded data but named like it, or given by the user and an archive or unreadable.
    """
    try:
        kind = identify(file.path)
    except OSError as error:
        if file.named:
            raise DataError(f"cannot be opened ({error.strerror})") from error
        findings.add("warning", f"passed over: cannot be opened ({error.strerror})", file.label)
        return None
    if not kind.is_read and (named_like_gridded_data(file.path) or (file.named and kind.is_archive)):
        raise DataError(kind.refusal)
    if kind.is_archive:
        findings.add("warning", f"passed over: {kind.name}; {kind.remedy}", file.label)
    return kind


def _scan_fields(
    file: InputFile,
    kind: str,
    survey: Survey,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    findings: Findings,
    stack: ExitStack,
) -> FileReport:
    """Adds the fields of a file that is no archive."""
    shown = file.shown or file.path
    opened = None if kind == "GRIB" else open_raw(file.path, kind)
    readers: list[DatasetReader | GribReader] = []
    if opened is None:
        readers.append(GribReader(file.path, file.label, variables))
    else:
        for dataset in opened.datasets:
            stack.callback(dataset.close)
            readers.append(DatasetReader(dataset, shown, file.label, variables, levels))
    for reader in readers:
        with reading("its layout"):
            reader.survey()
        if opened is not None:
            opened.require_stored({piece.raw for piece in reader.pieces})
        survey.pieces += reader.pieces
        survey.unresolved += reader.unresolved
        for reason in reader.left_out:
            survey.left_out.append(f"{file.label}: {reason}")
            findings.add("note", f"left out: {reason}", file.label)
        if reader.preliminary:
            survey.preliminary = True
            findings.add("warning", "holds preliminary data (expver 5)", file.label)
        for message in reader.warnings:
            findings.add("warning", message, file.label)
    nothing = not any(reader.pieces or reader.unresolved or reader.left_out for reader in readers)
    if nothing and opened is not None and opened.explanation:
        survey.unresolved.append(f"{file.label}: {opened.explanation}")
    return _file_report(file.label, kind, shown, readers)


class DatasetReader:
    """Finds the fields of one raw dataset and notes what has to be normalised."""

    def __init__(
        self, dataset: xr.Dataset, path: Path, file: str, variables: Mapping[str, Variable], levels: Mapping[str, int]
    ) -> None:
        self.dataset, self.path, self.file, self.variables, self.levels = dataset, path, file, variables, levels
        self.pieces: list[Piece] = []
        self.ignored: list[str] = []
        self.unresolved: list[str] = []
        self.left_out: dict[str, None] = {}
        self.normalised: dict[str, None] = {}  # in order, each once
        self.warnings: dict[str, None] = {}
        self.preliminary = False

    def survey(self) -> None:
        """Fills `pieces`, `ignored` and `unresolved`."""
        for name in self.dataset.variables:
            if name in self.dataset.dims or self.dataset[name].ndim < 2:
                continue
            array = self.dataset[name]
            axes = axes_of(self.dataset, array)
            recognised = recognise(str(name), array.attrs, "level" in axes, self.variables)
            if recognised is None or "latitude" not in axes or "longitude" not in axes:
                self.ignored.append(str(name))
                continue
            try:
                self.pieces += self._pieces(array, axes, *recognised)
            except DataError as error:
                self.unresolved.append(f"{self.file}: {name}: {error}")

    def _pieces(self, array: xr.DataArray, axes: Axes, base: str, level: int | None) -> list[Piece]:
        entry = self.variables[base]
        grid, rows, columns, repeated, notes = grid_of(axes)
        times, time_dim = (None, None) if entry.static else self._times(axes)
        levels, level_dim = self._levels(array, axes, base, level)
        selection = self._selection(array, axes, entry, level_dim)
        dims = (time_dim, axes["latitude"][0], axes["longitude"][0])
        factor, offset = self._conversion(array, entry)
        self.normalised |= dict.fromkeys([*notes, *_order_and_type(array, dims)])
        return [
            Piece(
                describe(base if hectopascals is None else f"{base}{hectopascals}", self.variables),
                str(array.name), self.file, array,
                selection if level_dim is None else {**selection, level_dim: index},
                dims, times, grid, rows, columns, factor, offset, repeated,
            )
            for index, hectopascals in enumerate(levels)
        ]  # fmt: skip

    def _times(self, axes: Axes) -> tuple[np.ndarray, str | None]:
        times, dim = valid_times(self.dataset, axes)
        if np.any(np.diff(times) < np.timedelta64(0)):
            self.warnings["times are not in order; sorted"] = None
        if "expver" in self.dataset.variables:
            versions = sorted({str(version) for version in np.ravel(self.dataset["expver"].to_numpy())})
            self.preliminary = any(version.strip("0 ") == "5" for version in versions)
            if len(versions) > 1:
                self.normalised[f"expver {' and '.join(versions)} merged; the later one is preliminary data"] = None
        return times, dim

    def _levels(
        self, array: xr.DataArray, axes: Axes, base: str, level: int | None
    ) -> tuple[Sequence[int | None], str | None]:
        """(levels in hPa, level dimension): from a coordinate, else the name, the path or the option."""
        if not self.variables[base].on_pressure_levels:
            return [None], None
        found, dim = pressure_levels(self.dataset, axes)
        if found and level is not None and level not in found:
            raise DataError(f"is named for {level} hPa, but its level coordinate says {', '.join(map(str, found))} hPa")
        if found:
            return found, dim
        if level is not None:
            return [level], None
        for place, text in (("file", self.path.stem), ("folder", self.path.parent.name)):
            number = level_from_text(text, {str(array.name).lower(), *names_of(base, self.variables)})
            if number is not None:
                self.normalised[f"level {number} hPa of {base} from the {place} name"] = None
                return [number], None
        if base in self.levels:
            self.normalised[f"level {self.levels[base]} hPa of {base} as given"] = None
            return [self.levels[base]], None
        raise DataError(
            "its level is in no coordinate, file name or folder name; say which it is: "
            f"levels = {{ {base} = 500 }} under [data] of the config"
        )

    def _selection(self, array: xr.DataArray, axes: Axes, entry: Variable, level_dim: str | None) -> dict[str, int]:
        """Dimensions of length one (`expver` is merged when read); a static field is the first of its times."""
        kept = {axes["latitude"][0], axes["longitude"][0], "expver", level_dim}
        if "time" in axes:
            time = axes["time"][0]
            kept.add(time)
            if entry.static and array.sizes[time] > 1:
                self.normalised[f"{array.name}: the first of {array.sizes[time]} times taken"] = None
        extra = {str(dim): array.sizes[dim] for dim in array.dims if dim not in kept}
        for dim, size in extra.items():
            if size > 1:
                raise DataError(f'has {size} values along "{dim}"; select one of them first')
        if entry.static and "time" in axes:
            extra[axes["time"][0]] = 1
        return dict.fromkeys(extra, 0)

    def _conversion(self, array: xr.DataArray, entry: Variable) -> tuple[float, float]:
        units = str(array.attrs.get("units", "")).strip()
        if not units:
            if entry.units != "1":
                self.warnings[f"{array.name} has no units; taken as {entry.units}, which its range allows"] = None
            return 1.0, 0.0
        factor, offset = conversion(units, entry)
        if (factor, offset) != (1.0, 0.0):
            self.normalised[f"{array.name} converted from {units} to {entry.units}"] = None
        return factor, offset


def _order_and_type(array: xr.DataArray, dims: tuple[str | None, str, str]) -> list[str]:
    notes = []
    kept = [str(dim) for dim in array.dims if dim in dims]
    if kept != [dim for dim in dims if dim in kept]:
        notes.append(f"transposed from ({', '.join(map(str, array.dims))})")
    if "scale_factor" in array.attrs or "add_offset" in array.attrs:
        notes.append(f"unpacked from {array.dtype}")
    elif array.dtype.newbyteorder("=") != np.float32:
        notes.append(f"{array.dtype} to float32")
    return notes


def _file_report(file: str, kind: str | None, path: Path, readers: Sequence[DatasetReader | GribReader]) -> FileReport:
    coordinates = {
        str(name) for reader in readers if isinstance(reader, DatasetReader) for name in reader.dataset.variables
    }
    return FileReport(
        file,
        kind or "not gridded data",
        _layout(coordinates, path, kind) if kind else "",
        tuple(_field_report(piece) for reader in readers for piece in reader.pieces),
        tuple(name for reader in readers for name in reader.ignored),
        tuple(dict.fromkeys(note for reader in readers for note in reader.normalised)),
    )


def _field_report(piece: Piece) -> FieldReport:
    ends = [] if piece.times is None or not piece.times.size else [piece.times.min(), piece.times.max()]
    return FieldReport(
        piece.name,
        piece.raw,
        str(piece.array.attrs.get("units", "")),
        str(piece.array.dtype),
        1 if piece.times is None else int(piece.times.size),
        *map(format_time, ends),
    )


def _layout(names: set[str], path: Path, kind: str) -> str:
    """The archive that writes files like this one, for people to read; nothing depends on it."""
    if kind in ("GRIB", "zarr"):
        return {"GRIB": "GRIB", "zarr": "WeatherBench 2 or ARCO-ERA5"}[kind]
    if {"valid_time", "expver"} & names:
        return "Climate Data Store since 2024"
    if "lat" in names:
        return "WeatherBench 1" if path.stem.startswith(path.parent.name) else "NCEP"
    return "CF"
