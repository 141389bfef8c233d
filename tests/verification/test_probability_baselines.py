"""Probabilistic baselines: what a dressed forecast and climatology know, and what they score."""

import numpy as np
import pytest
from synthetic import ConstantClimatology

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
BIAS, STD = np.array([[3.0, -6.0], [4.0, 0.2]]), np.array([[1.0, 2.0], [2.0, 8.0]])  # (lead, field)
TROPICS = np.abs(np.asarray(GRID.latitude)) < 30
WIDTH = STD[..., None, None] * np.where(TROPICS, 2.0, 1.0)[:, None]


def errors(generator, count: int, noise=None) -> np.ndarray:
    """Of known bias and size, twice as large in the tropics."""
    shape = (count, 2, 2, *GRID.shape)
    return BIAS[..., None, None] + WIDTH * (generator.standard_normal(shape) if noise is None else noise(shape))


def parts(month: str, count: int, factor: float = 1.0, seed: int = 0, noise=None):
    """Forecasts of a month as those of the training time are given, in two batches."""
    generator = np.random.default_rng(seed)
    times = np.datetime64(f"2001-{month}-01") + np.arange(count) * np.timedelta64(6, "h")
    forecasts = generator.standard_normal((count, 2, 2, *GRID.shape))
    truth = forecasts + factor * errors(generator, count, noise)
    for rows in (slice(0, count // 2), slice(count // 2, count)):
        yield OutOfFold(times[rows], forecasts[rows].astype(np.float32), truth[rows].astype(np.float32))


def case(generator, when: str, factor: float = 1.0) -> Case:
    single = generator.standard_normal((2, 2, *GRID.shape))
    return Case(single, single + factor * errors(generator, 1)[0], np.datetime64(when, "ns"), LEADS)


def test_the_dressing_is_the_error_by_place_field_and_lead():
    dressed = DressedForecast.fit(parts("01", 120), LEADS, GRID)
    width = dressed.factor[0][..., None, None] * dressed.std
    np.testing.assert_allclose(width.mean(axis=-1), WIDTH[..., 0] * np.ones_like(width[..., 0]), rtol=0.1)
    near = dressed.bias[[0, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(near.mean((-2, -1)), BIAS[[0, 0, 1], [0, 1, 0]], rtol=0.15)
    assert np.abs(dressed.bias[1, 1]).max() < 0.1 * 8, "a bias that may be chance is none"


def test_it_scores_as_the_normal_distribution_does():
    generator = np.random.default_rng(1)
    dressed = DressedForecast.fit(parts("01", 120), LEADS, GRID)
    cases = [case(generator, "2001-01-20") for _ in range(40)]
    made = np.mean([dressed(one) for one in cases], axis=0)
    exact = [gaussian_crps(one.single + BIAS[..., None, None], WIDTH, one.truth, GRID.area_weights) for one in cases]
    np.testing.assert_allclose(made, np.mean(exact, axis=0), rtol=0.03)


def test_its_width_has_the_least_crps():
    """Of errors with heavy tails, that is less than their standard deviation."""
    generator = np.random.default_rng(2)
    heavy = DressedForecast.fit(parts("01", 120, noise=lambda shape: generator.standard_t(3, shape)), LEADS, GRID)
    normal = DressedForecast.fit(parts("01", 120), LEADS, GRID)
    assert (heavy.factor < 0.9 * normal.factor).all()


def test_a_season_has_errors_of_its_own_if_it_has_enough():
    few = FEWEST_FORECASTS - 1
    both = [*parts("01", 120), *parts("07", 120, factor=3.0), *parts("10", few, factor=2.0)]
    dressed = DressedForecast.fit(both, LEADS, GRID)
    winter, spring, summer, autumn = dressed.factor[:, 1, 1]
    assert summer == pytest.approx(3 * winter, rel=0.2)
    assert winter < spring == autumn < summer, "that of all seasons together"


def test_without_single_forecast_or_lead_it_has_no_score():
    dressed = DressedForecast.fit(parts("01", 60), LEADS, GRID)
    one = case(np.random.default_rng(0), "2001-01-20")
    assert np.isnan(dressed(one._replace(single=None))).all()
    scored = dressed(one._replace(lead_hours=(24, 96)))
    assert np.isfinite(scored[0]).all()
    assert np.isnan(scored[1]).all()


@pytest.mark.parametrize("count", [0, FEWEST_FORECASTS - 2])
def test_a_few_forecasts_are_no_dressing(count):
    assert DressedForecast.fit(parts("01", count) if count else [], LEADS, GRID) is None


def test_climatology_is_of_the_hour_and_the_season():
    """Every analysis of the training time whose hour differs, or whose season does, would be far off."""
    times = np.datetime64("2001-01-01", "ns") + np.arange(4 * 365) * np.timedelta64(6, "h")
    hour = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    month = times.astype("datetime64[M]").astype(int) % 12
    size = 1000.0 * hour + 1e5 * np.isin(month, [4, 5, 6, 7, 8])
    noise = np.random.default_rng(0).standard_normal((len(times), 1, *GRID.shape))
    archive = Archive(times, (size[:, None, None, None] + noise).astype(np.float32), ("msl",), GRID)
    baseline = ClimatologicalEnsemble(archive, ConstantClimatology(np.zeros((1, *GRID.shape)), ("msl",)))
    truth = 1000.0 * 12 + np.random.default_rng(1).standard_normal((1, 1, *GRID.shape))
    score = baseline(Case(None, truth, np.datetime64("2002-01-14T12:00", "ns"), (24,)))
    assert score[0, 0] == pytest.approx(1 / np.sqrt(np.pi), rel=0.15)
    unknown = baseline(Case(None, truth, np.datetime64("2002-01-14T13:00", "ns"), (24,)))
    assert np.isnan(unknown).all()


def test_climatology_follows_the_date_and_holds_no_truth():
    """Departures are about the climatology of the valid time; an analysis of that time itself is no member."""

    class Rising(ConstantClimatology):
        def at(self, times):
            days = (times - np.datetime64("2001-01-01")) / np.timedelta64(1, "D")
            return np.broadcast_to(1000.0 * days[:, None, None, None], (len(times), 1, *GRID.shape)).astype(np.float32)

    climatology = Rising(np.zeros((1, *GRID.shape)), ("msl",))
    times = np.datetime64("2001-01-01", "ns") + np.arange(4 * 60) * np.timedelta64(6, "h")
    noise = np.random.default_rng(0).standard_normal((len(times), 1, *GRID.shape))
    archive = Archive(times, (climatology.at(times) + noise).astype(np.float32), ("msl",), GRID)
    truth = archive.fields[[4 * 31]] + 30  # of the first of February, which the members know as less
    score = ClimatologicalEnsemble(archive, climatology)(Case(None, truth, times[4 * 30], (24,)))
    assert score[0, 0] == pytest.approx(30 - 1 / np.sqrt(np.pi), abs=0.2)


def test_an_ensemble_is_compared_with_them_forecast_by_forecast(archive):
    """The ratio is that of the sums over all forecasts that have a baseline, and its bounds hold it."""
    indices = np.arange(10, 60, 2)
    pairs = pair_by_time(archive, archive.times[indices], LEADS)
    generator = np.random.default_rng(0)
    shape = (len(indices), 8, 2, 2, *archive.grid.shape)
    members = (archive.fields[pairs.truth_indices][:, None] + generator.standard_normal(shape)).astype(np.float32)
    own = [crps(each, archive.fields[rows], archive.grid.area_weights) for each, rows in zip(
        members, pairs.truth_indices, strict=True
    )]  # fmt: skip
    calls = iter(range(len(indices)))

    def half(one: Case) -> np.ndarray:
        number = next(calls)
        assert one.initial_time == archive.times[indices[number]]
        return own[number] / 2 * (1 + 0.1 * (number % 3)) if number else np.full((2, 2), np.nan)

    accumulator = EnsembleAccumulator(archive, pairs, {"half": half})
    for row, index in enumerate(indices):
        accumulator.add(int(index), members[row], members[row].mean(axis=0))
    entry = accumulator.scores()["t850", 24]
    expected = np.array([each[0, 1] for each in own])[1:]
    below = expected / 2 * (1 + 0.1 * (np.arange(1, len(indices)) % 3))
    assert entry["half_crps"] == pytest.approx(below.mean())
    assert entry["half_crps_ratio"] == pytest.approx(expected.sum() / below.sum())
    assert entry["half_crps_ratio_low"] < entry["half_crps_ratio"] < entry["half_crps_ratio_high"]
    assert entry["single_rmse_pooled"] == pytest.approx(entry["mean_rmse_pooled"], rel=1e-6)
