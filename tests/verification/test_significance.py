"""Bounds cover what they should, compare in pairs, and stay silent where they cannot know."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.verification.significance import MINIMUM_BLOCKS, BlockBootstrap, _multiplicities


def mean(total, count):
    return total / count


def autoregressive(correlation: float, trials: int, n_days: int, seed: int) -> np.ndarray:
    """(trials, days) of unit variance and mean zero, from its stationary distribution."""
    noise = np.random.default_rng(seed).standard_normal((trials, n_days))
    series = noise.copy()
    for day in range(1, n_days):
        series[:, day] = correlation * series[:, day - 1] + math.sqrt(1 - correlation**2) * noise[:, day]
    return series


def coverage(bootstrap: BlockBootstrap, correlation: float, n_days: int, trials: int = 400) -> float:
    series = autoregressive(correlation, trials, n_days, seed=1)
    ones = np.ones(n_days)
    estimates = [bootstrap.estimate(mean, row, ones) for row in series]
    return float(np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates]))


# A share of 0.95 has a standard error of 0.011 in 400 trials, one of 0.9 has 0.015; the allowance is about three
# of them on either side of what the module states.
@pytest.mark.parametrize(
    ("correlation", "n_days", "stated"),
    [(0.0, 8, 0.98), (0.3, 8, 0.94), (0.5, 8, 0.90), (0.3, 30, 0.97), (0.5, 30, 0.96), (0.7, 30, 0.91)],
)
def test_bounds_cover_as_stated(correlation, n_days, stated):
    assert coverage(BlockBootstrap(), correlation, n_days) == pytest.approx(stated, abs=0.04)


def test_blocks_are_what_makes_bounds_honest():
    single_days = coverage(BlockBootstrap(block_days=1), 0.7, 120)
    assert single_days < 0.75
    assert coverage(BlockBootstrap(), 0.7, 120) > single_days + 0.1


def test_coverage_of_a_ratio():
    """True ratio 0.5; both series share their weather, so the paired bounds are narrow and still right."""
    generator = np.random.default_rng(2)
    bootstrap, hits, widths, trials = BlockBootstrap(resamples=1000), 0, [], 300
    for weather in autoregressive(0.4, trials, 40, seed=3):
        below = 2.0 + 0.3 * weather
        above = 0.5 * below + 0.02 * generator.standard_normal(40)
        estimate = bootstrap.estimate(mean, above, below)
        hits += estimate.low <= 0.5 <= estimate.high
        widths.append(estimate.high - estimate.low)
        unpaired = bootstrap.estimate(mean, above, np.full(40, below.mean()))
        assert estimate.high - estimate.low < 0.5 * (unpaired.high - unpaired.low)
    assert hits / trials > 0.92
    assert np.mean(widths) < 0.01


def test_bounds_narrow_with_the_root_of_the_sample():
    days = np.array([50, 100, 200, 400, 800])
    widths = []
    for n_days in days:
        series = np.random.default_rng(0).standard_normal((40, n_days))
        estimates = [BlockBootstrap(block_days=2, resamples=500).estimate(mean, row, np.ones(n_days)) for row in series]
        widths.append(np.mean([estimate.high - estimate.low for estimate in estimates]))
    slope = np.polyfit(np.log(days), np.log(widths), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1e6), min_size=6, max_size=60))
def test_a_series_over_itself_is_exactly_one(values):
    series = np.array(values)
    assert BlockBootstrap(resamples=200).estimate(mean, series, series.copy()) == (1.0, 1.0, 1.0)


@settings(deadline=None)
@given(st.integers(6, 400), st.integers(0, 5))
def test_every_draw_holds_as_many_days_as_there_are(n_days, seed):
    block = BlockBootstrap().block_length(n_days)
    draws = _multiplicities(n_days, block, 50, seed)
    assert (draws.sum(axis=1) == n_days).all()
    assert (draws >= 0).all()


def test_every_day_is_drawn_equally_often():
    draws = _multiplicities(40, 7, 20000, 0)
    # A day's multiplicity has a variance of about one: five standard errors over all draws.
    assert np.abs(draws.mean(axis=0) - 1).max() < 5 / math.sqrt(20000)


@settings(deadline=None)
@given(st.integers(1, 2000))
def test_block_length_leaves_enough_blocks(n_days):
    bootstrap = BlockBootstrap()
    assert (bootstrap.obstacle(n_days) is None) == (n_days >= 2 * MINIMUM_BLOCKS)
    assert bootstrap.block_length(n_days) >= 2


@pytest.mark.parametrize("bootstrap", [BlockBootstrap(), BlockBootstrap(block_days=3)])
def test_too_few_days_give_a_value_and_a_reason(bootstrap):
    n_days = MINIMUM_BLOCKS * bootstrap.block_length(4) - 1
    estimate = bootstrap.estimate(mean, np.arange(1.0, n_days + 1), np.ones(n_days))
    assert estimate == ((n_days + 1) / 2, None, None)
    assert str(n_days) in bootstrap.obstacle(n_days)


def test_the_undefined_is_none():
    nothing = np.zeros(20)
    assert BlockBootstrap().estimate(mean, nothing, nothing) == (None, None, None)
    rare = np.zeros(20)
    rare[3] = 1.0  # most draws miss the one day that counts
    assert BlockBootstrap().estimate(mean, rare, rare) == (1.0, None, None)


def test_limits_cut_bounds_not_values():
    series = np.random.default_rng(0).uniform(0, 1, 10) ** 8
    estimate = BlockBootstrap(level=0.999).estimate(mean, series, np.ones(10), limits=(0.0, 0.2))
    assert estimate.low == 0.0
    assert estimate.high == 0.2


def test_seed_decides_and_the_level_widens():
    series, ones = np.random.default_rng(0).standard_normal(30), np.ones(30)
    first = BlockBootstrap(seed=1).estimate(mean, series, ones)
    assert first == BlockBootstrap(seed=1).estimate(mean, series, ones)
    assert first != BlockBootstrap(seed=2).estimate(mean, series, ones)
    wide = BlockBootstrap(seed=1, level=0.99).estimate(mean, series, ones)
    assert wide.low < first.low < first.high < wide.high
