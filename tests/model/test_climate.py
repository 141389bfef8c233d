"""What holds a long forecast near the climate: each correction does what its equation says, whatever the weights."""

from functools import partial

import numpy as np
import pytest
from exact.grids import box
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import applied, config, forecasts, randomise, states, step_features, transport

from pinnwx.config import ClimateSettings
from pinnwx.data.archive import Archive
from pinnwx.data.fitting import fit_climatology
from pinnwx.errors import ConfigError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.model.build import build_forecaster
from pinnwx.model.climate import Climate
from pinnwx.model.inputs import Inputs
from pinnwx.statistics import Climatology, Normalisation
from pinnwx.time_features import TimeFeatures

GRID = Grid.parse("22.5deg")
NAMES = ("msl", "t850")
TIMES = np.datetime64("2020-01-01", "ns") + np.timedelta64(6, "h") * np.arange(1600)


@pytest.fixture(scope="module")
def archive() -> Archive:
    """More than a year with seasons, hours and weather."""
    noise = states(NAMES, GRID, count=40)[np.random.default_rng(0).integers(0, 40, len(TIMES))]
    time = TimeFeatures.of(TIMES)
    cycle = 500 * time.cos_year + 300 * time.sin_day
    return Archive(TIMES, noise + np.float32(cycle)[:, None, None, None], NAMES, GRID)


@pytest.fixture(scope="module")
def fitted(archive) -> Climatology:
    return fit_climatology(archive)


def climate(fitted: Climatology, **keys) -> Climate:
    return Climate(fitted, GRID, ClimateSettings(**keys), 6.0)


def features(start: str = "2021-03-07T06", hours: int = 3) -> TimeFeatures:
    """The middle of the step that begins then."""
    middle = np.array([start], "datetime64[ns]") + np.timedelta64(hours, "h")
    return TimeFeatures.of(middle)


@partial(nnx.jit, static_argnames="hours")
def climatology_after(held: Climate, time: TimeFeatures, hours: float):
    return held.climatology(time, hours)


def area_mean(fields) -> np.ndarray:
    return (GRID.area_weights * np.asarray(fields, np.float64)).mean((-2, -1))


def at(fitted: Climatology, time: str) -> np.ndarray:
    return fitted.at(np.array([time], "datetime64[ns]"))


@pytest.mark.parametrize("hours", [-3, 0, 3, 30])
def test_it_knows_the_climatology_of_date_and_hour(fitted, hours):
    assert (fitted.annual, fitted.diurnal) == (2, 1)
    found = climatology_after(climate(fitted, bound_margin=0.0), features(), hours=float(hours))
    middle = np.array(["2021-03-07T09"], "datetime64[ns]")
    np.testing.assert_allclose(found, fitted.at(middle + np.timedelta64(hours, "h")), atol=0.02)  # of a cycle of 500


def test_a_departure_relaxes(fitted):
    before, after = states(NAMES, GRID, count=2, seed=5)[:, None]
    climatology = at(fitted, "2021-03-07T12")
    found = applied(climate(fitted, relaxation_days=2.0), after, before, features())
    np.testing.assert_allclose(found - climatology, np.exp(-0.125) * (after - climatology), atol=0.05)


