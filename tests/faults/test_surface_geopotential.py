"""Geopotential of the surface is orography, z / 9.80665, and never z on a pressure level."""

import numpy as np
import pytest
from gridded import fields, on_levels, opened, refusal, write

GRAVITY = 9.80665


def surface(**attributes):
    dataset = fields("z", steps=1)
    dataset["z"].values[:] = np.linspace(-50, 20000, 81, dtype=np.float32).reshape(1, 9, 9)
    dataset["z"].attrs |= {"long_name": "Geopotential", "standard_name": "geopotential", **attributes}
    return dataset


def with_mask(dataset, name="lsm"):
    mask = dataset["z"].copy(data=np.zeros_like(dataset["z"].values))
    mask.attrs = {"units": "(0 - 1)"} if name == "lsm" else {}
    return dataset.assign({name: mask})


SAID = {
    "a GRIB level type": surface(GRIB_typeOfLevel="surface"),
    "a scalar coordinate": surface().assign_coords(surface=((), 0.0)),
    "a long name": surface(long_name="Geopotential at surface"),
    "another long name": surface(long_name="surface geopotential"),
    "orography": surface(long_name="Orography times gravity"),
    "what NCEP says": surface(level_desc="Surface"),
    "without a time": surface(long_name="Geopotential at the surface").isel(time=0, drop=True),
    "beside a land-sea mask": with_mask(surface()),
    "beside soil and mask": with_mask(with_mask(surface()), "slt"),
    "at several times": fields("z")
    .assign(z=fields("z")["z"] * 0 + surface()["z"].values)
    .pipe(lambda dataset: dataset.assign(z=dataset["z"].assign_attrs(GRIB_typeOfLevel="surface", units="m**2 s**-2"))),
}


@pytest.mark.parametrize("kind", SAID)
def test_report_17_surface_geopotential_is_orography(tmp_path, kind):
    dataset = SAID[kind]
    path = write(dataset, tmp_path / "x.nc")
    found = opened(path, [], static=["orography"])
    wanted = dataset["z"].values.reshape(-1, 9, 9)[0].astype(np.float64) / GRAVITY
    np.testing.assert_allclose(found["orography"].values, wanted, rtol=1e-6, atol=1e-4)
    assert "z500 not in the data" in str(opened(path, ["z500"], levels={"z": 500}))


@pytest.mark.parametrize("name", ["geopotential_at_surface", "surface_geopotential", "phis", "PHIS"])
def test_a_name_of_its_own(tmp_path, name):
    found = opened(write(surface().rename(z=name), tmp_path / "x.nc"))
    assert float(found["orography"].max()) == pytest.approx(20000 / GRAVITY, rel=1e-6)


def test_it_condemns_no_other_field(tmp_path):
    """A single-level file with z, lsm, msl and t2m; and one that holds z on levels too."""
    both = surface(GRIB_typeOfLevel="surface").merge(fields("msl", steps=1))
    found = opened(write(both, tmp_path / "x.nc"))
    assert set(found) == {"msl", "orography"}
    levels = on_levels("level", [500], {"units": "hPa"}, "z").isel(time=[0])
    merged = levels.merge(surface(GRIB_typeOfLevel="surface").rename(z="Z"))
    assert set(opened(write(merged, tmp_path / "y.nc"))) == {"z500", "orography"}


@pytest.mark.parametrize("beside", [None, "msl", "t2m"])
def test_a_geopotential_that_may_be_either_is_refused_with_both_ways_out(tmp_path, beside):
    dataset = surface() if beside is None else surface().merge(fields(beside, steps=1))
    path = write(dataset, tmp_path / "x.nc")
    if beside is None:
        said = refusal(path)
    else:  # it condemns no other field
        assert set(opened(path)) == {beside}
        said = str(opened(path, [beside, "z500"]))
    assert "if it is of the surface" in said
    assert 'rename it to "geopotential_at_surface"' in said
    assert "levels = { z = 500 }" in said


def test_a_height_is_not_divided_again(tmp_path):
    dataset = surface(GRIB_typeOfLevel="surface", units="gpm")
    dataset["z"].values[:] /= GRAVITY
    found = opened(write(dataset, tmp_path / "x.nc"))
    assert float(found["orography"].max()) == pytest.approx(20000 / GRAVITY, rel=1e-6)
    del dataset["z"].attrs["units"]
    assert "is a field of the surface without units" in refusal(write(dataset, tmp_path / "y.nc"))


def test_a_level_that_is_stated_stays_that_of_the_field(tmp_path):
    """Neither a mask beside it nor one time only makes orography of z500."""
    dataset = with_mask(fields("z", steps=1))
    assert "z500" in opened(write(dataset.rename(z="z500"), tmp_path / "x.nc"))
    axis = on_levels("level", [500], {"units": "hPa"}, "z").isel(time=[0])
    assert set(opened(write(axis, tmp_path / "y.nc"))) == {"z500"}
