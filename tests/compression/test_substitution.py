"""Substitution: what the channels that stay can tell of those that go is kept, in every reader."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import advanced, begun, config, fields_of, forecaster, randomise, transport

from pinnwx.compression.channels import remove_channels
from pinnwx.compression.substitution import MOST, _after, _some, capture_activations, substitutes
from pinnwx.model.closures.channels import Slot
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.time_features import TimeFeatures
from pinnwx.training.update import Source

COUPLED = "coupling_steps = 2\n" + transport("t850")
KINDS = {
    "plain": {"closure": "patch_size = 2"},
    "fine": {"closure": "patch_size = 1"},
    "mirrored": {"closure": "patch_size = 2\nhemispheric_symmetry = true"},
    "experts": {"closure": "patch_size = 2\nexperts = 2"},
}
WINDOWS = [jnp.asarray([[0, 1], [2, 3], [4, 5]], jnp.int32), jnp.asarray([[6, 7], [8, 9], [10, 11]], jnp.int32)]


def model_of(kind, seed=0):
    options = dict(KINDS[kind])
    options["closure"] = "width = 16\nblocks = 2\nfine_width = 16\n" + options["closure"]
    model = forecaster(config(**options))
    randomise(model, seed, 0.3)
    return model


def source_of(model):
    """Twelve states of any kind."""
    generator = np.random.default_rng(3)
    spread = 5 * np.asarray(model.inputs.increment_std[...])
    fields = spread * generator.normal(size=(12, len(spread), *model.inputs.grid.shape))
    return Source(jnp.asarray(fields, jnp.float32), TimeFeatures(*jnp.zeros((5, 12))))


def stepped(model, source):
    """What it makes of each state."""
    analyses, time = source.fields[:, None], source.time
    return np.asarray(fields_of(model, advanced(model, begun(model, analyses, time), time), time))


def doubled(weights, group, kept, gone) -> None:
    """Makes channels twins of others, twice as large, in place: so is what comes after a relu."""
    for slot in group.writers:
        values = np.moveaxis(weights[slot.array], slot.axis, 0)
        for copy in range(slot.copies):
            values[gone + copy * group.size] = 2.0 * values[kept + copy * group.size]


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_others_tell_exactly_go_without_a_trace(kind):
    """Of all groups at once, but those read through a normalisation: a twin is not the same to it as its double."""
    model = model_of(kind)
    source, groups = source_of(model), [group for group in model.channel_groups() if not group.scales]
    weights = {name: np.array(values) for name, values in named_weights(model).items()}
    chosen = {group.name: np.arange(group.size // 2) for group in groups}
    for group in groups:
        doubled(weights, group, chosen[group.name], np.arange(group.size // 2, group.size))
    set_weights(model, weights)
    expected = stepped(model, source)
    given = capture_activations(model, groups)(model, source, WINDOWS)
    left = []
    for found in (substitutes(groups, chosen, given, weights), None):
        smaller = model_of(kind)
        set_weights(smaller, remove_channels(weights, groups, chosen, found))
        left.append(np.abs(stepped(smaller, source) - expected).max())
    unit = np.abs(expected - np.asarray(source.fields)).max()
    assert left[0] < 2e-3 * unit
    assert left[1] > 20 * left[0]


@pytest.mark.parametrize("kind", KINDS)
def test_substitutes_come_nearer_than_doing_without(kind):
    model = model_of(kind)
    source, groups, weights = source_of(model), model.channel_groups(), named_weights(model)
    generator = np.random.default_rng(0)
    chosen = {group.name: np.sort(generator.permutation(group.size)[: 3 * group.size // 4]) for group in groups}
    given = capture_activations(model, groups)(model, source, WINDOWS[:1])
    expected, errors = stepped(model, source), []
    for found in (substitutes(groups, chosen, given, weights), None):
        smaller = model_of(kind)
        set_weights(smaller, remove_channels(weights, groups, chosen, found))
        errors.append(np.square(stepped(smaller, source) - expected).mean())
    assert errors[0] < errors[1]


def test_one_capture_serves_all_that_are_alike():
    one, other = model_of("plain"), model_of("plain", seed=1)
    source, groups = source_of(one), one.channel_groups()
    capture = capture_activations(one, groups)
    of_one, of_other, again = (capture(model, source, WINDOWS) for model in (one, other, one))
    shapes = {slot.array.removeprefix("closure/network/"): found.read.shape for slot, found in of_one.items()}
    rows, columns = one.inputs.grid.shape
    fine, coarse = 6 * rows * columns, 6 * rows * columns // 4
    assert shapes["decode/kernel"] == (fine, 16)
    assert shapes["fold/kernel"] == (fine, 16), "each cell of a patch"
    assert shapes["blocks/1/narrow/kernel"] == (coarse, 32)
    for slot, found in of_one.items():
        np.testing.assert_array_equal(found.read, again[slot].read)
        assert np.abs(found.read - of_other[slot].read).max() > 0
        assert (found.read >= 0).all() or "narrow" not in slot.array, "after a relu"
        assert (found.read is found.plain) == (not slot.norm) or not slot.norm


def test_several_coupling_steps_are_captured_one_by_one():
    model = forecaster(config(closure="width = 16\nblocks = 1\npatch_size = 2", physics=COUPLED))
    given = capture_activations(model, model.channel_groups())(model, source_of(model), WINDOWS)
    (read,) = (found.read for slot, found in given.items() if slot.array.endswith("narrow/kernel"))
    rows, columns = model.inputs.grid.shape
    assert read.shape == (2 * 6 * rows * columns // 4, 32)


def test_what_is_normalised_among_fewer_is_what_the_smaller_layer_makes():
    generator = np.random.default_rng(0)
    values = generator.normal(1.0, 2.0, (50, 24)).astype(np.float32)
    kept = np.sort(generator.permutation(24)[:10])
    weights = {"norm/scale": generator.normal(size=24), "norm/bias": generator.normal(size=24)}
    layer = nnx.LayerNorm(10, rngs=nnx.Rngs(0))
    layer.scale[...], layer.bias[...] = (jnp.asarray(weights[f"norm/{part}"][kept]) for part in ("scale", "bias"))
    found = _after(Slot("input_convolution/kernel", 2, norm="norm"), values[:, kept], kept, weights)
    np.testing.assert_allclose(found, layer(jnp.asarray(values[:, kept])), rtol=1e-5, atol=1e-5)


def test_no_more_cells_are_looked_at_than_are_worth_it():
    values = jnp.zeros((8, 100, 200, 3))
    assert _some(values, 1).shape[0] <= MOST
    assert 4 * _some(values, 4).shape[0] <= MOST + 4
    assert _some(values[:1, :10], 1).shape == (2000, 3), "few are all taken"
