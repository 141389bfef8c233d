"""Finished forecasts score as the same hindcasts do, and what cannot be compared is refused."""

import numpy as np
import pytest

from pinnwx.errors import DataError, GridError, MissingInputError, StabilityError, UnavailableError
from pinnwx.forecasting.cf import forecast_dataset, write_forecast
from pinnwx.verification.ensemble import crps, mean_square_spread
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
    with pytest.raises(DataError, match="verify them separately"):
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


def ensemble(archive, index, members=5, seed=0):
    """Forecasts that err by noise of their own about the truth, each member as much as the truth about it."""
    noise = np.random.default_rng(seed).standard_normal((members, len(LEADS), 2, *archive.grid.shape))
    steps = [index + lead // 6 for lead in LEADS]
    fields = (archive.fields[steps] + np.array([200.0, 1.0])[:, None, None] * noise).astype(np.float32)
    return forecast_dataset(fields, archive.names, archive.grid, archive.times[index], LEADS, provenance={}), fields


def test_ensembles_have_their_scores_besides(archive):
    """Against the functions of one ensemble, pooled by hand; the rest is that of the mean."""
    indices = (20, 24, 33)
    forecasts, fields = zip(*(ensemble(archive, index, seed=index) for index in indices), strict=True)
    result = verify_forecasts(list(forecasts), archive)
    weights, column, position = archive.grid.area_weights, LEADS.index(24), archive.names.index("t850")
    truth = np.stack([archive.fields[index + 4, position] for index in indices])
    members = np.stack([each[:, column, position] for each in fields], axis=1)
    entry = result.entry("t850", 24)
    expected = {
        "crps": crps(members, truth, weights).mean(),
        "spread": np.sqrt(mean_square_spread(members, weights).mean()),
        "mean_rmse_pooled": entry["rmse_pooled"],
    }
    for name, value in expected.items():
        assert entry[name] == pytest.approx(value, rel=1e-5), name
    assert result.settings["members"] == [5]
    (row,) = (row for row in result.ensemble_table() if row[:2] == ("t850 [K]", "24 h"))
    assert float(row[-1]) == pytest.approx(entry["spread"] / entry["mean_rmse_pooled"], abs=0.01)
    mean = verify_forecasts([each.mean("realization", keep_attrs=True) for each in forecasts], archive)
    assert "crps" not in mean.entry("t850", 24)
    assert mean.entry("t850", 24)["rmse"] == pytest.approx(entry["rmse"], rel=1e-6)


def test_ensembles_among_single_forecasts_have_no_scores_of_their_own(archive, climatology, caplog):
    single = forecast(archive, damped(archive, climatology), 28)
    result = verify_forecasts([ensemble(archive, 20)[0], single], archive)
    assert "crps" not in result.entry("msl", 24)
    assert result.entry("msl", 24)["n"] == 2
    assert "1 of 2 forecasts are ensembles" in caplog.text
    assert result.ensemble_table() == []
