"""The picture of an attribution: units for people, and the target where it is."""

import numpy as np
import pytest
import xarray as xr

from pinnwx.grid import Grid
from pinnwx.reporting.attribution import attribution_figure

GRID = Grid.from_coordinates(np.arange(30, 61, 1.5), np.arange(-20, 15, 1.5))


def made(place: str) -> xr.Dataset:
    """Of pressure at a place, to geopotential: a wave of 1 Pa per (m2 s-2)."""
    wave = np.cos(np.deg2rad(4 * np.asarray(GRID.latitude)))[:, None] * np.ones(GRID.shape)
    shape, values = ("time", "latitude", "longitude"), wave[None]
    start = np.datetime64("2007-01-16T12", "ns")
    return xr.Dataset(
        {
            "z500_sensitivity": (shape, values, {"long_name": "Geopotential at 500 hPa", "units": "Pa (m2 s-2)-1"}),
            "z500_attribution": (shape, 100 * values, {"units": "Pa"}),
        },
        {
            "time": [start], "latitude": list(GRID.latitude), "longitude": list(GRID.longitude),
            "forecast_reference_time": start,
        },
        {"target": f"msl at {place} after 48 h", "target_units": "Pa", "model": "demo"},
    )  # fmt: skip


def test_numbers_and_units_are_those_for_people():
    figure = attribution_figure(made("52.5 N, 13.5 E"))
    first, second, *bars = figure.axes
    assert [bar.get_ylabel() for bar in bars] == ["hPa per gpdm", "hPa"]
    assert first.collections[0].levels[-1] == pytest.approx(1.0, abs=0.25)  # 1 Pa per (m2 s-2) is 0.98 hPa per gpdm
    assert second.collections[0].levels[-1] == pytest.approx(1.0, abs=0.25)
    assert figure.get_suptitle() == "demo: msl at 52.5 N, 13.5 E after 48 h"


def test_a_place_is_marked_by_a_cross():
    for axes in attribution_figure(made("52.5 N, -13.5 E")).axes[:2]:
        (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
        assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (-13.5, 52.5)


def test_a_box_is_marked_by_its_outline():
    axes = attribution_figure(made("40 to 50 N, -10 to 5 E")).axes[0]
    outlines = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) == 5]
    assert any(
        corners.min(axis=0).tolist() == [-10, 40] and corners.max(axis=0).tolist() == [5, 50] for corners in outlines
    )
