"""The loss is an area mean; the physical wind is what the config says."""

import numpy as np
import pytest
from exact.programs import compiled
from synthetic import states

from pinnwx.grid import Grid
from pinnwx.model.scores import weighted_square_error
from pinnwx.operators.advection import face_velocity
from pinnwx.physics.diagnostics import geostrophic_wind, geostrophic_wind_from_pressure, rotational_wind
from pinnwx.physics.velocity import face_winds, stacked_winds
from pinnwx.physics.winds import LearnedWind, PrognosticWind, parse_wind

weighted_square_error, face_winds, face_velocity = map(compiled, (weighted_square_error, face_winds, face_velocity))
geostrophic_wind, geostrophic_wind_from_pressure, rotational_wind = map(
    compiled, (geostrophic_wind, geostrophic_wind_from_pressure, rotational_wind)
)
GRID = Grid.parse("22.5deg")
NAMES = ("z500", "msl", "vo850", "u500", "v500", "u10", "v10")
FIELDS = dict(zip(NAMES, states(NAMES, GRID, count=1)[0], strict=True))


def test_the_loss_is_an_area_mean_in_units_of_the_scale():
    truth = np.zeros((3, 2, *GRID.shape), np.float32)
    area = np.float32(GRID.area_weights)
    forecast = truth.copy()
    forecast[:, 1], forecast[0, 0, -1] = 4.0, 1.0  # wrong in the row at the north pole alone
    error = weighted_square_error(forecast, truth, np.float32([1.0, 2.0])[:, None, None], area)
    cap = GRID.cell_area[-1] / GRID.cell_area.sum()
    np.testing.assert_allclose(error, [[cap, 4.0], [0.0, 4.0], [0.0, 4.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("wind", "expected"),
    [
        ("prognostic:500", lambda: (FIELDS["u500"], FIELDS["v500"])),
        ("prognostic:10m", lambda: (FIELDS["u10"], FIELDS["v10"])),
        ("rotational:vo850", lambda: rotational_wind(FIELDS["vo850"], GRID)),
        ("geostrophic:z500", lambda: geostrophic_wind(FIELDS["z500"], GRID)),
        ("geostrophic:msl", lambda: geostrophic_wind_from_pressure(FIELDS["msl"], GRID)),
        ("none", lambda: np.zeros((2, *GRID.shape))),
    ],
)
def test_the_wind_of_the_config(wind, expected):
    for found, component in zip(compiled(parse_wind(wind).__call__)(FIELDS, GRID), expected(), strict=True):
        np.testing.assert_array_equal(found, component)


def test_winds_are_stacked_in_the_order_of_the_equations():
    sources = [PrognosticWind("10m"), PrognosticWind("500")]
    winds = compiled(lambda fields: stacked_winds(sources, fields, GRID))(FIELDS)
    assert winds.shape == (2, *GRID.shape, 2)
    np.testing.assert_array_equal(winds[0, ..., 1], FIELDS["v10"])
    np.testing.assert_array_equal(winds[1, ..., 0], FIELDS["u500"])
    faces, alone = face_winds(winds, GRID), face_velocity(FIELDS["u500"], FIELDS["v500"], GRID)
    np.testing.assert_allclose(faces.east[1], alone.east)
    np.testing.assert_allclose(faces.north[1], alone.north)


def test_a_learned_wind_is_bounded_and_near_zero_the_velocity_of_its_network():
    wind = LearnedWind("msl", maximum=10.0)
    velocity = np.float32([-1e3, 0.0, 0.01, 3.0, 1e3])[:, None, None] * np.ones(GRID.shape, np.float32)
    eastward, northward = compiled(wind.__call__)(dict(zip(wind.inputs, (velocity, -velocity), strict=True)), GRID)
    np.testing.assert_allclose(eastward[:, 0, 0], [-10, 0, 0.01, 10 * np.tanh(0.3), 10], rtol=1e-6)
    np.testing.assert_array_equal(northward, -eastward)
