"""The lateral boundary: what is given is kept, nothing else of it is read, and the box hears of it in one step."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact.programs import compiled
from synthetic import config, forecaster, forecasts, randomise, states, step_features, transport

from pinnwx.errors import ConfigError, UsageError
from pinnwx.grid import Grid
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.rollout import rollout
from pinnwx.operators.calculus import laplacian

RANDOM = np.random.default_rng(0)
BOX = Grid(tuple(np.linspace(30, 60, 11).tolist()), tuple(np.linspace(-20, 16, 13).tolist()))


def ring(width: int) -> np.ndarray:
    """Where the edge is, told apart by distance from the border."""
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in BOX.shape)
    return np.minimum(rows[:, None], columns) < width


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_extension_is_harmonic_and_meets_the_edge(width):
    change = RANDOM.standard_normal((2, 3, *BOX.shape)).astype(np.float32)
    seen = compiled(LateralBoundary(BOX, width).extended)(change)
    at_edge = ring(width)
    np.testing.assert_array_equal(seen[..., at_edge], change[..., at_edge])
    inner = Grid(BOX.latitude[width:-width], BOX.longitude[width:-width])
    around = seen[..., width - 1 : BOX.shape[0] - width + 1, width - 1 : BOX.shape[1] - width + 1]
    inside = seen[..., width:-width, width:-width]
    curvature = compiled(laplacian)(inside, inner, around)
    scale = np.abs(change).max() / inner.meridional_spacing**2
    np.testing.assert_allclose(curvature / scale, 0, atol=1e-5)
    innermost = ring(width) & ~ring(width - 1)
    told = change[..., innermost]
    assert (inside <= told.max(-1)[..., None, None] + 1e-5).all(), "a harmonic field has its extremes at the edge"
    assert (inside >= told.min(-1)[..., None, None] - 1e-5).all()


def test_a_constant_change_is_extended_by_itself():
    change = np.full((1, 1, *BOX.shape), 3.0, np.float32)
    np.testing.assert_allclose(compiled(LateralBoundary(BOX, 2).extended)(change), change, rtol=1e-6)


def test_the_inside_of_the_change_is_not_looked_at():
    change, at_edge = RANDOM.standard_normal((1, 2, *BOX.shape)).astype(np.float32), ring(1)
    other = np.where(at_edge, change, 1e3 * RANDOM.standard_normal(change.shape)).astype(np.float32)
    extended = compiled(LateralBoundary(BOX, 1).extended)
    np.testing.assert_array_equal(extended(change), extended(other))


def regional(coupling_steps: int = 1, width: int = 1, members: int = 1, blocks: int = 4):
    """A model with a lateral boundary of random weights, its analyses, and what drives it for two steps."""
    physics = f"coupling_steps = {coupling_steps}\n" + transport("t850", wind="geostrophic:z500")
    model = f"boundary_width = {width}\ninput_times = 2\nnetworks = {members}"
    settings = config(
        ("z500", "t850"),
        grid="native",
        physics=physics,
        model=model,
        closure=f"width = 16\nblocks = {blocks}\npatch_size = 1",
    )
    made = forecaster(settings, BOX)
    randomise(made, 0, 0.1)
    fields = states(("z500", "t850"), BOX, 8)
    return made, fields[:4].reshape(2, 2, 2, *BOX.shape), fields[4:].reshape(2, 2, 2, *BOX.shape)


@pytest.mark.parametrize(("coupling_steps", "width", "members"), [(1, 1, 1), (2, 2, 1), (1, 1, 2)])
def test_outer_cells_are_as_told_for_any_weights(coupling_steps, width, members):
    model, analyses, lateral_boundary = regional(coupling_steps, width, members)
    made = forecasts(model, analyses, step_features(2, 2), lateral_boundary=lateral_boundary)
    at_edge = ring(width)
    np.testing.assert_array_equal(made[..., at_edge], lateral_boundary[..., at_edge])
    assert np.isfinite(made).all()
    assert np.abs(made - lateral_boundary)[..., ~at_edge].min() > 0


def test_a_driven_model_does_not_run_free():
    model, analyses, _ = regional()
    with pytest.raises(UsageError, match="needs the lateral boundary fields"):
        rollout(model, jnp.asarray(analyses), step_features(1, 2))


def test_only_the_edge_of_the_driving_fields_is_read():
    model, analyses, lateral_boundary = regional()
    times = step_features(2, 2)
    other = np.where(ring(1), lateral_boundary, 1e6 * RANDOM.standard_normal(lateral_boundary.shape)).astype(np.float32)
    made, same = (forecasts(model, analyses, times, lateral_boundary=d) for d in (lateral_boundary, other))
    np.testing.assert_array_equal(made, same)


def test_the_middle_of_the_box_hears_of_the_edge_in_one_step():
    """Of one cell of the edge, beyond what the convolutions reach."""
    model, analyses, lateral_boundary = regional(blocks=1)  # reaches three cells; the middle is five away
    changed = lateral_boundary.copy()
    changed[0, :, :, 0, BOX.shape[1] // 2] += 1e3
    made, other = (
        forecasts(model, analyses, step_features(1, 2), lateral_boundary=d[:1]) for d in (lateral_boundary, changed)
    )
    middle = (..., BOX.shape[0] // 2, BOX.shape[1] // 2)
    assert np.abs(made - other)[middle].min() > 0
    assert np.abs(made - other)[..., -2, 1].max() < np.abs(made - other)[..., 1, BOX.shape[1] // 2].max()


def test_what_cannot_be_driven_is_refused():
    with pytest.raises(ConfigError, match="needs a box with an edge on every side"):
        LateralBoundary(Grid.parse("22.5deg"), 1)
    with pytest.raises(ConfigError, match="boundary_width = 5 leaves less than 3"):
        LateralBoundary(BOX, 5)
    with pytest.raises(ConfigError, match=r'boundary_width is for model\.kind = "transport"'):
        forecaster(config(model='kind = "second_order"\nboundary_width = 1', grid="native"), BOX)
