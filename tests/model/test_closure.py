"""The closure network: starts at zero, turns with the globe, and divides the grid or refuses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import (
    advanced,
    applied,
    begun,
    config,
    explained,
    fields_of,
    forecaster,
    randomise,
    states,
    step_features,
    transport,
)

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError, UsageError
from pinnwx.grid import Grid
from pinnwx.model.closures import Closure, ResidualClosure, Settings, closure_class, register
from pinnwx.model.convolution import SphereConv
from pinnwx.model.features import FeatureSpec
from pinnwx.model.space_to_depth import coarse_grid

BOX = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))


FEATURES = (FeatureSpec("t850"), FeatureSpec("z500"), FeatureSpec("u500", pole_parity=-1.0))
OUTPUTS = FEATURES[:2]


def network(grid: Grid, patch_size: int) -> ResidualClosure:
    settings = ClosureSettings(width=16, blocks=1, patch_size=patch_size)
    return ResidualClosure(grid, FEATURES, OUTPUTS, settings, rngs=nnx.Rngs(0))


CASES = [("22.5deg", 1), ("22.5deg", 2), ("11.25deg", 4), ("22.5deg+poles", 1)]


@pytest.mark.parametrize(("name", "patch_size"), CASES)
def test_equivariant_under_turns_by_whole_coarse_cells(name, patch_size):
    grid = Grid.parse(name)
    model = network(grid, patch_size)
    features = np.random.default_rng(0).standard_normal((1, *grid.shape, 3), np.float32)
    assert not applied(model, features).any(), "an untrained closure adds nothing"

    randomise(model, 0, 0.3)
    expected = np.roll(applied(model, features), 4, axis=2)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(applied(model, np.roll(features, 4, axis=2)), expected, rtol=1e-4, atol=1e-4)


def test_a_box_keeps_its_shape():
    assert applied(network(BOX, 2), np.ones((1, *BOX.shape, 3), np.float32)).shape == (1, *BOX.shape, 2)


@pytest.mark.parametrize(
    ("grid", "patch_size"),
    [(Grid.parse("22.5deg+poles"), 2), (Grid.parse("30deg"), 4), (Grid.parse("22.5deg+poles"), 4)],
    ids=["pole rows", "six rows by four", "pole rows by four"],
)
def test_a_grid_that_does_not_divide_is_refused(grid, patch_size):
    with pytest.raises(ConfigError, match=f"model.closure.patch_size = {patch_size} .* use patch_size = 1"):
        coarse_grid(grid, patch_size)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_coarse_cells_are_their_fine_cells(factor):
    fine = Grid.parse("11.25deg")
    coarse = coarse_grid(fine, factor)
    assert coarse.is_global
    assert coarse.shape == (16 // factor, 32 // factor)
    parts = fine.cell_area.reshape(-1, factor).sum(axis=1) * factor
    np.testing.assert_allclose(coarse.cell_area, parts, rtol=1e-12)


def shallow_closure():
    """A class of the user's own, in a few lines."""

    @register("shallow")
    class Shallow(Closure):
        class Options(Settings):
            scale: float = 1.0

        def __init__(self, grid, features, outputs, settings, *, rngs):
            signs = [feature.pole_parity for feature in features]
            self.scale = self.options(settings).scale
            self.convolution = SphereConv(grid, len(features), len(outputs), signs=signs, gain=0.0, rngs=rngs)

        def __call__(self, features):
            return self.scale * self.convolution(features)

    return Shallow


def test_a_closure_of_the_users_own_makes_a_forecast():
    own = shallow_closure()
    settings = config(closure='kind = "shallow"')
    model = forecaster(settings)
    assert isinstance(model.closure.network, own)
    analyses, time = (
        jnp.asarray(states(settings.data.fields, model.inputs.grid))[:, None],
        step_features(1, 2).select(0),
    )
    np.testing.assert_array_equal(
        fields_of(model, advanced(model, begun(model, analyses, time), time), time), analyses[:, 0]
    )
    randomise(model, 0, 0.1)
    forecast = fields_of(model, advanced(model, begun(model, analyses, time), time), time)
    assert np.isfinite(forecast).all()
    assert np.abs(forecast - analyses[:, 0]).max() > 1
    with pytest.raises(UsageError, match="a closure of type Shallow lists no channels"):
        model.channel_groups()


