"""Windows hold times that are exactly a step apart, whatever is missing and in whatever order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.data.windows import match_times, window_indices
from pinnwx.errors import UsageError


def hours(values) -> np.ndarray:
    return np.datetime64("2020-02-27", "ns") + np.timedelta64(1, "h") * np.asarray(values, dtype=np.int64)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 60), max_size=40, unique=True),
    st.sampled_from([1, 3, 6]),
    st.integers(0, 4),
)
def test_windows_are_all_and_only_the_complete_ones(present, step, steps):
    found = window_indices(hours(present), step, steps)
    assert found.dtype == np.int32
    assert found.shape[1] == steps + 1
    position = {value: index for index, value in enumerate(present)}
    wanted = [
        [position[start + step * k] for k in range(steps + 1)]
        for start in present
        if all(start + step * k in position for k in range(steps + 1))
    ]
    assert found.tolist() == wanted


def test_a_gap_is_never_spanned():
    times = hours([0, 6, 12, 24, 30, 36])
    assert window_indices(times, 6, 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert window_indices(times, 12, 1).tolist() == [[0, 2], [2, 3], [3, 5]]
    assert window_indices(times, 5, 1).shape == (0, 2)


def test_nonsense_is_refused():
    with pytest.raises(UsageError, match="must be positive"):
        window_indices(hours([0]), 0, 1)
    with pytest.raises(UsageError, match="a time is repeated"):
        window_indices(hours([0, 6, 6]), 6, 1)


@settings(deadline=None)
@given(st.sets(st.integers(0, 200), min_size=1), st.lists(st.integers(-50, 250), min_size=1))
def test_match_times_finds_what_is_there(held, wanted):
    times = hours(sorted(held))
    for hour, index in zip(wanted, match_times(times, hours(wanted)), strict=True):
        assert (index >= 0) == (hour in held)
        assert index < 0 or times[index] == hours(hour)
