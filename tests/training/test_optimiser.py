"""The directions that the optimisers make of a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest

from pinnwx.training.optimiser import optimiser

SHAPES = {"convolution": (3, 3, 8, 16), "linear": (24, 8), "bias": (16,), "gate": (2, 1, 1)}
KINDS = pytest.mark.parametrize("kind", ["adam", "muon"])


def tree(seed: int) -> dict:
    generator = np.random.default_rng(seed)
    return {name: jnp.asarray(generator.standard_normal(shape), jnp.float32) for name, shape in SHAPES.items()}


def first_direction(kind: str, gradient: dict, **settings) -> dict:
    made = optimiser(kind, **{"weight_decay": 0.0, "clip_norm": 1e6, **settings})
    parameters = tree(1)
    return made.update(gradient, made.init(parameters), parameters)[0]


def spread(matrix) -> float:
    """The largest singular value over the smallest; a convolution is the matrix of window and inputs by outputs."""
    sizes = np.linalg.svd(np.asarray(matrix).reshape(-1, matrix.shape[-1]), compute_uv=False)
    return sizes[0] / sizes[-1]


def test_muon_moves_every_direction_of_a_matrix_alike():
    """Also where the gradient is thirty times larger along one direction than along another."""
    gradient = tree(2)
    for name in ("convolution", "linear"):
        gradient[name] *= jnp.asarray(np.geomspace(1, 30, gradient[name].shape[-1]), jnp.float32)
    muon, adam = first_direction("muon", gradient), first_direction("adam", gradient)
    for name in ("convolution", "linear"):
        assert spread(gradient[name]) > 20
        assert spread(muon[name]) < 2
    assert spread(adam["linear"]) > 2


def test_weights_of_one_shape_do_not_touch_each_other():
    """Each has the steps that muon gives it alone, over several updates: matrices, and vectors and gates by Adam."""
    shapes = {
        "first": "linear", "second": "linear", "third": "convolution", "fourth": "convolution", "bias": "bias",
        "other bias": "bias", "gate": "gate", "other gate": "gate",
    }  # fmt: skip
    dimensions = {
        "linear": optax.contrib.MuonDimensionNumbers((0,), (1,)),
        "convolution": optax.contrib.MuonDimensionNumbers((0, 1, 2), (3,)),
    }
    gradients, parameters = (
        {name: tree(seed)[shapes[name]] for seed, name in enumerate(shapes, first)} for first in (2, 20)
    )

    def steps(made, names):
        gradient, values = ({name: each[name] for name in names} for each in (gradients, parameters))
        state = made.init(values)
        for _ in range(3):
            direction, state = made.update(gradient, state, values)
            values = jax.tree.map(lambda p, d: p - 0.1 * d, values, direction)
            gradient = jax.tree.map(lambda g: g[..., ::-1] + 0.5, gradient)
        return values

    together = steps(optimiser("muon", weight_decay=0.1, clip_norm=1e6), shapes)
    for name, kind in shapes.items():
        alone = optax.contrib.muon(
            -1.0, consistent_rms=0.2, weight_decay=0.1, adam_b2=0.99,
            muon_weight_dimension_numbers={name: dimensions.get(kind)},
        )  # fmt: skip
        np.testing.assert_allclose(together[name], steps(alone, (name,))[name], rtol=1e-4, atol=1e-5, err_msg=name)


@KINDS
def test_a_step_follows_the_gradient(kind):
    gradient = tree(2)
    for name, direction in first_direction(kind, gradient).items():
        assert float(jnp.vdot(direction, gradient[name])) > 0, name


@KINDS
def test_the_size_of_the_gradient_does_not_matter(kind):
    gradient = tree(2)
    large, small = (first_direction(kind, jax.tree.map(lambda g, s=s: s * g, gradient)) for s in (30.0, 1.0))
    for name in SHAPES:
        np.testing.assert_allclose(large[name], small[name], rtol=0, atol=1e-3)


@KINDS
def test_a_learning_rate_means_about_the_same(kind):
    """Entries of a step of a matrix are between a tenth and one, in units of the learning rate."""
    direction = first_direction(kind, tree(2))
    for name in ("convolution", "linear"):
        assert 0.1 < float(jnp.sqrt(jnp.mean(direction[name] ** 2))) <= 1.0


@KINDS
def test_only_matrices_decay(kind):
    flat = jax.tree.map(jnp.zeros_like, tree(1))
    direction = first_direction(kind, flat, weight_decay=0.1)
    for name in ("convolution", "linear"):
        np.testing.assert_allclose(direction[name], 0.1 * tree(1)[name], rtol=1e-5)
    assert not np.any(direction["bias"])
