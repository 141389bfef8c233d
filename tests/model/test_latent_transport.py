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


def closure(**options) -> LatentTransportClosure:
    settings = ClosureSettings(width=16, blocks=2, patch_size=2, options={"groups": 2, "channels": 8} | options)
    return LatentTransportClosure(GRID, FEATURES, FEATURES[:2], settings, rngs=nnx.Rngs(0))


def transport(motion: str = "transport", reach: float = CELL) -> LatentTransport:
    """One that moves 4 channels in two groups; it normalises nothing away, because its features have norm one."""
    options = LatentTransportOptions(groups=2, channels=4, reach=reach, motion=motion)
    return LatentTransport(GRID, 4, options, rngs=nnx.Rngs(0))


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


def test_north_is_up():
    change = changes(transport(), (0.0, 0.0), (1.0, 1.0))
    expected = np.asarray(waves()[..., 5:9, :] - waves()[..., 6:10, :])
    np.testing.assert_allclose(change[..., 6:10, :], expected, atol=0.01)


def test_a_displacement_of_many_cells_is_one_step():
    far = changes(transport(), (5.0, 0.0), (0.0, 0.0))[:, 0, :, 7:9]
    expected = np.asarray(jnp.roll(waves(), 5, axis=-1) - waves())[:, 0, :, 7:9]
    assert np.abs(far - expected).max() < 0.1, "a great circle of five cells leaves its row by little"


@pytest.mark.parametrize("motion", ["transport", "none"])
def test_nothing_moves_without_displacement(motion):
    still = changes(transport(motion), (0.0, 0.0), (0.0, 0.0))
    assert np.abs(still).max() < 1e-6
    moved = changes(transport(motion), (0.7, 1.0), (0.2, 0.4))
    assert (np.abs(moved).max() > 0.1) == (motion == "transport")


def test_the_filter_mixes_neighbours_and_no_cell_farther_away():
    model = transport("filter")
    weights = jnp.ones((1, 2, 9, *GRID.shape))
    point = jnp.zeros((1, 2, 2, *GRID.shape)).at[0, 1, 0, 8, 16].set(1.0)
    reached = np.argwhere(np.asarray(model._change(point, weights)))
    assert {tuple(cell) for cell in reached} == {(0, 1, 0, row, column) for row in (7, 8, 9) for column in (15, 16, 17)}


@pytest.mark.parametrize("motion", ["transport", "none", "filter"])
def test_an_untrained_closure_adds_nothing_and_turns_with_the_globe(motion):
    model = closure(motion=motion)
    features = np.random.default_rng(0).standard_normal((1, *GRID.shape, 3), np.float32)
    assert not applied(model, features).any()
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


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"options.channels = 9 is not a multiple of groups = 2"):
        closure(channels=9)
    with pytest.raises(ConfigError, match=r"reach: Input should be greater than 0"):
        closure(reach=0.0)
    with pytest.raises(ConfigError, match=r"motion: Input should be 'transport', 'none' or 'filter'"):
        closure(motion="wave")


def test_a_channel_that_no_layer_reads_can_be_removed():
    """Setting a channel of `residual` to zero in all its readers, or removing it, is the same."""
    model = closure()
    randomise(model, 0, 0.3)
    groups = {group.name: group for group in model.channel_groups()}
    weights = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
    names = {"/".join(map(str, path)) for path in weights}
    for group in groups.values():
        assert {slot.array for slot in group.slots} <= names
    layers = {slot.array for slot in groups["residual"].slots}
    assert {f"transports/{n}/{layer}/kernel" for n in (0, 1) for layer in ("project", "move", "combine")} <= layers


def test_a_learned_wind_beside_it_has_a_small_network_of_residual_blocks():
    own = 'kind = "latent_transport"\n[model.closure.options]\nchannels = 8\ngroups = 2'
    model = forecaster(
        config(closure=own, physics='[[model.physics.transport]]\nfield = "t850"\nwind = "none"\nlearned_wind = true')
    )
    assert isinstance(model.closure.network, LatentTransportClosure)
    assert type(model.wind_network.network).__name__ == "ResidualClosure"
    assert jax.tree.leaves(nnx.state(model.wind_network, nnx.Param))
