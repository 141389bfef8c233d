"""Only pressures become pressure levels: model levels, heights and all others are refused and named."""

import numpy as np
import pytest
import xarray as xr
from gridded import fields, notes, on_levels, opened, refusal, write

import pinnwx
from pinnwx.errors import PinnwxError

HYBRID = {
    "a standard name": ("level", [100, 137], {"standard_name": "model_level_number"}),
    "a long name": ("level", [100, 137], {"long_name": "model_level_number"}),
    "a parametric coordinate": ("level", [100, 137], {"standard_name": "atmosphere_hybrid_sigma_pressure_coordinate"}),
    "formula terms": ("lev", [0.5, 0.9], {"formula_terms": "a: hyam b: hybm p0: P0 ps: PS", "units": "1"}),
    "what CESM gives in hPa": (
        "lev", [500.0, 850.0], {"units": "hPa", "long_name": "hybrid level at midpoints (1000*(A+B))",
                                "standard_name": "atmosphere_hybrid_sigma_pressure_coordinate"},
    ),
    "in mb, by its long name": ("lev", [500.0, 850.0], {"units": "mb", "long_name": "hybrid level at midpoints"}),
    "named hybrid": ("hybrid", [100, 137], {}),
    "named hybrid, of one": ("hybrid", [100], {}),
    "named eta": ("eta", [500, 850], {}),
    "named sigma": ("sigma", [0.5, 0.85], {"units": "1"}),
    "named model_level": ("model_level", [500, 850], {}),
    "units of levels": ("lev", [100, 137], {"units": "level"}),
    "cdo": ("lev", [100, 137], {"standard_name": "hybrid_sigma_pressure", "units": "level"}),
    "THREDDS": ("sigma1", [0.995], {"units": "sigma", "long_name": "Sigma level", "positive": "down"}),
    "NCL": ("lv_HYBL0", [100, 137], {}),
    "WRF": ("bottom_top", [1, 2, 3], {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HYBRID)
def test_report_07_model_levels(tmp_path, kind):
    """Refused as model levels; no option and no file name makes pressure levels of them."""
    path = write(on_levels(*HYBRID[kind]), tmp_path / "x.nc")
    assert "t: is on model levels" in refusal(path)
    assert "model levels" in refusal(path, levels={"t": 500})
    assert "model levels" in refusal(write(on_levels(*HYBRID[kind]), tmp_path / "t500.nc"))


OTHERS = {
    "isentropic": ("theta", [300, 350], {"units": "K"}, "isentropic levels"),
    "isentropic by its standard name": ("level", [300, 350], {"standard_name": "air_potential_temperature"}, "isentro"),
    "level in K": ("level", [300.0], {"units": "K"}, "isentropic levels"),
    "potential vorticity": ("potentialVorticity", [2000], {}, "potential vorticity levels"),
    "heights": ("height", [100, 500], {"units": "m"}, "heights"),
    "level in m": ("level", [500, 850], {"units": "m"}, "heights"),
    "heightAboveGround": ("heightAboveGround", [100, 500], {}, "heights"),
    "altitude": ("altitude", [500.0], {"units": "m", "standard_name": "altitude"}, "heights"),
    "depths": ("depth", [1, 100], {"units": "m"}, "depths"),
    "depths under land": ("depthBelowLandLayer", [0], {}, "depths"),
    "in furlongs": ("level", [500, 850], {"units": "furlongs"}, "levels of an unknown kind"),
    "upwards": ("level", [500, 850], {"positive": "up"}, "levels of an unknown kind"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_levels_of_other_kinds(tmp_path, kind):
    *axis, said = OTHERS[kind]
    path = write(on_levels(*axis), tmp_path / "t500.nc")
    assert f"t: is on {said}" in refusal(path)
    assert said in refusal(path, levels={"t": 500})


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("hybrid", "model levels"), ("heightAboveGround", "heights"), ("theta", "isentropic levels"),
        ("surface", "the surface"), ("maxWind", "levels of an unknown kind"), ("depthBelowLand", "depths"),
        ("generalVerticalLayer", "model levels"), ("meanSea", "mean sea level"),
    ],
)  # fmt: skip
def test_a_level_type_of_grib_in_the_attributes(tmp_path, said, kind):
    """cfgrib keeps it when the coordinate is dropped; neither a name nor an option overrides it."""
    dataset = fields("t")
    dataset["t"].attrs["GRIB_typeOfLevel"] = said
    assert f"t: is on {kind}" in refusal(write(dataset, tmp_path / "t500.nc"), levels={"t": 500})
    on_axis = on_levels("level", [500, 850], {})
    on_axis["t"].attrs["GRIB_typeOfLevel"] = said
    assert kind in refusal(write(on_axis, tmp_path / "x.nc"))
    dataset["t"].attrs["GRIB_typeOfLevel"] = "isobaricInhPa"
    assert list(opened(write(dataset, tmp_path / "t500.nc"))) == ["t500"]


SCALARS = {
    "hybrid": ("hybrid", 100, {}),
    "model level": ("level", 100, {"standard_name": "model_level_number"}),
    "height": ("height", 2.0, {"units": "m", "standard_name": "height"}),
    "height above ground": ("heightAboveGround", 2.0, {"units": "m"}),
    "surface": ("surface", 0.0, {}),
    "theta": ("theta", 330.0, {"units": "K"}),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_a_scalar_coordinate_of_another_kind(tmp_path, kind):
    name, value, attributes = SCALARS[kind]
    dataset = fields("t").assign_coords({name: ((), value, attributes)})
    path = write(dataset, tmp_path / "t500.nc")
    assert "not on pressure levels" in refusal(path, levels={"t": 500})


def test_a_name_with_a_level_is_not_overridden_by_the_height_of_another_field(tmp_path):
    """`height` = 2 stays behind when t2m and t500 are merged; but u100 at a height of 100 m is no wind at 100 hPa."""
    wanted = opened(write(fields("t").rename(t="t500"), tmp_path / "plain.nc"))
    merged = fields("t").rename(t="t500").assign_coords(height=((), 2.0, {"units": "m"}))
    xr.testing.assert_identical(opened(write(merged, tmp_path / "x.nc")), wanted)
    wind = fields("t").rename(t="t100").assign_coords(heightAboveGround=((), 100.0, {"units": "m"}))
    assert "is on heights 100 (heightAboveGround)" in refusal(write(wind, tmp_path / "y.nc"))
    level = fields("t").rename(t="t100").assign_coords(hybrid=((), 100))
    assert "is on model levels" in refusal(write(level, tmp_path / "z.nc"))


@pytest.mark.parametrize(
    ("axis", "levels", "attributes", "fractional"),
    [
        ("level", [0.4, 500.0, 850.0], {"units": "hPa"}, "0.4"),
        ("level", [850.0, 500.0, 0.4], {"units": "hPa"}, "0.4"),
        ("plev", [85000.0, 50000.0, 40.0, 2.0], {"units": "Pa"}, "0.4, 0.02"),
        ("isobaric2", np.array([1.0, 40.0, 50000.0, 85000.0], "f4"), {"units": "Pa"}, "0.01, 0.4"),
        ("pressure", [0.04, 50.0, 85.0], {"units": "kPa"}, "0.4"),
        ("level", [0.4, 500.0, 850.0], {}, "0.4"),
    ],
)
def test_report_10_a_fraction_of_a_hectopascal(tmp_path, axis, levels, attributes, fractional):
    """That level alone is left out, with a note; the others keep their own values."""
    dataset = on_levels(axis, levels, attributes)
    path = write(dataset, tmp_path / "x.nc")
    found = opened(path)
    factor = {"Pa": 0.01, "kPa": 10.0}.get(attributes.get("units"), 1.0)
    for level in (500, 850):
        place = int(np.argmin(np.abs(np.asarray(levels) * factor - level)))
        np.testing.assert_array_equal(found[f"t{level}"].values, dataset["t"].values[:, place])
    assert pinnwx.check(path).ok
    assert any(f"t at {fractional} hPa, not a whole number" in note for note in notes(path))


def test_a_fraction_of_a_hectopascal_alone_is_refused(tmp_path):
    path = write(on_levels("level", [0.4], {"units": "hPa"}), tmp_path / "t500.nc")
    assert "is at 0.4 hPa" in refusal(path)


@pytest.mark.parametrize(
    ("name", "levels", "attributes"),
    [
        ("pressure", [500.0, 850.0], {"units": "hPa", "positive": "down"}),
        ("isobaric3", [50000.0, 85000.0], {"units": "Pa", "positive": "down"}),
        ("air_pressure", [500.0, 850.0], {"units": "hPa"}),
        ("plevel", [850, 500], {"units": "millibars"}),
        ("anything", [50000, 85000], {"units": "Pa"}),
        ("z", [500.0, 850.0], {"units": "hPa", "axis": "Z"}),
        ("lv_ISBL0", np.array([500, 850], "f4"), {"units": "hPa"}),
        ("plev19", [85000.0, 50000.0], {"units": "Pa", "standard_name": "air_pressure"}),
        ("isobaricInhPa", [500, 850], {}),
        ("pressure_level", [850, 500], {}),
        ("plev", [85000, 50000], {}),
        ("level", [850, 500], {}),
        ("lev", np.array([85.0, 50.0], "f4"), {"units": "kPa"}),
        ("k", [0, 1], {"units": "hPa", "scale_factor": 350.0, "add_offset": 500.0}),
    ],
)
def test_report_11_a_pressure_axis_under_any_name(tmp_path, name, levels, attributes):
    dataset = on_levels(name, levels, attributes)
    path = write(dataset, tmp_path / "x.nc")
    found = opened(path, ["t500", "t850"])
    stated = np.asarray(levels) * attributes.get("scale_factor", 1) + attributes.get("add_offset", 0)
    order = np.argsort(stated)
    for level, place in zip((500, 850), order, strict=True):
        np.testing.assert_array_equal(found[f"t{level}"].values, dataset["t"].values[:, place])


@pytest.mark.parametrize(
    ("name", "value", "attributes"),
    [
        ("P0", 100000.0, {"units": "Pa", "long_name": "reference pressure"}),
        (
            "p_ref",
            500.0,
            {"units": "hPa", "standard_name": "reference_air_pressure_for_atmosphere_vertical_coordinate"},
        ),
        ("sp", 500.0, {"units": "hPa", "standard_name": "surface_air_pressure"}),
        ("pressure", 500.0, {"units": "hPa", "long_name": "surface pressure"}),
    ],
)
def test_a_pressure_that_is_no_axis(tmp_path, name, value, attributes):
    """A reference or surface pressure beside the field does not tell its level."""
    dataset = fields("t").assign({name: ((), value, attributes)})
    assert "its level is in no coordinate" in refusal(write(dataset, tmp_path / "x.nc"))


def test_a_pressure_along_model_levels_does_not_make_them_pressure_levels(tmp_path):
    dataset = on_levels("level", [100, 137], {"standard_name": "model_level_number"})
    dataset["pressure"] = ("level", [500.0, 850.0], {"units": "hPa", "long_name": "nominal pressure"})
    assert "is on model levels" in refusal(write(dataset, tmp_path / "x.nc"))
    dataset["ap"] = ("level", [50000.0, 85000.0], {"units": "Pa"})
    bare = dataset.drop_vars(["level", "pressure"]).rename_dims(level="nhym")
    assert isinstance(opened(write(bare, tmp_path / "y.nc")), PinnwxError)


@pytest.mark.parametrize(
    "levels", [[1, 2, 3], range(1, 138), [1], [137], [100, 137], [5, 7], [0.2, 0.9], [1000, 2000, 5000], [0, 500]]
)
def test_numbers_that_may_be_anything_are_refused(tmp_path, levels):
    """`level` without units: pressures in hPa are usual numbers, and never 1, 2, 3, ..."""
    said = refusal(write(on_levels("level", list(levels), {}), tmp_path / "x.nc"))
    assert "level" in said
    assert "hPa" in said


@pytest.mark.parametrize("levels", [[500, 850], [1000, 1, 10, 925], [10, 1000], [125, 775], [1, 2, 3, 5, 7, 10, 20]])
def test_usual_numbers_are_hectopascals(tmp_path, levels):
    found = opened(write(on_levels("level", levels, {}), tmp_path / "x.nc"))
    assert sorted(found) == sorted(f"t{level}" for level in levels)


@pytest.mark.parametrize(
    ("levels", "units"), [([500.0, 2000.0], "hPa"), ([50000.0, 85000.0], "hPa"), ([-500.0], "hPa"), ([np.nan], "hPa")]
)
def test_levels_that_are_no_pressures_of_this_planet(tmp_path, levels, units):
    assert "level" in refusal(write(on_levels("level", levels, {"units": units}), tmp_path / "x.nc"))


def test_rounded_levels_are_whole(tmp_path):
    levels = np.array([849.9999, 500.0001], "f4")
    assert sorted(opened(write(on_levels("level", levels, {"units": "hPa"}), tmp_path / "x.nc"))) == ["t500", "t850"]


def test_zarr_is_read_alike(tmp_path):
    on_levels(*HYBRID["a standard name"]).to_zarr(tmp_path / "hybrid.zarr", zarr_format=2)
    assert "is on model levels" in refusal(tmp_path / "hybrid.zarr")
    dataset = on_levels("isobaric3", [40.0, 85000.0], {"units": "Pa"})
    dataset.to_zarr(tmp_path / "x.zarr", zarr_format=2)
    np.testing.assert_array_equal(opened(tmp_path / "x.zarr")["t850"].values, dataset["t"].values[:, 1])
