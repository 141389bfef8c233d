"""What a file stores, decoded to the right values or refused: wrapped integers, odd attributes, types, gaps."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.data.packing import decode
from pinnwx.data.wrapping import WrapDetector
from pinnwx.errors import DataError
from pinnwx.grid import Grid

GRID = Grid.parse("11.25deg")
AXES = ("time", "latitude", "longitude")


def raw_file(path, integers, attributes):
    """One field as it is stored, without any encoding by xarray."""
    times = np.datetime64("2026-01-01", "ns") + np.arange(len(integers)) * np.timedelta64(6, "h")
    places = {"latitude": list(GRID.latitude), "longitude": list(GRID.longitude)}
    dataset = xr.Dataset({"t850": (AXES, integers, {"units": "K", **attributes})}, {"time": times, **places})
    dataset["t850"].encoding["_FillValue"] = None
    dataset.to_netcdf(path)
    return path


def smooth(steps=3):
    north, east = np.deg2rad(GRID.latitude)[:, None], np.deg2rad(GRID.longitude)
    return np.stack([np.cos(north) * np.sin(east + step / 3) for step in range(steps)])


def waves(steps=6):
    return 280 + 15 * smooth(steps)


# ---- integers that wrapped ----


def wrapped(values, dtype, scale, offset):
    return np.round((values - offset) / scale).astype("i8").astype(dtype)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4"])
@pytest.mark.parametrize("fraction", [0.9, 0.6])
def test_report_19_wrapped_integers_are_refused(tmp_path, dtype, fraction):
    """The scale holds only a part of the range of the values; what is beyond comes out at the other end."""
    low, span = waves().min(), np.ptp(waves())
    info = np.iinfo(dtype)
    scale = fraction * span / (float(info.max) - float(info.min))
    path = raw_file(tmp_path / "x.nc", wrapped(waves(), dtype, scale, low - info.min * scale), {
        "scale_factor": scale, "add_offset": low - info.min * scale,
    })  # fmt: skip
    with pytest.raises(
        DataError, match=r"x\.nc: t850: neighbouring values lie at opposite ends .* an integer overflow;"
    ):
        open_data(path)
    assert not check_data(path).ok


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4"])
def test_the_whole_integer_range_may_be_used(tmp_path, dtype):
    info = np.iinfo(dtype)
    low, span = waves().min(), np.ptp(waves())
    scale = span / (float(info.max) - float(info.min))
    attributes = {"scale_factor": scale, "add_offset": low - info.min * scale, "_FillValue": np.array(info.max, dtype)}
    stored = np.minimum(wrapped(waves(), "i8", scale, low - info.min * scale), info.max - 1).astype(dtype)
    found, report = open_with_report(raw_file(tmp_path / "x.nc", stored, attributes))
    np.testing.assert_allclose(found["t850"].values, waves(), atol=2 * scale + 1e-4)
    assert not [problem for problem in report.problems if "integer range" in problem.message]


def found_in(values, span=65536.0):
    detector = WrapDetector(span, GRID)
    detector.add(np.asarray(values, np.float32))
    return [severity for severity, _ in detector.findings()]


def as_stored(numbers):
    return np.round(numbers).astype("i8").astype("i2").astype("f4")


def test_sharp_but_true_fields_are_no_wrapped_ones():
    generator = np.random.default_rng(0)
    mask = np.where(smooth() > 0.2, 32767.0, -32767.0)  # land or sea
    coast = np.clip(smooth() * 8, -1, 1) * 32767
    rain = 65534 * np.where(smooth() > 0.7, generator.gamma(0.3, 0.1, smooth().shape), 0).clip(0, 1) - 32767
    noise = generator.uniform(-32767, 32767, smooth().shape)
    cyclone = 32767 * smooth(1)
    cyclone[0, 8, 16] = -32000
    for field in (mask, coast, rain, noise, cyclone, 32767 * smooth()):
        assert "error" not in found_in(field)
    for field in (mask, coast, rain, noise, 32767 * smooth()):
        assert found_in(field) == []


def test_a_few_wrapped_cells_are_a_warning_and_many_an_error():
    few = 32700.0 * smooth(1)
    few[0, 6:9, 3:6] = 31000 + 10 * np.arange(9).reshape(3, 3)
    few[0, 7, 4] = 32767 + 300  # one cell
    assert found_in(as_stored(few)) == ["warning"]
    assert found_in(as_stored(40000.0 * smooth())) == ["error"]
    assert found_in(as_stored(32767 + 2000.0 * smooth())) == ["error"]  # the middle of the range is empty
    assert found_in(as_stored(90000.0 * smooth())) == ["error"]  # wrapped twice


def test_a_field_that_wraps_as_a_whole_from_one_step_to_the_next_is_a_warning():
    rising = 31000 + 100 * smooth(6) + 600 * np.arange(6)[:, None, None]
    assert found_in(as_stored(rising))[:1] in (["warning"], ["error"])
    assert found_in(as_stored(rising - 3000)) == []


# ---- attributes ----


PACKED = {"scale_factor": 0.01, "add_offset": 280.0}


def integers(steps=3):
    return np.round((waves(steps) - 280.0) / 0.01).astype("i2")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale_factor", 0.0), ("scale_factor", np.nan), ("scale_factor", np.inf), ("add_offset", np.nan),
        ("add_offset", -np.inf), ("scale_factor", "large"), ("scale_factor", [0.01, 0.02]), ("_FillValue", "nothing"),
        ("missing_value", "x"),
    ],
)  # fmt: skip
def test_attributes_that_are_no_numbers_are_refused_by_their_name(key, value):
    with pytest.raises(DataError, match=rf"^{key} .*correct this attribute"):
        decode(integers(), {**PACKED, key: value})


@pytest.mark.parametrize("value", ["0.01", b"0.01", "0.01f", np.float32(0.01), np.array([0.01])])
def test_a_number_in_another_type_is_that_number(value):
    np.testing.assert_allclose(decode(integers(), {**PACKED, "scale_factor": value}), waves(3), atol=0.0051)


@pytest.mark.parametrize(
    ("dtype", "fill", "marked"),
    [
        ("i2", -32767.0, -32767), ("i2", "-32767", -32767), ("i2", [-1, -32767], -32767), ("i2", np.nan, None),
        ("i2", np.float32(-32767), -32767), (">i2", np.int16(-32767), -32767), ("u2", np.int16(-1), 65535),
        ("i8", np.int64(2**62 + 1), 2**62 + 1), ("i8", np.int64(-(2**63)), -(2**63)), ("f4", -9999.9, -9999.9),
        (">f4", "-9999 1e20", 1e20), ("f2", 1000.0, 1000.0), ("i2", [], None), ("i2", "", None),
    ],
)  # fmt: skip
def test_fill_values_of_any_type(dtype, fill, marked):
    stored = np.arange(24).reshape(2, 3, 4).astype(dtype)
    if marked is not None:
        stored[1, 1, 1] = marked
    for key in ("_FillValue", "missing_value"):
        found = decode(stored, {key: fill})
        assert np.isnan(found).sum() == (marked is not None)
        np.testing.assert_array_equal(found[0], np.arange(12).reshape(3, 4))


def test_a_neighbour_of_a_large_fill_value_is_a_value():
    stored = np.array([[2**62, 2**62 + 1]])
    assert np.isnan(decode(stored, {"_FillValue": np.int64(2**62)})).tolist() == [[True, False]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "said"), [("i", "true"), ("u", "false")])
def test_the_sign_that_the_attribute_says(order, kind, said):
    """netCDF-3 has no unsigned integers, and is big-endian."""
    meant = np.array([[1, 40000], [65534, 65535]])
    meant = meant if said == "true" else np.where(meant > 32767, meant - 65536, meant)
    stored = meant.astype(f"{order}i8").astype(f"{order}{kind}2")
    found = decode(stored, {"_Unsigned": said, "scale_factor": 2.0, "_FillValue": stored.dtype.type(stored[1, 1])})
    np.testing.assert_array_equal(found.ravel()[:3], 2.0 * meant.ravel()[:3])
    assert np.isnan(found[1, 1])


def test_truth_values_are_zero_and_one():
    np.testing.assert_array_equal(decode(np.array([[True, False]]), {}), [[1, 0]])


@pytest.mark.parametrize("dtype", ["i2", "i4", "u2"])
def test_integers_that_were_never_written_are_missing(tmp_path, dtype):
    path = raw_file(tmp_path / "x.nc", np.clip(integers(3), 0, None).astype(dtype), PACKED)
    with netCDF4.Dataset(path, "a") as file:
        file["t850"].set_auto_maskandscale(False)
        file["t850"][1] = netCDF4.default_fillvals[dtype]
    assert open_data(path).sizes["time"] == 2


# ---- valid ranges ----


@pytest.mark.parametrize(
    "bounds",
    [
        {"valid_range": np.array([-2000, 0], "i2")}, {"valid_range": np.array([250.0, 280.0])},
        {"valid_max": np.int16(0)}, {"valid_min": 280.0}, {"valid_range": "250.0, 280.0"},
    ],
)  # fmt: skip
def test_values_outside_the_range_that_the_file_states_are_refused(tmp_path, bounds):
    path = raw_file(tmp_path / "x.nc", integers(), {**PACKED, **bounds})
    with pytest.raises(DataError, match=r"x\.nc: t850: .*outside the valid range"):
        open_data(path)


@pytest.mark.parametrize(
    "bounds", [{"valid_range": np.array([-32000, 32000], "i2")}, {"valid_range": [180.0, 330.0]}, {"valid_min": 180.0}]
)
def test_values_inside_the_range_that_the_file_states_are_read(tmp_path, bounds):
    path = raw_file(tmp_path / "x.nc", integers(), {**PACKED, **bounds})
    np.testing.assert_allclose(open_data(path)["t850"].values, waves(3), atol=0.0051)


def test_the_range_of_a_packing_that_was_undone_says_nothing(tmp_path):
    attributes = {"valid_range": np.array([-32765, 0], "i2")}
    found, report = open_with_report(raw_file(tmp_path / "x.nc", waves(3).astype("f4"), attributes))
    np.testing.assert_array_equal(found["t850"].values, waves(3).astype("f4"))
    assert any("valid_range not used" in note for note in report.files[0].normalised)


# ---- gaps, and static fields ----


@pytest.mark.parametrize("format", ["nc", "zarr2", "zarr3"])
@pytest.mark.parametrize("gap", [0, 2, 3])
def test_report_23_a_step_without_values_is_a_gap_in_every_format(tmp_path, format, gap):
    dataset = wave_dataset(4)
    expected = dataset.drop_isel(time=gap)
    dataset["t850"].values[gap] = np.nan
    path = tmp_path / "x"
    if format == "nc":
        dataset.to_netcdf(path)
    else:
        encoding = {"t850": {"chunks": (1, *dataset["t850"].shape[1:])}}
        dataset.to_zarr(path, zarr_format=int(format[-1]), encoding=encoding)
    found = open_data(path)
    for name in ("msl", "t850"):
        np.testing.assert_array_equal(found[name].values, expected[name].values)
    assert any("t850: 1 step(s) without values left out" in str(problem) for problem in check_data(path).problems)


def static(values):
    return wave_dataset(4).assign(lsm=(AXES, np.asarray(values, "f4"), {"units": "1"}))


def test_report_23_a_static_field_is_its_first_step_that_has_values(tmp_path):
    mask = np.linspace(0, 1, 8 * 16, dtype="f4").reshape(8, 16)
    steps = np.stack([np.full_like(mask, np.nan), mask, mask, np.full_like(mask, np.nan)])
    static(steps).to_netcdf(tmp_path / "x.nc")
    found, report = open_with_report(tmp_path / "x.nc")
    np.testing.assert_array_equal(found["lsm"].values, mask)
    assert not [problem for problem in report.problems if problem.variable == "lsm"]


def test_a_static_field_that_changes_is_said_so(tmp_path):
    steps = np.stack([np.full((8, 16), value) for value in (0.2, 0.2, 0.4, 0.6)])
    static(steps).to_netcdf(tmp_path / "x.nc")
    found, report = open_with_report(tmp_path / "x.nc")
    np.testing.assert_array_equal(found["lsm"].values, np.float32(0.2))
    (said,) = (problem for problem in report.problems if problem.variable == "lsm")
    assert "2 of its 4 steps differ from the first step with values, which is used" in said.message


def test_a_static_field_without_any_value_is_refused(tmp_path):
    static(np.full((4, 8, 16), np.nan)).to_netcdf(tmp_path / "x.nc")
    with pytest.raises(DataError, match=r"lsm: has no value in .*x\.nc"):
        open_data(tmp_path / "x.nc")
    assert not check_data(tmp_path / "x.nc").ok
