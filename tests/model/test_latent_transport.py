"""Latent transport: channels move as the displacement says, the placebos move nothing, and all of it can be pruned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import applied, config, forecaster, randomise

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures import LatentTransportClosure
from pinnwx.model.closures.latent_transport import LatentTransport, LatentTransportOptions
from pinnwx.model.features import FeatureSpec

FEATURES = (FeatureSpec("t850"), FeatureSpec("z500"), FeatureSpec("u500", pole_parity=-1.0))
GRID = Grid.parse("11.25deg")
CELL = 1250.98  # km: 11.25 degrees on the equator


def closure(grid: Grid = GRID, patch_size: int = 2, **options) -> LatentTransportClosure:
    options = {"groups": 2, "channels": 8} | options
    settings = ClosureSettings(width=16, blocks=2, patch_size=patch_size, options=options)
    return LatentTransportClosure(grid, FEATURES, FEATURES[:2], settings, rngs=nnx.Rngs(0))


def transport(motion: str = "transport", reach: float = CELL, grid: Grid = GRID) -> LatentTransport:
    """One that moves 4 channels in two groups."""
    options = LatentTransportOptions(groups=2, channels=4, reach=reach, motion=motion)
    return LatentTransport(grid, 4, options, 0, rngs=nnx.Rngs(0))


def changes(model: LatentTransport, eastward: tuple[float, float], northward: tuple[float, float]) -> np.ndarray:
    """The change of smooth channels by these displacements of the two groups, in units of `reach`."""
    motion = jnp.stack([jnp.asarray(eastward), jnp.asarray(northward)], axis=1)[None, :, :, None, None]
    motion = jnp.broadcast_to(motion, (1, 2, 2, *GRID.shape))
    return np.asarray(model._change(waves(), motion))


def waves() -> jnp.ndarray:
    """Channels of long waves, two in each group."""
    longitude, latitude = GRID.longitude_radians, GRID.latitude_radians[:, None]
    each = [np.cos(k * longitude) * np.cos(latitude) ** k for k in (1, 2, 1, 2)]
    return jnp.asarray(np.stack(each).reshape(1, 2, 2, *GRID.shape), jnp.float32)


def test_each_group_moves_by_its_own_displacement():
    """By one cell east on the equator the first group is itself one column before; the second stays."""
    change = changes(transport(), (1.0, 0.0), (0.0, 0.0))
    assert np.abs(change[:, 1]).max() < 1e-6
    expected = np.asarray(jnp.roll(waves(), 1, axis=-1) - waves())[:, 0]
    rows = slice(7, 9)  # beside the equator, which a great circle leaves by 2 % of a cell here
    np.testing.assert_allclose(change[:, 0, :, rows], expected[..., rows, :], atol=0.01)
    assert np.abs(expected[..., rows, :]).max() > 0.3


@pytest.mark.parametrize("degree", [1, 3])
def test_half_a_cell_is_interpolated_by_polynomials_of_the_degree(degree):
    """On the equator: by the mean of two neighbours, or of four with the weights of a cubic."""
    options = LatentTransportOptions(groups=2, channels=4, reach=CELL, degree=degree)
    change = changes(LatentTransport(GRID, 4, options, 0, rngs=nnx.Rngs(0)), (0.5, 0.0), (0.0, 0.0))
    weights = {1: (0.5, 0.5), 3: (-1 / 16, 9 / 16, 9 / 16, -1 / 16)}[degree]
    first = -(len(weights) // 2 - 1)
    moved = sum(weight * np.roll(waves(), first + place, axis=-1) for place, weight in enumerate(weights))
    expected = np.asarray(moved - waves())[:, 0]
    rows = slice(7, 9)  # beside the equator
    np.testing.assert_allclose(change[:, 0, :, rows], expected[..., rows, :], atol=0.01)
    assert np.abs(change[:, 1]).max() < 1e-6


def test_north_is_up():
    change = changes(transport(), (0.0, 0.0), (1.0, 1.0))
    expected = np.asarray(waves()[..., 5:9, :] - waves()[..., 6:10, :])
    np.testing.assert_allclose(change[..., 6:10, :], expected, atol=0.01)


def test_a_displacement_of_many_cells_is_one_step():
    far = changes(transport(), (5.0, 0.0), (0.0, 0.0))[:, 0, :, 7:9]
    expected = np.asarray(jnp.roll(waves(), 5, axis=-1) - waves())[:, 0, :, 7:9]
    assert np.abs(far - expected).max() < 0.1, "a great circle of five cells leaves its row by little"


@pytest.mark.parametrize("name", ["11.25deg", "11.25deg+poles"])
@pytest.mark.parametrize("motion", ["transport", "none"])
def test_nothing_moves_without_displacement(motion, name):
    """On a row of a pole all columns are one point, so their mean is what stays."""
    grid = Grid.parse(name)
    model = transport(motion, grid=grid)
    channels = jnp.asarray(np.random.default_rng(0).standard_normal((1, 2, 2, *grid.shape), np.float32))
    assert np.abs(np.asarray(model._change(channels, jnp.zeros((1, 2, 2, *grid.shape))))).max() < 2e-5
    moved = np.asarray(model._change(channels, jnp.full((1, 2, 2, *grid.shape), 0.7)))
    assert np.abs(moved).max() > 1 if motion == "transport" else np.abs(moved).max() < 2e-5


@pytest.mark.parametrize(("northward", "source", "turn"), [(45.0, 16.875, 0), (-45.0, 73.125, 16)])
def test_channels_cross_the_pole(northward, source, turn):
    """What arrives at 62 N by 45 degrees from the south was at 17 N; from the north, at 73 N beyond the pole."""
    model = transport(reach=np.deg2rad(22.5) * 6371.0)
    motion = jnp.zeros((1, 2, 2, *GRID.shape)).at[:, :, 1].set(northward / 22.5)
    arrival, departure = (int(np.abs(np.asarray(GRID.latitude) - latitude).argmin()) for latitude in (61.875, source))
    arrived = np.asarray(model._change(waves(), motion) + waves())[..., arrival, :]
    np.testing.assert_allclose(arrived, np.roll(np.asarray(waves()), turn, axis=-1)[..., departure, :], atol=0.01)


def test_a_module_moves_the_channels_of_each_group_by_the_displacement_of_its_layer():
    """With layers set by hand: x + P^-1 (moved - P x) is x one column before, for the first group alone."""
    model = transport()
    model.project.kernel[...] = jnp.eye(4)
    model.combine.kernel[...] = jnp.eye(4)
    model.move.kernel[...] = jnp.zeros((4, 4))
    model.move.bias[...] = jnp.array([1.0, 0.0, 0.0, 0.0])  # eastward and northward of the first, then of the second
    fields = np.random.default_rng(0).standard_normal((1, *GRID.shape, 4)).astype(np.float32)
    normalised = np.asarray(model.norm(jnp.asarray(fields)))
    added = np.asarray(nnx.jit(lambda one, x: one(x, x[..., :0]))(model, jnp.asarray(fields)))
    assert np.abs(added[..., 2:]).max() < 1e-5
    smooth = np.roll(normalised, 1, axis=2) - normalised
    correlation = np.corrcoef(added[0, 7:9, :, :2].ravel(), smooth[0, 7:9, :, :2].ravel())[0, 1]
    assert correlation > 0.97, "on rows beside the equator, which a great circle nearly follows"


def test_the_filter_mixes_neighbours_and_no_cell_farther_away():
    model = transport("filter")
    weights = jnp.ones((1, 2, 9, *GRID.shape))
    point = jnp.zeros((1, 2, 2, *GRID.shape)).at[0, 1, 0, 8, 16].set(1.0)
    reached = np.argwhere(np.asarray(model._change(point, weights)))
    assert {tuple(cell) for cell in reached} == {(0, 1, 0, row, column) for row in (7, 8, 9) for column in (15, 16, 17)}


def test_channels_beside_the_moved_ones_are_filtered():
    """With weights of zero in the filter the closure is one without; a change in one place then stays there."""
    both, alone = closure(filtered=6), closure()
    assert [layer.motion for layer in (*both.transports, *both.filters)] == ["transport"] * 2 + ["filter"] * 2
    assert both.filters[0].project.kernel.shape[-1] == 6
    assert not alone.filters
    randomise(both, 0, 0.3)
    for part in ("encode", "fold", "blocks", "unfold", "decode", "transports"):
        nnx.update(getattr(alone, part), nnx.state(getattr(both, part)))
    features = np.random.default_rng(0).standard_normal((1, *GRID.shape, 3)).astype(np.float32)
    assert np.abs(applied(both, features) - applied(alone, features)).max() > 0.01
    for layer in both.filters:
        layer.combine.kernel[...], layer.combine.bias[...] = 0 * layer.combine.kernel[...], 0 * layer.combine.bias[...]
    np.testing.assert_allclose(applied(both, features), applied(alone, features), rtol=1e-5, atol=1e-5)


COEFFICIENTS = (0.3, -0.2, 0.5, 0.1, 0.4, -0.6)  # a_x, a_y, D_xx, D_yy, D_xy, r


@pytest.mark.parametrize(
    ("terms", "used"),
    [
        (("advection",), (0, 1)),
        (("diffusion",), (2, 3, 4)),
        (("reaction",), (5,)),
        (("advection", "diffusion", "reaction"), (0, 1, 2, 3, 4, 5)),
    ],
    ids=["advection", "diffusion", "reaction", "all"],
)
def test_local_terms_are_exact_for_polynomials_of_second_degree(terms, used):
    """a_x q_x + a_y q_y + D_xx q_xx + D_yy q_yy + D_xy q_xy + r q, in units of cells."""
    options = LatentTransportOptions(groups=2, channels=4, motion="none", terms=terms)
    model = LatentTransport(GRID, 4, options, 0, rngs=nnx.Rngs(0))
    y, x = np.meshgrid(np.arange(GRID.shape[0]), np.arange(GRID.shape[1]), indexing="ij")
    slopes = [2 + 0.2 * x + 0.3 * y, -1 + 0.3 * x + 0.4 * y, 0.2 + 0 * x, 0.4 + 0 * x, 0.3 + 0 * x]
    q = 1 + 2 * x - y + 0.1 * x**2 + 0.2 * y**2 + 0.3 * x * y
    expected = sum(COEFFICIENTS[number] * [*slopes, q][number] for number in used)
    coefficients = np.array([COEFFICIENTS[number] for number in used], np.float32)[:, None, None]
    second = np.zeros_like(coefficients)  # of the other group
    both = jnp.broadcast_to(jnp.stack([coefficients, second])[None], (1, 2, len(used), *GRID.shape))
    channels = jnp.broadcast_to(jnp.asarray(q, jnp.float32), (1, 2, 2, *GRID.shape))
    change = np.asarray(jax.jit(model._local)(channels, both))
    inside = (slice(1, -1), slice(1, -1))  # the polynomial has a seam, and no other side of the poles
    for own in range(2):
        np.testing.assert_allclose(change[0, 0, own][inside], expected[inside], rtol=1e-4, atol=2e-4)
    assert not change[0, 1].any()


def test_local_terms_cross_the_date_line_and_the_pole():
    """A channel of one cell has its neighbours where the globe has them."""
    options = LatentTransportOptions(groups=2, channels=4, motion="none", terms=("diffusion",))
    model = LatentTransport(GRID, 4, options, 0, rngs=nnx.Rngs(0))
    even = jnp.zeros((1, 2, 3, *GRID.shape)).at[:, :, :2].set(1.0)
    columns = GRID.shape[1]
    for row, column, reached in (
        (8, 0, {(8, 0), (8, 1), (8, columns - 1), (7, 0), (9, 0)}),
        (0, 3, {(0, 3), (0, 2), (0, 4), (1, 3), (0, 3 + columns // 2)}),
    ):
        point = jnp.zeros((1, 2, 2, *GRID.shape)).at[..., row, column].set(1.0)
        assert {tuple(cell) for cell in np.argwhere(np.asarray(model._local(point, even))[0, 0, 0])} == reached


@pytest.mark.parametrize(
    "others",
    [{}, {"terms": ("advection", "diffusion", "reaction")}, {"filtered": 4}],
    ids=["alone", "all terms", "filter beside"],
)
@pytest.mark.parametrize("motion", ["transport", "none", "filter"])
@pytest.mark.parametrize(("name", "patch_size"), [("11.25deg", 2), ("11.25deg+poles", 1)])
def test_it_turns_with_the_globe(motion, name, patch_size, others):
    grid = Grid.parse(name)
    model = closure(grid, patch_size, motion=motion, **others)
    features = np.random.default_rng(0).standard_normal((1, *grid.shape, 3), np.float32)
    randomise(model, 0, 0.3)
    expected = np.roll(applied(model, features), 4, axis=2)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(applied(model, np.roll(features, 4, axis=2)), expected, rtol=1e-3, atol=1e-3)


def test_the_network_learns_where_to_move_channels():
    """The gradient reaches the displacement where it is used, and is zero in the placebo without motion."""
    features = jnp.asarray(np.random.default_rng(0).standard_normal((2, *GRID.shape, 3), np.float32))

    def gradient(motion):
        model = closure(motion=motion)
        randomise(model, 0, 0.3)
        slopes = nnx.jit(nnx.grad(lambda one: jnp.mean(one(features) ** 2)))(model)
        return np.abs(np.asarray(slopes.transports[0].move.kernel[...])).max()

    assert gradient("transport") > 0
    assert gradient("none") == 0


def test_an_untrained_transport_changes_its_channels_and_the_placebo_without_motion_does_not():
    features = jnp.asarray(np.random.default_rng(0).standard_normal((2, *GRID.shape, 4)).astype(np.float32))
    sizes = {
        motion: np.abs(np.asarray(transport(motion)(features, features[..., :0]))).max()
        for motion in ("transport", "none", "filter")
    }
    assert sizes["none"] < 1e-5 < 0.05 < min(sizes["transport"], sizes["filter"])


def test_transport_precedes_as_many_blocks_as_are_set():
    """With the second transport set to zero, the closure equals one with `blocks = 1`."""
    both, first = closure(), closure(blocks=1)
    assert (len(both.transports), len(first.transports)) == (2, 1)
    randomise(both, 0, 0.3)
    for part in ("encode", "fold", "blocks", "unfold", "decode"):
        nnx.update(getattr(first, part), nnx.state(getattr(both, part)))
    nnx.update(first.transports[0], nnx.state(both.transports[0]))
    features = np.random.default_rng(0).standard_normal((1, *GRID.shape, 3)).astype(np.float32)
    assert np.abs(applied(first, features) - applied(both, features)).max() > 0.01
    combine = both.transports[1].combine
    combine.kernel[...], combine.bias[...] = 0.0 * combine.kernel[...], 0.0 * combine.bias[...]
    np.testing.assert_allclose(applied(first, features), applied(both, features), rtol=1e-5, atol=1e-5)


def test_a_box_has_no_poles():
    box = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))
    model = closure(box)
    randomise(model, 0, 0.3)
    assert np.isfinite(applied(model, np.ones((1, *box.shape, 3), np.float32))).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"options.channels = 9 is not a multiple of groups = 2"):
        closure(channels=9)
    with pytest.raises(ConfigError, match=r"options.filtered = 7 is not a multiple of groups = 2"):
        closure(filtered=7)
    with pytest.raises(ConfigError, match=r"options.blocks = 3 is more than the 2 blocks of model.closure"):
        closure(blocks=3)
    uneven = Grid.from_coordinates(np.linspace(-86, 86, 20), np.arange(0.0, 360.0, 10.0))
    with pytest.raises(ConfigError, match=r'closure.kind = "latent_transport" on .*; use "residual"'):
        closure(uneven, patch_size=1)
    with pytest.raises(ConfigError, match=r"reach: Input should be greater than 0"):
        closure(reach=0.0)
    with pytest.raises(ConfigError, match=r"motion: Input should be 'transport', 'none' or 'filter'"):
        closure(motion="wave")


def test_a_learned_wind_beside_it_has_a_small_network_of_residual_blocks():
    own = 'kind = "latent_transport"\n[model.closure.options]\nchannels = 8\ngroups = 2'
    model = forecaster(
        config(closure=own, physics='[[model.physics.transport]]\nfield = "t850"\nwind = "none"\nlearned_wind = true')
    )
    assert isinstance(model.closure.network, LatentTransportClosure)
    assert type(model.wind_network.network).__name__ == "ResidualClosure"
    assert jax.tree.leaves(nnx.state(model.wind_network, nnx.Param))
