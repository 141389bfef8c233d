"""Deep ensembles: the mean of what their members forecast, step by step."""

import numpy as np
from synthetic import config, forecaster, forecasts, randomise, states, step_features

from pinnwx.grid import Grid
from pinnwx.model.deep_ensemble import DeepEnsemble, networks_of

NAMES = ("msl", "t850")


def ensemble(networks: int) -> DeepEnsemble:
    return forecaster(config(NAMES, model=f"networks = {networks}"))


def test_each_member_has_first_weights_of_its_own():
    networks = networks_of(ensemble(3))
    kernels = [np.asarray(network.closure.network.encode.kernel[...]) for network in networks]
    for number, kernel in enumerate(kernels):
        assert all((kernel != other).any() for other in kernels[:number])
    alone = forecaster(config(NAMES))
    assert networks_of(alone) == [alone]
    np.testing.assert_array_equal(alone.closure.network.encode.kernel[...], kernels[0])


def test_a_step_is_the_mean_of_the_steps_of_the_members():
    model = ensemble(3)
    randomise(model, 0, 0.2)
    analyses = states(NAMES, Grid.parse("22.5deg"))[:, None]
    times = step_features(2, 2)
    fields = analyses[:, 0]
    for number, forecast in enumerate(forecasts(model, analyses, times)):
        time = times.select(slice(number, number + 1))
        steps = [forecasts(network, fields[:, None], time)[0] for network in model.networks]
        fields = np.mean(steps, axis=0)
        spread = analyses.std((0, 1, 3, 4))[:, None, None]
        np.testing.assert_allclose((forecast - fields) / spread, 0, atol=1e-4)
    assert np.abs(np.subtract(*steps[:2]) / spread).max() > 0.01


def test_members_that_agree_are_not_rounded():
    """Pressure near 1e5 Pa has few digits to lose."""
    model = ensemble(3)
    analyses = states(NAMES, Grid.parse("22.5deg"))[:, None]
    np.testing.assert_array_equal(forecasts(model, analyses, step_features(1, 2))[0], analyses[:, 0])  # untrained
