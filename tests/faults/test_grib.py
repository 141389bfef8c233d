"""GRIB as services write it: every value where ecCodes finds it, and every message read or named."""

import datetime
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from grib_files import (
    ALTERNATING_MODES,
    LATITUDE,
    LONGITUDE,
    SCANNING_MODES,
    ScanningMode,
    changed,
    example_field,
    from_sample,
    iterated,
    joined,
    message,
    padded,
    write_grib,
)  # fmt: skip
from verbs import pinnwx

from pinnwx.data.open import check_data, open_data
from pinnwx.errors import DataError
from pinnwx.variables import VARIABLES

eccodes = pytest.importorskip("eccodes")
TESTS = str(Path(__file__).parent.parent)


def points_of(path, name="t2m", time=0) -> dict[tuple[float, float], float]:
    """(latitude, longitude in [0, 360)) -> value, of what pinnwx opens."""
    field = open_data(path)[name][time]
    return {
        (round(float(north), 3), round(float(east) % 360, 3)): float(field[row, column])
        for row, north in enumerate(field.latitude.values)
        for column, east in enumerate(field.longitude.values)
    }


def points_by_eccodes(content: bytes) -> dict[tuple[float, float], float]:
    """The same of one message, as ecCodes' iterator has it."""
    return {(round(n, 3), round(e, 3) % 360): v for n, e, v in zip(*iterated(content), strict=True)}


def assert_same_points(found, wanted):
    assert found.keys() == wanted.keys()
    places = sorted(wanted)
    np.testing.assert_allclose([found[place] for place in places], [wanted[place] for place in places], rtol=1e-6)


def notes_of(path) -> str:
    return " | ".join(map(str, check_data(path).problems))


# Whole files are not called cut off, and cut ones are.


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("behind", [b"", bytes(61), bytes(119), bytes(5000), b"\n", b"\r\n", b"\0\n", b"\x1a", b"done"])
def test_report_01_padding_and_line_ends_are_no_fault(tmp_path, edition, behind):
    content = message(edition=edition)
    path = write_grib(tmp_path / "a.grib", content, behind)
    assert_same_points(points_of(path), points_by_eccodes(content))
    assert check_data(path).ok


@pytest.mark.parametrize("edition", [1, 2])
def test_padding_and_bulletin_headings_between_messages_are_passed_over(tmp_path, edition):
    fields = [example_field(seed=seed) for seed in range(4)]
    contents = [message(field, edition=edition, time=600 * hour) for hour, field in enumerate(fields)]
    heading = b"\x01\r\r\n123\r\r\nHTXX80 KWBC 010000\r\r\n"
    between = [
        padded(contents[0]),
        contents[1] + b"\n" * 3,
        contents[2] + heading,
        contents[3] + b"see the GRIB manual",
    ]
    found = open_data(write_grib(tmp_path / "a.grib", *between))
    np.testing.assert_allclose(found["t2m"].values, np.stack(fields), rtol=1e-6)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("left", [1, 3, 4, 7, 8, 15, 40, 100, -4, -1])
def test_a_message_cut_off_is_named_with_its_number_and_place(tmp_path, edition, left):
    contents = [message(edition=edition, time=600 * hour) for hour in range(3)]
    start = len(contents[0]) + len(contents[1])
    path = write_grib(tmp_path / "a.grib", *contents[:2], contents[2][:left])
    with pytest.raises(DataError, match=f"a.grib.*(message 3 at byte {start}|last message) .*truncated"):
        open_data(path)
    assert "truncated" in notes_of(path)


def test_edition_1_above_8_mebibytes_is_walked_by_its_units_of_120_bytes(tmp_path):
    east, north = np.linspace(0, 30, 1701), np.linspace(30, 60, 1701)
    field = 280 + np.add.outer(np.sin(north), np.cos(east))
    large = message(field, north, east, edition=1)
    assert int.from_bytes(large[4:7], "big") & 1 << 23
    small = message(field, north, east, edition=1, bits=8, time=600)
    found = open_data(write_grib(tmp_path / "a.grib", large, bytes(60), small))
    np.testing.assert_allclose(found["t2m"][0].values, field, atol=1e-6)
    np.testing.assert_allclose(found["t2m"][1].values, field, atol=0.02)
    cut = write_grib(tmp_path / "b.grib", large[:-200])
    with pytest.raises(DataError, match="message 1 at byte 0 is truncated"):
        open_data(cut)


