"""Convolution that knows the sphere: no seam at the date line, none at the poles, and its true gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import applied

from pinnwx.grid import Grid
from pinnwx.model.convolution import SphereConv, convolve

GRIDS = ["22.5deg", "22.5deg+poles"]


@jax.jit
def plain(features, kernel):
    """The sum over the window, written out."""
    rows, columns = features.shape[1] - 2, features.shape[2] - 2
    return sum(
        jnp.einsum("bijc,co->bijo", features[:, i : i + rows, j : j + columns], kernel[i, j])
        for i in range(3)
        for j in range(3)
    )


def extended(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the cells and of one more row and column on every side, beyond 90 degrees too."""
    step, turn = np.deg2rad(grid.latitude_spacing), np.deg2rad(grid.longitude_spacing)
    latitude = grid.latitude_radians[0] + step * np.arange(-1, grid.shape[0] + 1)
    longitude = grid.longitude_radians[0] + turn * np.arange(-1, grid.shape[1] + 1)
    return np.meshgrid(latitude, longitude, indexing="ij")


def scalar(lat, lon):
    """Smooth on the sphere, without symmetry; of the place in space, so going on beyond a pole comes by itself."""
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    return np.exp(0.7 * x - 0.4 * y + 0.5 * z) + x * y


def wind(lat, lon):
    """East and north component of a smooth vector field, in the basis that turns over with the meridian."""
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    vector = np.stack([1 + 0.3 * z, 0.5 - y * x, 0.2 + x])
    east = np.stack([-np.sin(lon), np.cos(lon), 0 * lon])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return (vector * east).sum(axis=0), (vector * north).sum(axis=0)


@pytest.mark.parametrize("name", GRIDS)
def test_no_seam_at_the_poles_or_the_date_line(name):
    """Smooth fields continue beyond the pole: there the convolution sees what it would see on a larger map."""
    grid = Grid.parse(name)
    layer = SphereConv(grid, 3, 4, signs=(1.0, -1.0, -1.0), rngs=nnx.Rngs(0))
    lat, lon = extended(grid)
    halo = np.stack([scalar(lat, lon), *wind(lat, lon)], axis=-1)[None]
    found = applied(layer, np.float32(halo[:, 1:-1, 1:-1]))
    expected = plain(np.float32(halo), layer.kernel[...])
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_box_repeats_its_edge():
    grid = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))
    layer = SphereConv(grid, 2, 3, signs=(1.0, -1.0), rngs=nnx.Rngs(0))
    features = np.random.default_rng(0).standard_normal((1, *grid.shape, 2), np.float32)
    expected = plain(np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"), layer.kernel[...])
    np.testing.assert_allclose(applied(layer, features), expected, atol=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_equivariant_under_a_turn_of_the_globe(name):
    grid = Grid.parse(name)
    layer = SphereConv(grid, 2, 3, signs=(1.0, -1.0), rngs=nnx.Rngs(0))
    features = np.random.default_rng(0).standard_normal((2, *grid.shape, 2), np.float32)
    turned = applied(layer, np.roll(features, 5, axis=2))
    np.testing.assert_allclose(turned, np.roll(applied(layer, features), 5, axis=2), atol=1e-5)


def test_the_written_gradient_is_that_of_the_convolution():
    with jax.enable_x64(True):
        draw = np.random.default_rng(0).standard_normal
        features, kernel, weight = draw((2, 6, 9, 3)), draw((3, 3, 3, 5)), draw((2, 4, 7, 5))

        def gradients(operator):
            return jax.value_and_grad(lambda *both: jnp.sum(weight * jnp.sin(operator(*both))), argnums=(0, 1))

        found, expected = (jax.jit(gradients(operator))(features, kernel) for operator in (convolve, plain))
        np.testing.assert_allclose(jax.jit(convolve)(features, kernel), plain(features, kernel), rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_it_differentiates_forward_to_second_order_and_in_batches():
    """As the sum written out, which JAX differentiates by itself."""
    with jax.enable_x64(True):
        draw = np.random.default_rng(0).standard_normal
        arguments = [draw(shape) for shape in 2 * [(2, 4, 5, 2)] + 2 * [(3, 3, 2, 3)]]

        def derivatives(operator):
            def energy(features, kernel):
                return jnp.sum(jnp.sin(operator(features, kernel)))

            def all_of(features, direction, kernel, other):
                both = (direction, other)
                tangent = jax.jvp(operator, (features, kernel), both)[1]
                curvature = jax.jvp(jax.grad(energy, argnums=(0, 1)), (features, kernel), both)[1]
                many = jax.vmap(jax.grad(energy, argnums=(0, 1)), in_axes=(1, None))(features[:, None], kernel)
                kernels = jax.vmap(operator, in_axes=(None, 0))(features, jnp.stack([kernel, other]))
                return tangent, curvature, many, kernels

            return jax.jit(all_of)(*arguments)

        found, expected = derivatives(convolve), derivatives(plain)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
