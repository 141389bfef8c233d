"""What tells a model with a lateral boundary its edge: a forecast of a larger area, brought to the grid of the box.

A finer one is averaged onto the box's cells. A coarser one is interpolated linearly between its cell centres, for an
average would be constant over each coarse cell, with jumps between them that the box would take for weather.
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
    """The fields of a boundary on the grid of a model.

    Raises:
        GridError: the boundary does not cover the box.
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
        raise GridError(f"the boundary ({source}) does not cover the box ({box}); give one of a larger area") from None


def _interpolated(dataset: xr.Dataset, box: Grid) -> xr.Dataset:
    """Linear in latitude and longitude, across the date line too."""
    opposite = 0.5 * (box.longitude[0] + box.longitude[-1]) - _FULL_TURN / 2  # where the longitudes may be cut
    turned = (dataset["longitude"] - opposite) % _FULL_TURN + opposite
    dataset = dataset.assign_coords(longitude=turned).sortby("longitude")
    dataset = dataset.interp(latitude=list(box.latitude), longitude=list(box.longitude))
    if any(bool(np.isnan(values).any()) for values in dataset.data_vars.values()):
        raise GridError("not covered")
    return dataset.astype(np.float32)
