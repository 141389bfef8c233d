"""Scores against hand computation, the `scores` package, published formulas, and what must hold for any fields."""

import numpy as np
import pytest
import scores.continuous
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.errors import DataError, StabilityError
from pinnwx.grid import Grid
from pinnwx.verification.scores import SCORES, ScoreAccumulator
from pinnwx.verification.significance import BlockBootstrap

GRID = Grid.parse("30deg")
NAMES = ("msl", "t850")
N = 40


def table(forecast, truth, climatology, persistence, batches=1, lead=24.0):
    """The entries of all pairs, a pair every six hours."""
    times = np.datetime64("2026-01-01", "ns") + np.arange(len(truth)) * np.timedelta64(6, "h")
    accumulator = ScoreAccumulator(NAMES, GRID, {lead: truth.mean(axis=0, dtype=np.float64)})
    for rows in np.array_split(np.arange(len(truth)), batches):
        at_rows = None if climatology is None else climatology[rows]
        baselines = {"persistence": persistence[rows]} | ({} if at_rows is None else {"climatology": at_rows})
        accumulator.add(times[rows], lead, forecast[rows], truth[rows], baselines)
    return accumulator.table(BlockBootstrap(resamples=200))


def random_fields(seed=0, n=N):
    """Forecast, truth, climatology, persistence: correlated, with the offset and the size of pressure."""
    generator = np.random.default_rng(seed)
    shape = (n, len(NAMES), *GRID.shape)
    climatology = 1e5 + 1e3 * generator.standard_normal(shape)
    truth = climatology + 500 * generator.standard_normal(shape)
    forecast = 20.0 + 0.7 * truth + 0.3 * climatology + 200 * generator.standard_normal(shape)
    persistence = truth + 600 * generator.standard_normal(shape)
    return tuple(values.astype(np.float32) for values in (forecast, truth, climatology, persistence))


def test_by_hand():
    """Two pairs with uniform errors 1 and 3: the roots average to 2, the squares to 5."""
    truth = np.zeros((2, 2, *GRID.shape), np.float32)
    truth[:, :, ::2] = 4.0
    forecast = truth.copy()
    forecast[0] += 1.0
    forecast[1] -= 3.0
    entry = table(forecast, truth, np.full_like(truth, 2.0), np.full_like(truth, 2.0))[0]
    assert entry["n"] == 2
    assert entry["n_days"] == 1
    assert entry["rmse"] == pytest.approx(2.0)
    assert entry["rmse_pooled"] == pytest.approx(np.sqrt(5.0))
    assert entry["bias"] == pytest.approx(-1.0)
    assert entry["persistence_rmse"] == pytest.approx(2.0)
    assert entry["climatology_rmse"] == pytest.approx(2.0)
    assert entry["persistence_ratio"] == pytest.approx(1.0)
    # Anomalies are +2 and -2 on equal areas, those of the forecasts shifted by 1 and by -3.
    assert entry["acc"] == pytest.approx((4 / np.sqrt(4 * 5) + 4 / np.sqrt(4 * 13)) / 2)
    assert entry["rmse_low"] is None
    assert "1 day" in entry["bounds_missing"]


def test_area_counts_not_cells():
    """An error in the polar row alone weighs by the area of the cap, (1 - sin 60) / 2."""
    truth = np.zeros((1, 2, *GRID.shape), np.float32)
    forecast = truth.copy()
    forecast[:, :, -1] = 1.0
    entry = table(forecast, truth, truth + 1, truth + 1)[0]
    assert entry["rmse"] == pytest.approx(np.sqrt((1 - np.sin(np.pi / 3)) / 2), rel=1e-12)
    assert entry["bias"] == pytest.approx((1 - np.sin(np.pi / 3)) / 2, rel=1e-12)


def test_against_the_scores_package():
    forecast, truth, climatology, persistence = random_fields()
    dims = ("pair", "field", "lat", "lon")
    labelled = {
        name: xr.DataArray(values.astype(np.float64), dims=dims)
        for name, values in zip(("f", "t", "c", "p"), (forecast, truth, climatology, persistence), strict=True)
    }
    weights = xr.DataArray(GRID.area_weights[:, 0], dims="lat")
    per_pair = {"preserve_dims": ("pair", "field"), "weights": weights}
    pooled = {"preserve_dims": "field", "weights": weights}
    for position, entry in enumerate(table(forecast, truth, climatology, persistence)):
        for name, key in (("rmse", "f"), ("persistence_rmse", "p"), ("climatology_rmse", "c")):
            expected = scores.continuous.rmse(labelled[key], labelled["t"], **per_pair).mean("pair")[position]
            assert entry[name] == pytest.approx(float(expected), rel=1e-12)
        expected = scores.continuous.rmse(labelled["f"], labelled["t"], **pooled)[position]
        assert entry["rmse_pooled"] == pytest.approx(float(expected), rel=1e-12)
        expected = scores.continuous.additive_bias(labelled["f"], labelled["t"], **pooled)[position]
        assert entry["bias"] == pytest.approx(float(expected), rel=1e-9)


