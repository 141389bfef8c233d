"""Widths: those channels stay that give most for the weights they take, layers share what may stay."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinnwx.compression.widths import TOGETHER, widths
from pinnwx.model.closures.channels import ChannelGroup, Slot


def layer(name: str, size: int, weights_each: int) -> tuple[ChannelGroup, dict[str, np.ndarray]]:
    return ChannelGroup(name, name, size, (Slot(f"{name}/kernel", 1),), ()), {
        f"{name}/kernel": np.zeros((weights_each, size))
    }


def kept(sizes, scores, keep, shared="global"):
    groups, weights = [], {}
    for name, (size, each) in sizes.items():
        group, own = layer(name, size, each)
        groups.append(group)
        weights |= own
    return widths(shared, groups, [scores], weights, keep, {name: size for name, (size, _) in sizes.items()})


def test_layers_keep_what_gives_most_for_its_weights():
    sizes = {"good": (32, 10), "poor": (32, 10)}
    scores = {"good": np.full(32, 2.0), "poor": np.full(32, 1.0)}
    assert kept(sizes, scores, 0.5) == {"good": 32 - TOGETHER, "poor": TOGETHER}, "no layer vanishes"
    dear = {"good": (32, 100), "poor": (32, 10)}
    assert kept(dear, scores, 0.5) == {"good": TOGETHER, "poor": 32 - TOGETHER}


def test_evenly_every_layer_keeps_the_same_share():
    sizes = {"one": (32, 10), "other": (20, 99)}
    scores = {"one": np.arange(32.0), "other": np.zeros(20)}
    assert kept(sizes, scores, 0.5, "uniform") == {"one": 16, "other": 10}


def test_groups_of_a_layer_stay_alike():
    groups = [ChannelGroup(f"hidden/{n}", "hidden", 16, (Slot(f"kernel/{n}", 0),), ()) for n in range(3)]
    groups.append(ChannelGroup("residual", "residual", 16, (Slot("kernel/0", 1),), ()))
    weights = {f"kernel/{n}": np.zeros((16, 16)) for n in range(3)}
    generator = np.random.default_rng(0)
    scores = [{group.name: generator.random(16) for group in groups} for _ in range(2)]
    found = widths("global", groups, scores, weights, 0.5, {"hidden": 16, "residual": 16})
    assert set(found) == {"hidden", "residual"}
    assert 3 * found["hidden"] + found["residual"] <= 32


@given(
    st.lists(st.tuples(st.integers(8, 130), st.integers(1, 500)), min_size=1, max_size=6),
    st.floats(0.1, 0.9),
    st.integers(0, 2**31),
)
def test_never_more_stays_than_was_asked_for(layers, keep, seed):
    sizes, generator = {str(n): one for n, one in enumerate(layers)}, np.random.default_rng(seed)
    scores = {name: generator.exponential(size=size) for name, (size, _) in sizes.items()}
    found = kept(sizes, scores, keep)
    total, least = sum(size for size, _ in layers), TOGETHER * len(layers)
    assert sum(found.values()) <= max(keep * total, least)
    assert sum(found.values()) > min(keep * total - TOGETHER, least - 1)
    assert all(0 < found[name] <= size for name, (size, _) in sizes.items())


def test_shares_are_of_what_there_was_at_first():
    group, weights = layer("one", 23, 1)
    scores = {"one": np.arange(23.0)}
    for shared in ("uniform", "global"):
        assert widths(shared, [group], [scores], weights, 0.5, {"one": 32}) == {"one": 16}
