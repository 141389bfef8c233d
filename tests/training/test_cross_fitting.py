"""Cross-fitting: what each network of a deep ensemble leaves out, and that it trains on nothing near it."""

import numpy as np
import pytest
from synthetic import config, wave_archive

from pinnwx.data.windows import window_indices
from pinnwx.errors import ConfigError, DataError
from pinnwx.training.cross_fitting import GAP, left_out, left_out_by, unseen
from pinnwx.training.fit import curriculum_batches
from pinnwx.training.sampling import BatchSampler

ARCHIVE = wave_archive(160)  # 40 days
TIMES = ARCHIVE.times
WINDOWS = window_indices(TIMES, 6, 3)
DAYS, NETWORKS = 4, 3


def distance(window, network) -> np.timedelta64:
    """Of the nearest analysis of a window from the nearest analysis that a network leaves out."""
    own = TIMES[left_out_by(TIMES, DAYS, NETWORKS) == network]
    return np.abs(TIMES[window][:, None] - own).min()


def test_networks_take_turns_by_whole_blocks():
    owner = left_out_by(TIMES, DAYS, NETWORKS)
    changes = np.flatnonzero(np.diff(owner)) + 1
    assert (np.diff(changes) == 4 * DAYS).all()
    assert ((owner[changes] - owner[changes - 1]) % NETWORKS == 1).all()
    assert set(owner) == set(range(NETWORKS))
    np.testing.assert_array_equal(left_out_by(TIMES[37:], DAYS, NETWORKS), owner[37:], "whenever the data begin")


def test_a_network_leaves_out_what_is_near_its_blocks_and_nothing_else():
    excluded = left_out(WINDOWS, TIMES, DAYS, NETWORKS)
    for network in range(NETWORKS):
        own = TIMES[left_out_by(TIMES, DAYS, NETWORKS) == network]
        near = [distance(window, network) <= GAP and own.size > 0 for window in WINDOWS]
        # A block may begin or end where there are no analyses, so its edge is at most one step away from its analyses.
        sure = [abs(distance(window, network) - GAP) > np.timedelta64(6, "h") for window in WINDOWS]
        np.testing.assert_array_equal(excluded[network][sure], np.array(near)[sure])
        assert excluded[network].any()
        assert not excluded[network].all()


def test_what_is_unseen_is_in_no_training_window():
    windows, owner = unseen(WINDOWS, TIMES, DAYS, NETWORKS)
    excluded = left_out(WINDOWS, TIMES, DAYS, NETWORKS)
    assert len(windows) > len(WINDOWS) / 2
    for network in range(NETWORKS):
        trained_on = TIMES[np.unique(WINDOWS[~excluded[network]])]
        own = TIMES[np.unique(windows[owner == network])]
        assert np.abs(trained_on[:, None] - own).min() > GAP


@pytest.mark.parametrize("member", range(NETWORKS))
def test_batches_of_a_network_are_without_its_blocks(member):
    settings = config(model=f"networks = {NETWORKS}", training=f"batch_size = 8\ncross_fitting_days = {DAYS}")
    (batches,) = curriculum_batches([ARCHIVE], settings)
    windows = np.concatenate([batches.batch(number, member) for number in range(60)])
    assert min(distance(window, member) for window in windows) > GAP
    others = {int(left_out_by(TIMES[window[:1]], DAYS, NETWORKS)[0]) for window in windows}
    assert others == set(range(NETWORKS)) - {member}


def test_without_it_every_network_has_every_window():
    settings = config(model=f"networks = {NETWORKS}", training="batch_size = 8")
    (batches,) = curriculum_batches([ARCHIVE], settings)
    windows = window_indices(TIMES, 6, 1)
    plain = BatchSampler.of(windows, windows[:0], 0.0, 8, (settings.seed, 0))
    for member in range(NETWORKS):
        np.testing.assert_array_equal(batches.batch(5, member), plain.batch(5, member))


def test_forecasts_of_a_teacher_are_left_out_by_no_network():
    main, other = WINDOWS[:40], WINDOWS[40:80]
    excluded = np.array([np.arange(40) < 20, np.arange(40) >= 20])
    batches = BatchSampler.of(main, other, 0.5, 8, (0,), excluded)
    first = np.concatenate([batches.batch(number, 0) for number in range(30)])[:, 0]
    assert set(first) == set(main[20:, 0]) | set(other[:, 0])


def test_a_training_time_of_too_few_blocks_is_refused():
    short = wave_archive(20)
    settings = config(model="networks = 2", training="batch_size = 8\ncross_fitting_days = 30")
    with pytest.raises(DataError, match=r"no window .* free of the blocks of network \d; .*cross_fitting_days = 30"):
        curriculum_batches([short], settings)


@pytest.mark.parametrize("days", [1, 2.9])
def test_blocks_of_two_days_are_too_short(days):
    with pytest.raises(ConfigError, match=r"cross_fitting_days = .* is too short; give 3 or more, or 0"):
        config(model="networks = 2", training=f"cross_fitting_days = {days}")


def test_one_network_cannot_be_cross_fitted():
    with pytest.raises(ConfigError, match=r"cross_fitting_days needs model\.networks = 2 or more"):
        config(training="cross_fitting_days = 5")
