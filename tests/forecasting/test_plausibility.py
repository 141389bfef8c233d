"""A forecast that no weather would make is refused though it has not blown up; weather, and good forecasts, pass."""

import dataclasses

import numpy as np
import pytest
from synthetic import tiny_trained, wave_archive

from pinnwx.errors import StabilityError
from pinnwx.forecasting.plausibility import implausibilities
from pinnwx.forecasting.stability import require_bounded, require_stable

ARCHIVE = wave_archive(60)
WHEN = ARCHIVE.times[10]
LEADS = (6, 12, 18)
ROWS, COLUMNS = np.indices(ARCHIVE.grid.shape)
PATTERNS = {
    "stripes along rows": 1.0 - 2 * (COLUMNS % 2),
    "stripes along columns": 1.0 - 2 * (ROWS % 2),
    "a chessboard": 1.0 - 2 * ((ROWS + COLUMNS) % 2),
    "a chessboard in one place": (1.0 - 2 * ((ROWS + COLUMNS) % 2)) * ((ROWS < 4) & (COLUMNS < 4)),
    "another area mean": np.ones(ARCHIVE.grid.shape),
}


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


def weather() -> np.ndarray:
    return ARCHIVE.fields[11:14].copy()


def odd(forecast, trained, analysis=None) -> list[str]:
    return list(implausibilities(forecast, LEADS, trained, WHEN, ARCHIVE.fields[10] if analysis is None else analysis))


def test_weather_passes(trained):
    assert odd(weather(), trained) == []
    require_stable(weather(), LEADS, trained, WHEN, ARCHIVE)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("field", [0, 1])
def test_noise_far_below_a_blow_up_is_refused(trained, pattern, field):
    """The pattern has the amplitude of the weather itself: a quarter of what would be a blow-up."""
    forecast = weather()
    amplitude = trained.climatology.maximum[field].max()
    forecast[1, field] += (amplitude * PATTERNS[pattern]).astype(np.float32)
    require_bounded(forecast, LEADS, trained, WHEN)
    (message,) = odd(forecast, trained)
    assert message.startswith(("msl", "t850")[field])
    assert "after 12 h, more than" in message
    with pytest.raises(StabilityError, match=r"is implausible: .* Nothing was written; go back"):
        require_stable(forecast, LEADS, trained, WHEN, ARCHIVE)
    forecast[1, field] = weather()[1, field] + 1e-3 * amplitude * PATTERNS[pattern]
    assert odd(forecast, trained) == []


def test_what_is_wrong_is_named_with_value_limit_and_units(trained):
    forecast = weather()
    forecast[2, 0] += 500 * PATTERNS["stripes along rows"]  # 5 hPa
    (message,) = odd(forecast, trained)
    assert "noise of 5" in message
    assert "hPa from cell to cell along its rows after 18 h" in message
    forecast = weather()
    forecast[0, 1] += 30
    (message,) = odd(forecast, trained)
    assert "t850" in message
    assert "area mean that changed by 30 K after 6 h" in message or "departs from climatology by" in message


def test_the_first_step_that_is_odd_is_named(trained):
    forecast = weather()
    forecast[1:, 0] += 800 * PATTERNS["a chessboard"]
    forecast[2:, 1] += 30 * PATTERNS["a chessboard"]
    (message,) = odd(forecast, trained)
    assert message.startswith("msl")
    assert "after 12 h" in message


def test_an_analysis_out_of_season_may_be_forecast_from(trained):
    """Four times the waves of the training time: the forecast may have as many, but no more than twice as many."""
    usual = trained.climatology.at(ARCHIVE.times[10:14])
    rough = usual + 4 * (ARCHIVE.fields[10:14] - usual)
    assert odd(rough[1:], trained), "from usual weather that is no forecast"
    assert odd(rough[1:], trained, rough[0]) == []
    assert odd(usual[1:] + 10 * (weather() - usual[1:]), trained, rough[0])


def test_a_field_that_is_the_same_everywhere_at_all_times_refuses_no_rounding(trained):
    still = dataclasses.replace(trained.climatology, largest=np.zeros_like(trained.climatology.largest))
    model = dataclasses.replace(trained, climatology=still)
    usual = still.at(ARCHIVE.times[10:14])
    rounded = (usual[1:] + 1e-4 * PATTERNS["a chessboard"]).astype(np.float32)
    assert odd(rounded, model, usual[0]) == []
