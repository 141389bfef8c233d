"""Mixtures of experts: each takes its number of regions, does what it should there, and learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import applied, config, forecaster, forecasts, randomise, states, step_features

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures.experts import REGION, Experts
from pinnwx.model.closures.patched import mixed

GRID = Grid.parse("22.5deg")  # 8 x 16 cells, 32 regions
WIDTH = 6
mixed, expert_use = nnx.jit(mixed), nnx.jit(lambda model, features: model.use(features))


def experts(count: int, per_region: int = 1, seed: int = 0) -> Experts:
    model = Experts(GRID, WIDTH, 2 * WIDTH, WIDTH, count, per_region, rngs=nnx.Rngs(0))
    randomise(model, seed, 0.5)
    return model


def features(batch: int = 2, seed: int = 0):
    return np.random.default_rng(seed).standard_normal((batch, *GRID.shape, WIDTH), np.float32)


def softmax(values):
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


@pytest.mark.parametrize(("count", "per_region"), [(2, 1), (4, 1), (4, 2), (8, 3)])
def test_as_written_out_region_by_region(count, per_region):
    model, seen = experts(count, per_region), features()
    made, expected = applied(model, seen), np.zeros(seen.shape)
    rows, columns = GRID.shape[0] // REGION, GRID.shape[1] // REGION
    places = [(slice(i * REGION, i * REGION + REGION), slice(j * REGION, j * REGION + REGION))
              for i in range(rows) for j in range(columns)]  # fmt: skip
    for sample in range(len(seen)):
        means = np.stack([seen[sample][place].mean((0, 1)) for place in places])
        scores = softmax(means @ np.asarray(model.route.kernel[...]) + np.asarray(model.route.bias[...]))
        for expert in range(count):
            for region in np.argsort(-scores[:, expert])[: len(places) * per_region // count]:
                place = (sample, *places[region])
                own = np.asarray(mixed(seen[place], model.widen[expert], model.narrow[expert]))
                expected[place] += count / per_region * scores[region, expert] * own
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize(("count", "per_region"), [(4, 1), (4, 4), (8, 2)])
def test_the_load_is_balanced_whatever_the_weights(count, per_region):
    for seed in range(3):
        use = np.asarray(expert_use(experts(count, per_region, seed), features(seed=seed)))
        assert set(np.unique(use)) <= {0.0, 1.0}
        share = use.mean((1, 2))
        np.testing.assert_allclose(share, per_region / count, rtol=1e-6)
    assert (use.reshape(2, 4, REGION, 8, REGION, -1).std((2, 4)) == 0).all(), "whole regions"


def test_alike_experts_that_take_everything_are_one_pair_of_layers():
    model, seen = experts(4, 4), features()
    first = nnx.state(nnx.List([model.widen[0], model.narrow[0]]), nnx.Param)
    for widen, narrow in zip(model.widen, model.narrow, strict=True):
        nnx.update(nnx.List([widen, narrow]), first)
    nnx.update(model.route, jax.tree.map(jnp.zeros_like, nnx.state(model.route)))
    expected = mixed(seen, model.widen[0], model.narrow[0])
    np.testing.assert_allclose(applied(model, seen), expected, rtol=1e-4, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch():
    model, seen = experts(4), features(3)
    np.testing.assert_allclose(applied(model, seen)[1:2], applied(model, seen[1:2]), rtol=1e-5, atol=1e-5)


def test_router_and_every_expert_learn():
    model = experts(4)
    graph, weights = nnx.split(model)

    @jax.jit
    @jax.grad
    def gradient(weights):
        return jnp.square(nnx.merge(graph, weights)(jnp.asarray(features()))).mean()

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(weights)):
        assert np.abs(leaf).max() > 0, path


def test_a_forecaster_with_experts_turns_with_the_globe():
    settings = config(closure="width = 16\nblocks = 2\npatch_size = 1\nexperts = 4\nhemispheric_symmetry = true")
    model = forecaster(settings)
    randomise(model, 0, 0.1)
    analyses, time = states(settings.data.fields, GRID)[:, None], step_features(2, 2)
    forecast = forecasts(model, analyses, time)
    assert np.isfinite(forecast).all()
    network = model.closure.network
    seen = np.random.default_rng(1).standard_normal((1, *GRID.shape, len(network.encode.signs)), np.float32)
    turned = np.roll(applied(network, seen), REGION, axis=2)
    np.testing.assert_allclose(applied(network, np.roll(seen, REGION, axis=2)), turned, rtol=1e-4, atol=1e-4)
    use = np.asarray(nnx.jit(lambda network, features: network.expert_use(features))(network, seen))
    assert use.shape == (1, *GRID.shape, 4)
    np.testing.assert_allclose(use.mean((1, 2)), 0.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("closure", "told"),
    [
        ("experts = 3", r"model.closure.experts = 3 .* the 8 x 16 cells"),
        ("experts = 2\nexperts_per_region = 3", "experts_per_region = 3 of only 2 experts"),
    ],
)
def test_what_does_not_divide_is_refused(closure, told):
    with pytest.raises(ConfigError, match=told):
        forecaster(config(closure=f"width = 16\nblocks = 1\npatch_size = 1\n{closure}"))
