"""Derivatives against differences, and the adjoint against the tangent, with two compilations."""

import jax
import jax.numpy as jnp
import numpy as np


def check_tangent_and_adjoint(function, arguments, rng, step: float = 1e-6, rtol: float = 1e-5) -> None:
    """Asserts J d = df/dd by centred differences in a random direction d, and <w, J d> = <J^T w, d> for a random w.

    `check_grads` of JAX does the same, and compiles a program for every part of it.
    """

    def random(like):
        return np.asarray(rng.normal(size=like.shape), like.dtype)

    arguments = tuple(map(np.asarray, arguments))
    direction = tuple(map(random, arguments))
    weight = jax.tree.map(random, jax.eval_shape(function, *arguments))

    def dot(one, other):
        return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))

    @jax.jit
    def products(arguments, direction, weight):
        _, tangent = jax.jvp(function, arguments, direction)
        adjoint = jax.vjp(function, *arguments)[1](weight)
        return tangent, dot(weight, tangent), dot(adjoint, direction)

    tangent, forward, backward = products(arguments, direction, weight)
    compiled = jax.jit(function)
    after, before = (
        compiled(*(x + way * step * d for x, d in zip(arguments, direction, strict=True))) for way in (1, -1)
    )
    difference = jax.tree.map(lambda after, before: np.subtract(after, before) / (2 * step), after, before)
    for exact, estimate in zip(jax.tree.leaves(tangent), jax.tree.leaves(difference), strict=True):
        np.testing.assert_allclose(exact, estimate, rtol=rtol, atol=rtol * np.abs(exact).max())
    np.testing.assert_allclose(forward, backward, rtol=1e-10)
