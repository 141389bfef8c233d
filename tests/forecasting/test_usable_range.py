"""How far a model can forecast before what it makes is refused: known of forecasts made up for it."""

import numpy as np
import pytest
from synthetic import config_text, tiny_trained, wave_archive

from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.usable_range import UsableRange, usable_range
from pinnwx.jobs.training_check import short_range

WHOLE = wave_archive(160)
ARCHIVE = WHOLE.select("2026-01-20", "2026-01-25")


def forecasts_that_are_spoilt(monkeypatch, step: int, start: int, spoil) -> UsableRange:
    """Forecasts that stay what the analysis is, but one, which is spoilt from a step on."""

    def made(predictor, archive, times, lateral_boundary=None):
        starts = np.searchsorted(archive.times, times)
        fields = np.repeat(archive.fields[starts][:, None], len(predictor.lead_hours), axis=1)
        spoil(fields[start, step:, 0])
        return fields

    monkeypatch.setattr(Predictor, "from_archive", made)
    found = usable_range(tiny_trained(config_text()), ARCHIVE)
    assert found is not None
    return found


def stripes(fields):
    fields += 5 * WHOLE.fields[:, 0].std() * (1 - 2 * (np.arange(fields.shape[-1]) % 2))


def infinite(fields):
    fields[:, 3, 4] = np.inf


def nothing(fields):
    pass


@pytest.mark.parametrize("step", [0, 1, 17, 39])
@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize(("spoil", "why"), [(stripes, "from cell to cell"), (infinite, "is unstable")])
def test_the_step_before_the_first_that_is_refused(monkeypatch, step, start, spoil, why):
    found = forecasts_that_are_spoilt(monkeypatch, step, start, spoil)
    assert (found.hours, found.tried_hours, found.is_whole) == (6.0 * step, 240.0, False)
    assert why in found.refusal
    assert f"after {6 * (step + 1)} h" in found.refusal
    line = short_range("0007", found)
    assert ("up to" in line) == (step > 0)
    assert "model.climate.smoothing_hours" in line


def test_all_may_pass(monkeypatch):
    found = forecasts_that_are_spoilt(monkeypatch, 0, 0, nothing)
    assert (found.hours, found.is_whole) == (240.0, True)


def test_without_analyses_to_start_from_it_is_unknown():
    trained = tiny_trained(config_text(model="input_times = 2"))
    assert usable_range(trained, WHOLE.select("2026-01-20T00:00", "2026-01-20T03:00")) is None
