"""Paired comparisons: the ratio of two errors on the same forecasts, and refusals where they are not the same."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pinnwx.errors import DataError
from pinnwx.verification.comparison import compare_scores, compare_seeds
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.results import Scores

LEADS = (6, 24)


def scored(archive, error, leads=LEADS, times=None):
    """A model that knows the truth and is wrong by `error`, one number a forecast, counted by its initial index."""

    def rollout(indices):
        rows = np.array(indices)[:, None] + np.array(leads) // 6
        truth = archive.fields[rows % len(archive)]
        return truth + error[indices][:, None, None, None, None]

    return score_hindcasts(archive, rollout, None, archive.times if times is None else times, leads)


@pytest.fixture
def errors(archive):
    """Positive, different from day to day: hard and easy days."""
    day = np.random.default_rng(3).lognormal(0.0, 0.5, len(archive) // 4)
    return 8.0 * np.repeat(day, 4)  # steps of float32 near 1e5 Pa are 0.008


def test_a_run_against_itself_is_one_without_doubt(archive, errors):
    scores = scored(archive, errors)
    for entry in compare_scores(scores, scores).ratios:
        assert entry["ratio"] == entry["ratio_low"] == entry["ratio_high"] == 1.0


def test_a_tenth_less_on_every_day_is_certain(archive, errors):
    """The error itself is known to a third or so; the ratio, because both are hard on the same days, almost exactly."""
    first, second = scored(archive, 0.9 * errors), scored(archive, errors)
    for entry in compare_scores(first, second).ratios:
        assert entry["ratio"] == pytest.approx(0.9, rel=2e-3)
        assert entry["ratio_high"] - entry["ratio_low"] < 0.01
        alone = first.entry(entry["variable"], entry["lead_hours"])
        assert alone["rmse_high"] - alone["rmse_low"] > 0.1 * alone["rmse"]
        assert entry["first_rmse"] == alone["rmse"]


def test_noise_alone_is_level(archive, errors):
    """Two models that are as good, each with its own luck: the bounds hold 1."""
    luck = np.random.default_rng(5).permutation(errors.reshape(-1, 4)).ravel()
    for entry in compare_scores(scored(archive, luck), scored(archive, errors)).ratios:
        assert entry["ratio_low"] < 1 < entry["ratio_high"]


def test_the_ratio_is_that_of_the_means(archive, errors):
    first, second = scored(archive, errors[::-1].copy()), scored(archive, errors)
    for entry in compare_scores(first, second).ratios:
        key = entry["variable"], entry["lead_hours"]
        assert entry["ratio"] == pytest.approx(first.entry(*key)["rmse"] / second.entry(*key)["rmse"], rel=1e-12)


def test_only_what_both_have_is_compared(archive, errors):
    comparison = compare_scores(scored(archive, errors), scored(archive, errors, leads=(24, 48)))
    assert {entry["lead_hours"] for entry in comparison.ratios} == {24}


def test_other_forecasts_are_refused(archive, errors):
    fewer = scored(archive, errors, times=archive.times[:40])
    with pytest.raises(DataError, match=r"msl at 6 h was scored on 79 and on 40 forecasts.*same data and period"):
        compare_scores(scored(archive, errors), fewer)


def test_as_many_forecasts_of_other_days_are_refused(archive, errors):
    first, second = (scored(archive, errors, times=times) for times in (archive.times[:40], archive.times[4:44]))
    with pytest.raises(DataError, match="on 40 and on 40 forecasts, which differ"):
        compare_scores(first, second)


def test_another_grid_is_refused(archive, errors):
    scores = scored(archive, errors)
    other = replace(scores, settings={**scores.settings, "grid": "2.5deg"})
    with pytest.raises(DataError, match=r"the scores differ in grid: global 8 x 16.* and 2\.5deg"):
        compare_scores(scores, other)


def test_nothing_in_common_is_refused(archive, errors):
    with pytest.raises(DataError, match="no variable and lead in common"):
        compare_scores(scored(archive, errors), scored(archive, errors, leads=(48,)))


def test_scores_of_an_older_version_are_refused(archive, errors):
    scores = scored(archive, errors)
    old = replace(scores, scores=tuple({k: v for k, v in e.items() if k != "daily"} for e in scores.scores))
    with pytest.raises(DataError, match="have no daily errors; write them again with evaluate"):
        compare_scores(scores, old)


def test_too_few_days_for_bounds_say_so(archive, errors):
    one_day = scored(archive, errors, times=archive.times[:4])
    for entry in compare_scores(one_day, one_day).ratios:
        assert entry["ratio"] == 1.0
        assert entry["ratio_low"] is None
        assert "1 day" in entry["bounds_missing"]


def test_scores_from_a_file_compare_as_well(archive, errors, tmp_path):
    first, second = scored(archive, 0.9 * errors), scored(archive, errors)
    first.save(tmp_path / "first.json")
    comparison = compare_scores(Scores.load(tmp_path / "first.json"), second)
    assert comparison.ratios == compare_scores(first, second).ratios
    comparison.save(tmp_path / "comparison.json")
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert stored == comparison.to_dict()
    assert len((tmp_path / "comparison.json").read_text().splitlines()) == len(comparison.ratios) + 7


def seeds_of(archive, errors, factors):
    return [scored(archive, factor * errors) for factor in factors]


def test_seeds_that_differ_widen_the_bounds(archive, errors):
    """Seeds 0.95 and 0.99 of the same errors: each alone is certain over days, both together are not."""
    first, second = seeds_of(archive, errors, (0.95, 0.99)), seeds_of(archive, errors, (1.0, 1.0))
    together = compare_seeds(first, second)
    for index, entry in enumerate(together.ratios):
        alone = [compare_scores(*pair).ratios[index] for pair in zip(first, second, strict=True)]
        assert all(one["ratio_high"] < 1 for one in alone)
        assert entry["ratio"] == pytest.approx(0.97, rel=2e-3)
        # t = 12.706 for one degree of freedom, on a standard error of 0.04 / 2
        assert entry["ratio_high"] - entry["ratio"] == pytest.approx(12.706 * 0.02, rel=0.05)
        assert entry["n_seeds"] == 2
        assert entry["p_value"] > 0.05
    assert compare_seeds(first[:1], second[:1]).ratios == compare_scores(first[0], second[0]).ratios


def test_as_many_seeds_are_needed_of_both(archive, errors):
    with pytest.raises(DataError, match="2 and 1 seeds to compare"):
        compare_seeds(seeds_of(archive, errors, (1.0, 1.0)), seeds_of(archive, errors, (1.0,)))


def test_the_number_of_comparisons_is_stated(archive, errors):
    comparison = compare_scores(scored(archive, 0.9 * errors), scored(archive, errors))
    assert comparison.settings["comparisons"] == len(comparison.ratios) == 4
    alone = "4 comparisons, each by its own bounds: first better in 4, second better in 0."
    assert comparison.summary.startswith(alone)
    assert "Benjamini and Hochberg): first better in 4, second better in 0." in comparison.summary
    assert all(entry["p_adjusted"] >= entry["p_value"] for entry in comparison.ratios)


def test_a_block_is_never_shorter_than_the_lead(archive, errors):
    """Eight days allow blocks of two, and no bounds at three days."""
    scores = scored(archive, errors, leads=(24, 72), times=archive.times[:32])
    day, three_days = compare_scores(scores, scores).ratios[:2]
    assert day["bounds_missing"] is None
    assert three_days["ratio_low"] is None
    assert three_days["bounds_missing"] == "only 8 day(s); bounds need 9, 3 blocks of 3"
    assert scores.entry("msl", 72)["rmse_low"] is None
    assert scores.entry("msl", 24)["persistence_ratio_p_adjusted"] is not None
