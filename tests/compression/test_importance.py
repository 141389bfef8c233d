"""Orders of importance: integrals add up to what a group takes off the loss, the dead come last, chance repeats."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import tiny_trained, wave_archive

from pinnwx.compression.importance import CRITERIA, importance, integrated
from pinnwx.data.windows import window_indices
from pinnwx.model.weights import like, named, named_weights, set_weights
from pinnwx.training.update import device_archive, make_gradient

ARCHIVE = wave_archive(60)
WINDOWS = window_indices(ARCHIVE.times, 6, 1)
BATCHES = [jnp.asarray(WINDOWS[start : start + 8]) for start in (0, 20, 40)]


@pytest.fixture(scope="module")
def model():
    return tiny_trained().model


@pytest.fixture(scope="module")
def gradient(model):
    scale = np.array([300.0, 5.0])[:, None, None]
    of_weights, source = make_gradient(model, ARCHIVE.grid, scale), device_archive(ARCHIVE, 6)
    return lambda weights, batch: of_weights(weights, batch, source)


def scored(criterion, model, gradient, seed: int = 0):
    return importance(criterion, model, model.channel_groups(), gradient, BATCHES, np.random.default_rng(seed))


def test_integrals_of_a_group_add_up_to_what_it_takes_off_the_loss(model, gradient):
    parameters = nnx.state(model, nnx.Param)
    weights, groups = named(parameters), model.channel_groups()
    found = integrated(parameters, groups, gradient, BATCHES, points=64)
    for group in groups:
        without_it = dict(weights)
        for slot in group.readers:
            without_it[slot.array] = jnp.zeros_like(weights[slot.array])
        gain = np.mean(
            [
                float(gradient(like(parameters, without_it), batch)[0]) - float(gradient(parameters, batch)[0])
                for batch in BATCHES
            ]
        )
        np.testing.assert_allclose(found[group.name].sum(), gain, rtol=2e-3, atol=1e-5, err_msg=group.name)


@pytest.mark.parametrize("criterion", ["taylor", "integrated"])
def test_what_nobody_reads_matters_nothing(criterion, model, gradient):
    living = nnx.clone(model)
    weights = named_weights(living)
    for group in living.channel_groups():
        for slot in group.readers:
            values = np.moveaxis(weights[slot.array], slot.axis, 0)
            for copy in range(slot.copies):
                values[copy * group.size : copy * group.size + 3] = 0
    set_weights(living, weights)
    for name, scores in scored(criterion, living, gradient).items():
        np.testing.assert_allclose(scores[:3], 0, atol=1e-12, err_msg=name)
        assert np.abs(scores[3:]).max() > 0, name


def test_taylor_is_the_mean_square_of_what_each_batch_says(model, gradient):
    groups = model.channel_groups()
    alone = [importance("taylor", model, groups, gradient, [batch], np.random.default_rng(0)) for batch in BATCHES]
    for name, scores in scored("taylor", model, gradient).items():
        np.testing.assert_allclose(scores, np.mean([one[name] for one in alone], axis=0), rtol=1e-4)


def test_each_order_scores_every_channel_and_they_differ(model, gradient):
    rankings = {criterion: scored(criterion, model, gradient) for criterion in CRITERIA}
    for group in model.channel_groups():
        ranks = {tuple(np.argsort(found[group.name])) for found in rankings.values()}
        assert len(ranks) == len(CRITERIA), group.name
    again = scored("random", model, gradient)
    other = scored("random", model, gradient, seed=1)
    for name, scores in rankings["random"].items():
        np.testing.assert_array_equal(scores, again[name])
        assert (scores != other[name]).any()
