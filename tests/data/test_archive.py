"""The array form of a dataset."""

from dataclasses import replace

import numpy as np
import pytest
from layouts import BOX, truth

from pinnwx.data.archive import Archive
from pinnwx.errors import DataError, UnavailableError


@pytest.fixture
def archive() -> Archive:
    dataset = truth(("z500", "msl"), BOX, steps=12)
    return Archive.from_dataset(dataset, ("msl", "z500"))


def test_fields_stand_in_the_order_asked(archive):
    dataset = truth(("z500", "msl"), BOX, steps=12)
    assert archive.names == ("msl", "z500")
    assert archive.fields.shape == (12, 2, 7, 8)
    np.testing.assert_array_equal(archive.fields[:, 1], dataset["z500"].values)
    assert archive.grid == BOX
    assert archive.step_hours == 6
    assert len(archive) == 12


def test_static_fields():
    dataset = truth(("z500",), BOX, steps=2)
    dataset["orography"] = dataset["z500"].isel(time=0, drop=True) / 100
    found = Archive.from_dataset(dataset, ("z500",), ("orography",))
    np.testing.assert_array_equal(found.static["orography"], dataset["orography"].values)


def test_missing_names_and_values_are_refused():
    dataset = truth(("z500", "msl"), BOX)
    with pytest.raises(DataError, match="t850 not in the data; found: z500, msl"):
        Archive.from_dataset(dataset, ("t850",))
    dataset["msl"].values[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="msl holds 1 values that are not finite"):
        Archive.from_dataset(dataset, ("msl",))


def test_select_includes_both_ends(archive):
    part = archive.select("2020-02-28", "2020-02-28")
    assert part.times.tolist() == archive.times[4:8].tolist()
    assert np.shares_memory(part.fields, archive.fields)
    with pytest.raises(UnavailableError, match="no data from 2021-01-01 to None; the files hold 2020-02-27T00:00Z to"):
        archive.select("2021-01-01")


def test_step_is_the_commonest_spacing(archive):
    holed = replace(archive, times=np.delete(archive.times, [3]), fields=np.delete(archive.fields, 3, axis=0))
    assert holed.step_hours == 6
    with pytest.raises(DataError, match="at least 2"):
        _ = archive.select(end="2020-02-27T00:00").step_hours


def test_digest_is_of_the_contents(archive):
    same = Archive.from_dataset(truth(("z500", "msl"), BOX, steps=12), ("msl", "z500"))
    assert archive.digest() == same.digest()
    changed = same.fields.copy()
    changed[3, 1, 2, 2] = np.nextafter(changed[3, 1, 2, 2], np.float32(np.inf))
    others = [
        replace(same, fields=changed),
        replace(same, times=same.times + np.timedelta64(1, "s")),
        replace(same, names=("msl", "z850")),
        replace(same, static={"lsm": np.zeros(BOX.shape, np.float32)}),
    ]
    assert len({archive.digest(), *(other.digest() for other in others)}) == 5
