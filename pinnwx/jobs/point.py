"""The forecast at a place: a plume as a picture, or a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pinnwx.errors import UsageError
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.cf import point, read_forecast
from pinnwx.forecasting.form import REALIZATION
from pinnwx.forecasting.products import without_products


def write_point(
    forecast: str | Path,
    latitude: float,
    longitude: float,
    out: str | Path,
    *,
    variables: Sequence[str] | None = None,
    method: str = "nearest",
    force: bool = False,
) -> xr.Dataset:
    """Writes the forecast of a file at a place, and returns it (`pinnwx.point`).

    The name of `out` ends in .png for a plume of the fields, or in .csv for a table of the fields and their products in
    SI units: one row for each valid time, and member; one column for each quantile and limit, as `t2m_quantile_0.9`.

    Raises:
        UsageError: the name has another end, the place is outside the grid, or the forecast lacks a variable.
        MissingInputError, DataError, OutputError: see `pinnwx.errors`.
    """
    kind = Path(out).suffix.lower()
    if kind not in (".png", ".csv"):
        raise UsageError(f"{out}: give a name that ends in .png for a picture, or in .csv for a table")
    check_writable(out, force=force)
    here = point(read_forecast(forecast), latitude, longitude, method)
    if variables is not None and (lacking := [name for name in variables if name not in here.data_vars]):
        raise UsageError(f"the forecast has no {lacking[0]}; it has {', '.join(map(str, here.data_vars))}")
    if kind == ".csv":
        chosen = here if variables is None else here[list(variables)]
        write_text(out, _columns(chosen).to_dataframe().to_csv())
    else:
        from pinnwx.reporting.plume import plume_figure
        from pinnwx.reporting.style import save

        save(plume_figure(without_products(here), variables), out)
    return here


def _columns(here: xr.Dataset) -> xr.Dataset:
    """The variables along `time`, and `realization`, alone."""
    columns: dict[str, xr.DataArray] = {}
    for name, array in here.reset_coords(drop=True).data_vars.items():
        (further,) = {*array.dims} - {REALIZATION, "time"} or (None,)
        if further is None:
            columns[str(name)] = array
        else:
            columns |= {f"{name}_{value:g}": array.sel({further: value}, drop=True) for value in array[further].values}
    return xr.Dataset(columns)