SCALED = 'kind = "shallow"\n[model.closure.options]\nscale = '


def test_every_network_is_of_the_kind_and_has_the_options_that_the_settings_name():
    own = shallow_closure()
    hybrid = forecaster(config(closure=SCALED + "3", physics=transport("t850", wind="none", learned_wind=True)))
    rival = forecaster(config(closure=SCALED + "3", model='kind = "second_order"'))
    networks = (hybrid.closure, hybrid.wind_network, rival.first_velocity, rival.acceleration, rival.emission)
    assert [(type(one.network), one.network.scale) for one in networks] == [(own, 3.0)] * 5


@pytest.mark.parametrize(
    ("closure", "message"),
    [
        (SCALED + '"wide"', r"model\.closure\.options: scale: Input should be a valid number.*options: scale$"),
        (SCALED.replace("scale", "scal") + "1", r'options: scal: Extra inputs .* did you mean "scale"\?'),
        ("[model.closure.options]\nscale = 1", r"scale: Extra inputs .*ResidualClosure has the options: none$"),
    ],
)
def test_options_that_a_closure_does_not_have_are_refused(closure, message):
    shallow_closure()
    with pytest.raises(ConfigError, match=message):
        forecaster(config(closure=closure))


def test_names_of_closures_are_known_once():
    own = shallow_closure()
    assert closure_class("shallow") is own
    with pytest.raises(
        ConfigError, match=r'"residual" of .* is already registered by pinnwx\.model\.closures\.residual'
    ):
        register("residual")(own)
    with pytest.raises(ConfigError, match=r'model\.closure\.kind = "magic" is not one of residual, experts'):
        forecaster(config(closure='kind = "magic"'))
    with pytest.raises(TypeError, match="abstract"):
        Closure()


def relaxing(rate: float = 0.0):
    """A model of two fields, in which transport changes one, whose closure relaxes both at this rate."""
    model = forecaster(
        config(
            ("msl", "t850"),
            physics=transport("t850", wind="geostrophic:msl"),
            closure='kind = "relaxation"\npatch_size = 1',
        )
    )
    model.closure.network.rate[...] = jnp.full(2, rate)
    return model


def test_fields_relax_towards_their_equilibrium():
    """The increment by the closure is -rate x, and the forcing of a place and nothing else where it is set."""
    fields, time = states(("msl", "t850"), Grid.parse("22.5deg"))[:, None], step_features(1, 2).select(0)
    assert not np.asarray(explained(relaxing(), fields, time).terms["network"]).any(), "untrained, it adds nothing"
    model = relaxing(0.1)
    source = explained(model, fields, time).terms["network"]
    scale, x = (
        np.asarray(model.inputs.increment_std[...]),
        np.asarray(model.inputs.standardised(jnp.asarray(fields[:, -1]))),
    )
    middle = slice(2, -2)  # without the rows that the polar filter smooths
    np.testing.assert_allclose(source[:, :, middle], (-0.1 * scale * x)[:, :, middle], rtol=1e-4, atol=1e-4)
    forced = model.closure.network.forcing
    forced[...] = forced[...].at[3, 5, 1].set(1.0)
    change = explained(model, fields, time).terms["network"] - source
    assert np.argwhere(np.abs(change[0]) > 1e-3 * scale.max()).tolist() == [[1, 3, 5]]
    assert change[0, 1, 3, 5] == pytest.approx(scale[1, 0, 0], rel=1e-4)


def test_without_transport_nothing_is_left_to_relaxation_that_cannot_be_stored():
    """A checkpoint takes no arrays of size zero."""
    model = forecaster(config(closure='kind = "relaxation"\npatch_size = 1'))
    assert all(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    fields, time = states(("msl", "t850"), Grid.parse("22.5deg"))[:, None], step_features(1, 2).select(0)
    assert not np.asarray(explained(model, fields, time).terms["network"]).any()


def test_relaxation_has_no_blocks_of_cells():
    with pytest.raises(ConfigError, match='kind = "relaxation" needs patch_size = 1, not 2'):
        forecaster(config(closure='kind = "relaxation"'))
