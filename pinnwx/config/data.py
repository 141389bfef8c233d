"""Settings of the data: fields, grid and periods."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from pinnwx.dates import dates_meant
from pinnwx.errors import GridError
from pinnwx.grid import Grid
from pinnwx.settings import Settings, agreement
from pinnwx.variables import Direction, Parity, Variable, similar_variable


def _is_grid(text: str) -> str:
    if text != "native":
        try:
            Grid.parse(text)
        except GridError as error:
            raise ValueError(str(error)) from None
    return text


def _is_time(text: str) -> str:
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        meant = dates_meant(text)
        example = f"did you mean {meant}?" if meant else "write for example 2026-02-04"
        raise ValueError(f'"{text}" is not an ISO 8601 time (year-month-day); {example}') from None
    if not 1678 <= year <= 2261:
        raise ValueError(f'"{text}": the year is outside 1678 to 2261')
    return text


def _is_a_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("nan is not a number")
    return value


_Time = Annotated[str, AfterValidator(_is_time)]
_Bound = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_is_a_number)]  # inf: no bound
_Name = Annotated[str, Field(max_length=100)]


class Period(Settings):
    """A span of time. Both ends belong to it. A bare end date includes its whole day."""

    start: _Time
    """First time, ISO 8601, UTC."""
    end: _Time
    """Last time, ISO 8601, UTC."""

    @agreement
    def _ordered(self) -> Iterator[str]:
        first, last = (datetime.fromisoformat(end).replace(tzinfo=None) for end in (self.start, self.end))
        if first > last and not (len(self.end) <= len("2000-01-01") and first.date() == last.date()):
            yield f"starts at {self.start}, after its end {self.end}"


class VariableSettings(Settings):
    """A user-defined variable, in CF terms.

    Name it in `data.fields`, as `ozone` or, on a pressure level, as `ozone500`. A name of the built-in table
    replaces that entry.
    """

    standard_name: str = Field(default="", examples=["mass_fraction_of_ozone_in_air"])
    """CF standard name of the variable in files."""
    long_name: str = Field(default="", examples=["Ozone mass mixing ratio"])
    """Long name for plots and files. Without it, the name of this table is used."""
    units: str = Field(examples=["kg kg-1"])
    """Units of the values and of the two bounds."""
    minimum: _Bound = Field(examples=[0.0])
    """Lower bound. Data below it are refused, and forecasts stay above it. -inf: no bound."""
    maximum: _Bound = Field(examples=[2e-5])
    """Upper bound, likewise. inf: no bound."""
    on_pressure_levels: bool = Field(default=False, examples=[True])
    """Whether the variable has pressure levels."""
    static: bool = False
    """Whether the variable has no time."""
    vector: Direction | None = Field(default=None, examples=["northward"])
    """Direction, `eastward` or `northward`, of a component of a horizontal vector. It changes its sign across a pole.
    Without the key, that of the built-in variable with this name or standard name; else none."""
    equator_parity: Parity | None = Field(default=None, examples=[-1])
    """Factor under reflection in the equator. -1: northward components, vorticity, potential vorticity. Without the
    key, that of the built-in variable with this name or standard name; else -1 for a northward component, 1
    otherwise."""
    nonnegative: bool | None = Field(default=None, examples=[True])
    """Keep forecasts and ensemble members at or above zero, although analyses may contain small negative values.
    Without the key, that of the built-in variable with this name or standard name; else false."""
    aliases: tuple[str, ...] = Field(default=(), examples=[["o3", "go3"]])
    """Other names that files use."""

    @agreement
    def _some_value_is_possible(self) -> Iterator[str]:
        if self.nonnegative and self.maximum < 0:
            yield f"nonnegative = true excludes maximum = {self.maximum:g}"

    def variable(self, name: str) -> Variable:
        """This entry under its name."""
        values = {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}
        similar = similar_variable(name, self.standard_name)
        vector = self.vector or (similar.vector if similar else None)
        implied = {
            "vector": vector,
            "equator_parity": similar.equator_parity if similar else -1 if vector == "northward" else 1,
            "nonnegative": similar is not None and similar.nonnegative,
        }
        return Variable(name=name, bounded=True, **{**implied, **values, "long_name": self.long_name or name})


class DataSettings(Settings):
    """The fields, the grid and the periods."""

    fields: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=1000)] = Field(
        examples=[["z500", "t850", "u500", "v500", "u850", "v850"]]
    )
    """Forecast fields: short name, with the pressure level in hPa if there is one.

    - On pressure levels: `z` (geopotential), `t` (temperature), `q` (specific humidity), `u` and `v` (wind), `vo`
      (vorticity).
    - At the surface: `msl` (mean sea level pressure), `t2m` (2 metre temperature), `u10` and `v10` (10 metre wind).

    Data with other units, orders or names (CDS, NCEP, WeatherBench, GRIB) are converted when they are read.
    """
    static: Annotated[tuple[_Name, ...], Field(max_length=1000)] = Field(default=(), examples=[["orography"]])
    """Static input fields of the network: `orography`, `lsm`."""
    levels: dict[str, Annotated[int, Field(ge=1, le=200_000)]] = Field(default_factory=dict, examples=[{"z": 500}])
    """Pressure level in hPa of variables whose files do not state it."""
    grid: Annotated[str, AfterValidator(_is_grid)] = "5.625deg"
    """Grid of the model. `5.625deg` (32 x 64) has no rows on the poles, `2.5deg+poles` has them. `native` is the
    grid of the data, which may be regional. Data on another grid are averaged conservatively."""
    train: Period = Field(examples=[{"start": "2000-01-01", "end": "2001-06-30"}])
    """Training time, both ends included. Normalisation and climatology are fitted only on this time."""
    validate_: Period | None = Field(
        default=None, alias="validate", examples=[{"start": "2001-08-01", "end": "2001-12-31"}]
    )
    """Validation time. The model is checked on it before it goes live. It must not overlap the training time. Leave
    a few days between the two, to avoid temporal autocorrelation."""

    model_config = ConfigDict(populate_by_name=True)
