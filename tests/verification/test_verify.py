"""Finished forecasts score as the same hindcasts do, and what cannot be compared is refused."""

import numpy as np
import pytest

from pinnwx.errors import DataError, GridError, MissingInputError, StabilityError, UnavailableError
from pinnwx.forecasting.cf import forecast_dataset, write_forecast
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.verify import verify_forecasts

LEADS = (6, 24)


def damped(archive, climatology):
    """A model: anomalies decay."""

    def rollout(indices):
        anomaly = archive.fields[indices] - climatology.mean
        return np.stack([climatology.mean + np.float32(np.exp(-lead / 48)) * anomaly for lead in LEADS], axis=1)

    return rollout


def forecast(archive, rollout, index, columns=(0, 1), leads=LEADS):
    keep = [LEADS.index(lead) for lead in leads]
    fields = rollout(np.array([index]))[0][keep][:, list(columns)]
    names = tuple(archive.names[column] for column in columns)
    return forecast_dataset(fields, names, archive.grid, archive.times[index], leads, provenance={})


def test_files_score_as_the_hindcasts_do(archive, climatology, tmp_path):
    rollout, indices = damped(archive, climatology), np.arange(30, 62)
    paths = []
    for index in indices:
        paths.append(tmp_path / f"{index}.nc")
        write_forecast(forecast(archive, rollout, index), paths[-1])
    result = verify_forecasts(paths[::-1], archive, climatology)
    expected = score_hindcasts(archive, rollout, climatology, archive.times[indices], LEADS)
    for one, other in zip(result.scores, expected.scores, strict=True):
        assert one.keys() == other.keys()
        for key, value in other.items():
            assert one[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
    assert result.skipped == expected.skipped


def test_other_leads_and_fewer_variables(archive, climatology):
    """Three forecasts of t850 alone; one of them is shorter, and one starts at no analysis."""
    rollout = damped(archive, climatology)
    forecasts = [
        forecast(archive, rollout, 20, columns=(1,)),
        forecast(archive, rollout, 24, columns=(1,), leads=(6,)),
        forecast(archive, rollout, 28, columns=(1,)),
    ]
    stray = forecasts[2].assign_coords(forecast_reference_time=archive.times[28] + np.timedelta64(1, "h"))
    result = verify_forecasts([*forecasts[:2], stray], archive, climatology)
    assert [(entry["variable"], entry["lead_hours"], entry["n"]) for entry in result.scores] == [
        ("t850", 5, 0), ("t850", 6, 2), ("t850", 23, 0), ("t850", 24, 1),
    ]  # fmt: skip
    assert result.skipped == {"initial_times_without_analysis": 1, "pairs_without_truth": 0}
    expected = score_hindcasts(archive, rollout, climatology, archive.times[[20, 24]], LEADS).entry("t850", 6)
    assert result.entry("t850", 6)["rmse"] == pytest.approx(expected["rmse"], rel=1e-9)
    assert result.entry("t850", 6)["acc"] == pytest.approx(expected["acc"], rel=1e-9)


def test_without_a_climatology_its_scores_are_null(archive, climatology):
    result = verify_forecasts([forecast(archive, damped(archive, climatology), 20)], archive)
    entry = result.entry("msl", 24)
    assert entry["acc"] is entry["climatology_rmse"] is entry["climatology_ratio"] is None
    assert entry["rmse"] > 0
    assert entry["persistence_ratio"] > 0


def test_what_cannot_be_compared_is_refused(archive, climatology, tmp_path):
    good = forecast(archive, damped(archive, climatology), 20)
    later = forecast(archive, damped(archive, climatology), 21)
    with pytest.raises(DataError, match="two forecasts start at 2026-01-06T00:00Z"):
        verify_forecasts([good, good.copy()], archive)
    with pytest.raises(DataError, match="verify them apart"):
        verify_forecasts([good, later.drop_vars("msl")], archive)
    with pytest.raises(DataError, match="no truth for q850"):
        verify_forecasts([good.rename(t850="q850")], archive)
    with pytest.raises(GridError, match="regrid"):
        verify_forecasts([good.assign_coords(longitude=good["longitude"] + 1)], archive)
    with pytest.raises(StabilityError, match="msl from 2026-01-06"):
        verify_forecasts([good.where(good["latitude"] > 0)], archive)
    with pytest.raises(MissingInputError):
        verify_forecasts([tmp_path / "absent.nc"], archive)
    with pytest.raises(UnavailableError):
        verify_forecasts([], archive)
    with pytest.raises(UnavailableError, match="nothing to score"):
        verify_forecasts([forecast(archive, damped(archive, climatology), len(archive) - 1)], archive)
