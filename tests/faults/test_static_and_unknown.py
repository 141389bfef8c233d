"""Static fields of GRIB that several messages hold, and files that hold variables which nobody knows."""

import numpy as np
import pytest
from grib_files import message, write_grib
from gridded import fields, write
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.errors import DataError

pytest.importorskip("eccodes")
MASK = np.round(np.linspace(0, 1, 81).reshape(9, 9), 4)


def lsm(values=MASK, **keys) -> bytes:
    return message(values, short_name="lsm", **keys)


def said(path) -> list[str]:
    return [problem.message for problem in open_with_report(path, ["t2m"], static=["lsm"])[1].problems]


@pytest.mark.parametrize("edition", [1, 2])
def test_the_first_step_with_values_is_taken_as_of_netcdf(tmp_path, edition):
    empty = lsm(np.full((9, 9), np.nan), edition=edition)
    path = write_grib(
        tmp_path / "a.grib", message(edition=edition), empty, lsm(edition=edition, time=600),
        lsm(edition=edition, time=1200),
    )  # fmt: skip
    np.testing.assert_allclose(open_data(path, ["t2m"], static=["lsm"])["lsm"].values, MASK, atol=1e-6)
    assert said(path) == []


@pytest.mark.parametrize("edition", [1, 2])
def test_steps_that_differ_are_counted(tmp_path, edition):
    other = lsm(1 - MASK, edition=edition, time=600)
    path = write_grib(tmp_path / "a.grib", message(edition=edition), lsm(edition=edition), other)
    np.testing.assert_allclose(open_data(path, ["t2m"], static=["lsm"])["lsm"].values, MASK, atol=1e-6)
    (line,) = said(path)
    assert line == "1 of its 2 steps differ from the first step with values, which is used"


def test_the_same_field_packed_otherwise_does_not_differ(tmp_path):
    path = write_grib(tmp_path / "a.grib", message(), lsm(bits=8), lsm(bits=16, time=600))
    assert said(path) == []


@pytest.mark.parametrize("edition", [1, 2])
def test_a_static_field_is_read_at_any_step(tmp_path, edition):
    """Beside forecasts, which are left out, it is what it always is."""
    path = write_grib(
        tmp_path / "a.grib", message(edition=edition), message(edition=edition, step=6), lsm(edition=edition, step=6)
    )
    found = open_data(path, ["t2m"], static=["lsm"])
    assert found.sizes["time"] == 1
    np.testing.assert_allclose(found["lsm"].values, MASK, atol=1e-6)


def unknown(path, format):
    if format == "grib":
        return write_grib(path, message(short_name="sd"), message(short_name="skt"))
    dataset = wave_dataset(4).rename(msl="snow_depth", t850="skin_temperature")
    dataset = dataset.map(lambda array: array.drop_attrs())
    if format == "zarr":
        dataset.to_zarr(path, zarr_format=2)
        return path
    return write(dataset, path)


@pytest.mark.parametrize(
    ("format", "names"),
    [("nc", ("snow_depth", "skin_temperature")), ("zarr", ("snow_depth", "skin_temperature")), ("grib", ("sd", "skt"))],
)
def test_files_of_unknown_variables_are_refused_by_what_they_hold(tmp_path, format, names):
    path = unknown(tmp_path / f"x.{format}", format)
    for asked in (None, ["msl"]):
        with pytest.raises(DataError) as caught:
            open_data(path, asked)
        message = str(caught.value)
        assert "\n" not in message
        for name in names:
            assert name in message
        assert "declare them under [variables] of a config" in message
    assert any(names[0] in problem.message for problem in check_data(path).problems)


def test_of_many_unknown_variables_the_first_are_named(tmp_path):
    one = fields()["t2m"].drop_attrs()
    dataset = one.to_dataset(name="a0").assign({f"a{number}": one for number in range(1, 40)})
    with pytest.raises(DataError, match=r"unknown: a0, a1, a2, a3, a4, a5 and 34 more; declare"):
        open_data(write(dataset, tmp_path / "x.nc"))
