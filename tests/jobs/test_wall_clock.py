"""How the minutes of a command are divided."""

import pytest

from pinnwx.jobs.budget import budget_ends, fine_tuning_ends, training_ends


def test_saving_has_a_part_of_the_minutes():
    assert budget_ends(10.0, 100.0) == pytest.approx(100.0 + 0.96 * 600 - 5.0)


@pytest.mark.parametrize(("seconds", "check"), [(20.0, 3.0), (100.0, 9.0), (1000.0, 36.0)])
def test_the_training_check_has_a_part_of_the_rest(seconds, check):
    assert training_ends(50.0 + seconds, 50.0) == pytest.approx(50.0 + seconds - check)


@pytest.mark.parametrize(("seconds", "check"), [(60.0, 24.0), (600.0, 105.0)])
def test_the_promotion_check_has_a_part_of_the_rest(seconds, check):
    assert fine_tuning_ends(50.0 + seconds, 50.0) == pytest.approx(50.0 + seconds - check)
