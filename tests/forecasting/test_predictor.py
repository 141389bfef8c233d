"""Forecasts as arrays: the right leads, from the right times, and never silently broken."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import tiny_trained, wave_archive

from pinnwx.data.calendar import time_features
from pinnwx.errors import StabilityError, UsageError
from pinnwx.forecasting.predictor import Predictor, check_finite

ARCHIVE = wave_archive(60)


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


def test_leads_are_picked_from_one_rollout(trained):
    rows = np.array([0, 7])
    every = Predictor(trained, [6, 12, 18, 24])(ARCHIVE.fields[rows], ARCHIVE.times[rows])
    some = Predictor(trained, [24, 12])(ARCHIVE.fields[rows], ARCHIVE.times[rows])
    assert every.shape == (2, 4, 2, 8, 16)
    np.testing.assert_array_equal(some, every[:, [3, 1]])


def test_each_step_sees_the_middle_of_its_own_interval(trained):
    start = ARCHIVE.times[5]
    found = Predictor(trained, [6, 12])(ARCHIVE.fields[5:6], ARCHIVE.times[5:6])[0]
    fields = jnp.asarray(ARCHIVE.fields[5:6])
    for step in range(2):
        middle = start + np.timedelta64(3 + 6 * step, "h")
        fields = trained.model.advance(fields, jnp.asarray(time_features(np.array([middle]))))
        scale = trained.normalisation.std[:, None, None]
        np.testing.assert_allclose((found[step] - fields[0]) / scale, 0, atol=1e-4)
    noon = Predictor(trained, [6])(ARCHIVE.fields[5:6], ARCHIVE.times[5:6] + np.timedelta64(12, "h"))
    assert np.abs((noon[0, 0] - found[0]) / scale).max() > 1e-3, "the hour matters"


@pytest.mark.parametrize("lead", [0, -6, 7, 3, 6.5])
def test_a_lead_that_is_no_step_is_refused(trained, lead):
    with pytest.raises(UsageError, match="no positive multiple of the model's step of 6 h"):
        Predictor(trained, [6, lead])


def test_what_is_not_finite_is_named(trained):
    forecast = np.zeros((2, 2, 8, 16), np.float32)
    check_finite(forecast, [6, 12], trained)
    forecast[1, 1, 2, 5] = np.inf
    with pytest.raises(StabilityError, match=r"t850 is not finite after 12 h at -33\.75 N"):
        check_finite(forecast, [6, 12], trained)
