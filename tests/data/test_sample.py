"""The embedded sample opens with one call and has nothing to complain about."""

import pytest

from pinnwx.data import open as opening
from pinnwx.data.open import check_data, open_with_report, sample_path
from pinnwx.errors import MissingInputError
from pinnwx.grid import Grid


def test_the_sample_is_whole():
    dataset, report = open_with_report(sample_path())
    assert {"z500", "t850", "t2m", "msl", "u500", "v500", "u850", "v850"} <= set(dataset.data_vars)
    assert report.step_hours == 6
    assert report.gaps == ()
    assert report.grid == str(Grid.parse("5.625deg"))
    assert not [problem for problem in check_data(sample_path()).problems if problem.severity != "note"]


def test_without_it_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "files", lambda _: tmp_path / "pinnwx")
    with pytest.raises(MissingInputError, match=r"sample.nc is missing"):
        sample_path()
    inside = tmp_path / "pinnwx" / "data" / "sample.nc"
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert sample_path() == inside
