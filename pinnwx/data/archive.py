"""A dataset as arrays, which training and verification index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from jaxtyping import Float32, Shaped

from pinnwx.data.calendar import format_time, period_mask
from pinnwx.data.check_report import Damaged
from pinnwx.errors import DataError, UnavailableError
from pinnwx.grid import Grid


@dataclass(frozen=True, eq=False)
class Archive:
    """Finite fields at sorted, unique times on one grid.

    `fields` is (time, field, lat, lon) in SI units with latitude ascending; `names` are canonical. `static` maps a
    name to its (lat, lon) array. `preliminary` is true if the producer may still replace some of the data. `damaged`
    lists what `open_data(leave_damaged=True)` left out.
    """

    times: Shaped[np.ndarray, " time"]
    fields: Float32[np.ndarray, "time field lat lon"]
    names: tuple[str, ...]
    grid: Grid
    static: Mapping[str, Float32[np.ndarray, "lat lon"]] = field(default_factory=dict)
    preliminary: bool = False
    damaged: tuple[Damaged, ...] = ()

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, fields: Sequence[str], static: Sequence[str] = ()) -> Archive:
        """Converts the named fields of a canonical dataset, in the order of the names.

        Raises:
            DataError: a name is missing (the message lists the names present), or a value is not finite.
        """
        missing = [name for name in (*fields, *static) if name not in dataset]
        if missing:
            raise DataError(f"{', '.join(missing)} not in the data; found: {', '.join(map(str, dataset.data_vars))}")
        stacked = np.stack(
            [dataset[name].transpose("time", "latitude", "longitude").values for name in fields],
            axis=1,
            dtype=np.float32,
        )
        constants = {name: dataset[name].values.astype(np.float32) for name in static}
        for name, values in [*zip(fields, np.moveaxis(stacked, 1, 0), strict=True), *constants.items()]:
            if not np.isfinite(values).all():
                raise DataError(
                    f"{name} holds {np.size(values) - np.isfinite(values).sum()} values that are not finite"
                )
        return cls(
            times=dataset["time"].values.astype("datetime64[ns]"),
            fields=stacked,
            names=tuple(fields),
            grid=Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values),
            static=constants,
            preliminary="preliminary" in dataset.attrs,
            damaged=dataset.attrs.get("damaged", ()),
        )

    def __len__(self) -> int:
        return self.times.size

    def select(self, start: str | None = None, end: str | None = None) -> Archive:
        """Selects the times of a period, both ends included; the arrays are views.

        Raises:
            UnavailableError: no time lies in the period.
        """
        inside = np.flatnonzero(period_mask(self.times, start, end))
        if inside.size == 0:
            span = f"{format_time(self.times[0])} to {format_time(self.times[-1])}" if len(self) else "no time at all"
            raise UnavailableError(f"no data from {start} to {end}; the files hold {span}")
        rows = slice(inside[0], inside[-1] + 1)
        return replace(self, times=self.times[rows], fields=self.fields[rows])

    def inside(self, width: int) -> Archive:
        """Removes the outer `width` rows and columns on every side; the arrays are views."""
        if width == 0:
            return self
        part = slice(width, -width)
        static = {name: values[part, part] for name, values in self.static.items()}
        grid = Grid(self.grid.latitude[part], self.grid.longitude[part])
        return replace(self, fields=self.fields[..., part, part], grid=grid, static=static)

    @property
    def step_hours(self) -> float:
        """The most frequent spacing of successive times.

        Raises:
            DataError: there are fewer than two times.
        """
        if len(self) < 2:
            raise DataError(f"{len(self)} time step(s): at least 2 are needed to determine the spacing")
        spacings, counts = np.unique(np.diff(self.times), return_counts=True)
        return float(spacings[counts.argmax()] / np.timedelta64(1, "h"))

    def digest(self) -> str:
        """SHA-256 of names, grid, times and values; equal contents have equal digests on every machine."""
        state = hashlib.sha256()
        state.update(repr((self.names, tuple(self.static), self.grid.latitude, self.grid.longitude)).encode())
        state.update(self.times.astype("datetime64[ns]").astype("<i8").tobytes())
        for values in (self.fields, *self.static.values()):
            state.update(repr(values.shape).encode())
            state.update(np.ascontiguousarray(values, dtype="<f4").data)
        return state.hexdigest()
