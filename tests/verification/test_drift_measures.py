"""The drift of a long forecast against numbers that are known, and what has no drift."""

from dataclasses import replace

import numpy as np
import pytest

from pinnwx.errors import DataError, GridError, UnavailableError
from pinnwx.verification.drift import measure_drift

LEADS = 6.0 * np.arange(1, 9)


@pytest.fixture
def forecast(archive):
    """The analyses of the days that are forecast: the truth itself."""
    return archive.fields[20 : 20 + len(LEADS)].copy()


def test_the_truth_has_the_climate_of_the_analyses(archive, climatology, forecast):
    drift = measure_drift(forecast, archive.times[19], LEADS, archive, climatology)
    weights = archive.grid.area_weights
    expected = (weights * forecast.astype(np.float64)).mean((-2, -1))
    np.testing.assert_allclose(drift.area_mean, expected)
    np.testing.assert_allclose(drift.days, LEADS / 24)
    assert drift.names == archive.names
    assert (drift.departure < 5).all()
    np.testing.assert_allclose(drift.variance_ratio, 1, atol=0.5)


def test_a_uniform_offset_is_a_departure_and_a_bias(archive, climatology, forecast):
    offset = np.array([300.0, 2.0], np.float32)[:, None, None]
    before, after = (
        measure_drift(fields, archive.times[19], LEADS, archive, climatology)
        for fields in (forecast, forecast + offset)
    )
    shift = (after.area_mean - before.area_mean) / before.sigma
    np.testing.assert_allclose(shift, np.ones((8, 1)) * offset[:, 0, 0] / before.sigma, rtol=1e-3)
    assert (after.bias > before.bias).all()
    np.testing.assert_allclose(after.variance_ratio, before.variance_ratio, rtol=1e-3)


def test_twice_the_waves_have_four_times_the_variance(archive, climatology, forecast):
    mean = (archive.grid.area_weights * forecast).mean((-2, -1), keepdims=True)
    doubled = (2 * forecast - mean).astype(np.float32)
    before, after = (
        measure_drift(fields, archive.times[19], LEADS, archive, climatology) for fields in (forecast, doubled)
    )
    np.testing.assert_allclose(after.variance_ratio, 4 * before.variance_ratio, rtol=1e-3)


def test_what_has_no_drift_is_refused(archive, climatology, forecast):
    def drift(archive=archive, fields=forecast):
        return measure_drift(fields, archive.times[0], LEADS, archive, climatology)

    with pytest.raises(DataError, match="not finite"):
        drift(fields=np.full_like(forecast, np.nan))
    with pytest.raises(UnavailableError, match="1 analyses of the training time"):
        drift(replace(archive, times=archive.times[:1], fields=archive.fields[:1]))
    grid = replace(archive.grid, longitude=tuple(each / 2 for each in archive.grid.longitude))
    with pytest.raises(GridError, match="does not close around the globe"):
        drift(replace(archive, grid=grid))