def test_all_fields_of_one_message_are_read(tmp_path):
    fields = {"10u": example_field(seed=1, mean=0), "10v": example_field(seed=2, mean=0)}
    at = {"level_type": "heightAboveGround", "level": 10}
    winds = [message(field, short_name=name, **at) for name, field in fields.items()]
    later = message(example_field(seed=3), time=600)
    path = write_grib(tmp_path / "a.grib", joined(*winds, message()), later)
    found = open_data(path, ("u10", "v10"))
    np.testing.assert_allclose(found["u10"][0], fields["10u"], atol=1e-5)
    np.testing.assert_allclose(found["v10"][0], fields["10v"], atol=1e-5)
    np.testing.assert_allclose(open_data(path, ("t2m",))["t2m"][0], example_field(), rtol=1e-6)


# Geometry.

LONGITUDES = {
    "east": LONGITUDE, "date line": np.linspace(170, 190, 9), "date line from the west": np.linspace(-190, -170, 9),
    "Greenwich": np.linspace(-10, 10, 9), "Greenwich from 350": np.linspace(350, 370, 9),
    "globe": np.arange(0, 360, 30.0), "globe from the date line": np.arange(-180, 180, 30.0),
    "globe from 15": np.arange(15, 375, 30.0),
}  # fmt: skip


@pytest.mark.parametrize("mode", SCANNING_MODES, ids=str)
@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("longitude", LONGITUDES.values(), ids=LONGITUDES)
def test_report_04_values_land_where_eccodes_places_them(tmp_path, mode, edition, longitude):
    field = example_field(LATITUDE.size, longitude.size)
    content = message(field, LATITUDE, longitude, edition=edition, scanning=mode)
    found = points_of(write_grib(tmp_path / "a.grib", content))
    assert_same_points(found, points_by_eccodes(content))
    for (north, east), value in found.items():  # and where the writer put them
        column = np.argmin(np.abs((longitude - east + 180) % 360 - 180))
        assert value == pytest.approx(field[round((north - LATITUDE[0]) / 2.5), column], abs=1e-4)


@pytest.mark.parametrize("mode", SCANNING_MODES, ids=str)
@pytest.mark.parametrize("edition", [1, 2])
def test_a_meridian_that_stands_twice_is_read_once(tmp_path, mode, edition):
    field = example_field(LATITUDE.size, 13)
    field[:, -1] = field[:, 0]
    content = message(field, LATITUDE, np.arange(0, 361, 30.0), edition=edition, scanning=mode)
    found = open_data(write_grib(tmp_path / "a.grib", content))["t2m"]
    np.testing.assert_array_equal(found.longitude, np.arange(0, 360, 30.0))
    np.testing.assert_allclose(found[0], field[:, :-1], rtol=1e-6)
    field[:, -1] += 1
    content = message(field, LATITUDE, np.arange(0, 361, 30.0), edition=edition, scanning=mode)
    with pytest.raises(DataError, match=r"columns .* have the same meridian but differ"):
        open_data(write_grib(tmp_path / "b.grib", content))


@pytest.mark.parametrize("mode", ALTERNATING_MODES, ids=str)
def test_alternating_rows_are_refused_with_the_way_out(tmp_path, mode):
    """ecCodes' iterator takes all rows of these grids in one direction, against the standard."""
    path = write_grib(tmp_path / "a.grib", message(scanning=mode))
    with pytest.raises(DataError, match=r"2t .*alternating directions.*swapScanningAlternativeRows"):
        open_data(path)


