"""Grids other than latitudes by longitudes are named for what they are; a variable on one is not said to be absent."""

import numpy as np
import pytest
import xarray as xr
from gridded import EAST, NORTH, fields, notes, opened, refusal, write


def renamed(y, x, **attributes):
    """The field along (time, y, x), with no coordinate of place."""
    dataset = fields().drop_vars(["lat", "lon"]).rename(lat=y, lon=x)
    dataset["t2m"].attrs |= attributes
    return dataset


def curvilinear(y="y", x="x", names=("lat", "lon"), dataset=None, **attributes):
    north, east = np.meshgrid(NORTH, EAST, indexing="ij")
    dataset = renamed(y, x) if dataset is None else dataset
    dims = (y, x)
    places = {
        names[0]: (dims, north, {"units": "degrees_north", **attributes}),
        names[1]: (dims, east, {"units": "degrees_east", **attributes}),
    }
    return dataset.assign_coords(places)


def mapped(name, dataset=None):
    dataset = renamed("y", "x", grid_mapping="crs") if dataset is None else dataset
    dataset["crs"] = ((), 0, {"grid_mapping_name": name})
    return dataset


def points(dim, places=True):
    dataset = fields().stack({dim: ("lat", "lon")}).reset_index(dim).reset_coords()
    if places:
        dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
        return dataset.rename(lat="clat", lon="clon")
    return dataset[["t2m"]]


def projection_axes():
    return {
        "x": ("x", 1e5 * np.arange(9), {"standard_name": "projection_x_coordinate", "units": "m"}),
        "y": ("y", 1e5 * np.arange(9), {"standard_name": "projection_y_coordinate", "units": "m"}),
    }


def rotated_axes(**attributes):
    return {
        "rlat": ("rlat", NORTH - 50, {"standard_name": "grid_latitude", "units": "degrees", **attributes}),
        "rlon": ("rlon", EAST - 10, {"standard_name": "grid_longitude", "units": "degrees"}),
    }


ROTATED = renamed("rlat", "rlon", grid_mapping="crs").assign_coords(rotated_axes())
GRIDS = {
    "2-D latitudes": (curvilinear(), "a curvilinear grid (2-D latitudes and longitudes)"),
    "WRF": (curvilinear("south_north", "west_east", ("XLAT", "XLONG")), "a curvilinear grid"),
    "NEMO": (curvilinear("j", "i", ("nav_lat", "nav_lon")), "a curvilinear grid"),
    "by standard names": (curvilinear(names=("TLAT", "TLON")), "a curvilinear grid"),
    "Lambert": (curvilinear(dataset=mapped("lambert_conformal_conic")), "a projected grid"),
    "Lambert without latitudes": (mapped("lambert_conformal_conic").assign_coords(projection_axes()), "a projected"),
    "stereographic": (mapped("polar_stereographic").assign_coords(projection_axes()), "a projected grid"),
    "x and y alone": (renamed("y", "x"), "a projected or rotated grid"),
    "rotated": (mapped("rotated_latitude_longitude", ROTATED), "a grid with a rotated pole"),
    "rotated with 2-D latitudes": (
        curvilinear("rlat", "rlon", dataset=mapped("rotated_latitude_longitude", ROTATED)),
        "a grid with a rotated pole",
    ),
    "rotated, without a mapping": (ROTATED, "a grid with a rotated pole"),
    "rotated, in degrees north": (
        renamed("rlat", "rlon").assign_coords(rotated_axes(units="degrees_north")), "a grid with a rotated pole",
    ),
    "rotated, named latitude": (
        mapped("rotated_latitude_longitude", fields().assign(t2m=fields()["t2m"].assign_attrs(grid_mapping="crs"))),
        "a grid with a rotated pole",
    ),
    "cells": (points("cell"), "unstructured points"),
    "cells without places": (points("ncells", places=False), "unstructured points"),
    "MPAS": (points("nCells"), "unstructured points"),
    "values of cfgrib": (points("values"), "unstructured points"),
    "reduced": (
        points("values").pipe(lambda d: d.assign(t2m=d["t2m"].assign_attrs(GRIB_gridType="reduced_gg"))),
        "a reduced Gaussian grid",
    ),
    "HEALPix": (
        points("cell").pipe(lambda d: d.assign(t2m=d["t2m"].assign_attrs(GRIB_gridType="healpix"))), "a HEALPix grid",
    ),
    "HEALPix by its mapping": (
        mapped("healpix", points("cell", places=False).pipe(
            lambda d: d.assign(t2m=d["t2m"].assign_attrs(grid_mapping="crs")))), "a HEALPix grid",
    ),
    "HEALPix by its dimension": (points("healpix_index", places=False), "a HEALPix grid"),
    "spectral": (points("values", places=False).pipe(
        lambda d: d.assign(t2m=d["t2m"].assign_attrs(GRIB_gridType="sh"))), "spectral coefficients"),
    "spectral by its dimension": (points("spectral", places=False), "spectral coefficients"),
}  # fmt: skip


@pytest.mark.parametrize("kind", GRIDS)
def test_report_15_another_grid_is_named(tmp_path, kind):
    dataset, said = GRIDS[kind]
    path = write(dataset, tmp_path / "x.nc")
    refused = refusal(path)
    assert refused.startswith(f"{tmp_path.name}/x.nc: t2m: is on {said}")
    assert "regrid it to rows of latitude and columns of longitude first" in refused
    assert [note for note in notes(path) if "no variable of the table" in note] == []
    assert said in str(opened(path, ["t2m"]))


@pytest.mark.parametrize("kind", ["2-D latitudes", "cells", "rotated"])
def test_a_good_file_beside_another_grid_is_read_where_its_fields_are_named(tmp_path, kind):
    alone = opened(write(fields("msl"), tmp_path / "msl.nc"))
    write(GRIDS[kind][0], tmp_path / "x.nc")
    xr.testing.assert_identical(opened(tmp_path, ["msl"]), alone)


def test_true_latitudes_win_over_names_of_rotated_dimensions(tmp_path):
    """The layout of downscaleR: rlat and rlon are the names of dimensions, lat and lon their true coordinates."""
    wanted = opened(write(fields(), tmp_path / "plain.nc"))
    dataset = renamed("rlat", "rlon", grid_mapping="crs").assign_coords(
        lat=("rlat", NORTH, {"standard_name": "latitude", "units": "degrees north"}),
        lon=("rlon", EAST, {"standard_name": "longitude", "units": "degrees east"}),
    )
    dataset["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    xr.testing.assert_identical(opened(write(dataset, tmp_path / "x.nc")), wanted)


def test_a_latitude_longitude_mapping_is_no_other_grid(tmp_path):
    wanted = opened(write(fields(), tmp_path / "plain.nc"))
    dataset = fields()
    dataset["t2m"].attrs |= {"grid_mapping": "crs", "GRIB_gridType": "regular_ll"}
    dataset["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    xr.testing.assert_identical(opened(write(dataset, tmp_path / "x.nc")), wanted)


def test_a_mean_over_longitude_is_left_alone(tmp_path):
    write(fields("msl"), tmp_path / "msl.nc")
    write(fields().mean("lon", keep_attrs=True), tmp_path / "zonal.nc")
    assert set(opened(tmp_path)) == {"msl"}
