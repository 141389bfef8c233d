import jax.numpy as jnp
import numpy as np
import pytest
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled

from pinnwx.errors import StabilityError
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.operators.polar import zonal_groups
from pinnwx.operators.stability import (
    check_courant,
    courant_number,
    diffusion_number,
    largest_safe_step,
    limit_outflow,
    meridional_courant_number,
    zonal_courant_number,
)

pytestmark = pytest.mark.usefixtures("double")
courant_number, zonal_courant_number, meridional_courant_number, diffusion_number = map(
    compiled, (courant_number, zonal_courant_number, meridional_courant_number, diffusion_number)
)
face_velocity, limit_outflow = map(compiled, (face_velocity, limit_outflow))
GRID = Grid.parse("5.625deg")


def uniform(grid, east=0.0, north=0.0):
    return FaceVelocity(
        np.full((grid.shape[0], grid.shape[1] + (not grid.is_periodic)), east),
        np.full((grid.shape[0] + 1, grid.shape[1]), north),
    )


def arrays(wind):
    """The wind as the functions take it that are not compiled."""
    return FaceVelocity(*map(jnp.asarray, wind))


def test_zonal_wind_has_the_textbook_courant_number():
    expected = np.broadcast_to((20.0 * 600 / GRID.zonal_spacing)[:, None], GRID.shape)
    np.testing.assert_allclose(courant_number(uniform(GRID, 20.0), GRID, 600.0), expected, rtol=1e-12)
    np.testing.assert_allclose(zonal_courant_number(uniform(GRID, -20.0), GRID, 600.0), expected, rtol=1e-12)
    expected = 20.0 * 600 / GRID.meridional_spacing
    np.testing.assert_allclose(meridional_courant_number(uniform(GRID, 0, -20.0), GRID, 600.0), expected, rtol=1e-12)


def test_on_a_box_wind_leaves_through_the_edge():
    grid = box()
    number = courant_number(uniform(grid, 10.0, 10.0), grid, 60.0)
    north = grid.north_face_length[1:] / grid.cell_area
    expected = 600.0 * (1 / grid.zonal_spacing + north)
    np.testing.assert_allclose(number, np.broadcast_to(expected[:, None], grid.shape), rtol=1e-12)


def test_a_group_counts_what_leaves_the_group():
    groups = zonal_groups(GRID, 300e3)
    plain, grouped = (courant_number(uniform(GRID, 20.0), GRID, 600.0, g) for g in (None, groups))
    np.testing.assert_allclose(grouped, plain / np.asarray(groups)[:, None], rtol=1e-12)


def test_a_pole_row_is_one_cap():
    """Zonal wind does not leave it; poleward wind off it leaves the cap as a whole."""
    grid = Grid.parse("5deg+poles")
    assert courant_number(uniform(grid, 50.0), grid, 600.0)[0].max() == 0
    wind = uniform(grid)
    wind.north[1, 0] = 10.0
    row = courant_number(wind, grid, 600.0)[0]
    expected = 6000.0 * grid.north_face_length[1] / (grid.cell_area[0] * grid.shape[1])
    np.testing.assert_allclose(row, expected, rtol=1e-12)


def test_largest_safe_step_is_where_the_number_reaches_the_limit():
    wind = uniform(GRID, 5.0)
    wind.east[28, 10] = 80.0
    step = largest_safe_step(arrays(wind), GRID, limit=0.5)
    assert (step.latitude, step.longitude) == (GRID.latitude[28], GRID.longitude[10])
    assert courant_number(wind, GRID, step.seconds).max() == pytest.approx(0.5)
    calm = largest_safe_step(arrays(uniform(GRID)), GRID)
    assert calm.seconds == float("inf")
    with_diffusion = largest_safe_step(arrays(uniform(GRID)), GRID, diffusivity=1e5)
    assert diffusion_number(1e5, GRID, with_diffusion.seconds).max() == pytest.approx(1.0)
    # the two rates add: 1 / dt = 1 / dt_1 + 1 / dt_2 where both are worst in the same rows
    both = largest_safe_step(arrays(uniform(GRID, 20.0)), GRID, 0.5, 1e5).seconds
    alone = largest_safe_step(arrays(uniform(GRID, 20.0)), GRID, 0.5).seconds
    assert 1 / both == pytest.approx(1 / alone + 1 / with_diffusion.seconds, rel=1e-6)


def test_refusal_names_value_place_limit_and_remedy():
    wind = uniform(GRID, 20.0)
    wind.east[-1, 3] = 90.0
    with pytest.raises(StabilityError) as refusal:
        check_courant(arrays(wind), GRID, 600.0)
    step = largest_safe_step(arrays(wind), GRID).seconds
    expected = f"Courant number {600 / step:.3g} at 87.19 N exceeds 1; use dt <= {int(step)} s"
    assert str(refusal.value) == expected
    check_courant(arrays(wind), GRID, float(int(step)))
    with pytest.raises(StabilityError, match=r"87\.19 S exceeds 0\.5; use dt <="):
        check_courant(arrays(wind._replace(east=np.flip(wind.east, 0))), GRID, 600.0, limit=0.5)
    wind.east[28, 0] = np.nan
    with pytest.raises(StabilityError, match=r"not finite at 70\.31 N"):
        check_courant(arrays(wind), GRID, 1.0)


@pytest.mark.parametrize("grouped", [False, True])
def test_limited_outflow_meets_the_limit_and_touches_nothing_else(any_grid, grouped, random):
    groups = zonal_groups(any_grid, 1e6) if grouped else None
    rows, columns = any_grid.shape
    wind = FaceVelocity(
        20 * random.normal(size=(2, rows, columns + (not any_grid.is_periodic))),
        20 * random.normal(size=(2, rows + 1, columns)),
    )
    number = courant_number(wind, any_grid, 1.0, groups)
    dt = 0.5 / np.median(number)  # half of the cells exceed
    limited = limit_outflow(wind, any_grid, dt, 0.5, groups)
    assert courant_number(limited, any_grid, dt, groups).max() <= 0.5 * (1 + 1e-12)
    for before, after in zip(wind, limited, strict=True):
        assert (np.abs(after) <= np.abs(before)).all()
        assert (after * before >= 0).all()
        assert (after == before).any()
    easy = 0.5 / number.max() * (1 - 1e-12)
    for before, after in zip(wind, limit_outflow(wind, any_grid, easy, 0.5, groups), strict=True):
        np.testing.assert_array_equal(before, after)


def test_limits_may_differ_along_a_batch(globe, random):
    """One wind, a limit for each field."""
    wind = face_velocity(*(50 * random.normal(size=(1, *globe.shape)) for _ in range(2)), globe)
    limits = np.array([0.1, 0.5])[:, None, None]
    limited = limit_outflow(wind, globe, 1e5, limits)
    number = courant_number(limited, globe, 1e5).max((-1, -2))
    np.testing.assert_allclose(number, limits[:, 0, 0], rtol=1e-12)


def test_limiting_has_right_gradients(random):
    grid = box(4, 5)
    wind = random.normal(size=(4, 6)), random.normal(size=(5, 5))
    dt = 0.5 / np.median(courant_number(FaceVelocity(*wind), grid, 1.0))
    check_tangent_and_adjoint(lambda east, north: limit_outflow(FaceVelocity(east, north), grid, dt, 0.5), wind, random)