def test_the_way_out_of_alternating_rows_gives_the_field(tmp_path):
    field = example_field()
    handle = eccodes.codes_new_from_message(message(field, scanning=ScanningMode(alternate=True)))
    eccodes.codes_set(handle, "swapScanningAlternativeRows", 1)
    path = write_grib(tmp_path / "a.grib", eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    np.testing.assert_allclose(open_data(path)["t2m"][0], field, rtol=1e-6)


@pytest.mark.parametrize("edition", [1, 2])
def test_grids_of_one_size_in_one_file_are_told_apart(tmp_path, edition):
    first = message(edition=edition, short_name="2t")
    other = message(edition=edition, short_name="2t", longitude=LONGITUDE + 30, time=600)
    path = write_grib(tmp_path / "a.grib", first, other)
    with pytest.raises(DataError, match="two grids at once"):
        open_data(path)
    turned = message(edition=edition, scanning=ScanningMode(j_positive=True, i_negative=True), time=600)
    found = open_data(write_grib(tmp_path / "b.grib", first, turned))
    np.testing.assert_array_equal(found["t2m"][0], found["t2m"][1])


@pytest.mark.parametrize("edition", [1, 2])
def test_increments_that_contradict_the_corners_are_refused(tmp_path, edition):
    content = message(edition=edition, jDirectionIncrementInDegrees=2.0)
    with pytest.raises(DataError, match="a grid that contradicts itself"):
        open_data(write_grib(tmp_path / "a.grib", content))


def test_increments_rounded_to_millidegrees_place_the_rows_evenly(tmp_path):
    latitude = np.linspace(-87.1875, 87.1875, 63)
    content = message(latitude=latitude, longitude=np.arange(0, 360, 5.625), edition=1)
    assert open_data(write_grib(tmp_path / "a.grib", content))["t2m"].sizes["latitude"] == 63


SAMPLES = {
    "sh_pl": "spherical harmonics", "reduced_gg_pl_32": "reduced Gaussian", "regular_gg_pl": "regular Gaussian",
    "reduced_ll_sfc": "reduced latitude-longitude", "rotated_ll_pl": "rotated latitude-longitude",
    "polar_stereographic_pl": "polar stereographic",
}  # fmt: skip


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("sample", SAMPLES)
def test_report_15_grids_that_are_not_read_are_named(tmp_path, sample, edition):
    name, named = "2t" if "sfc" in sample else "t", SAMPLES[sample]
    keys = {"typeOfLevel": "surface"} if "sfc" in sample and edition == 1 else {}
    other = from_sample(f"{sample}_grib{edition}", **keys, shortName=name)
    path = write_grib(tmp_path / "a.grib", other)
    with pytest.raises(DataError, match=f"nothing to read: .*a.grib: {name} at .*{named}"):
        open_data(path)
    assert named in notes_of(path)
    beside = write_grib(tmp_path / "b.grib", message(), other)
    assert set(open_data(beside).data_vars) == {"t2m"}
    assert named in notes_of(beside)
    assert check_data(beside).ok


# Forecasts, members, statistics.


@pytest.mark.parametrize("edition", [1, 2])
def test_forecasts_among_analyses_are_left_out_and_named(tmp_path, edition):
    analyses = [message(example_field(seed=hour), edition=edition, time=600 * hour) for hour in (0, 2)]
    forecast = message(example_field(mean=300), edition=edition, step=12, dataType="fc" if edition == 1 else 1)
    path = write_grib(tmp_path / "a.grib", analyses[0], forecast, analyses[1])
    found = open_data(path)["t2m"]
    assert found.time.values.astype("datetime64[h]").tolist() == [
        datetime.datetime(2020, 1, 1, hour) for hour in (0, 12)
    ]
    assert found.values.max() < 290
    assert "forecast from 2020-01-01T00:00Z with lead 12 h" in notes_of(path)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("steps", [[3], [3, 6, 120]])
def test_forecasts_alone_are_refused_as_what_they_are(tmp_path, edition, steps):
    path = write_grib(tmp_path / "a.grib", *(message(edition=edition, step=step) for step in steps))
    with pytest.raises(DataError, match=r"nothing to read: .*2t .*forecast.* from 2020-01-01T00:00Z with lead 3 h"):
        open_data(path)
    assert not check_data(path).ok


@pytest.mark.parametrize("edition", [1, 2])
def test_the_first_step_of_a_forecast_is_read(tmp_path, edition):
    content = message(edition=edition, **({"dataType": "fc"} if edition == 1 else {"typeOfProcessedData": 1}))
    assert_same_points(points_of(write_grib(tmp_path / "a.grib", content)), points_by_eccodes(content))


@pytest.mark.parametrize("statistic", ["avg", "accum", "max"])
def test_statistics_over_a_time_range_are_no_analyses(tmp_path, statistic):
    content = message(edition=1, stepType=statistic, stepRange="0-6")
    with pytest.raises(DataError, match=rf"forecast from 2020-01-01T00:00Z with lead 0-6 h \({statistic}\)"):
        open_data(write_grib(tmp_path / "a.grib", content))
    rain = {"tp": replace(VARIABLES["msl"], name="tp", units="m", minimum=0, maximum=1)}
    accumulated = message(np.zeros((9, 9)), short_name="tp", stepType="accum", stepRange="0-1")
    with pytest.raises(DataError, match=r"tp .*forecast from .* with lead 0-1 h \(accum\)"):
        open_data(write_grib(tmp_path / "b.grib", accumulated), variables={**VARIABLES, **rain})


@pytest.mark.parametrize("statistic", ["accum", "max"])
def test_statistics_over_no_time_are_no_analyses(tmp_path, statistic):
    """As the first step of a forecast holds them: a sum of nothing is zero."""
    content = message(edition=1, stepType=statistic, stepRange="0")
    with pytest.raises(DataError, match=rf"a statistic over no time \({statistic} at step 0\)"):
        open_data(write_grib(tmp_path / "a.grib", content))


@pytest.mark.parametrize(
    "keys",
    [
        {"edition": 1, "P1": 30, "unitOfTimeRange": 0},
        {"edition": 2, "forecastTime": 30, "indicatorOfUnitOfTimeRange": 0},
    ],
)
def test_leads_of_minutes_are_leads(tmp_path, keys):
    with pytest.raises(DataError, match="a forecast from 2020-01-01T00:00Z with lead"):
        open_data(write_grib(tmp_path / "a.grib", message(**keys)))


def test_means_of_analyses_are_read_and_called_so(tmp_path):
    path = write_grib(tmp_path / "a.grib", message(edition=1, timeRangeIndicator=123))
    assert open_data(path).sizes["time"] == 1
    assert "2t is a statistic of analyses (avgua)" in notes_of(path)


def member(number: int, edition: int, **keys) -> bytes:
    if edition == 1:
        return message(edition=1, stream="enda", dataType="an", number=number, totalNumber=10, **keys)
    return message(edition=2, productDefinitionTemplateNumber=1, perturbationNumber=number, **keys)


@pytest.mark.parametrize("edition", [1, 2])
def test_members_of_an_ensemble_are_not_merged(tmp_path, edition):
    control, other = member(0, edition), member(3, edition, values=example_field(mean=300))
    path = write_grib(tmp_path / "a.grib", control, other)
    assert_same_points(points_of(path), points_by_eccodes(control))
    assert "member 3 of an ensemble" in notes_of(path)
    with pytest.raises(DataError, match="member 3 of an ensemble"):
        open_data(write_grib(tmp_path / "b.grib", other))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"edition": 1, "dataType": "pf"}, "perturbed member"), ({"edition": 1, "dataType": "es"}, "spread"),
        ({"edition": 1, "dataType": "em"}, "mean of an ensemble"), ({"edition": 1, "dataType": "4i"}, "increment"),
        ({"edition": 1, "dataType": "fg"}, "first guess"),
        ({"productDefinitionTemplateNumber": 2, "derivedForecast": 4}, "statistics of an ensemble"),
        ({"productDefinitionTemplateNumber": 5}, "probability"),
        ({"productDefinitionTemplateNumber": 6}, "percentile"),
        ({"productDefinitionTemplateNumber": 7}, "error estimate"),
    ],
)  # fmt: skip
def test_what_is_no_analysis_is_named(tmp_path, keys, named):
    path = write_grib(tmp_path / "a.grib", message(**keys))
    with pytest.raises(DataError, match=named):
        open_data(path)


