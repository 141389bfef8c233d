"""Prepares lateral boundary conditions: a forecast for a larger area, regridded to the grid of a regional model.

A finer forecast is averaged onto the cells of the regional grid. A coarser forecast is interpolated linearly between
its cell centres, because an average would be constant in each coarse cell, with spurious jumps between cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from pinnwx.data.archive import Archive
from pinnwx.data.find import Paths
from pinnwx.data.inputs import as_dataset
from pinnwx.data.regrid import regrid
from pinnwx.errors import GridError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid

_FULL_TURN = 360.0


def lateral_boundary_archive(trained: TrainedModel, lateral_boundary: Paths | xr.Dataset) -> Archive:
    """Reads lateral boundary fields onto the grid of a model.

    Raises:
        GridError: the fields do not cover the grid.
        MissingInputError, DataError, UnavailableError: as `open_data`.
    """
    config, box = trained.config, trained.grid
    fields, options = config.data.fields, config.reading_options()
    dataset = as_dataset(lateral_boundary, fields, **options, forecasts=True)
    source = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    try:
        if source.latitude_spacing > box.latitude_spacing or source.longitude_spacing > box.longitude_spacing:
            return Archive.from_dataset(_interpolated(dataset, box), fields)
        archive = Archive.from_dataset(dataset, fields)
        return replace(archive, fields=regrid(archive.fields, source, box), grid=box)
    except GridError:
        raise GridError(
            f"the lateral boundary ({source}) does not cover the regional grid ({box}); give one for a larger area"
        ) from None


def _interpolated(dataset: xr.Dataset, box: Grid) -> xr.Dataset:
    """Bilinear interpolation in latitude and longitude, also across the date line."""
    opposite = 0.5 * (box.longitude[0] + box.longitude[-1]) - _FULL_TURN / 2  # where the longitudes may be cut
    turned = (dataset["longitude"] - opposite) % _FULL_TURN + opposite
    dataset = dataset.assign_coords(longitude=turned).sortby("longitude")
    dataset = dataset.interp(latitude=list(box.latitude), longitude=list(box.longitude))
    if any(bool(np.isnan(values).any()) for values in dataset.data_vars.values()):
        raise GridError("not covered")
    return dataset.astype(np.float32)
