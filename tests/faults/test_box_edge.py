"""Transport in flux form on a box: what flows in through its edge brings the edge's own value, so a wind that converges
there for no reason of the weather makes that value grow from step to step, and first where the wind blows in."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import config_text, smooth_noise, transport

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.operators.advection import SCHEMES, FaceVelocity
from pinnwx.operators.calculus import face_divergence
from pinnwx.operators.stability import courant_number, limit_outflow
from pinnwx.physics.transport import EulerianTransport
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.velocity import face_winds, stacked_winds
from pinnwx.physics.winds import RotationalWind

BOX = box()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("courant", [0.5, 5.7, 60.0])
@pytest.mark.parametrize("way", [1, -1])
def test_a_constant_stays_constant_in_a_uniform_wind_however_fast(scheme, courant, way):
    """A wind along the circles of latitude has no divergence, slowed or not."""
    equation = TransportedField("vo500", form="flux", scheme=scheme)
    solver = EulerianTransport((equation,), BOX, 86400.0, substeps=12)
    rows, columns = BOX.shape
    east = courant * BOX.zonal_spacing[:, None] / solver.substep * np.ones((1, rows, columns + 1))
    wind = FaceVelocity(jnp.asarray(way * east, jnp.float32), jnp.zeros((1, rows + 1, columns), jnp.float32))
    after, _ = solver(jnp.full((1, rows, columns), 1e-4, jnp.float32), wind, jnp.zeros(1))
    np.testing.assert_allclose(after, 1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), speed=st.floats(0, 4).map(lambda power: 10.0**power), limit=st.floats(0.05, 1.0))
def test_slowing_the_wind_brings_a_cell_of_the_edge_no_more_of_its_own(seed, speed, limit):
    """What flows in through the edge less what flows out of the cell: not more than the wind as given would make it."""
    generator, (rows, columns), dt = np.random.default_rng(seed), BOX.shape, 7200.0
    wind = FaceVelocity(
        jnp.asarray(speed * generator.standard_normal((rows, columns + 1)), jnp.float32),
        jnp.asarray(speed * generator.standard_normal((rows + 1, columns)), jnp.float32),
    )

    def own_gain(faces: FaceVelocity) -> np.ndarray:
        outside = np.zeros(BOX.shape)
        west, east = np.maximum(faces.east[:, 0], 0), np.maximum(-faces.east[:, -1], 0)
        south, north = np.maximum(faces.north[0], 0), np.maximum(-faces.north[-1], 0)
        outside[:, 0] += west * (BOX.east_face_length / BOX.cell_area)
        outside[:, -1] += east * (BOX.east_face_length / BOX.cell_area)
        outside[0] += south * (BOX.north_face_length[0] / BOX.cell_area[0])
        outside[-1] += north * (BOX.north_face_length[-1] / BOX.cell_area[-1])
        return outside * dt - np.asarray(courant_number(faces, BOX, dt))

    given_wind = own_gain(wind)
    slowed = own_gain(limit_outflow(wind, BOX, dt, limit))
    assert (slowed <= np.maximum(given_wind, 0) + 1e-5 * np.abs(given_wind)).all()
    assert slowed.max() <= limit * (1 + 1e-4), "nor more than the limit's share in a sub-step"


def test_rotational_wind_does_not_converge_at_the_edge():
    """Its streamfunction is zero beyond, so no wind crosses there; it is as free of divergence as inside."""
    equations = [TransportedField("vo850", wind=RotationalWind("vo850"), form="flux", absolute_vorticity=True)]
    vorticity = jnp.asarray(2e-5 * smooth_noise(BOX, 8, seed=1, waves=12), jnp.float32)
    winds = stacked_winds([one.wind for one in equations], {"vo850": vorticity}, BOX)
    assert float(jnp.abs(winds).mean()) > 1.0
    divergence = np.abs(face_divergence(face_winds(winds, BOX, equations), BOX))
    of_a_cell = float(jnp.abs(winds).max()) / BOX.zonal_spacing.max()  # the wind continued would make half of it
    assert divergence.max() < 0.03 * of_a_cell, "the meridians converge by so much in a cell"


def physics_alone(archive: Archive, form: str, wind: str, field: str, step: int, steps: int, starts: slice) -> tuple:
    """Forecasts of the equations without a network, from some analyses, and their unit."""
    equation = transport(field, wind=wind, form=form, absolute_vorticity=True)
    settings = config_text(archive.names, grid="native", substeps=12, physics=equation, closure="enabled = false")
    text = settings.replace("step_hours = 6", f"step_hours = {step}")
    trained = TrainedModel.initialise(parse_config(text), archive, text)
    predictor = Predictor(trained, [step * number for number in range(1, steps + 1)])
    return predictor.from_archive(archive, archive.times[starts]), trained.normalisation.std[:, None, None]


@pytest.mark.real_data
def test_a_day_of_europe_in_flux_form(real_data):
    """Where the wind is slowed in every other cell, a day's step made 10^8 standard deviations of z500 in the west."""
    dataset = open_data(real_data / "erainterim_europe", ("z500",), start="2000-01-01", end="2000-12-31")
    archive = Archive.from_dataset(dataset, ("z500",), ())
    forecasts, unit = physics_alone(archive, "flux", "geostrophic:z500", "vo500", 24, 5, slice(0, 240, 30))
    departure = np.abs(forecasts - archive.fields[0:240:30, None]) / unit
    assert np.isfinite(forecasts).all()
    assert departure.max() < 10
    edge = np.sqrt((departure[..., 0] ** 2).mean())
    assert edge < 2 * np.sqrt((departure**2).mean()), "the western edge is like the rest"


@pytest.mark.real_data
def test_vorticity_of_a_box_in_flux_form_is_as_in_advective_form(real_data):
    """Both are one equation where the wind is free of divergence; the one blew up in two days, the other did not."""
    dataset = open_data(real_data / "era5_global", ("vo850",), start="2025-12-01", end="2025-12-31")
    boxed = dataset.sel(latitude=slice(30, 60)).isel(longitude=slice(0, 40))
    archive = Archive.from_dataset(boxed, ("vo850",), ())
    found = [
        physics_alone(archive, form, "rotational:vo850", "vo850", 6, 16, slice(40, 41))
        for form in ("flux", "advective")
    ]
    (flux, unit), (advective, _) = found
    difference = np.sqrt(((flux - advective) ** 2).mean(axis=(0, 2, 3, 4))) / float(unit.squeeze())
    assert difference.max() < 0.25, difference