# Duplicates and preliminary data.


@pytest.mark.parametrize("edition", [1, 2])
def test_report_05_one_time_twice_with_other_values_is_refused(tmp_path, edition):
    field = example_field()
    contents = [message(field + warmer, edition=edition) for warmer in (0, 30)]
    later = message(field, edition=edition, time=600)
    with pytest.raises(DataError, match="2020-01-01T00:00Z is stored twice"):
        open_data(write_grib(tmp_path / "a.grib", *contents, later))


@pytest.mark.parametrize("edition", [1, 2])
def test_one_time_twice_with_equal_values_is_dropped(tmp_path, edition):
    content = message(edition=edition)
    path = write_grib(tmp_path / "a.grib", content, content)
    assert open_data(path).sizes["time"] == 1
    assert "repeated step" in notes_of(path)


@pytest.mark.parametrize("order", [1, -1])
def test_report_05_final_data_come_before_preliminary_ones(tmp_path, order):
    field = example_field()
    contents = [message(field + 5, edition=1, expver="0005"), message(field, edition=1, expver="0001")]
    path = write_grib(tmp_path / "a.grib", *contents[::order])
    found = open_data(path)
    np.testing.assert_allclose(found["t2m"][0], field, rtol=1e-6)
    assert "preliminary" not in found.attrs
    assert "preliminary" not in notes_of(path)