def test_correlations_are_the_published_formulas():
    fields = random_fields()
    forecast, truth, climatology = (values.astype(np.float64) for values in fields[:3])
    w = GRID.area_weights
    for position, entry in enumerate(table(*fields)):
        f, t, c = forecast[:, position], truth[:, position], climatology[:, position]
        # WeatherBench 2: per forecast, anomalies not centred.
        products = [(w * a * b).sum((-2, -1)) for a, b in ((f - c, t - c), (f - c, f - c), (t - c, t - c))]
        assert entry["acc"] == pytest.approx(np.mean(products[0] / np.sqrt(products[1] * products[2])), rel=1e-12)
        # WeatherBench: about the test mean, centred over everything, sums over everything.
        fa, a = f - t.mean(axis=0), t - t.mean(axis=0)
        fa, a = fa - fa.mean(), a - a.mean()
        expected = (w * fa * a).sum() / np.sqrt((w * fa**2).sum() * (w * a**2).sum())
        assert entry["acc_wb1"] == pytest.approx(expected, rel=1e-12)
        assert abs(entry["acc"] - entry["acc_wb1"]) > 1e-3  # two conventions, two numbers


def test_batches_do_not_matter():
    fields = random_fields()
    for whole, split in zip(table(*fields), table(*fields, batches=7), strict=True):
        assert whole.keys() == split.keys()
        for key, value in whole.items():
            assert split[key] == (pytest.approx(value, rel=1e-10) if isinstance(value, float) else value)


def test_a_perfect_forecast():
    _, truth, climatology, persistence = random_fields()
    for entry in table(truth, truth, climatology, persistence):
        for name in ("rmse", "rmse_pooled", "bias", "persistence_ratio", "climatology_ratio"):
            assert (entry[name], entry[f"{name}_low"], entry[f"{name}_high"]) == (0.0, 0.0, 0.0)
        assert (entry["acc"], entry["acc_low"], entry["acc_high"]) == (1.0, 1.0, 1.0)
        assert entry["acc_wb1"] == pytest.approx(1.0, abs=1e-12)


def test_persistence_as_a_model_has_ratio_one_exactly():
    _, truth, climatology, persistence = random_fields()
    for entry in table(persistence, truth, climatology, persistence):
        assert (entry["persistence_ratio"], entry["persistence_ratio_low"], entry["persistence_ratio_high"]) == (
            1,
            1,
            1,
        )
        assert entry["rmse"] == entry["persistence_rmse"]
        assert entry["rmse_low"] == entry["persistence_rmse_low"]


def test_a_constant_error_has_no_spread():
    _, truth, climatology, persistence = random_fields()
    truth = np.round(truth)  # so that adding 3 is exact in float32
    for entry in table(truth + 3, truth, climatology, persistence):
        for name in ("rmse", "rmse_pooled", "bias"):
            for bound in ("", "_low", "_high"):
                assert entry[name + bound] == pytest.approx(3.0, rel=1e-9)


def test_sums_are_kept_in_double_precision():
    """An error of 1/128 on 1e5 survives, which squares summed in float32 about that offset would not show."""
    truth = np.full((N, 2, *GRID.shape), 1e5, np.float32)
    entry = table(truth + np.float32(1 / 128), truth, truth, truth + 1)[0]
    assert entry["rmse"] == pytest.approx(1 / 128, rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(1e-6, 1e4), st.floats(-1e3, 1e3))
def test_scores_transform_with_the_units(seed, factor, offset):
    """Under x -> factor x + offset errors scale, and ratios and correlations stay."""
    fields = [values.astype(np.float64) - 1e5 for values in random_fields(seed, n=8)]
    before = table(*fields)[0]
    after = table(*(factor * values + offset for values in fields))[0]
    for name in ("rmse", "rmse_pooled", "persistence_rmse", "climatology_rmse"):
        assert after[name] == pytest.approx(factor * before[name], rel=1e-6)
    for name in ("acc", "acc_wb1", "persistence_ratio", "climatology_ratio"):
        assert after[name] == pytest.approx(before[name], rel=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_inequalities_of_any_scores(seed):
    for entry in table(*random_fields(seed, n=30)):
        assert abs(entry["bias"]) <= entry["rmse"] <= entry["rmse_pooled"]
        for name in ("acc", "acc_wb1"):
            assert -1 <= entry[f"{name}_low"] <= entry[name] <= entry[f"{name}_high"] <= 1
        for name in (name for name in SCORES if not name.startswith(("damped_persistence", "linear_inverse"))):
            assert entry[f"{name}_low"] <= entry[name] <= entry[f"{name}_high"]


def test_the_undefined_is_none_not_nan():
    _, truth, climatology, _ = random_fields()
    entry = table(climatology, truth, climatology, truth)[0]
    assert entry["acc"] is None  # the anomaly of a climatology is zero
    assert entry["persistence_ratio"] is None  # persistence was perfect
    assert entry["climatology_ratio"] == 1.0
    without = table(truth, truth, None, climatology)[0]
    assert without["acc"] is without["climatology_rmse"] is without["climatology_ratio_low"] is None
    assert without["acc_wb1"] is not None


def test_a_lead_without_pairs_has_its_entry():
    accumulator = ScoreAccumulator(NAMES, GRID, {6.0: np.zeros((2, *GRID.shape))})
    entries = accumulator.table()
    assert [(entry["variable"], entry["lead_hours"]) for entry in entries] == [("msl", 6), ("t850", 6)]
    assert {entry["n"] for entry in entries} == {0}
    assert set(entries[0]) == set(table(*random_fields())[0])
    assert entries[0]["rmse"] is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value):
    fields = [values.copy() for values in random_fields(n=8)]
    fields[0][5, 1, 2, 3] = value
    with pytest.raises(StabilityError, match=r"t850 from 2026-01-02T06:00Z .* 24 h"):
        table(*fields)
    for position, kind in ((1, "truth"), (2, "climatology"), (3, "persistence")):
        fields = [values.copy() for values in random_fields(n=8)]
        fields[position][5, 0, 2, 3] = value
        with pytest.raises(DataError, match=rf"{kind} of msl .* 2026-01-02T06:00Z"):
            table(*fields)
