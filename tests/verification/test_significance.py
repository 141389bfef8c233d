"""Bounds cover what they should, compare in pairs, and stay silent where they cannot know."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from pinnwx.verification.significance import (
    MINIMUM_BLOCKS,
    BlockBootstrap,
    Measurement,
    StandardError,
    _multiplicities,
    adjusted,
    overlap_days,
)


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


def crossed(generator, seeds: int, n_days: int, seed_effect: float, day_effect: float) -> np.ndarray:
    """(seed, day) with mean zero: an effect of the seed, one of the day with memory, and their interaction of 0.3."""
    day = autoregressive(0.3, 1, n_days, int(generator.integers(2**31)))
    own = generator.standard_normal((seeds, 1))
    return seed_effect * own + day_effect * day + 0.3 * generator.standard_normal((seeds, n_days))


# 400 trials at 0.95 have a standard error of 0.011. The bounds promise at least 0.95 for blocks that are independent;
# days with memory cost 0.01 (the table of the module), and three standard errors are allowed.
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("seed_effect", "day_effect"), [(0.3, 0.1), (0.1, 1.0)])
def test_bounds_over_days_and_seeds_cover(seeds, seed_effect, day_effect):
    generator, bootstrap, days = np.random.default_rng(7), BlockBootstrap(resamples=200), np.ones((seeds, 30))
    trials, hits, seeds_left_out = 400, 0, 0
    for _ in range(trials):
        series = crossed(generator, seeds, 30, seed_effect, day_effect)
        estimate = bootstrap.estimate(mean, series, days)
        hits += estimate.low <= 0 <= estimate.high
        over_days = bootstrap.estimate(mean, series.mean(axis=0), days[0])
        seeds_left_out += over_days.low <= 0 <= over_days.high
    assert hits / trials > 0.94 - 3 * 0.011
    if seed_effect > day_effect:
        assert seeds_left_out / trials < 0.8


def test_bounds_over_seeds_are_those_of_student_where_days_do_not_vary():
    """Without variation of days, it is the interval of a mean of k values; the ratio of this study is 0.991 -+ 0.07."""
    ratios = np.array([1.001, 0.960, 1.013])
    series = np.repeat(ratios[:, None], 30, axis=1)
    estimate = BlockBootstrap().estimate(mean, series, np.ones_like(series))
    assert estimate.value == pytest.approx(ratios.mean())
    assert (estimate.high - estimate.low) / 2 == pytest.approx(4.3027 * ratios.std(ddof=1) / math.sqrt(3), rel=1e-4)


def test_equal_seeds_add_no_width():
    series = 1 + 0.1 * np.random.default_rng(0).standard_normal(30)
    single = BlockBootstrap().estimate(mean, series, np.ones(30))
    double = BlockBootstrap().estimate(mean, np.stack([series] * 2), np.ones((2, 30)))
    assert double == pytest.approx(single)


@given(st.integers(1, 400), st.integers(1, 12), st.one_of(st.none(), st.integers(1, 9)))
def test_no_block_is_shorter_than_the_overlap(n_days, overlap, block_days):
    bootstrap = BlockBootstrap(block_days=block_days)
    assert bootstrap.block_length(n_days, overlap) >= overlap
    assert (bootstrap.obstacle(n_days, overlap) is None) == (
        n_days >= MINIMUM_BLOCKS * bootstrap.block_length(n_days, overlap)
    )


def test_overlap_counts_the_days_of_the_series():
    days = np.datetime64("2026-01-01") + np.arange(20)
    assert [overlap_days(days, lead) for lead in (0, 6, 24, 30, 72)] == [1, 1, 1, 2, 3]
    assert overlap_days(days[::2], 72) == 2  # a forecast every other day
    assert overlap_days(days[:1], 120) == 5


@pytest.mark.parametrize("errors", [((0.1, 7.0),), ((0.1, 7.0), (0.05, 2.0)), ((0.0, 7.0), (0.1, 2.0))])
@pytest.mark.parametrize("expected", [0.7, 0.95, 1.2])
def test_bounds_at_the_level_of_the_p_value_touch_the_expected_value(errors, expected):
    measured = Measurement(1.0, tuple(StandardError(*error) for error in errors))
    p = measured.p_value(expected)
    low, high = measured.estimate(1 - p)[1:]
    assert (low if expected < 1 else high) == pytest.approx(expected, abs=1e-9)


def test_p_values_without_variation_or_without_bounds():
    certain = Measurement(0.9, (StandardError(0.0, 3.0),))
    assert (certain.p_value(0.9), certain.p_value(1.0)) == (1.0, 0.0)
    assert Measurement(0.9).p_value(1.0) is None
    assert Measurement(None).p_value(1.0) is None


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg():
    """The smallest m p / rank over all larger p-values, written out; unknown ones are no comparisons."""
    assert adjusted([0.01, None, 0.04, 0.03, 0.5]) == [0.04, None, *map(pytest.approx, (0.16 / 3, 0.16 / 3, 0.5))]
    assert adjusted([None]) == [None]
    for count in (1, 2, 40):
        p_values = np.random.default_rng(count).uniform(0, 1, count).round(1)  # some are equal
        np.testing.assert_allclose(adjusted(p_values.tolist()), false_discovery_control(p_values), rtol=1e-12)


def test_few_of_many_equal_models_are_called_different():
    """100 sets of 20 comparisons of equal models: sets with any difference by p-values, and by adjusted ones."""
    generator, bootstrap, raw, controlled = np.random.default_rng(4), BlockBootstrap(resamples=100), 0, 0
    for _ in range(100):
        rows = 1 + 0.1 * generator.standard_normal((20, 30))
        p_values = [bootstrap.measure(mean, row, np.ones(30)).p_value(1.0) for row in rows]
        raw += min(p_values) < 0.05
        controlled += min(adjusted(p_values)) < 0.05
    assert controlled <= 5 + 3 * 2.2 < raw  # three standard errors of 100 trials at 0.05