def test_report_05_preliminary_data_are_marked(tmp_path):
    final = message(edition=1, expver="0001")
    path = write_grib(tmp_path / "a.grib", final, message(edition=1, expver="0005", time=600))
    assert open_data(path).attrs["preliminary"] == "yes"
    assert "contains preliminary data" in notes_of(path)


# Levels.


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize(
    "level_type", ["hybrid", "sigma", "heightAboveGround", "theta", "potentialVorticity", "surface"]
)
@pytest.mark.parametrize("name", ["a.grib", "t500.grib", "era5_t_500hPa.grib"])
def test_only_isobaric_levels_are_pressure_levels(tmp_path, edition, level_type, name):
    other = message(edition=edition, short_name="t", level_type=level_type, level=500)
    path = write_grib(tmp_path / name, other)
    with pytest.raises(DataError, match=rf"t at {level_type}.*\({level_type}\), not on pressure levels") as caught:
        open_data(path, levels={"t": 500})
    assert "levels = {" not in str(caught.value)
    isobaric = message(edition=edition, short_name="t", level=500)
    found = open_data(write_grib(tmp_path / name, other, isobaric))
    assert set(found.data_vars) == {"t500"}
    np.testing.assert_allclose(found["t500"][0], example_field(), rtol=1e-6)


def test_levels_in_pascals_are_known_and_those_between_hectopascals_left_out(tmp_path):
    fractional = message(short_name="t", level=40, level_type="isobaricInPa")
    path = write_grib(tmp_path / "a.grib", fractional, message(short_name="t", level=850))
    assert set(open_data(path).data_vars) == {"t850"}
    assert "t at 0.4 hPa: not at a whole number of hPa" in notes_of(path)


@pytest.mark.parametrize("edition", [1, 2])
def test_report_17_geopotential_of_the_surface_is_orography(tmp_path, edition):
    height = np.linspace(0, 2000, 81).reshape(9, 9)
    surface = message(height * 9.80665, edition=edition, short_name="z", level_type="surface")
    isobaric = message(edition=edition, short_name="z", level=500, values=example_field(mean=54000))
    path = write_grib(tmp_path / "z500.grib", surface, isobaric)
    found = open_data(path, levels={"z": 500})
    assert set(found.data_vars) == {"orography", "z500"}
    np.testing.assert_allclose(found["orography"], height, atol=1e-3)
    np.testing.assert_allclose(found["z500"][0], example_field(mean=54000), rtol=1e-6)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize(
    ("short_name", "level_type", "level", "name"),
    [
        ("2t", "surface", 0, "t2m"), ("2t", "heightAboveGround", 2, "t2m"), ("10u", "heightAboveGround", 10, "u10"),
        ("10v", "heightAboveGround", 10, "v10"), ("msl", "meanSea", 0, "msl"), ("prmsl", "meanSea", 0, "msl"),
        ("lsm", "surface", 0, "lsm"), ("t", "isobaricInhPa", 850, "t850"), ("gh", "isobaricInhPa", 500, "z500"),
        ("q", "isobaricInhPa", 1000, "q1000"), ("vo", "isobaricInhPa", 850, "vo850"),
    ],
)  # fmt: skip
def test_a_field_is_known_by_its_parameter_and_level(tmp_path, edition, short_name, level_type, level, name):
    if short_name == "prmsl":
        edition = 2
    elif (short_name, level_type) == ("2t", "surface"):
        edition = 1
    scale = {"q": 1e-5, "vo": 1e-6, "lsm": 0.01, "msl": 1.0, "prmsl": 1.0, "gh": 1.0}.get(short_name, 1.0)
    mean = {"msl": 101000, "prmsl": 101000, "gh": 54000, "2t": 280, "t": 270, "lsm": 0.5, "q": 0.005}.get(short_name, 0)
    field, factor = mean + scale * example_field(mean=0), 9.80665 if short_name == "gh" else 1.0
    content = message(field / factor, edition=edition, short_name=short_name, level_type=level_type, level=level)
    found = open_data(write_grib(tmp_path / "a.grib", content))
    assert list(found.data_vars) == [name]
    np.testing.assert_allclose(found[name].values.squeeze(), field, rtol=1e-5, atol=1e-4 * scale)


