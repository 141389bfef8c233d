"""Forecasts as arrays: the right leads, from the right times, and never silently broken."""

import numpy as np
import pytest
from synthetic import config_text, forecasts, tiny_trained, wave_archive

from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.time_features import TimeFeatures

ARCHIVE = wave_archive(60)


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


def test_leads_are_picked_from_one_rollout(trained):
    rows = np.array([0, 7])
    every = Predictor(trained, [6, 12, 18, 24]).from_archive(ARCHIVE, ARCHIVE.times[rows])
    some = Predictor(trained, [24, 12]).from_archive(ARCHIVE, ARCHIVE.times[rows])
    assert every.shape == (2, 4, 2, 8, 16)
    np.testing.assert_array_equal(some, every[:, [3, 1]])


def test_each_step_sees_the_middle_of_its_own_interval(trained):
    start = ARCHIVE.times[5]
    found = Predictor(trained, [6, 12]).from_archive(ARCHIVE, ARCHIVE.times[5:6])[0]
    fields = ARCHIVE.fields[5:6]
    for step in range(2):
        middle = start + np.timedelta64(3 + 6 * step, "h")
        fields = forecasts(trained.model, fields[:, None], TimeFeatures.of(np.array([[middle]])))[0]
        scale = trained.normalisation.std[:, None, None]
        np.testing.assert_allclose((found[step] - fields[0]) / scale, 0, atol=1e-4)
    noon = Predictor(trained, [6])(ARCHIVE.fields[5:6, None], ARCHIVE.times[5:6] + np.timedelta64(12, "h"))
    assert np.abs((noon[0, 0] - found[0]) / scale).max() > 1e-3, "the hour matters"


def test_a_model_of_two_input_times_sees_both():
    predictor = Predictor(tiny_trained(config_text(model="input_times = 2")), [6, 12])
    assert predictor.input_offsets.tolist() == [np.timedelta64(-6, "h"), np.timedelta64(0, "h")]
    when = ARCHIVE.times[5:6]
    found = predictor.from_archive(ARCHIVE, when)
    np.testing.assert_array_equal(found, predictor(ARCHIVE.fields[None, 4:6], when))
    still = predictor(ARCHIVE.fields[None, [5, 5]], when)
    scale = predictor.trained.normalisation.std[:, None, None]
    assert np.abs((found - still) / scale).max() > 1e-3, "the analysis before matters"
    second = predictor(np.stack([ARCHIVE.fields[5], found[0, 0]])[None], when + np.timedelta64(6, "h"))
    np.testing.assert_allclose((second[0, 0] - found[0, 1]) / scale, 0, atol=1e-4)
    with pytest.raises(UnavailableError, match="no analysis at 2025-12-31T18:00Z; the data hold 2026-01-01T00:00Z to"):
        predictor.from_archive(ARCHIVE, ARCHIVE.times[:1])


@pytest.mark.parametrize("lead", [0, -6, 7, 3, 6.5, float("nan"), float("inf")])
def test_a_lead_that_is_no_step_is_refused(trained, lead):
    with pytest.raises(UsageError, match="not a positive multiple of the model's step of 6 h"):
        Predictor(trained, [6, lead])
