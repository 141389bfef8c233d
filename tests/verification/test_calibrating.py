"""Calibration of ensembles: it mends what is known to be wrong, and leaves alone what is right."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pinnwx.data.storage import write_netcdf
from pinnwx.errors import CheckpointError, StabilityError
from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.grid import Grid
from pinnwx.verification.calibrating import FEWEST_FORECASTS, LADDERS, Amplitudes, fit_calibration, fit_scales
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread

GRID = Grid.parse("30deg")
LEADS = (24.0, 72.0)
START = np.datetime64("2026-01-01", "ns")
UNBOUNDED = np.tile([-np.inf, np.inf], (2, 1))
NAMES, SCALES = ("msl", "t850"), Amplitudes(0.1, 1.0)


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
    made = fit_calibration([part], NAMES, LEADS, GRID, SCALES, **options)
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
        for made, members in ((True, calibration(raw, LEADS, UNBOUNDED)), (False, raw)):
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
    made = calibration(raw, LEADS, UNBOUNDED)
    np.testing.assert_array_equal(np.argsort(made, axis=0), np.argsort(raw, axis=0))
    np.testing.assert_allclose(made.mean(axis=0), raw.mean(axis=0) + calibration.bias, atol=1e-5)


def test_conserved_fields_stay_and_bounds_hold():
    bounds = np.array([[-np.inf, np.inf], [-1.0, 4.0]])
    calibration = fitted(ensembles(40, bias=1, spread=0.5), exempt=[0])
    raw = ensembles(1, size=6, seed=2).members[:, 0]
    made = calibration(raw, (24.0, 48.0), bounds)
    np.testing.assert_allclose(made[:, :, 0], raw[:, :, 0], atol=1e-5)
    assert made[:, 0, 1].min() == -1
    assert made[:, 0, 1].max() == 4


def test_members_that_are_equal_stay_equal():
    part = ensembles(40, spread=0.0)
    calibration = fitted(part)
    assert np.isfinite(calibration.factor).all()
    made = calibration(part.members[:, 0], LEADS, UNBOUNDED)
    np.testing.assert_allclose(made, made[:1].repeat(8, axis=0))


def test_the_number_of_members_of_the_fit_does_not_matter():
    """The error of a mean of few members has their sampling error in it, which is no error of a larger ensemble."""
    factors = [fitted(ensembles(300, size=size, spread=0.5)).factor.mean() for size in (4, 32)]
    np.testing.assert_allclose(factors, 2, rtol=0.02)


def test_a_field_that_never_differs_does_not_decide_the_scales():
    """A tracer that is the same everywhere has a CRPS of zero."""

    def with_a_constant(scales):
        (part,) = process(scales)
        part.members[..., 1, :, :] = part.truth[..., 1, :, :] = 1.0
        return [part]

    assert fit_scales(with_a_constant, GRID, Amplitudes(0.0, 1.0)) == Amplitudes(0.0, 1.25)


def test_members_that_are_not_finite_are_refused():
    part = ensembles(20)
    part.members[2, 7, 1] = np.inf
    with pytest.raises(StabilityError, match="from 2026-02-05T00:00Z, is not finite"):
        fit_calibration([part], NAMES, LEADS, GRID, SCALES)
    with pytest.raises(StabilityError):
        fit_scales(lambda _: [part], GRID, Amplitudes(0.2, 0.0))


def test_too_few_forecasts_give_none():
    assert fit_calibration([ensembles(FEWEST_FORECASTS - 1)], NAMES, LEADS, GRID, SCALES) is None


def constant(leads, bias, factor) -> Calibration:
    """The same everywhere and in all fields."""
    shape = (len(leads), 2, *GRID.shape)
    b, r = (np.broadcast_to(np.float32(each)[:, None, None, None], shape).copy() for each in (bias, factor))
    return Calibration(NAMES, tuple(map(float, leads)), 30, b, r, 0.1, 1.0)


@pytest.mark.parametrize(
    ("lead", "bias", "factor"),
    [(6, 0.5, 2.0), (12, 1.0, 2.0), (24, 2.0, 1.5), (36, 3.0, 1.0), (60, 3.0, 1.0)],
    ids=["before the first", "first", "between", "last", "after the last"],
)
def test_leads_that_it_was_not_fitted_at(lead, bias, factor):
    members = np.float32([-1.0, 0.0, 1.0])[:, None, None, None, None] + np.zeros((1, 1, 2, *GRID.shape), np.float32)
    made = constant((12, 36), (1, 3), (2, 1))(members, [lead], UNBOUNDED)
    np.testing.assert_allclose(made, bias + factor * members, atol=1e-6)


def test_it_is_read_as_it_was_written(tmp_path):
    calibration = fitted(ensembles(40, bias=1, spread=0.5))
    calibration.write(tmp_path / "c.nc")
    back = Calibration.read(tmp_path / "c.nc", NAMES, GRID.shape, (tmp_path / "c.nc").read_bytes())
    np.testing.assert_array_equal(back.bias, calibration.bias)
    np.testing.assert_array_equal(back.factor, calibration.factor)
    plain = ("names", "lead_hours", "forecasts", "perturbation_scale", "model_error_scale")
    assert [getattr(back, name) for name in plain] == [getattr(calibration, name) for name in plain]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("msl", "z500")}, "holds a calibration of another model"),
        ({"bias": np.zeros((2, 2, 3, 3), np.float32)}, "holds a calibration of another model"),
        ({"factor": np.full((2, 2, *GRID.shape), np.nan, np.float32)}, "numbers that are not valid"),
        ({"factor": np.full((2, 2, *GRID.shape), -1, np.float32)}, "numbers that are not valid"),
        ({"lead_hours": (72.0, 24.0)}, "holds leads or numbers that are not valid"),
        ({"perturbation_scale": -0.1}, "holds leads or numbers that are not valid"),
    ],
    ids=["other fields", "other grid", "not finite", "negative factor", "leads that descend", "negative scale"],
)
def test_a_file_of_something_else_is_refused(tmp_path, change, message):
    path = tmp_path / "c.nc"
    if "bias" in change:
        change = {**change, "factor": change["bias"]}
    replace(constant((24, 72), (1, 3), (2, 1)), **change).write(path)
    with pytest.raises(CheckpointError, match=message):
        Calibration.read(path, NAMES, GRID.shape, path.read_bytes())


def test_a_file_without_a_calibration_is_refused(tmp_path):
    write_netcdf(xr.Dataset({"bias": ("x", np.ones(3))}), tmp_path / "c.nc")
    with pytest.raises(CheckpointError, match="holds no calibration"):
        Calibration.read(tmp_path / "c.nc", NAMES, GRID.shape, (tmp_path / "c.nc").read_bytes())


def process(scales: Amplitudes) -> list[OutOfFoldEnsembles]:
    """Members whose spread is 5 times the first scale and, apart from it, the second; that of the truth is 1.25."""
    generator = np.random.default_rng(0)
    shape = (40, 2, 2, *GRID.shape)
    truth = 1.25 * generator.standard_normal(shape)
    own = [generator.standard_normal((4, *shape)) for _ in scales]
    members = 5 * scales.perturbation * own[0] + scales.model_error * own[1]
    times = START + np.arange(40) * np.timedelta64(5, "D")
    return [OutOfFoldEnsembles(times, members.astype(np.float32), truth.astype(np.float32))]


def test_scales_are_those_whose_spread_is_that_of_the_truth():
    """5 x 0.15 and 1 give a spread of 1.25; so do no perturbation and 1.25, or nearly 0.2 and 0.75."""
    best = fit_scales(process, GRID, Amplitudes(0.2, 1.0))
    assert 5 * best.perturbation == pytest.approx(np.sqrt(1.25**2 - best.model_error**2), abs=0.26)
    assert best.perturbation in LADDERS[0]
    assert best.model_error in LADDERS[1]


def test_one_scale_is_fitted_where_the_other_is_none():
    assert fit_scales(process, GRID, Amplitudes(0.2, 0.0)) == Amplitudes(0.3, 0.0), (
        "1.5 is nearer to 1.25 in CRPS than 1.0 is"
    )
    assert fit_scales(process, GRID, Amplitudes(0.0, 1.0)) == Amplitudes(0.0, 1.25)


def test_scales_stay_where_there_is_nothing_to_fit_them_on():
    assert fit_scales(lambda _: [], GRID, Amplitudes(0.2, 1.0)) == Amplitudes(0.2, 1.0)