@pytest.mark.parametrize("short_name", ["ta", "ua", "va"])
def test_anomalies_are_not_taken_for_the_fields_that_cmip_calls_so(tmp_path, short_name):
    content = message(edition=1, short_name=short_name, level=500)
    with pytest.raises(DataError, match="no variable of the table"):
        open_data(write_grib(tmp_path / "a.grib", content))


@pytest.mark.parametrize("level", [850, 850.5])
def test_levels_are_read_as_they_are_coded(tmp_path, level):
    keys = {"scaleFactorOfFirstFixedSurface": 0, "scaledValueOfFirstFixedSurface": round(level * 100)}
    content = message(short_name="t", level=500, **keys)
    path = write_grib(tmp_path / "a.grib", content, message(short_name="t", level=300))
    assert set(open_data(path).data_vars) == ({"t300", "t850"} if level == 850 else {"t300"})


def test_a_variable_of_the_users_own_is_found_by_its_name(tmp_path):
    own = {
        "r": replace(VARIABLES["t"], name="r", units="%", minimum=-10, maximum=200, aliases=()),
        "cloud": replace(VARIABLES["msl"], name="cloud", units="1", minimum=0, maximum=1, aliases=("tcc",)),
    }
    humid = message(example_field(mean=50), short_name="r", level=700)
    cloud = message(np.full((9, 9), 0.5), short_name="tcc", level_type="surface", edition=1)
    found = open_data(write_grib(tmp_path / "a.grib", humid, cloud), variables={**VARIABLES, **own})
    assert set(found.data_vars) == {"r700", "cloud"}


# Values.


@pytest.mark.parametrize("edition", [1, 2])
def test_points_under_the_bitmap_are_missing(tmp_path, edition):
    field = example_field()
    field[2, 3] = np.nan
    path = write_grib(tmp_path / "a.grib", message(field, edition=edition))
    with pytest.raises(DataError, match=r"1 missing value.*45 N 7.5 E"):
        open_data(path)


@pytest.mark.parametrize("edition", [1, 2])
def test_a_field_without_any_value_is_a_missing_step(tmp_path, edition):
    empty = message(np.full((9, 9), np.nan), edition=edition, time=600)
    path = write_grib(tmp_path / "a.grib", message(edition=edition), empty)
    assert open_data(path).sizes["time"] == 1


PACKINGS = {
    1: ("grid_simple", "grid_second_order", "grid_ieee"),
    2: (
        "grid_simple", "grid_ccsds", "grid_ieee", "grid_jpeg", "grid_second_order", "grid_complex",
        "grid_complex_spatial_differencing",
    ),
}  # fmt: skip
EACH_PACKING = [(edition, name) for edition, names in PACKINGS.items() for name in names]


@pytest.mark.parametrize(("edition", "packing"), EACH_PACKING)
def test_packings_give_the_values_of_eccodes(tmp_path, edition, packing):
    content = message(edition=edition, packingType=packing, bits=16)
    assert_same_points(points_of(write_grib(tmp_path / "a.grib", content)), points_by_eccodes(content))


