"""The promise of the whole forecaster: a conserved tracer keeps its integral and sign for any weights.

Beside the tracer stand fields that the network drives wild; the wind that carries it is made from them, and partly
learned. Nothing is trained: the weights are drawn at random.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.sphere import integral
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import TRACER, config, forecaster, randomise, states, step_features, transport

from pinnwx.grid import Grid
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.rollout import rollout

NAMES = ("msl", "vo850", "tracer")
STEPS = 4
CASES = {
    "no rows on the poles": ("22.5deg", "", {}),
    "learned wind, rows on the poles": ("22.5deg+poles", "", {"learned_wind": True}),
    "learned wind and diffusivity": ("22.5deg", "learned_diffusivity = true\n", {"learned_wind": True}),
    "a deep ensemble": ("22.5deg", "", {"learned_wind": True}),
}


def compiled(name: str, options: str, tracer: dict, members: int):
    """The model, and `run(parameters, fields)`."""
    carried = {"wind": "rotational:vo850", "form": "flux", "scheme": "limited", "conserved": True} | tracer
    physics = (
        options + transport("vo850", wind="rotational:vo850", absolute_vorticity=True) + transport("tracer", **carried)
    )
    closure = "width = 16\nblocks = 1\nlearned_wind_width = 16\npatch_size = 1"
    model = f"networks = {members}"
    made = config(NAMES, grid=name, extra=TRACER, physics=physics, closure=closure, model=model)
    model = forecaster(made, Grid.parse(name))
    graph, _, fixed = nnx.split(model, nnx.Param, ...)
    times = step_features(STEPS, 2)

    @jax.jit
    def run(parameters, fields):
        return rollout(nnx.merge(graph, parameters, fixed), fields[:, None], times)

    return model, run


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_conserved_tracer_keeps_its_integral_and_sign_at_any_weights(case):
    name, options, tracer = CASES[case]
    grid = Grid.parse(name)
    model, run = compiled(name, options, tracer, 2 if case == "a deep ensemble" else 1)

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), scale=st.floats(-2, 0.5).map(lambda power: 10.0**power))
    def holds(seed, scale):
        fields = states(NAMES, grid, seed=seed)
        fields[:, 2] *= np.random.default_rng(seed).uniform(0, 1, fields[:, 2].shape) > 0.5  # holes with sharp edges
        randomise(model, seed, scale)
        if "diffusivity" in case:
            model.raw_diffusivity[...] = model.raw_diffusivity[...] * 100  # up to where the solver caps it
        forecasts = run(nnx.state(model, nnx.Param), jnp.asarray(fields))
        assert np.isfinite(forecasts).all()
        found = np.asarray(forecasts[:, :, 2])
        assert found.min() >= 0
        np.testing.assert_allclose(integral(found, grid), np.tile(integral(fields[:, 2], grid), (STEPS, 1)), rtol=1e-6)
        assert np.abs(found[-1] - fields[:, 2]).max() > 1e-3, "it has moved"

    holds()
    fields = jnp.asarray(states(NAMES, grid))
    randomise(model, 0, 1.0)
    change = np.abs(run(nnx.state(model, nnx.Param), fields)[-1] - fields).max(axis=(0, 2, 3))
    std = np.asarray(networks_of(model)[0].inputs.std[...])
    assert (change[:2] > 10 * std[:2, 0, 0]).all(), "or the test would be empty"
