"""The error of the equations over the step before: what it is, where it goes, and that a forecast carries it."""

import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from synthetic import (
    TRACER,
    advanced,
    begun,
    config,
    explained,
    forecaster,
    forecasts,
    randomise,
    states,
    step_features,
    transport,
)

from pinnwx.errors import ConfigError
from pinnwx.extensions import PINNWX_EXTENSIONS
from pinnwx.grid import Grid

NAMES = ("t850", "u850", "v850")
WIND = "prognostic:850"
CARRIED = transport("t850", wind=WIND)
OFF = "enabled = false"
GRID = "5.625deg"


def model_of(use: str, physics: str = CARRIED, *, names=NAMES, winds: str = "", **options):
    head = f'equation_error = "{use}"\n' + (f"equation_error_winds = {{ {winds} }}\n" if winds else "")
    options.setdefault("closure", OFF)
    return forecaster(config(names, physics=head + physics, model="input_times = 2", **options))


def growing_wave(growth: float, hours: float, count: int) -> np.ndarray:
    """Temperatures that a zonal wind of solid-body rotation carries, and that grow along its trajectories; with it.

    T(n) = (1 + growth n) cos(latitude)^2 sin(2 (longitude - n turn)), n steps from now, the last count - 1 before it.
    """
    grid = Grid.parse(GRID)
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    speed = 20.0  # m s-1 at the equator
    turn = speed * 3600 * hours / 6.371e6
    steps = np.arange(-1, count - 1)
    wave = [(1 + growth * n) * np.cos(latitude) ** 2 * np.sin(2 * (longitude - n * turn)) for n in steps]
    wind = np.broadcast_to(speed * np.cos(latitude), np.shape(wave))
    return np.stack([np.array(wave), wind, 0 * wind], axis=1).astype(np.float32)


def errors(use: str, growth: float = 0.1) -> np.ndarray:
    """The relative error of temperature after one step and after two, with every gate at 1."""
    truth = growing_wave(growth, 6, 4)
    forecast = forecasts(model_of(use, grid=GRID, substeps=2), truth[None, :2], step_features(2, 1))
    difference = forecast[:, 0, 0] - truth[2:, 0]
    return np.sqrt((difference**2).mean((1, 2)) / (truth[2:, 0] ** 2).mean((1, 2)))


def test_a_source_that_moves_with_the_wind_is_continued():
    """Without the error, a forecast lacks the growth of each step. Where it was, the error is behind the wave. Where
    the wind has carried it, only truncation is left, in the second step too."""
    unused, in_place, transported = (errors(use) for use in ("unused", "kept", "transported"))
    np.testing.assert_allclose(unused, [0.1 / 1.1, 0.2 / 1.2], rtol=0.02)
    assert (transported < 0.01 * unused).all()
    assert (transported < 0.2 * in_place).all()
    assert (in_place < 0.5 * unused).all()


def test_equations_without_error_have_none():
    """A wave that does not grow: nothing is added but truncation."""
    for use in ("kept", "transported"):
        assert (errors(use, growth=0.0) < 2e-3).all()


def test_a_field_without_an_equation_repeats_its_last_change():
    """In place, and where its wind carries it: then the wave moves on. Wind itself has no change."""
    truth = growing_wave(0.0, 6, 3)
    forecast = {
        use: forecasts(model_of(use, "", winds=winds, grid=GRID), truth[None, :2], step_features(1, 1))[0, 0]
        for use, winds in (("kept", ""), ("transported", f't850 = "{WIND}"'))
    }
    np.testing.assert_allclose(forecast["kept"][0], 2 * truth[1, 0] - truth[0, 0], atol=1e-5)
    in_place, carried = (np.abs(fields[0] - truth[2, 0]).max() for fields in forecast.values())
    assert carried < 0.02 * in_place
    for fields in forecast.values():
        np.testing.assert_array_equal(fields[1:], truth[1, 1:])


HEATING = """
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from pinnwx.physics import terms

@terms.register("sunshine")
@dataclass(frozen=True)
class Sunshine(terms.AbstractTerm):
    name: ClassVar[str] = "sunshine"

    def tendency(self, fields, context):
        return (context.time.sin_day / 3600.0)[:, None, None, None] + 0 * fields

    def stability_rate(self, context):
        return jnp.zeros(())
"""