def test_the_scan_reads_headers_only_and_leaves_nothing_beside(tmp_path, monkeypatch):
    """Values are decoded when a block is read, message by message."""
    from pinnwx.data.grib import values
    from pinnwx.data.grib.reader import GribReader

    contents = [message(example_field(seed=hour), time=100 * hour) for hour in range(24)]
    path = write_grib(tmp_path / "a.grib", *contents)
    decoded = []
    original = values._decoded
    monkeypatch.setattr(values, "_decoded", lambda *args: decoded.append(args[1]) or original(*args))
    reader = GribReader(path, "a.grib", VARIABLES)
    reader.scan()
    assert not decoded
    (source_field,) = reader.source_fields
    block = source_field.read(slice(5, 7))
    assert decoded == [f"message {number} at byte {(number - 1) * len(contents[0])}" for number in (6, 7)]
    np.testing.assert_allclose(block, [example_field(seed=5), example_field(seed=6)], rtol=1e-6)
    assert [child.name for child in tmp_path.iterdir()] == ["a.grib"]


def test_thousands_of_messages_are_asked_once_for_each_kind(tmp_path, monkeypatch):
    from pinnwx.data.grib import headers
    from pinnwx.data.grib.reader import GribReader

    one = bytearray(message(edition=1))
    contents = []
    for hour in range(2400):
        one[8 + 12 : 8 + 16] = bytes((20, 1 + hour // 700, 1 + hour // 24 % 28, hour % 24))
        contents.append(bytes(one))
    path = write_grib(tmp_path / "a.grib", *contents)
    asked = []
    original = headers._header
    monkeypatch.setattr(headers, "_header", lambda *args: asked.append(args) or original(*args))
    reader = GribReader(path, "a.grib", VARIABLES)
    reader.scan()
    assert len(asked) == 1
    assert reader.source_fields[0].times.size == 2400


# The libraries.


def test_report_16_libraries_print_nothing(tmp_path):
    several = [message(), message(short_name="t", level=500), message(edition=1, timeRangeIndicator=51, time=600)]
    damaged = bytearray(message(edition=2, packingType="grid_ccsds", time=1200))
    damaged[-40:-4] = bytes(36)
    for name, content in (("several", several), ("damaged", [bytes(damaged)])):
        ended = pinnwx("check", "--data", write_grib(tmp_path / name / "a.grib", *content))
        assert "Warning" not in ended.err + ended.out
        assert "ECCODES" not in ended.err + ended.out
        assert not ended.err


# Declared sizes, and damage.


def with_size(content: bytes, columns: int, rows: int) -> bytes:
    """The same message, saying that it has so many points, with increments left open."""
    changed_bytes = bytearray(content)
    if content[7] == 1:
        grid = 8 + int.from_bytes(content[8:11], "big")
        changed_bytes[grid + 6 : grid + 10] = columns.to_bytes(2, "big") + rows.to_bytes(2, "big")
        changed_bytes[grid + 16] = 0
    else:
        grid = 16 + int.from_bytes(content[16:20], "big")
        changed_bytes[grid + 6 : grid + 10] = (columns * rows).to_bytes(4, "big")
        changed_bytes[grid + 30 : grid + 38] = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
        changed_bytes[grid + 54] = 0
        packing = changed_bytes.index((81).to_bytes(4, "big"), grid + 72)
        changed_bytes[packing : packing + 4] = (columns * rows).to_bytes(4, "big")
    return bytes(changed_bytes)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("field", [example_field(), np.full((9, 9), 280.0)], ids=["packed", "constant"])
@pytest.mark.parametrize("size", [(65534, 65534), (65534, 300), (10, 9)])
def test_declared_sizes_are_judged_before_values_are_asked_for(tmp_path, edition, field, size):
    """ecCodes ends the process where there is no memory for what is declared."""
    path = write_grib(tmp_path / "a.grib", with_size(message(field, edition=edition), *size))
    ended = pinnwx("check", "--data", path)
    if np.ptp(field) == 0 and size[0] * size[1] < 1e8:  # a constant may have as many points as it likes
        assert ended.code in (0, 65)
    else:
        assert ended.code == 65
        assert "message 1 at byte 0" in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("seed", range(2))
def test_damaged_messages_end_neither_the_process_nor_in_other_values_than_those_of_eccodes(tmp_path, seed):
    holes = np.where(np.eye(9) > 0, np.nan, example_field())
    contents = [message(edition=edition, **keys) for edition in (1, 2) for keys in ({}, {"values": holes})]
    contents += [message(packingType=packing, bits=16) for packing in PACKINGS[2]]
    contents += [message(edition=1, short_name="t", level=500), changed(message(short_name="t", level=850), step=0)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.message").write_bytes(content)
    path = os.pathsep.join(filter(None, (TESTS, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, f"{TESTS}/faults/damaged_grib.py", tmp_path, str(seed), "80"],
        capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert ends["refused"] + ends["opened"] == 80
    assert min(ends.values()) > 0


# Real files.

REFUSED = {
    "alternate_rows.grib": "2t .*forecast from 2021-08-01T12:00Z|alternating directions",
    "ecmwf-ifs-oper-surface.grib2": "no variable of the table",
    "forecast_72h_member5.grib": "prmsl .*perturbed member of an ensemble",
    "gfs.t18z.pgrb2.0p25.f186-RH.grib2": "no variable of the table",
    "healpix.grib2": "t at 500 hPa: on a HEALPix grid",
    "reduced_gaussian.grib": "10u .*on a reduced Gaussian grid",
    "rotated_wind.grib": "10u .*on a rotated latitude-longitude grid, its winds along that grid",
    "spherical_harmonics.grib": "z at 500 hPa: in spherical harmonics",
}
READ = {
    "aifs-single-t500.grib2": {"t500": 1}, "forecast_steps.grib": {"t1000": 1, "z1000": 1},
    "level_types.grib": {"t100": 1}, "era5-2mt-2019-03-uk.grib": {"t2m": 744},
}  # fmt: skip


def messages_of(path) -> list[tuple[str, np.datetime64, bytes]]:
    """(name in pinnwx, valid time, message) of the analyses of one file, as ecCodes reads it from end to end."""
    names = {"2t": "t2m"}
    found = []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = ("shortName", "level", "typeOfLevel", "dataDate", "dataTime", "step")
            short, level, kind, date, time, step = (eccodes.codes_get(handle, key) for key in keys)
            if step == 0 and kind in ("isobaricInhPa", "surface"):
                name = names.get(short, f"{short}{level}")
                moment = datetime.datetime.strptime(f"{date} {time:04}", "%Y%m%d %H%M")
                found.append((name, np.datetime64(moment, "ns"), eccodes.codes_get_message(handle)))
            eccodes.codes_release(handle)
    return found


@pytest.mark.real_data
@pytest.mark.parametrize("name", READ)
def test_every_point_of_real_files_is_where_eccodes_has_it(real_data, name):
    (path,) = real_data.glob(f"*/{name}")
    found = open_data(path)
    assert {str(field): values.sizes["time"] for field, values in found.items()} == READ[name]
    assert set(check_data(path).fields) == set(READ[name])
    north, east = found.latitude.values, found.longitude.values
    compared = 0
    for field, time, content in messages_of(path):
        latitude, longitude, values = iterated(content)
        rows = np.rint((latitude - north[0]) / (north[1] - north[0])).astype(int)
        columns = np.rint((longitude - east[0]) % 360 / (east[1] - east[0])).astype(int)
        np.testing.assert_allclose(north[rows], latitude, atol=1e-3)
        np.testing.assert_allclose((east[columns] - longitude + 180) % 360, 180, atol=1e-3)
        ours = found[field].sel(time=time).values
        assert ours.size == values.size
        np.testing.assert_array_equal(ours[rows, columns], values.astype(np.float32))
        compared += 1
    assert compared == sum(READ[name].values())


@pytest.mark.real_data
@pytest.mark.parametrize("name", REFUSED)
def test_real_files_that_are_not_read_are_named_for_what_they_are(real_data, name):
    (path,) = real_data.glob(f"formats/{name}")
    with pytest.raises(DataError, match=REFUSED[name]):
        open_data(path)
    assert not check_data(path).ok


@pytest.mark.real_data
def test_every_real_grib_file_is_tried(real_data):
    found = {path.name for folder in ("formats", "era5_uk") for path in (real_data / folder).glob("*.gri*")}
    assert found == {*READ, *REFUSED}


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["temp.bufr", "synop_germany_20210516.bufr"])
def test_bufr_is_called_observations(real_data, name):
    report = check_data(real_data / "formats" / name)
    assert not report.ok
    assert "BUFR" in f"{report.files} {report.problems}"
    assert "observations" in f"{report.files} {report.problems}"
