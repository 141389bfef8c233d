"""Vorticity that is carried for the wind: what it is made from, and what becomes of its change."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact.programs import compiled
from exact.sphere import integral, slope
from synthetic import (
    config,
    forecaster,
    forecasts,
    half_a_year_later,
    randomise,
    smooth_noise,
    states,
    step_features,
    transport,
)

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION, REFERENCE_AIR_DENSITY
from pinnwx.grid import Grid
from pinnwx.model.transported_fields import TransportedFields
from pinnwx.operators.calculus import curl
from pinnwx.operators.compact import compact_curl
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import PrognosticWind

curl, compact_curl = compiled(curl), compiled(compact_curl)
GRID = Grid.parse("11.25deg")
NAMES = ("t500", "u500", "v500", "z500")
TEMPERATURE = TransportedField("t500", wind=PrognosticWind("500"))
VORTICITY = TransportedField(
    field="vo500", wind=PrognosticWind("500"), form="flux", absolute_vorticity=True, balanced_field="z500"
)


def noise(count: int, seed: int) -> np.ndarray:
    return smooth_noise(GRID, count, seed)[None].astype(np.float32)


def test_what_is_carried():
    carried, fields = TransportedFields(NAMES, (TEMPERATURE, VORTICITY), GRID), noise(4, 0)
    values = compiled(carried.values)(fields)
    assert values[:, 0] == pytest.approx(fields[:, 0])
    assert values[:, 1] == pytest.approx(compact_curl(fields[:, 1], fields[:, 2], GRID))


ROWS = (16, 24, 36)


@pytest.mark.usefixtures("double")
def test_the_wind_takes_up_the_change_of_its_vorticity():
    """The curl of the change of the wind is the change of vorticity, to second order in the grid spacing."""

    def error(rows: int) -> float:
        grid = Grid.parse(f"{180 / rows}deg")
        carried = TransportedFields(NAMES, (VORTICITY,), grid)
        latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
        change = (np.cos(latitude) ** 2 * np.sin(2 * longitude))[None, None]
        eastward, northward, _ = np.moveaxis(compiled(carried.changes)(change), 1, 0)
        return float(np.abs(curl(eastward, northward, grid) - change[:, 0]).max())

    assert slope([error(rows) for rows in ROWS], ROWS) > 1.9


def test_a_wind_of_five_cells_comes_back_from_its_vorticity():
    """psi = a cos^12(lat) cos(12 lon), at 5.625 degrees: within 2 %."""
    grid = Grid.parse("5.625deg")
    carried = TransportedFields(("u500", "v500", "z500"), (VORTICITY,), grid)
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    eastward = 12 * np.cos(latitude) ** 11 * np.sin(latitude) * np.cos(12 * longitude)
    northward = -12 * np.cos(latitude) ** 11 * np.sin(12 * longitude)
    fields = np.float32(np.stack([eastward, northward, 0 * northward])[None])
    returned = compiled(lambda fields: carried.changes(carried.values(fields)))(fields)
    wind = fields[0, :2]
    assert integral(wind * returned[0, :2], grid).sum() / integral(wind**2, grid).sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.usefixtures("double")
def test_geopotential_follows_by_linear_balance():
    """Solid-body spin-up by w: v = 0 to round-off, u = a w cos(lat) to the order of the compact interpolation, and
    Phi = -Omega a^2 w (sin^2(lat) - 1/3) to second order, with area mean zero."""

    def error(rows: int) -> tuple[float, float]:
        grid, spin = Grid.parse(f"{180 / rows}deg"), 1e-6
        carried = TransportedFields(NAMES, (VORTICITY,), grid)
        assert carried.updated == (1, 2, 3)
        sine, cosine = np.sin(grid.latitude_radians)[:, None], np.cos(grid.latitude_radians)[:, None]
        edges = np.sin(grid.latitude_edges)[:, None]
        change = np.broadcast_to(spin * (edges[1:] + edges[:-1]), grid.shape)  # the means of the cells
        eastward, northward, geopotential = compiled(carried.changes)(change[None, None])[0]
        np.testing.assert_allclose(northward, 0.0, atol=1e-11)
        assert abs(integral(geopotential, grid)) < 1e-12 * np.abs(geopotential).max()
        exact = -EARTH_ROTATION * EARTH_RADIUS**2 * spin * (sine**2 - 1 / 3)
        wrong_wind = float(np.abs(eastward - EARTH_RADIUS * spin * cosine).max() / (EARTH_RADIUS * spin))
        return wrong_wind, float(np.abs(geopotential - exact).max() / np.abs(exact).max())

    of_wind, of_geopotential = zip(*(error(rows) for rows in ROWS), strict=True)
    assert slope(of_wind, ROWS) > 5.5, of_wind
    assert slope(of_geopotential, ROWS) > 1.9
    assert of_geopotential[-1] < 0.01


def test_changes_of_one_field_add_up_and_the_rest_stay():
    both = TransportedFields(NAMES, (TEMPERATURE, VORTICITY), GRID)
    change = noise(2, 1)
    of_all = compiled(lambda change: both.scatter_to_state(both.changes(change)))(change)
    assert of_all.shape == (1, 4, *GRID.shape)
    assert of_all[:, 0] == pytest.approx(change[:, 0])
    alone = TransportedFields(NAMES, (VORTICITY,), GRID)
    assert of_all[:, 1:] == pytest.approx(compiled(alone.changes)(change[:, 1:]))
    only = TransportedFields(NAMES, (TEMPERATURE,), GRID)
    of_one = compiled(lambda change: only.scatter_to_state(only.changes(change)))(change[:, :1])
    assert not of_one[:, 1:].any()


LEVELS = (
    TransportedField("t850", wind=PrognosticWind("850"), layer=("vo500", "vo850")),
    TransportedField("vo500", PrognosticWind("500"), balanced_field="z500", stretching=(("vo850", 1e6),)),
    TransportedField("vo850", PrognosticWind("850"), balanced_field="msl", stretching=(("vo500", 6e5),)),
)


def test_both_levels_follow_the_change_at_one():
    """And half of the change of temperature is that of the thickness between them, in hydrostatic balance."""
    names = ("t850", "u500", "v500", "z500", "u850", "v850", "msl")
    fields = TransportedFields(names, LEVELS, GRID)
    change = np.zeros((1, 3, *GRID.shape), np.float32)
    change[:, 1] = 1e-5 * smooth_noise(GRID, 1, 3)
    of_one = compiled(lambda change: fields.scatter_to_state(fields.changes(change)))(change)[0]
    upper, lower = (float(np.abs(of_one[row]).max()) for row in (1, 4))
    assert 0.05 * upper < lower < upper, "the other level follows less"
    thickness = of_one[3] - of_one[6] / REFERENCE_AIR_DENSITY
    np.testing.assert_allclose(of_one[0], 0.5 * thickness / (287.05 * np.log(850 / 500)), rtol=0, atol=1e-3)
    assert np.abs(of_one[0]).max() > 0.1
    change[:, 0] = 1.0
    warmer = compiled(lambda change: fields.scatter_to_state(fields.changes(change)))(change)[0]
    np.testing.assert_allclose(warmer[0] - of_one[0], 0.5, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(warmer[1:], of_one[1:])


WAVE = Grid.parse("5.625deg")
DEGREE, ORDER, RADIUS = 5, 4, 6.371e6


def rossby_haurwitz_wave(hours: float, deformation_radius: float = np.inf) -> np.ndarray:
    """(u, v) of psi = A cos^4(lat) sin(lat) cos(4 (lon - c t)), a harmonic of degree n = 5 on the sphere of radius a.

    It drifts by c = -2 Omega / (n (n + 1) + a^2 / L^2).
    """
    drift = -2 * 7.292e-5 / (DEGREE * (DEGREE + 1) + (RADIUS / deformation_radius) ** 2) * 3600 * hours
    latitude, longitude = np.meshgrid(WAVE.latitude_radians, WAVE.longitude_radians - drift, indexing="ij")
    cosine, sine = np.cos(latitude), np.sin(latitude)
    amplitude = 5.0  # m s-1, of psi / a: the wave does not carry itself
    eastward = -amplitude * (cosine**5 - 4 * cosine**3 * sine**2) * np.cos(ORDER * longitude)
    northward = -amplitude * ORDER * cosine**3 * sine * np.sin(ORDER * longitude)
    return np.stack([eastward, northward])


@pytest.mark.slow
def test_physics_alone_forecasts_a_rossby_wave_and_the_better_the_more_often_the_wind_is_new():
    """The whole forecaster against the exact solution of the barotropic vorticity equation, after 12 h.

    The wind of the start is first order in the interval of constant wind, until the error of the grid shows.
    """
    updates = (1, 2, 4)
    errors = [error_of_wave(count, "start") for count in updates]
    assert slope(errors, updates) > 0.8, errors
    start, exact = rossby_haurwitz_wave(0), rossby_haurwitz_wave(12)
    wrong = np.sqrt(integral((start - exact) ** 2, WAVE).mean())
    assert errors[-1] < 0.1 * wrong, "persistence is ten times as wrong"
    assert error_of_wave(1, "midpoint") < errors[-1], "in one interval nearer than in four"


@pytest.mark.slow
def test_with_a_radius_of_deformation_the_wave_drifts_as_slowly_as_it_should():
    radius = 1.5e6
    wave, start = rossby_haurwitz_wave(12, radius), rossby_haurwitz_wave(0)
    wrong = np.sqrt(integral((start - wave) ** 2, WAVE).mean())
    assert error_of_wave(4, "midpoint", deformation_radius=radius) < 0.1 * wrong, "persistence is ten times as wrong"
    assert error_of_wave(4, "midpoint", wave) > 0.5 * wrong, "without it, the wave is elsewhere"


def barotropic(physics: str, equation=None, **options):
    """The barotropic vorticity equation, and nothing else."""
    equation = {"wind": "prognostic:500", "form": "flux", "absolute_vorticity": True} | (equation or {})
    physics += "\n" + transport("vo500", **equation)
    return forecaster(config(("u500", "v500"), physics=physics, closure="enabled = false", **options), WAVE)


def error_of_wave(updates: int, winds: str, exact: np.ndarray | None = None, **equation) -> float:
    """RMS error of the wave after 12 h, against the exact one of these equations or another one [m s-1]."""
    model = barotropic(f'wind_updates = {updates}\nwind_time = "{winds}"', equation)
    exact = rossby_haurwitz_wave(12, **equation) if exact is None else exact
    start = np.float32(rossby_haurwitz_wave(0))
    made = forecasts(model, start[None, None], step_features(2, 1))[-1, 0]
    return float(np.sqrt(integral((made - exact) ** 2, WAVE).mean()))


def after_a_step(physics: str, substeps: int = 48) -> np.ndarray:
    """The wind of a smooth flow after 6 h."""
    fields = np.float32(10 * smooth_noise(WAVE, 2, 1))[None, None]
    return forecasts(barotropic(physics, substeps=substeps), fields, step_features(1, 1))[0]


@pytest.mark.slow
def test_the_wind_of_the_midpoint_is_second_order_in_the_interval_of_constant_wind():
    """Against the same equations with 12 new winds in a step, so that the grid has no part in the error."""

    def made(updates: int, winds: str) -> np.ndarray:
        return after_a_step(f'wind_updates = {updates}\nwind_time = "{winds}"')

    exact, updates = made(12, "midpoint"), (1, 2, 4)
    errors = [np.abs(made(count, "midpoint") - exact).mean() for count in updates]
    assert slope(errors, updates) > 1.7, errors
    assert errors[0] < np.abs(made(1, "start") - exact).mean()


@pytest.mark.slow
@pytest.mark.parametrize("winds", ["start", "midpoint"])
def test_without_a_network_new_winds_are_the_same_as_coupling_steps(winds):
    """The gates are 1, so a step of two coupling intervals is two intervals of constant wind."""
    time = f'wind_time = "{winds}"\n'
    updated, coupled = (after_a_step(f"{time}{key} = 2", substeps=4) for key in ("wind_updates", "coupling_steps"))
    np.testing.assert_allclose(updated, coupled, rtol=0, atol=1e-5 * np.abs(coupled).max())
    once = after_a_step(time, substeps=4)
    assert np.abs(once - coupled).max() > 1e-2, "and not the same as one interval"


@pytest.mark.slow
def test_weather_reflected_in_the_equator_has_the_reflected_forecast():
    names, parity = ("u500", "v500", "z500"), np.array([1, -1, 1])[:, None, None]
    physics = transport("vo500", wind="prognostic:500", form="flux", absolute_vorticity=True, balanced_field="z500")
    model = forecaster(config(names, physics=physics, closure="width = 16\nblocks = 1\nhemispheric_symmetry = true"))
    randomise(model, 0, 0.1)
    latitude_free = np.array(model.inputs.maps[...])
    latitude_free[..., :3] = 0  # the maps of time means, which have a hemisphere
    model.inputs.maps[...] = jnp.asarray(latitude_free)
    fields = states(names, Grid.parse("22.5deg"))[:, None]
    time = step_features(2, 2)
    forecast = forecasts(model, fields, time)
    mirrored = np.float32(parity * fields[..., ::-1, :])
    other = forecasts(model, mirrored, half_a_year_later(time))
    spread = fields.std((0, 1, 3, 4))[:, None, None]
    np.testing.assert_allclose((other - parity * forecast[..., ::-1, :]) / spread, 0, atol=1e-4)
    assert np.abs((forecast - np.asarray(fields)[:, 0]) / spread).max() > 0.01