def test_what_a_term_of_the_hour_explains_is_no_error(tmp_path, monkeypatch):
    """Heating that follows the hour changed the last analysis, and the equations know it: so nothing is added but the
    heating of the coming step. The term sees the hour of the step before, not that of the coming one."""
    path = tmp_path / "sunshine.py"
    path.write_text(HEATING)
    monkeypatch.setenv(PINNWX_EXTENSIONS, str(path))
    physics = CARRIED + '[[model.physics.terms]]\nkind = "sunshine"\n'
    model = model_of("kept", physics, extra='extensions = ["sunshine"]')
    coming = step_features(1, 1)
    heating = [6.0 * float(time.sin_day[0, 0]) for time in (coming.earlier(6), coming)]
    assert abs(heating[0] - heating[1]) > 5
    analyses = np.zeros((1, 2, 3, *model.inputs.grid.shape), np.float32)
    analyses[:, 1, 0] = heating[0]
    forecast = forecasts(model, analyses, coming)[0, 0]
    np.testing.assert_allclose(forecast[0], sum(heating), atol=1e-4)
    np.testing.assert_array_equal(forecast[1:], 0)


@pytest.mark.parametrize("name", [GRID, f"{GRID}+poles"])
def test_a_vector_is_carried_over_a_pole(name):
    """Solid-body rotation about an axis in the equator. On its great circle through both poles, a change of the wind
    that is parallel to the flow stays so: northward before a pole, southward behind it."""
    grid = Grid.parse(name)
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    speed = 30.0 * np.stack([np.sin(longitude) * np.sin(latitude), np.cos(longitude)])
    names = ("u10", "v10", "u850", "v850")
    change = 0.1 * speed
    analyses = np.stack([np.stack([*(0 * change), *speed]), np.stack([*change, *speed])]).astype(np.float32)
    winds = ", ".join(f'{field} = "{WIND}"' for field in ("u10", "v10"))
    model = model_of("transported", "", names=names, winds=winds, grid=name)
    forecast = forecasts(model, analyses[None], step_features(1, 1))[0, 0]
    circle = np.s_[:, :, [0, 32]]
    np.testing.assert_allclose((forecast[:2] - change)[circle], change[circle], atol=0.005)
    assert change[1, :, 0].min() > 2.9 > -2.9 > change[1, :, 32].max()


@pytest.mark.parametrize("use", ["kept", "transported"])
def test_a_forecast_carries_what_it_would_compute_again(use):
    """The second step of a forecast is the first step of one from its last two states, of which only the analyses are
    known: the carried change by transport is that of the equations."""
    model = model_of(use, closure="width = 16\nblocks = 1\npatch_size = 1\n")
    randomise(model, 0, 0.1)
    time = step_features(2, 2)
    fields = jnp.asarray(states(NAMES, Grid.parse("22.5deg")))
    start = begun(model, jnp.stack([jnp.roll(fields, -1, axis=-1), fields], axis=1), time.select(0))
    once = advanced(model, start, time.select(0))
    again = begun(model, once.analyses, time.select(1))
    scale = np.asarray(fields).std((0, 2, 3))[:, None, None]
    np.testing.assert_allclose(once.change / scale, again.change / scale, atol=1e-5)
    assert np.abs(once.change / scale).max() > 1e-2
    two = (advanced(model, carry, time.select(1)).analyses[:, -1] for carry in (once, again))
    np.testing.assert_allclose(*(fields / scale for fields in two), atol=1e-4)


def test_a_budget_has_its_term():
    model = model_of("transported", closure="width = 16\nblocks = 1\npatch_size = 1\n")
    randomise(model, 0, 0.1)
    time = step_features(1, 2).select(0)
    fields = jnp.asarray(states(NAMES, Grid.parse("22.5deg")))
    analyses = jnp.stack([jnp.roll(fields, -1, axis=-1), fields], axis=1)
    step = explained(model, analyses, time)
    assert np.abs(step.terms["equation_error"][:, 0]).max() > 0
    np.testing.assert_array_equal(step.terms["equation_error"][:, 1:], 0)
    assert {"t850_gate", "t850_error_gate"} <= set(step.learned)
    scale = np.asarray(fields).std((0, 2, 3))[:, None, None]
    change = step.carry.analyses[:, -1] - fields
    np.testing.assert_allclose(sum(step.terms.values()) / scale, change / scale, atol=1e-4)


