"""The forecast at a place: as a dataset, as a plume, or as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pinnwx.errors import UsageError
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.cf import point as at_place
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.form import REALIZATION
from pinnwx.forecasting.products import without_products

_PICTURE, _TABLE = ".png", ".csv"


def point(
    forecast: xr.Dataset | str | Path,
    latitude: float | int,
    longitude: float | int,
    method: str = "nearest",
    *,
    variables: Sequence[str] | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> xr.Dataset:
    """Interpolates a forecast, or a forecast file, to one place.

    `"nearest"` uses the cell that contains the place. `"linear"` is bilinear between cell centres, also across the date
    line, and exact for fields that are linear in latitude and longitude. Between the last row of a global grid and the
    pole, the values of the row are used.

    With `out` the result is written too. A name that ends in .png gives a plume of the fields, of an ensemble with its
    members and quantiles. One that ends in .csv gives a table in SI units: a row for each valid time, and member; a
    column for each field and product, and for each quantile and limit, as `t2m_quantile_0.9`.

    Args:
        forecast: a forecast, or any dataset with evenly spaced ascending `latitude` and `longitude`.
        latitude: degrees north.
        longitude: degrees east; -10 and 350 are equal.
        method: `"nearest"` or `"linear"`.
        variables: those of the result; by default all.
        out: a file to write.
        force: replaces an existing file.

    Returns:
        The dataset without its horizontal dimensions. Its scalar coordinates are those of the cell centre
        (`"nearest"`) or of the place (`"linear"`).

    Raises:
        UsageError: the place is outside the grid (for `"linear"`: outside the cell centres), the method is unknown, the
            forecast lacks a variable, or the name of `out` has another end.
        MissingInputError, DataError, OutputError: see `pinnwx.errors`.
    """
    kind = None if out is None else Path(out).suffix.lower()
    if out is not None:
        if kind not in (_PICTURE, _TABLE):
            raise UsageError(f"{out}: give a name that ends in {_PICTURE} for a picture, or in {_TABLE} for a table")
        check_writable(out, force=force)
    dataset = forecast if isinstance(forecast, xr.Dataset) else read_forecast(forecast)
    if lacking := [name for name in variables or () if name not in dataset.data_vars]:
        raise UsageError(f"the forecast has no {lacking[0]}; it has {', '.join(map(str, dataset.data_vars))}")
    here = at_place(dataset if variables is None else dataset[list(variables)], latitude, longitude, method)
    if out is not None and kind == _TABLE:
        write_text(out, _columns(here).to_dataframe().to_csv())
    elif out is not None:
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