def test_smoothing_takes_the_shortest_waves_and_leaves_long_ones(fitted):
    climatology, held = at(fitted, "2021-03-07T12"), climate(fitted, smoothing_hours=6.0)
    columns = np.arange(GRID.shape[1])
    long, short = (np.cos(2 * np.pi * number * columns / len(columns)) for number in (1, len(columns) // 2))
    row = GRID.shape[0] // 2  # at the equator; a bump that is smooth in latitude
    bump = np.cos(GRID.latitude_radians)[:, None] ** 2

    def left(wave):
        after = climatology + np.float32(100 * bump * wave)
        found = (applied(held, after, after, features()) - climatology_after(held, features(), hours=3.0))[0, :, row]
        return found @ wave / (100 * bump[row] * (wave @ wave))

    assert (left(long) > 0.995).all()
    assert (left(short) < 0.5).all(), "exp(-1) of waves of two cells in one direction, of 6 h"
    raised = climatology + np.float32(50)
    np.testing.assert_allclose(area_mean(applied(held, raised, raised, features())), area_mean(raised), atol=0.02)


def test_an_area_mean_goes_its_own_way_whatever_the_step_made_of_it(fitted):
    before, after = states(NAMES, GRID, count=2, seed=6)[:, None]
    wanted = np.exp(-0.05) * area_mean(before - at(fitted, "2021-03-07T06")) + area_mean(at(fitted, "2021-03-07T12"))
    for drift in (0.0, 300.0):
        held = climate(fitted, mean_relaxation_days=5.0)
        found = applied(held, after + np.float32(drift), before, features())
        np.testing.assert_allclose(area_mean(found), wanted, rtol=1e-6, atol=5e-3)  # float32 of 1e5 Pa
        shape = found - area_mean(found)[:, :, None, None]
        np.testing.assert_allclose(shape, after - area_mean(after)[:, :, None, None], atol=0.05)


@settings(deadline=None, max_examples=25)
@given(size=st.floats(0, 1e9), bound_margin=st.floats(0, 2), seed=st.integers(0, 99))
def test_a_state_stays_within_its_bounds(fitted, size, bound_margin, seed):
    noise = size * np.random.default_rng(seed).standard_normal((1, len(NAMES), *GRID.shape))
    wild = noise.astype(np.float32)
    held = climate(fitted, relaxation_days=9.0, mean_relaxation_days=5.0, bound_margin=bound_margin)
    departure = applied(held, wild, wild, features()) - climatology_after(held, features(), hours=3.0)
    minimum, maximum = (1 + bound_margin) * fitted.minimum, (1 + bound_margin) * fitted.maximum
    slack = 1e-6 * np.abs(fitted.coefficients).max(axis=(0, 2, 3))[:, None, None]
    assert (departure >= minimum - slack).all()
    assert (departure <= maximum + slack).all()


def test_what_happened_in_the_training_time_is_left_alone(archive, fitted):
    number = 777
    truth = archive.fields[number : number + 2]
    held = climate(fitted, bound_margin=0.0)
    middle = TimeFeatures.of(TIMES[[number]] + np.timedelta64(3, "h"))
    np.testing.assert_allclose(applied(held, truth[1:], truth[:1], middle), truth[1:], rtol=1e-6)


def held_config(**options):
    return config(NAMES, grid="22.5deg", train=("2020-01-01", "2021-02-01"), extra="", **options)


def test_a_forecaster_that_would_blow_up_is_held(archive, fitted):
    """A network with large random weights: in a month it is far out, and held it is where weather has been."""
    wild = held_config(closure="width = 16\nblocks = 1\n[model.climate]\nbound_margin = 0.1")
    trained = TrainedModel.initialise(wild, archive)
    randomise(trained.model, 0, 0.3)
    analyses = archive.fields[:1, None]
    forecast = forecasts(trained.model, analyses, step_features(120, 1))[:, 0]
    loose = TrainedModel.initialise(held_config(), archive).model
    randomise(loose, 0, 0.3)
    spread = archive.fields.std(axis=(0, 2, 3))[:, None, None]
    assert not np.abs((forecasts(loose, analyses, step_features(120, 1))[:, 0] - archive.fields[0]) / spread).max() < 30
    assert np.isfinite(forecast).all()
    assert (np.abs(forecast - archive.fields.mean(axis=0)) / spread).max() < 30


def test_what_it_cannot_hold_is_refused(fitted):
    def build(settings, grid=GRID, climatology=fitted):
        zeros, ones = np.zeros(len(settings.data.fields)), np.ones(len(settings.data.fields))
        normalisation = Normalisation(settings.data.fields, zeros, ones, ones, np.zeros((len(zeros), *grid.shape)))
        return build_forecaster(Inputs(grid, normalisation, {}), settings.model, 0, climatology)

    def with_climate(text, **options):
        return config(NAMES, closure=f"width = 16\nblocks = 1\n[model.climate]\n{text}", **options)

    with pytest.raises(ConfigError, match="mean_relaxation_days needs a global grid"):
        build(with_climate("mean_relaxation_days = 5.0"), box(8, 8))
    with pytest.raises(ConfigError, match="needs the climatology"):
        build(with_climate("bound_margin = 0.1"), climatology=None)
    carried = transport("t850", wind="none", form="flux", scheme="limited", conserved=True)
    with pytest.raises(ConfigError, match="t850: conserved = true excludes"):
        build(with_climate("bound_margin = 0.1", physics=carried))
    with pytest.raises(ConfigError, match=r'model\.climate is for model\.kind = "transport"'):
        build(with_climate("bound_margin = 0.1", model='kind = "second_order"'))
