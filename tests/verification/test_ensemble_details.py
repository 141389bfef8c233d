"""Details of ensembles: against independent packages, and what holds when members and truth are drawn alike."""

import numpy as np
import pytest
import scoringrules

from pinnwx.grid import Grid
from pinnwx.verification.ensemble_details import ensemble_details, ensemble_statistics

GRID = Grid.parse("30deg")
BOX = Grid.from_coordinates(np.arange(40.0, 55.0, 2.5), np.arange(0.0, 20.0, 2.5))


def drawn(members: int, count: int, grid: Grid = GRID, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Members and truth, (member, lead, field, lat, lon) without the member for the truth."""
    both = np.random.default_rng(seed).standard_normal((members + 1, count, 1, *grid.shape)).astype(np.float32)
    return both[1:], both[0]


def details(members: np.ndarray, truth: np.ndarray, grid: Grid = GRID) -> dict:
    """Each lead counts as a forecast."""
    return ensemble_details({name: parts[:, 0] for name, parts in ensemble_statistics(members, truth, grid).items()})


@pytest.mark.parametrize("size", [2, 5, 20])
def test_ranks_are_flat_where_members_and_truth_are_drawn_alike(size):
    own = details(*drawn(size, 2000))
    assert len(own["ranks"]) == size + 1
    assert sum(own["ranks"]) == pytest.approx(1)
    np.testing.assert_allclose(own["ranks"], 1 / (size + 1), rtol=0.06)  # five standard deviations
    assert own["outer_ranks"] == pytest.approx(1, rel=0.02)


def test_outer_ranks_count_a_truth_outside_the_members():
    members, truth = drawn(10, 500)
    assert details(0.5 * members, truth)["outer_ranks"] > 2
    assert details(2 * members, truth)["outer_ranks"] < 0.5
    assert details(0 * members + truth + 1, truth)["ranks"] == pytest.approx([1] + 10 * [0])
    assert details(0 * members + truth - 1, truth)["ranks"] == pytest.approx(10 * [0] + [1])


def test_equal_values_share_their_ranks():
    """As rain that is zero in all members and in the truth."""
    members, truth = drawn(4, 3)
    assert details(0 * members, 0 * truth)["ranks"] == pytest.approx(5 * [0.2])
    half = np.stack([truth - 1, truth, truth, truth + 1])
    assert details(half, truth)["ranks"] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0])


def test_spread_is_compared_with_error_from_calm_to_uncertain_places():
    members, truth = drawn(30, 600)
    uncertain = np.linspace(0.2, 3, GRID.shape[1]).astype(np.float32)
    bins = details(uncertain * members, uncertain * truth)["spread_bins"]
    np.testing.assert_allclose(bins["error"], bins["spread"], rtol=0.12)
    assert bins["spread"][0] < 0.6
    assert bins["spread"][-1] > 2.3
    assert (np.diff(bins["spread"]) > 0).all()


@pytest.mark.parametrize("grid", [GRID, BOX], ids=["globe", "box"])
def test_the_energy_score_is_that_of_an_independent_package(grid):
    members, truth = drawn(6, 3, grid)
    scaled = np.sqrt(grid.area_weights / np.prod(grid.shape))
    vectors = [(scaled * each)[..., 0, :, :].reshape(*each.shape[:-3], -1).astype(float) for each in (members, truth)]
    expected = scoringrules.es_ensemble(vectors[1], np.moveaxis(vectors[0], 0, 1), estimator="fair").mean()
    assert details(members, truth, grid)["energy_score"] == pytest.approx(expected, rel=1e-5)


def test_the_variogram_score_is_that_of_an_independent_package():
    """Over the pairs of cells 10 degrees, about 1,000 km, apart; on a box, none leaves the edge."""
    members, truth = drawn(6, 1, BOX)
    rows, columns = BOX.shape
    number = np.arange(rows * columns).reshape(BOX.shape)
    area, expected = np.broadcast_to(BOX.area_weights, BOX.shape), []
    for near, far in ((number[:, :-4], number[:, 4:]), (number[:-4], number[4:])):
        weights = np.zeros((number.size, number.size))
        weights[near.ravel(), far.ravel()] = area.ravel()[near.ravel()]
        score = scoringrules.vs_ensemble(
            truth[0, 0].ravel(), members[:, 0, 0].reshape(6, -1), weights, p=0.5, estimator="nrg"
        )
        expected.append(score / weights.sum())
    assert details(members, truth, BOX)["variogram_score"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_variogram_score_notices_relations_that_are_lost():
    """Members with the right values in the wrong places have the same CRPS and a larger variogram score."""
    places = np.deg2rad(Grid.parse("5.625deg").longitude)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (21, 50, 1, 1, 1))
    waves = np.broadcast_to(np.sin(places + phases), (21, 50, 1, 32, 64)).astype(np.float32)
    shuffled = np.random.default_rng(1).permuted(waves[1:], axis=-1)
    grid = Grid.parse("5.625deg")
    whole, broken = details(waves[1:], waves[0], grid), details(shuffled, waves[0], grid)
    assert broken["variogram_score"] > 1.5 * whole["variogram_score"]
    assert broken["regions"]["tropics"]["crps"] == pytest.approx(whole["regions"]["tropics"]["crps"], rel=0.1)


def test_members_have_the_variance_of_the_truth_or_less():
    members, truth = drawn(5, 400)
    assert details(members, truth)["variance_ratio"] == pytest.approx(1, rel=0.05)
    own = details(0.5 * members, truth)
    assert own["variance_ratio"] == pytest.approx(0.25, rel=0.05)
    np.testing.assert_allclose(own["power_ratio"], 0.25, rtol=0.3)
    assert "variance_ratio" not in details(*drawn(3, 2, BOX), BOX)


def test_regions_are_the_parts_of_the_globe():
    """On this grid they share no row, so the mean of their squares by area is that of the globe."""
    members, truth = drawn(7, 100)
    regions = details(members, truth)["regions"]
    latitude, weights = np.asarray(GRID.latitude), GRID.area_weights[:, 0]
    area = [weights[latitude > 20].sum(), weights[abs(latitude) <= 20].sum(), weights[latitude < -20].sum()]
    squares = [regions[name]["mean_rmse_pooled"] ** 2 for name in ("north", "tropics", "south")]
    error = (GRID.area_weights * (members.mean(axis=0) - truth) ** 2).mean()
    assert np.average(squares, weights=area) == pytest.approx(error, rel=1e-5)
    assert list(details(*drawn(3, 2, BOX), BOX)["regions"]) == ["north"]


def test_no_rank_is_negative_by_rounding():
    for seed in range(40):
        ranks = details(*drawn(20, 1, seed=seed))["ranks"]
        assert min(ranks) >= 0
        assert sum(ranks) == pytest.approx(1)


def test_a_bin_without_a_cell_has_no_value():
    few = Grid.from_coordinates(np.arange(40.0, 46.0, 2.0), np.arange(0.0, 6.0, 2.0))
    bins = details(*drawn(5, 4, few), few)["spread_bins"]
    missing = [value is None for value in bins["spread"]]
    assert any(missing)
    assert missing == [value is None for value in bins["error"]]
