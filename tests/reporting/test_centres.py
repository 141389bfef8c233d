"""Highs and lows on maps: found where they are, and nowhere else."""

import numpy as np
import pytest

from pinnwx.grid import Grid
from pinnwx.reporting.centres import centres

GLOBE = Grid.parse("2.5deg")
BOX = Grid.from_coordinates(np.arange(30, 70.1, 1.5), np.arange(-20, 40.1, 1.5))


def bump(grid: Grid, latitude: float, longitude: float, width: float = 8.0) -> np.ndarray:
    """1 at a place, falling off round it, on the sphere."""
    rows, columns = np.deg2rad(np.asarray(grid.latitude))[:, None], np.deg2rad(np.asarray(grid.longitude))
    place, turn = np.deg2rad(latitude), np.deg2rad(longitude)
    cosine = np.sin(rows) * np.sin(place) + np.cos(rows) * np.cos(place) * np.cos(columns - turn)
    return np.exp(-((np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) / width) ** 2))


@pytest.mark.parametrize("grid", [GLOBE, BOX], ids=["globe", "box"])
@pytest.mark.parametrize("place", [(50, 10), (40, 0), (45, 20)])
def test_a_high_and_a_low_are_found_where_they_are(grid, place):
    values = 1010 + 25 * bump(grid, *place) - 30 * bump(grid, 62, -10 if grid is BOX else 180)
    high, low = centres(values, grid, 2.0)
    assert (high.kind, low.kind) == ("H", "L")
    assert abs(high.latitude - place[0]) <= grid.latitude_spacing
    assert abs((high.longitude - place[1] + 180) % 360 - 180) <= grid.longitude_spacing
    assert high.value == pytest.approx(values.max())
    assert low.value == pytest.approx(values.min())


@pytest.mark.parametrize("longitude", [0.0, 180.0, 357.5])
def test_the_seam_of_a_globe_hides_none(longitude):
    found = centres(1000 + 20 * bump(GLOBE, 40, longitude), GLOBE, 2.0)
    assert [(one.kind, one.longitude % 360) for one in found] == [("H", longitude)]


def test_a_box_has_no_centre_on_its_edge():
    slope = np.asarray(BOX.longitude) * np.ones(BOX.shape) + np.asarray(BOX.latitude)[:, None]
    assert centres(slope, BOX, 0.0) == []


def test_of_close_centres_the_strongest_is_marked():
    values = 20 * bump(GLOBE, 45, 20, 3) + 15 * bump(GLOBE, 50, 25, 2)
    assert [one.value for one in centres(values, GLOBE, 1.0) if one.kind == "H"] == [pytest.approx(values.max())]


@pytest.mark.parametrize("values", [np.zeros(GLOBE.shape), 0.5 * bump(GLOBE, 45, 20)], ids=["flat", "faint"])
def test_what_does_not_stand_out_is_no_centre(values):
    assert centres(values, GLOBE, 1.0) == []
