"""Channels: what is taken away is gone from every array, and what nobody reads can go without a trace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import config, forecaster, randomise, silence, transport

from pinnwx.compression.channels import gate_gradients, remove_channels
from pinnwx.config import ClosureSettings
from pinnwx.errors import UsageError
from pinnwx.grid import Grid
from pinnwx.model.closures import closure_class
from pinnwx.model.features import FeatureSpec
from pinnwx.model.weights import like, named_weights, on_host, set_weights

GRID = Grid.parse("22.5deg")
PREFIX = "net"
FEATURES = (FeatureSpec("t850"), FeatureSpec("z500"), FeatureSpec("u500", pole_parity=-1.0))
MOVING = {"kind": "latent_transport", "patch_size": 2, "options": {"groups": 2, "channels": 4}}
KINDS = {
    "plain": {}, "patches": {"patch_size": 2}, "experts": {"experts": 2}, "latent_transport": MOVING,
    "latent_transport of one block": MOVING | {"options": {"groups": 2, "channels": 4, "blocks": 1}},
    "latent_transport with local terms": MOVING | {"options": {"groups": 2, "channels": 4, "terms": ["advection"]}},
    "latent_transport with a filter": MOVING | {"options": {"groups": 2, "channels": 4, "filtered": 6}},
    "latent_transport with noise": MOVING | {"noise": 2},
}  # fmt: skip


class Holder(nnx.Module):
    def __init__(self, network):
        self.net = network


def network_of(seed: int = 0, patch_size: int = 1, noise: int = 0, **options) -> Holder:
    settings = ClosureSettings(width=8, blocks=2, patch_size=patch_size, **options)
    kind, seen = closure_class(settings.resolved_kind), FEATURES + (FeatureSpec("noise", is_noise=True),) * noise
    holder = Holder(kind(GRID, seen, FEATURES, settings, rngs=nnx.Rngs(0)))
    randomise(holder, seed, 0.3)
    return holder


def features(noise: int = 0):
    return jnp.asarray(np.random.default_rng(1).standard_normal((2, *GRID.shape, 3 + noise), np.float32))


def channels_of(holder: Holder):
    return [group.below(PREFIX) for group in holder.net.channel_groups()]


@nnx.jit
def output(holder: Holder):
    return holder.net(features(holder.net.noise))


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_a_network_belongs_to_its_groups(kind):
    holder = network_of(**KINDS[kind])
    groups = channels_of(holder)
    for group in groups:
        for slot in group.slots:
            assert named_weights(holder)[slot.array].shape[slot.axis] == group.size * slot.copies, (group.name, slot)
    axes = {(slot.array, slot.axis) for group in groups for slot in group.slots}
    for name, values in named_weights(holder).items():
        fixed = {"net/encode/kernel": {2}, "net/decode/kernel": {3}, "net/decode/bias": {0}}.get(name, set())
        if "route" in name:  # its outputs are experts
            fixed = {values.ndim - 1}
        if any(f"/{layer}/" in name for layer in ("project", "move", "local")):  # their outputs are of moved channels
            fixed = {values.ndim - 1}
        if name.endswith(("/combine/kernel", "/modulation/kernel")):
            fixed = {0}
        whole = set(range(values.ndim)) - ({0, 1} if values.ndim == 4 else set()) - fixed
        assert whole == {axis for array, axis in axes if array == name}, name


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_reads_goes_without_a_trace(kind):
    generator = np.random.default_rng(0)
    for place, group in enumerate(channels_of(network_of(**KINDS[kind]))):
        holder = network_of(place, **KINDS[kind])
        weights, dead = named_weights(holder), np.sort(generator.permutation(group.size)[: group.size // 2])
        kept = np.setdiff1d(np.arange(group.size), dead)
        silence(weights, group, kept, dead)
        set_weights(holder, weights)
        expected = np.asarray(output(holder))
        smaller = remove_channels(weights, [group], {group.name: kept})
        assert sum(values.size for values in smaller.values()) < sum(values.size for values in weights.values())
        set_weights(holder, smaller)
        np.testing.assert_allclose(output(holder), expected, rtol=2e-4, atol=2e-4, err_msg=group.name)
        assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_gates_are_those_of_factors_on_what_is_read(kind):
    holder = network_of(**KINDS[kind])
    graph, parameters = nnx.split(holder)
    weights, groups = on_host(parameters), channels_of(holder)

    def loss(weights):
        return jnp.square(nnx.merge(graph, like(parameters, weights)).net(features(holder.net.noise))).mean()

    gradient = {name: np.asarray(values) for name, values in jax.jit(jax.grad(loss))(weights).items()}
    found = gate_gradients(groups, weights, gradient)
    for group in groups:

        def of_gates(gates, group=group):
            gated = dict(weights)
            for slot in group.readers:
                shape = [1] * gated[slot.array].ndim
                shape[slot.axis] = group.size * slot.copies
                gated[slot.array] = gated[slot.array] * jnp.tile(gates, slot.copies).reshape(shape)
            return loss(gated)

        expected = jax.jit(jax.grad(of_gates))(jnp.ones(group.size))
        np.testing.assert_allclose(found[group.name], expected, rtol=1e-3, atol=1e-6, err_msg=group.name)
        assert np.abs(expected).max() > 0


def test_a_fine_channel_gated_where_it_is_made_is_gated_where_it_is_read():
    """A factor on all readers is a factor on the channel itself: here by scaling what is written, before a relu."""
    holder = network_of()
    group = channels_of(holder)[0]
    weights = named_weights(holder)
    for slot in group.writers:
        np.moveaxis(weights[slot.array], slot.axis, 0)[:4] *= 0.5
    set_weights(holder, weights)
    made = np.asarray(output(holder))
    holder = network_of()
    weights = named_weights(holder)
    for slot in group.readers:
        np.moveaxis(weights[slot.array], slot.axis, 0)[:4] *= 0.5
    set_weights(holder, weights)
    np.testing.assert_allclose(output(holder), made, rtol=1e-4, atol=1e-5)


def test_the_closure_of_a_forecaster_and_of_no_other():
    carried = transport("t850", learned_wind=True)
    model = forecaster(config(physics=carried, closure="width = 16\nblocks = 1\nlearned_wind_width = 8"))
    names = {group.name for group in model.channel_groups()}
    assert names == {"fine", "residual", "blocks/0/input_convolution", "blocks/0/hidden"}, (
        "not the network of the learned wind"
    )
    with pytest.raises(UsageError, match="the model has no network"):
        forecaster(
            config(physics=carried.replace("learned_wind = true", ""), closure="enabled = false")
        ).channel_groups()
    with pytest.raises(UsageError, match='kind = "transport"'):
        forecaster(config(model='kind = "second_order"')).channel_groups()
