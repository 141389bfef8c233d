"""Substitution: what the channels that stay can tell of those that go is kept, in every reader."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import config, forecaster, randomise

from pinnwx.compression.channels import groups_of, without
from pinnwx.compression.substitution import readings, substitutes
from pinnwx.model.weights import named_weights, set_weights

KINDS = {"plain": "", "mirrored": "mirror = true", "experts": "experts = 2"}


def model_of(kind, seed=0):
    closure = f"width = 16\nblocks = 2\ncoarsen = 2\nfine_width = 16\n{KINDS[kind]}"
    model = forecaster(config(closure=closure))
    randomise(model, seed, 0.3)
    return model


def some_input(model, batch=6):
    generator = np.random.default_rng(3)
    spread = np.asarray(model.inputs.increment_std[...])
    fields = jnp.asarray(generator.normal(size=(batch, model.input_times, len(spread), *model.inputs.grid.shape)))
    mean = jnp.asarray(np.zeros_like(spread))
    return (mean + 5 * spread * fields).astype(jnp.float32), jnp.zeros((batch, 5))


def stepped(model, analyses, time):
    return np.asarray(model.observe(model.advance(model.start(analyses, time), time), time))


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_others_tell_exactly_go_without_a_trace(kind):
    """Of every group in turn, half of the channels are made sums of the others, as their readers see them."""
    model = model_of(kind)
    analyses, time = some_input(model)
    groups = groups_of(model)
    for group in groups:
        if group.name.endswith(("stream", "fine")):
            continue  # what reads them sees them through a normalisation, or added to others
        weights = {name: np.array(values) for name, values in named_weights(model).items()}
        kept, gone = np.arange(group.size // 2), np.arange(group.size // 2, group.size)
        for slot in group.writers:  # a twin of another channel, twice as large: so is what comes after a relu
            values = np.moveaxis(weights[slot.array], slot.axis, 0)
            values[gone] = 2.0 * values[kept]
        twin = model_of(kind)
        set_weights(twin, weights)
        expected = stepped(twin, analyses, time)
        given = readings(twin, [group], analyses, time, analyses[:, -1])
        chosen = {group.name: kept}
        made = without(weights, [group], chosen, substitutes([group], chosen, given, weights))
        blind = without(weights, [group], chosen)
        left = []
        for some in (made, blind):
            smaller = model_of(kind)
            set_weights(smaller, some)
            left.append(np.abs(stepped(smaller, analyses, time) - expected).max())
        unit = np.abs(expected - np.asarray(analyses[:, -1])).max()
        assert left[0] < 2e-3 * unit, group.name
        assert left[1] > 20 * left[0], group.name


@pytest.mark.parametrize("kind", KINDS)
def test_substitutes_come_nearer_than_doing_without(kind):
    model = model_of(kind)
    analyses, time = some_input(model, 12)
    groups, weights = groups_of(model), named_weights(model)
    generator = np.random.default_rng(0)
    chosen = {group.name: np.sort(generator.permutation(group.size)[: 3 * group.size // 4]) for group in groups}
    given = readings(model, groups, analyses[:6], time[:6], analyses[:6, -1])
    expected, errors = stepped(model, analyses[6:], time[6:]), []
    for found in (substitutes(groups, chosen, given, weights), None):
        smaller = model_of(kind)
        set_weights(smaller, without(weights, groups, chosen, found))
        errors.append(np.square(stepped(smaller, analyses[6:], time[6:]) - expected).mean())
    assert errors[0] < errors[1]


def test_readings_are_what_layers_are_given():
    model = model_of("plain")
    analyses, time = some_input(model)
    given = readings(model, groups_of(model), analyses, time, analyses[:, -1])
    shapes = {slot.array.removeprefix("closure/network/"): values.shape for slot, values in given.items()}
    rows, columns = model.inputs.grid.shape
    fine, coarse = 6 * rows * columns, 6 * rows * columns // 4
    assert shapes["decode/kernel"] == (fine, 16)
    assert shapes["fold/kernel"] == (fine, 16), "each of the folded cells"
    assert shapes["blocks/1/narrow/kernel"] == (coarse, 32)
    assert all((values >= 0).all() for slot, values in given.items() if "narrow" in slot.array), "after a relu"
