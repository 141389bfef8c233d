"""Probabilistic baselines: what a dressed forecast and climatology know, and what they score."""

import numpy as np
import pytest

from pinnwx.data.archive import Archive
from pinnwx.forecasting.out_of_fold import OutOfFold
from pinnwx.grid import Grid
from pinnwx.verification.ensemble import crps, gaussian_crps
from pinnwx.verification.ensemble_scores import EnsembleAccumulator
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.probability_baselines import (
    FEWEST_FORECASTS,
    Case,
    ClimatologicalEnsemble,
    DressedForecast,
)

GRID = Grid.parse("22.5deg")
LEADS = (24, 72)
BIAS, STD = np.array([[2.0, -1.0], [3.0, 0.5]]), np.array([[1.0, 4.0], [2.0, 8.0]])  # (lead, field)
TROPICS = np.abs(np.asarray(GRID.latitude)) < 30


def errors(generator, count: int) -> np.ndarray:
    """Of known bias and size, twice as large in the tropics."""
    noise = generator.standard_normal((count, 2, 2, *GRID.shape)) * np.where(TROPICS, 2.0, 1.0)[:, None]
    return BIAS[..., None, None] + STD[..., None, None] * noise


def parts(month: str, count: int, factor: float = 1.0, seed: int = 0):
    """Forecasts of a month as those of the training time are given, in two batches."""
    generator = np.random.default_rng(seed)
    times = np.datetime64(f"2001-{month}-01") + np.arange(count) * np.timedelta64(6, "h")
    forecasts = generator.standard_normal((count, 2, 2, *GRID.shape))
    truth = forecasts + factor * errors(generator, count)
    for rows in (slice(0, count // 2), slice(count // 2, count)):
        yield OutOfFold(times[rows], forecasts[rows].astype(np.float32), truth[rows].astype(np.float32))


def case(generator, when: str, factor: float = 1.0) -> Case:
    single = generator.standard_normal((2, 2, *GRID.shape))
    truth = single + factor * errors(generator, 1)[0]
    return Case(single, truth, np.datetime64(when, "ns") + np.array([24, 72]) * np.timedelta64(1, "h"), LEADS)


def test_the_dressing_is_the_error_by_field_lead_and_band():
    dressed = DressedForecast.fit(parts("01", 120), LEADS, GRID)
    bands = [np.asarray(GRID.latitude)[[0, -1]], dressed.mean.shape[-1]]
    assert bands[1] == 6
    np.testing.assert_allclose(dressed.mean[0], BIAS[..., None] * np.ones(6), atol=0.15 * STD.max())
    expected = STD[..., None] * np.array([1, 1, 2, 2, 1, 1])
    np.testing.assert_allclose(dressed.std[0], expected, rtol=0.03)


def test_it_scores_as_the_normal_distribution_does():
    generator = np.random.default_rng(1)
    dressed = DressedForecast.fit(parts("01", 120), LEADS, GRID)
    cases = [case(generator, "2001-01-20") for _ in range(40)]
    made = np.mean([dressed(one) for one in cases], axis=0)
    std = STD[..., None, None] * np.where(TROPICS, 2.0, 1.0)[:, None]
    exact = [gaussian_crps(one.single + BIAS[..., None, None], std, one.truth, GRID.area_weights) for one in cases]
    np.testing.assert_allclose(made, np.mean(exact, axis=0), rtol=0.01)


def test_a_season_has_errors_of_its_own_if_it_has_enough():
    few = FEWEST_FORECASTS - 1
    both = [*parts("01", 120), *parts("07", 120, factor=3.0), *parts("10", few, factor=9.0)]
    dressed = DressedForecast.fit(both, LEADS, GRID)
    winter, spring, summer, autumn = dressed.std[:, 0, 0, 0]
    assert winter == pytest.approx(1, rel=0.05)
    assert summer == pytest.approx(3, rel=0.05)
    assert spring == autumn > 3, "those of all seasons together"


def test_without_single_forecast_or_lead_it_has_no_score():
    dressed = DressedForecast.fit(parts("01", 60), LEADS, GRID)
    one = case(np.random.default_rng(0), "2001-01-20")
    assert np.isnan(dressed(one._replace(single=None))).all()
    scored = dressed(one._replace(lead_hours=(24, 96)))
    assert np.isfinite(scored[0]).all()
    assert np.isnan(scored[1]).all()
    assert DressedForecast.fit([], LEADS, GRID) is None


def test_climatology_is_of_the_hour_and_the_season():
    """Every analysis of the training time whose hour differs, or whose season does, would be far off."""
    times = np.datetime64("2001-01-01", "ns") + np.arange(4 * 365) * np.timedelta64(6, "h")
    hour = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    month = times.astype("datetime64[M]").astype(int) % 12
    size = 1000.0 * hour + 1e5 * np.isin(month, [4, 5, 6, 7, 8])
    noise = np.random.default_rng(0).standard_normal((len(times), 1, *GRID.shape))
    archive = Archive(times, (size[:, None, None, None] + noise).astype(np.float32), ("msl",), GRID)
    baseline = ClimatologicalEnsemble(archive)
    truth = 1000.0 * 12 + np.random.default_rng(1).standard_normal((1, 1, *GRID.shape))
    score = baseline(Case(None, truth, np.array(["2002-01-15T12:00"], "datetime64[ns]"), (24,)))
    assert score[0, 0] == pytest.approx(1 / np.sqrt(np.pi), rel=0.15)
    unknown = baseline(Case(None, truth, np.array(["2002-01-15T13:00"], "datetime64[ns]"), (24,)))
    assert np.isnan(unknown).all()


def test_an_ensemble_is_compared_with_them_forecast_by_forecast(archive):
    """The ratio is that of the sums over all forecasts, and its bounds hold it."""
    indices = np.arange(10, 60, 2)
    pairs = pair_by_time(archive, archive.times[indices], LEADS)
    generator = np.random.default_rng(0)
    shape = (len(indices), 8, 2, 2, *archive.grid.shape)
    members = (archive.fields[pairs.truth_indices][:, None] + generator.standard_normal(shape)).astype(np.float32)
    calls = iter(range(len(indices)))

    def half(one: Case) -> np.ndarray:
        number = next(calls)
        value = crps(members[number], one.truth, archive.grid.area_weights) / 2
        return value * (1 + 0.1 * (number % 3))

    accumulator = EnsembleAccumulator(archive, pairs, {"half": half})
    for row, index in enumerate(indices):
        accumulator.add(int(index), members[row], members[row].mean(axis=0))
    entry = accumulator.scores()["t850", 24]
    assert entry["half_crps_ratio"] == pytest.approx(entry["crps"] / entry["half_crps"], rel=1e-12)
    assert entry["half_crps_ratio_low"] < entry["half_crps_ratio"] < entry["half_crps_ratio_high"]
    assert entry["single_rmse_pooled"] == pytest.approx(entry["mean_rmse_pooled"], rel=1e-6)
