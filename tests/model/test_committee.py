"""Committees: the mean of what their members forecast, step by step."""

import jax.numpy as jnp
import numpy as np
from synthetic import config, forecaster, randomise, states, step_features

from pinnwx.grid import Grid
from pinnwx.model.committee import Committee, members_of
from pinnwx.model.rollout import rollout

NAMES = ("msl", "t850")


def committee(members: int) -> Committee:
    return forecaster(config(NAMES, model=f"members = {members}"))


def test_each_member_has_first_weights_of_its_own():
    members = members_of(committee(3))
    kernels = [np.asarray(member.closure.network.encode.kernel[...]) for member in members]
    for number, kernel in enumerate(kernels):
        assert all((kernel != other).any() for other in kernels[:number])
    alone = forecaster(config(NAMES))
    assert members_of(alone) == [alone]
    np.testing.assert_array_equal(alone.closure.network.encode.kernel[...], kernels[0])


def test_a_step_is_the_mean_of_the_steps_of_the_members():
    model = committee(3)
    randomise(model, 0, 0.2)
    analyses = jnp.asarray(states(NAMES, Grid.parse("22.5deg")))[:, None]
    times = step_features(2, 2)
    carry = analyses
    for forecast, time in zip(rollout(model, analyses, times), times, strict=True):
        steps = [member.advance(carry, time) for member in model.members]
        carry = jnp.mean(jnp.stack(steps), axis=0)
        spread = np.asarray(analyses).std((0, 1, 3, 4))[:, None, None]
        np.testing.assert_allclose((forecast - carry[:, -1]) / spread, 0, atol=1e-4)
    assert np.abs((steps[0] - steps[1])[:, -1] / spread).max() > 0.01


def test_members_that_agree_are_not_rounded():
    """Pressure near 1e5 Pa has few digits to lose."""
    model = committee(3)
    analyses = jnp.asarray(states(NAMES, Grid.parse("22.5deg")))[:, None]
    np.testing.assert_array_equal(rollout(model, analyses, step_features(1, 2))[0], analyses[:, 0])  # untrained
