"""GRIB as services write it: every value where ecCodes finds it, and every message read or named."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from grib_files import (
    ALTERNATING_MODES,
    LATITUDE,
    LONGITUDE,
    SCANNING_MODES,
    ScanningMode,
    example_field,
    from_sample,
    iterated,
    message,
    padded,
    write_grib,
)  # fmt: skip

from pinnwx.data.open import check_data, open_data
from pinnwx.errors import DataError
from pinnwx.variables import VARIABLES

eccodes = pytest.importorskip("eccodes")


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
    with pytest.raises(DataError, match=f"a.grib.*(message 3 at byte {start}|last message) .*cut off"):
        open_data(path)
    assert "cut off" in notes_of(path)


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
    with pytest.raises(DataError, match="message 1 at byte 0 is cut off"):
        open_data(cut)


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
    with pytest.raises(DataError, match=r"columns .* are of one meridian and differ"):
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
    with pytest.raises(DataError, match="2020-01-01T00:00Z stands twice"):
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
    assert "holds preliminary data" in notes_of(path)


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
    assert "t at 0.4 hPa: no whole number of hPa" in notes_of(path)


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
