"""Calibration of ensembles: it mends what is known to be wrong, and leaves alone what is right."""

import numpy as np
import pytest

from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.grid import Grid
from pinnwx.verification.calibrating import FEWEST_FORECASTS, fit_calibration
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread

GRID = Grid.parse("30deg")
LEADS = (24.0, 72.0)
START = np.datetime64("2026-01-01", "ns")
UNBOUNDED = np.tile([-np.inf, np.inf], (2, 1))


def ensembles(count: int, size: int = 8, bias: float = 0.0, spread: float = 1.0, seed: int = 0) -> OutOfFoldEnsembles:
    """Two leads and two fields; spread is that of the members over that of the truth about their common centre."""
    generator = np.random.default_rng(seed)
    shape = (count, 2, 2, *GRID.shape)
    centre = 5 * generator.standard_normal(shape)
    truth = centre + generator.standard_normal(shape)
    members = centre + bias + spread * generator.standard_normal((size, *shape))
    times = START + np.arange(count) * np.timedelta64(5, "D")
    return OutOfFoldEnsembles(times, members.astype(np.float32), truth.astype(np.float32))


def fitted(part: OutOfFoldEnsembles, **options) -> Calibration:
    made = fit_calibration([part], LEADS, GRID, options.pop("bounds", UNBOUNDED), **options)
    assert made is not None
    return made


def test_too_little_spread_and_a_bias_are_mended():
    calibration = fitted(ensembles(80, bias=0.7, spread=0.4))
    np.testing.assert_allclose(calibration.bias, -0.7, atol=0.45)
    np.testing.assert_allclose(calibration.bias.mean(), -0.7, atol=0.03)
    new = ensembles(200, size=20, bias=0.7, spread=0.4, seed=1)
    scores = {True: [], False: []}
    for row in range(200):
        raw, truth = new.members[:, row], new.truth[row]
        for made, members in ((True, calibration(raw, LEADS)), (False, raw)):
            scores[made].append([
                one(members, truth, GRID.area_weights).mean() if one is not mean_square_spread
                else one(members, GRID.area_weights).mean()
                for one in (mean_square_spread, mean_square_error, crps)
            ])  # fmt: skip
    (spread, error, after), (little, _, before) = np.mean(scores[True], axis=0), np.mean(scores[False], axis=0)
    assert np.sqrt(spread / error) == pytest.approx(1, abs=0.06)
    assert little / error < 0.3
    assert after < 0.8 * before


def test_a_reliable_ensemble_stays_as_it_is():
    calibration = fitted(ensembles(80))
    assert np.abs(calibration.bias).mean() < 0.06
    np.testing.assert_allclose(calibration.factor.mean(axis=(-2, -1)), 1, atol=0.1)


def test_members_keep_their_order_and_their_mean_but_for_the_bias():
    calibration = fitted(ensembles(40, spread=0.5))
    raw = ensembles(1, size=6, seed=2).members[:, 0]
    made = calibration(raw, LEADS)
    np.testing.assert_array_equal(np.argsort(made, axis=0), np.argsort(raw, axis=0))
    np.testing.assert_allclose(made.mean(axis=0), raw.mean(axis=0) + calibration.bias, atol=1e-5)


def test_other_leads_and_conserved_fields_stay_and_bounds_hold():
    bounds = np.array([[-np.inf, np.inf], [-1.0, 4.0]])
    calibration = fitted(ensembles(40, bias=1, spread=0.5), bounds=bounds, exempt=[0])
    raw = ensembles(1, size=6, seed=2).members[:, 0]
    made = calibration(raw, (24.0, 48.0))
    np.testing.assert_array_equal(made[:, 1], raw[:, 1])
    np.testing.assert_allclose(made[:, 0, 0], raw[:, 0, 0], atol=1e-5)
    assert made[:, 0, 1].min() == -1
    assert made[:, 0, 1].max() == 4


def test_members_that_are_equal_stay_equal():
    part = ensembles(40, spread=0.0)
    calibration = fitted(part)
    assert np.isfinite(calibration.factor).all()
    made = calibration(part.members[:, 0], LEADS)
    np.testing.assert_allclose(made, made[:1].repeat(8, axis=0))


def test_too_few_forecasts_give_none():
    assert fit_calibration([ensembles(FEWEST_FORECASTS - 1)], LEADS, GRID, UNBOUNDED) is None
