"""Scores of ensembles against the `scores` package, and what holds when members and truth are drawn alike."""

import numpy as np
import pytest
import scores.probability
import scoringrules
import xarray as xr

from pinnwx.grid import Grid
from pinnwx.verification.ensemble import crps, gaussian_crps, mean_square_error, mean_square_spread

GRID = Grid.parse("30deg")
WEIGHTS = GRID.area_weights


def drawn(members: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return (
        generator.standard_normal((members, count, *GRID.shape)),
        generator.standard_normal((count, *GRID.shape)),
    )


@pytest.mark.parametrize("members", [2, 3, 10])
def test_crps_is_the_fair_one(members):
    made, truth = drawn(members, 4)
    dims = ("pair", "lat", "lon")
    local = scores.probability.crps_for_ensemble(
        xr.DataArray(made, dims=("member", *dims)), xr.DataArray(truth, dims=dims), "member", method="fair",
        preserve_dims="all",
    )  # fmt: skip
    np.testing.assert_allclose(crps(made, truth, WEIGHTS), (WEIGHTS * local.values).mean((-2, -1)), rtol=1e-12)


def test_crps_does_not_reward_a_larger_ensemble():
    few, many = (crps(*drawn(members, 3000), WEIGHTS).mean() for members in (3, 30))
    assert few == pytest.approx(many, rel=0.01)
    assert many == pytest.approx(1 / np.sqrt(np.pi), rel=0.01)  # of a standard normal, about a truth drawn from it


def test_members_that_agree_have_the_absolute_error():
    made, truth = drawn(1, 5)
    error = (WEIGHTS * np.abs(made[0] - truth)).mean((-2, -1))
    np.testing.assert_allclose(crps(made, truth, WEIGHTS), error)
    np.testing.assert_allclose(crps(np.repeat(made, 4, axis=0), truth, WEIGHTS), error)


@pytest.mark.parametrize("members", [2, 5, 20])
def test_spread_tells_the_error_where_members_and_truth_are_drawn_alike(members):
    made, truth = drawn(members, 3000)
    spread, error = mean_square_spread(made, WEIGHTS).mean(), mean_square_error(made, truth, WEIGHTS).mean()
    assert spread == pytest.approx(error, rel=0.02)
    assert mean_square_spread(0.5 * made, WEIGHTS).mean() == pytest.approx(0.25 * spread)


def test_the_crps_of_a_normal_distribution():
    """Against `scoringrules`; without spread it is the absolute error."""
    generator = np.random.default_rng(3)
    mean, truth = generator.standard_normal((2, 5, *GRID.shape))
    std = generator.uniform(0.1, 2, (5, *GRID.shape))
    local = scoringrules.crps_normal(truth, mean, std)
    np.testing.assert_allclose(gaussian_crps(mean, std, truth, WEIGHTS), (WEIGHTS * local).mean((-2, -1)), rtol=1e-12)
    error = (WEIGHTS * np.abs(mean - truth)).mean((-2, -1))
    np.testing.assert_allclose(gaussian_crps(mean, 0 * std, truth, WEIGHTS), error)


def test_many_members_of_a_normal_distribution_have_its_crps():
    made, truth = drawn(400, 30)
    normal = gaussian_crps(np.zeros(truth.shape), np.ones(truth.shape), truth, WEIGHTS)
    assert crps(made, truth, WEIGHTS).mean() == pytest.approx(normal.mean(), rel=0.005)