@pytest.mark.parametrize(
    ("physics", "model", "message"),
    [
        ('equation_error = "kept"\n' + CARRIED, "", "needs input_times of at least 2"),
        ('equation_error = "transported"', "input_times = 2", r"needs a \[\[model.physics.transport\]\] table or"),
        (
            'equation_error = "kept"\nequation_error_winds = { t850 = "prognostic:850" }\n' + CARRIED,
            "input_times = 2",
            'equation_error_winds are for equation_error = "transported"',
        ),
        (
            'equation_error = "kept"\n' + transport("t850", wind=WIND, learned_wind=True),
            "input_times = 2",
            "excludes learned_wind",
        ),
        ('equation_error = "kept"\ncoupling_steps = 2\n' + CARRIED, "input_times = 2", "needs coupling_steps = 1"),
        (
            'equation_error = "transported"\nequation_error_winds = { t850 = "prognostic:500" }',
            "input_times = 2",
            'equation_error_winds of "t850" needs "u500"',
        ),
        (
            'equation_error = "transported"\nequation_error_winds = { t850 = "gale" }',
            "input_times = 2",
            'wind "gale" is not one of',
        ),
    ],
)
def test_what_it_needs(physics, model, message):
    with pytest.raises((ConfigError, ValidationError), match=message):
        config(NAMES, physics=physics, model=model)


def test_it_needs_a_field_that_it_may_change():
    """A conserved field takes no increment but that of transport."""
    tracer = transport("tracer", wind=WIND, form="flux", scheme="limited", conserved=True)
    names = ("tracer", "u850", "v850")
    for physics in (tracer, transport("tracer", wind="none")):
        head = 'equation_error = "transported"\n'
        settings = config(names, physics=head + physics, model="input_times = 2", extra=TRACER)
        with pytest.raises(ConfigError, match="no field has a wind and is not conserved"):
            forecaster(settings)


@pytest.mark.parametrize("winds", [{"u10": WIND}, {"u10": WIND, "v10": "none"}])
def test_a_component_of_a_vector_does_not_move_alone(winds):
    """Across a pole it would turn its direction."""
    names = ("u10", "v10", "u850", "v850")
    written = ", ".join(f'{field} = "{wind}"' for field, wind in winds.items())
    with pytest.raises(ConfigError, match="u10 is a component of a vector, which moves as a whole"):
        model_of("transported", "", names=names, winds=written)


@pytest.mark.parametrize("use", ["added", "shown"])
def test_it_may_be_added_or_shown_alone(use):
    """Added, untrained, it changes the forecast and is no feature. Shown, it is a feature and changes no field."""
    truth = growing_wave(0.1, 6, 3)
    closure = "width = 16\nblocks = 1\npatch_size = 2\n"
    model = model_of("transported", f'increment_use = "{use}"\n' + CARRIED, closure=closure, grid=GRID)
    names = [feature.name for feature in model.closure.features]
    assert ("t850 carried equation error" in names) == (use == "shown")
    forecast = forecasts(model, truth[None, :2], step_features(1, 1))[0, 0, 0]
    expected = truth[2, 0] if use == "added" else truth[1, 0]
    assert np.abs(forecast - expected).max() < 2e-3


def test_a_conserved_field_has_no_wind_of_errors():
    tracer = transport("tracer", wind=WIND, form="flux", scheme="limited", conserved=True)
    head = f'equation_error = "transported"\nequation_error_winds = {{ tracer = "{WIND}" }}\n'
    with pytest.raises(ConfigError, match="equation_error_winds of tracer: conserved = true excludes it"):
        config(("tracer", "u850", "v850"), physics=head + tracer, model="input_times = 2", extra=TRACER)


def test_it_needs_poles_to_be_carried_over():
    grid = Grid.from_coordinates(np.linspace(-86, 86, 16), np.arange(0.0, 360.0, 22.5))
    settings = config(NAMES, physics='equation_error = "transported"\n' + CARRIED, model="input_times = 2", closure=OFF)
    with pytest.raises(ConfigError, match=r'equation_error = "transported" on .*; use "kept"'):
        forecaster(settings, grid)
