"""Time integration has the order it claims, gradients that are true, and keeps what one Euler step keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.sphere import slope, ssprk3
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.errors import ConfigError
from pinnwx.physics.integrate import ADJOINTS, SOLVERS, integrate

ORDER = {"euler": 1, "heun": 2, "ssprk3": 3, "diffrax:Heun": 2, "diffrax:Bosh3": 3, "diffrax:Tsit5": 5}


def logistic(y, rate):
    return rate * y * (1 - y)


def exact_logistic(y, rate, time):
    return y * np.exp(rate * time) / (1 + y * (np.exp(rate * time) - 1))


@pytest.mark.parametrize("solver", ORDER)
def test_fitted_order(solver):
    start, duration, repeats = np.array([0.1, 0.3, 0.8]), 2.0, (1, 2, 4, 8)
    with jax.enable_x64(True):
        sixteen_steps = jax.jit(lambda y, rate: integrate(logistic, y, duration, 16, solver, rate))
        errors = []
        for repeat in repeats:  # the same time in 16, 32, 64 and 128 steps
            y = jnp.asarray(start)
            for _ in range(repeat):
                y = sixteen_steps(y, 1.5 / repeat)
            errors.append(np.linalg.norm(y - exact_logistic(start, 1.5, duration)))
    assert -0.1 < slope(errors, repeats) - ORDER[solver] < 0.3, errors


def test_ssprk3_is_the_method_of_shu_and_osher():
    start = jnp.linspace(0.1, 0.9, 5)
    with jax.enable_x64(True):
        start = jnp.asarray(start, jnp.float64)
        ours = integrate(logistic, start, 3.0, 7, "ssprk3", 1.1)
        theirs = ssprk3(lambda y, _: logistic(y, 1.1), start, 3.0, 7)
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_heun_is_that_of_diffrax():
    with jax.enable_x64(True):
        start = jnp.linspace(0.1, 0.9, 5)
        ours, theirs = (integrate(logistic, start, 3.0, 7, solver, 1.1) for solver in ("heun", "diffrax:Heun"))
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


@pytest.mark.parametrize("solver", ["ssprk3", "diffrax:Tsit5"])
def test_forward_and_reverse_mode_agree(solver):
    with jax.enable_x64(True):
        start, tangent, cotangent = (jnp.asarray(np.random.default_rng(n).uniform(0.1, 0.9, 5)) for n in range(3))

        @jax.jit
        def products():
            def end(y):
                return integrate(logistic, y, 1.5, 6, solver, 1.3, "direct")

            forward = jax.jvp(end, (start,), (tangent,))[1] @ cotangent
            return forward, jax.vjp(end, start)[1](cotangent)[0] @ tangent

        forward, reverse = products()
    assert float(forward) == pytest.approx(float(reverse), rel=1e-13)


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("solver", [*SOLVERS, "diffrax:Tsit5"])
def test_gradient_is_that_of_finite_differences(solver, adjoint):
    with jax.enable_x64(True):
        y = jnp.asarray([0.2, 0.5, 0.7])
        direction = jnp.asarray([1.0, -2.0, 0.5])

        def end(step):
            given = {"state": y + step * direction, "rate": 1.3 + 0.7 * step}
            after = integrate(logistic, given["state"], 1.5, 6, solver, given["rate"], adjoint)
            return jnp.sum(jnp.cos(3 * after))

        run = jax.jit(jax.value_and_grad(end))
        exact = float(run(0.0)[1])
        finite = float(run(1e-5)[0] - run(-1e-5)[0]) / 2e-5
    assert abs(exact) > 0.1
    assert exact == pytest.approx(finite, rel=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_linear_invariants_are_kept_to_round_off(solver):
    """Columns of the matrix sum to zero, so the sum of the state is an invariant; 1,000 steps."""
    matrix = np.random.default_rng(0).uniform(0, 1, (6, 6))
    matrix -= np.diag(matrix.sum(axis=0))
    with jax.enable_x64(True):
        start = jnp.asarray(np.random.default_rng(1).uniform(0, 1, 6))
        after = integrate(lambda y, a: a @ y, start, 20.0, 1000, solver, jnp.asarray(matrix))
        assert not np.allclose(after, start, rtol=0.01)
        assert float(after.sum()) == pytest.approx(float(start.sum()), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), solver=st.sampled_from(sorted(SOLVERS)))
def test_what_euler_keeps_every_solver_keeps(seed, solver):
    """First-order upwind at Courant number 1: positive, and within its bounds, to round-off."""
    generator = np.random.default_rng(seed)
    start = generator.uniform(0, 1, 32) * (generator.uniform(0, 1, 32) > 0.5)
    after = _upwind_run(jnp.asarray(start, jnp.float32), solver)
    assert float(after.min()) > -1e-6
    assert float(after.max()) < start.max() + 1e-6


def _upwind(y, _):
    return jnp.roll(y, 1) - y


_upwind_run = jax.jit(lambda y, solver: integrate(_upwind, y, 20.0, 20, solver), static_argnums=1)


def test_any_pytree_in_its_own_precision():
    state = {"a": jnp.ones(3), "b": (jnp.zeros((2, 2)),)}
    after = integrate(lambda y, _: jax.tree.map(lambda leaf: 0 * leaf + 1, y), state, 2.0, 4)
    np.testing.assert_allclose(after["a"], 3.0)
    np.testing.assert_allclose(after["b"][0], 2.0)
    assert after["a"].dtype == jnp.float32


def test_blow_up_is_not_hidden():
    after = integrate(lambda y, _: y * y * 1e30, jnp.ones(2), 1.0, 10, "euler")
    assert not np.isfinite(after).any()


def test_an_unknown_solver_is_refused():
    with pytest.raises(ConfigError, match='solver "rk4" is not one of euler, heun, ssprk3'):
        integrate(logistic, jnp.ones(1), 1.0, 1, "rk4")
