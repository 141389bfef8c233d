"""Finds the fields of the variable table in one raw dataset (netCDF or zarr) of any layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time
from pinnwx.data.conventions import STATISTIC, conversion, level_from_text, names_of, recognise
from pinnwx.data.coordinates import Axes, GridAndOrders, axes_of, grid_of
from pinnwx.data.expver import LABEL, Version, versions_of
from pinnwx.data.horizontal import other_grid, refusal
from pinnwx.data.leads import TimeCoordinates
from pinnwx.data.packing import notes_on
from pinnwx.data.readers import reading
from pinnwx.data.roles import coordinate_role
from pinnwx.data.source_field import SourceField
from pinnwx.data.surface import AMBIGUOUS, is_surface_geopotential
from pinnwx.data.vertical import VerticalAxis, levels_in_hectopascals, vertical_axis
from pinnwx.errors import ContradictionError, DataError
from pinnwx.variables import VARIABLES, Variable, describe


class DatasetReader:
    """Finds the fields of one raw dataset and records the normalisations."""

    def __init__(
        self,
        dataset: xr.Dataset,
        path: Path,
        file: str,
        variables: Mapping[str, Variable],
        levels: Mapping[str, int],
        *,
        forecasts: bool = False,
    ) -> None:
        self.dataset, self.path, self.file, self.variables, self.levels = dataset, path, file, variables, levels
        self.forecasts = forecasts
        self.source_fields: list[SourceField] = []
        self.ignored: list[str] = []
        self.unresolved: list[str] = []
        self.contradictory: list[str] = []
        self.left_out: dict[str, None] = {}
        self.normalised: dict[str, None] = {}  # an ordered set
        self.axes: dict[str, None] = {}  # which coordinate is read as which axis
        self.warnings: dict[str, None] = {}
        self.preliminary = False
        self._grids: dict[tuple[str, ...], GridAndOrders] = {}  # the arrays of a file mostly share their axes

    def scan(self) -> None:
        """Fills `source_fields`, `ignored`, `left_out` and `unresolved`."""
        for name in self.dataset.variables:
            if name in self.dataset.dims or name == LABEL or self.dataset.variables[name].ndim < 1:
                continue
            array = self.dataset[name]
            known = (recognise(str(name), array.attrs, levels, self.variables) for levels in (True, False))
            if STATISTIC in array.attrs or all(one is None for one in known):
                self.ignored.append(str(name))  # its axes are not examined
                continue
            try:
                vertical = vertical_axis(self.dataset, array)
                on_levels = vertical is not None and (vertical.may_be_pressure or vertical.kind == "model levels")
                recognised = recognise(str(name), array.attrs, on_levels, self.variables)
                axes = axes_of(self.dataset, array)
                if recognised is not None and (kind := other_grid(self.dataset, array, axes)) is not None:
                    raise DataError(refusal(kind))
                if recognised is None or "latitude" not in axes or "longitude" not in axes:
                    self.ignored.append(str(name))
                    continue
                self.source_fields += self._source_fields(array, axes, vertical, *recognised)
            except DataError as error:
                self.unresolved.append(f"{self.file}: {name}: {error}")
                if isinstance(error, ContradictionError):
                    self.contradictory.append(self.unresolved[-1])

    def _source_fields(
        self, array: xr.DataArray, axes: Axes, vertical: VerticalAxis | None, base: str, level: int | None
    ) -> list[SourceField]:
        if base == "z" and level is None and "orography" in self.variables:
            base = self._geopotential(array, vertical)
        entry = self.variables[base]
        moments = self._moments(array, entry)
        if moments is None:
            return []
        array = moments.array
        times, time_dim = (None, moments.dimension) if entry.static else self._times(moments)
        grid, rows, columns, repeated, notes = self._grid(axes)
        levels, level_dim = self._levels(array, vertical, base, level)
        selection = self._selection(array, axes, time_dim, level_dim)
        versions = versions_of(moments.dataset, array, times, time_dim)
        self._note_preliminary(versions)
        dims = (time_dim, axes["latitude"][0], axes["longitude"][0])
        factor, offset = self._conversion(array, entry)
        self.normalised |= dict.fromkeys([*notes, *_order_and_type(array, dims), *notes_on(array.dtype, array.attrs)])
        self.axes |= dict.fromkeys(self._taken_for(moments, axes, vertical, times))
        return [
            SourceField(
                describe(base if hectopascals is None else f"{base}{hectopascals}", self.variables),
                str(array.name), self.file, array,
                {**selection, **version.selection} | ({} if level_dim is None else {level_dim: index}),
                dims, times, grid, rows, columns, factor, offset, repeated, version.preliminary,
            )
            for index, hectopascals in levels
            for version in versions
        ]  # fmt: skip

    def _grid(self, axes: Axes) -> GridAndOrders:
        key = tuple(str(axes[role][1].name) for role in ("latitude", "longitude"))
        if key not in self._grids:
            self._grids[key] = grid_of(axes)
        return self._grids[key]

    def _geopotential(self, array: xr.DataArray, vertical: VerticalAxis | None) -> str:
        """`z` on pressure levels, or `orography` for the geopotential of the surface."""
        if not is_surface_geopotential(self.dataset, array, vertical):
            return "z"
        if not str(array.attrs.get("units", "")).strip():
            raise DataError("is a field of the surface without units; set them to m2 s-2, or to m if it is a height")
        self.normalised[f"{array.name} is a field of the surface: taken as orography"] = None
        return "orography"

    def _moments(self, array: xr.DataArray, entry: Variable) -> TimeCoordinates | None:
        """The times of the part of an array that is read; None if it holds only forecasts and they are left out."""
        whole = TimeCoordinates(self.dataset, array)
        forecast = None if entry.static or self.forecasts else whole.forecast()
        if forecast is None:
            return whole
        analyses = whole.analyses()
        beside = "" if analyses is None else "; its analyses at lead 0 are read"
        self.left_out[f"{forecast}{beside}"] = None
        return analyses

    def _times(self, moments: TimeCoordinates) -> tuple[np.ndarray, str | None]:
        """(valid times, their dimension)."""
        times, dim = moments.times()
        if np.any(np.diff(times) < np.timedelta64(0)):
            self.warnings["times are not in order; sorted"] = None
        return times, dim

    def _taken_for(
        self, moments: TimeCoordinates, axes: Axes, vertical: VerticalAxis | None, times: np.ndarray | None
    ) -> list[str]:
        """Describes which coordinate is read as which axis."""
        lines = []
        if times is not None and times.size:
            ends = dict.fromkeys(map(format_time, (times.min(), times.max())))
            named = ", ".join(str(one.name) for one in moments.of_valid_times)
            lines.append(f"time from {named}: {' to '.join(ends)}")
        if vertical is not None:
            lines.append(str(vertical))
        places = [f"{role} from {axes[role][1].name} ({axes[role][1].size})" for role in ("latitude", "longitude")]
        return [*lines, *places]

    def _levels(
        self, array: xr.DataArray, vertical: VerticalAxis | None, base: str, level: int | None
    ) -> tuple[Sequence[tuple[int, int | None]], str | None]:
        """(pairs of position and level in hPa, level dimension).

        The level comes from a coordinate, otherwise from the name, the path or the option. These three are used only if
        the file does not state another height of the field.
        """
        if not self.variables[base].on_pressure_levels:
            return [(0, None)], None
        if vertical is not None and not vertical.may_be_pressure:
            near = vertical.kind == "heights" and vertical.dim is None and level is not None
            if not near or vertical.values is None or level in vertical.values:
                raise DataError(f"is on {vertical}, not on pressure levels; bring it to pressure levels first")
            vertical = None  # the scalar `height` = 2 belongs to another field of the file: a merge left it
        levels, fractional = ([], []) if vertical is None else levels_in_hectopascals(vertical)
        if fractional:
            shown = ", ".join(f"{one:g}" for one in fractional)
            if not levels:
                raise DataError(f"is at {shown} hPa; only levels at whole numbers of hPa are read")
            self.left_out[f"{array.name} at {shown} hPa, not a whole number of hPa"] = None
        places = [place for _, place in levels]
        if levels and level is not None and level not in places:
            raise ContradictionError(
                f"is named for {level} hPa, but its level coordinate says {', '.join(map(str, places))} hPa"
            )
        if levels and vertical is not None:
            return levels, vertical.dim
        return [(0, self._level_by_hand(array, base, level))], None

    def _level_by_hand(self, array: xr.DataArray, base: str, level: int | None) -> int:
        if level is not None:
            return level
        for place, text in (("file", self.path.stem), ("folder", self.path.parent.name)):
            number = level_from_text(text, {str(array.name).lower(), *names_of(base, self.variables)})
            if number is not None:
                self.normalised[f"level {number} hPa of {base} from the {place} name"] = None
                return number
        if base in self.levels:
            self.normalised[f"level {self.levels[base]} hPa of {base} as given"] = None
            return self.levels[base]
        if base == "z":
            raise DataError(AMBIGUOUS.format(base=base))
        raise DataError(
            "its level is in no coordinate, file name or folder name; if it is on a pressure level, name it: "
            f"levels = {{ {base} = 500 }} under [data] of the config"
        )

    def _selection(
        self, array: xr.DataArray, axes: Axes, time_dim: str | None, level_dim: str | None
    ) -> dict[str, int]:
        """Selects the dimensions of length one, except time, level and `expver`."""
        used = {axes["latitude"][0], axes["longitude"][0], LABEL, time_dim, level_dim}
        extra = {str(dim): array.sizes[dim] for dim in array.dims if dim not in used}
        for dim, size in extra.items():
            if size > 1:
                raise DataError(f'has {size} values along "{dim}"; select one of them first')
        self._warn_of_member(array)
        return dict.fromkeys(extra, 0)

    def _note_preliminary(self, versions: Sequence[Version]) -> None:
        marks = np.concatenate([version.preliminary for version in versions])
        self.preliminary |= bool(marks.any())
        if marks.any() and not marks.all():
            self.normalised["final and preliminary data (expver 1 and 5): final data take precedence"] = None

    def _warn_of_member(self, array: xr.DataArray) -> None:
        """Warns if the array is a perturbed member of an ensemble (ERA5 has number 0)."""
        for name, variable in self.dataset.variables.items():
            if variable.size != 1 or not set(variable.dims) <= set(array.dims):
                continue
            member = self.dataset[name]
            if coordinate_role(member) == "member":
                number = member.to_numpy().ravel()[0]
                if str(number).strip() not in ("0", "0.0"):
                    self.warnings[f"{array.name} is member {number} of an ensemble ({name})"] = None

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
    ordered = [str(dim) for dim in array.dims if dim in dims]
    if ordered != [dim for dim in dims if dim in ordered]:
        notes.append(f"transposed from ({', '.join(map(str, array.dims))})")
    if "scale_factor" in array.attrs or "add_offset" in array.attrs:
        notes.append(f"unpacked from {array.dtype}")
    elif array.dtype.newbyteorder("=") != np.float32:
        notes.append(f"{array.dtype} to float32")
    return notes


def source_fields_in(
    dataset: xr.Dataset,
    source: str,
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
) -> list[SourceField]:
    """The canonical fields of a dataset in any layout that `open_data` reads. Each is read when it is used.

    Args:
        dataset: decoded or not, lazy or in memory.
        source: where it comes from, for messages.
        variables: the table of known variables.
        levels: the pressure level in hPa of a variable that has none in the dataset.

    Raises:
        DataError: it holds only forecasts, or fields that cannot be used.
    """
    reader = DatasetReader(dataset, Path(source), source, variables, levels or {})
    with reading("its layout"):
        reader.scan()
    reasons = [*reader.unresolved, *reader.left_out]
    if reasons and not reader.source_fields:
        raise DataError(f"nothing to read in {source}: {reasons[0]}")
    return reader.source_fields
