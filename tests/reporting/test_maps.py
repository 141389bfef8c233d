"""Forecast maps: what is written on them, what they refuse, and the coastline under them."""

import io
import struct

import numpy as np
import pytest
import xarray as xr

from pinnwx.errors import DataError, GridError, OutputError, UnavailableError, UsageError
from pinnwx.grid import Grid
from pinnwx.jobs.plot import plot
from pinnwx.reporting.maps import default_leads, forecast_figure, plot_forecast
from pinnwx.reporting.panel import _closed, bar_ticks, coastline, empty_figure, levels_for, lines_for
from pinnwx.reporting.style import DOTS_PER_INCH, pretty_units, write_png
from pinnwx.text import three_digits

START = np.datetime64("2025-12-24T00", "ns")


def make_forecast(grid: Grid, hours=(6, 12, 24, 48), **fields) -> xr.Dataset:
    """A forecast with smooth fields, or the constant ones given by name."""
    latitude, longitude = np.asarray(grid.latitude), np.asarray(grid.longitude)
    wave = 10 * np.cos(np.deg2rad(latitude))[:, None] * np.sin(np.deg2rad(longitude))
    fields = fields or {"msl": 101325.0, "u500": 0.0, "t2m": 280.0}
    return xr.Dataset(
        {
            name: (("time", "latitude", "longitude"), np.float32(value + wave + np.asarray(hours)[:, None, None]))
            for name, value in fields.items()
        },
        coords={
            "time": START + np.asarray(hours) * np.timedelta64(3600, "s"),
            "latitude": latitude,
            "longitude": longitude,
            "forecast_reference_time": START,
        },
    )


@pytest.fixture
def forecast() -> xr.Dataset:
    return make_forecast(Grid.parse("22.5deg"))


def panels(figure):
    """The maps, without the colour bars."""
    return [axes for axes in figure.axes if axes.get_title()]


def colour_bars(figure):
    return [axes for axes in figure.axes if not axes.get_title()]


def png_size(path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_file_is_a_whole_png_of_the_expected_size(forecast, tmp_path):
    path = plot_forecast(forecast, tmp_path / "maps.png", variables=["msl", "t2m"], leads=[6, 24])
    assert path == tmp_path / "maps.png"
    width, height = forecast_figure(forecast, variables=["msl", "t2m"], leads=[6, 24]).get_size_inches() * 110
    assert png_size(path) == (int(width), int(height))
    assert [file.name for file in tmp_path.iterdir()] == ["maps.png"]


def test_a_row_for_each_variable_a_column_for_each_lead(forecast):
    figure = forecast_figure(forecast, variables=["u500", "t2m"], leads=[48, 6])
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles == ["+48 h  ·  2025-12-26 00 UTC", "+6 h  ·  2025-12-24 06 UTC"] * 2
    assert [axes.get_ylabel() for axes in panels(figure)[::2]] == ["Eastward wind at 500 hPa", "2 metre temperature"]
    assert [axes.get_ylabel() for axes in colour_bars(figure)] == ["m s⁻¹", "°C"]
    assert figure.get_suptitle() == "Forecast from 2025-12-24 00 UTC"


def test_values_are_shown_in_display_units(forecast):
    figure = forecast_figure(forecast, variables=["msl", "t2m"], leads=[6])
    pressure, temperature = (axes.get_ylim() for axes in colour_bars(figure))
    assert 1013 < np.mean(pressure) < 1014
    assert 12 < np.mean(temperature) < 14  # 280 K + 6 is 12.85 degrees Celsius


def test_one_range_of_colours_for_all_leads_and_zero_in_the_middle_of_winds(forecast):
    figure = forecast_figure(forecast, variables=["u500"], leads=[6, 24, 48])
    levels = [axes.collections[0].levels for axes in panels(figure)]
    assert all(np.array_equal(levels[0], other) for other in levels)
    np.testing.assert_allclose(levels[0], -levels[0][::-1], atol=1e-12)


def test_truth_adds_analysis_and_difference_with_its_size(forecast):
    truth = forecast.copy(deep=True)
    truth["t2m"] = truth["t2m"] + 2.0
    figure = forecast_figure(forecast, variables=["t2m"], leads=[24, 48], truth=truth)
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles[2] == "analysis  ·  2025-12-25 00 UTC"
    assert titles[4] == "RMSE 2.00 K"
    assert panels(figure)[4].get_ylabel() == "forecast minus analysis"
    assert [axes.get_ylabel() for axes in colour_bars(figure)] == ["°C", "°C", "K"]


def test_difference_is_weighted_by_area():
    forecast = make_forecast(Grid.parse("22.5deg"), msl=100000.0)
    truth = forecast.copy(deep=True)
    truth["msl"][:, 0] += 1000.0  # only the row at the south pole is wrong, by 10 hPa
    weight = float(Grid.parse("22.5deg").area_weights[0, 0]) / 8
    figure = forecast_figure(forecast, leads=[24], truth=truth)
    assert panels(figure)[2].get_title().endswith(f"RMSE {three_digits(10 * np.sqrt(weight))} hPa")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(forecast, tmp_path, value):
    forecast["t2m"][2, 3, 4] = value
    with pytest.raises(DataError, match="t2m of the forecast holds 1 values that are not finite"):
        plot_forecast(forecast, tmp_path / "maps.png", leads=[24])
    assert not list(tmp_path.iterdir())
    forecast_figure(forecast, leads=[6])  # what is not drawn does not matter


def test_what_is_not_there_is_refused(forecast):
    with pytest.raises(DataError, match='no variable "z500" in the forecast; it has msl'):
        forecast_figure(forecast, variables=["z500"])
    with pytest.raises(UsageError, match="no lead of 30 h in the forecast; it has 6, 12, 24, 48"):
        forecast_figure(forecast, leads=[30])
    with pytest.raises(UsageError, match="nothing to draw"):
        forecast_figure(forecast, variables=[])
    with pytest.raises(UnavailableError, match="no analysis for 2025-12-26 00 UTC"):
        forecast_figure(forecast, leads=[48], truth=forecast.isel(time=slice(0, 3)))
    with pytest.raises(DataError, match='no variable "u500" in the analysis'):
        forecast_figure(forecast, variables=["u500"], truth=forecast[["msl"]])
    with pytest.raises(GridError, match="another grid"):
        forecast_figure(forecast, truth=forecast.isel(latitude=slice(1, None)))


def test_place_that_cannot_be_written_is_refused(forecast, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        plot_forecast(forecast, tmp_path / "absent" / "maps.png", variables=["msl"], leads=[6])


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (range(0, 73, 6), [24, 48, 72]),
        (range(6, 241, 6), [72, 168, 240]),
        ((6, 12, 18), [6, 12, 18]),
        ((6, 12, 18, 24, 30), [12, 18, 30]),
        ((0,), [0]),
        ((24,), [24]),
    ],
)
def test_default_leads_are_whole_days_and_hold_the_last(hours, expected):
    available = np.array(list(hours), dtype=float)
    assert available[default_leads(available)].tolist() == expected


@pytest.mark.parametrize("name", ["22.5deg", "22.5deg+poles"])
@pytest.mark.parametrize("centre", [0.0, 180.0])
def test_global_maps_are_closed_around_the_globe_and_to_the_poles(name, centre):
    grid = Grid.parse(name)
    values = np.cos(np.deg2rad(np.asarray(grid.longitude))) * np.ones(grid.shape)
    closed, latitude, longitude = _closed(values, grid, centre)
    assert latitude[0] == -90
    assert latitude[-1] == 90
    assert longitude[0] <= centre - 180
    assert longitude[-1] >= centre + 180
    np.testing.assert_allclose(np.diff(longitude), grid.longitude_spacing)
    np.testing.assert_allclose(closed, np.cos(np.deg2rad(longitude)) * np.ones((len(latitude), 1)), atol=1e-12)


def test_longitudes_from_minus_180_show_the_same_map():
    grid = Grid.parse("22.5deg")
    east = make_forecast(grid, msl=100000.0)
    west = east.assign_coords(longitude=(east.longitude + 180) % 360 - 180).sortby("longitude")
    first, second = (forecast_figure(data, leads=[6]) for data in (east, west))
    assert panels(first)[0].get_xlim() == panels(second)[0].get_xlim() == (-180, 180)
    for one, other in zip(
        panels(first)[0].collections[0].get_paths(), panels(second)[0].collections[0].get_paths(), strict=True
    ):
        np.testing.assert_allclose(one.vertices, other.vertices)


def test_a_box_shows_the_box():
    grid = Grid.from_coordinates(np.arange(30, 61, 5.0), np.arange(-20, 16, 5.0))
    axes = panels(forecast_figure(make_forecast(grid, t850=280.0), leads=[24]))[0]
    assert axes.get_xlim() == (-20, 15)
    assert axes.get_ylim() == (30, 60)
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_xticklabels()][-2:] == ["10°E", "20°E"]


HIGH_OVER_IBERIA = Grid.from_coordinates(np.arange(30, 61, 1.5), np.arange(-30, 31, 1.5))


def weather_map(grid: Grid) -> xr.Dataset:
    """Geopotential at 500 hPa that falls to the north, with a high over Iberia."""
    latitude, longitude = np.asarray(grid.latitude)[:, None], np.asarray(grid.longitude)
    metres = 5500 - 10 * (latitude - 40) + 300 * np.exp(-(((latitude - 40) / 6) ** 2) - ((longitude + 5) / 8) ** 2)
    forecast = make_forecast(grid, hours=(24,), z500=0.0)
    forecast["z500"][:] = 9.80665 * metres
    return forecast


def test_geopotential_has_labelled_lines_8_gpdm_apart_and_its_high_is_marked():
    figure = forecast_figure(weather_map(HIGH_OVER_IBERIA))
    (axes,) = panels(figure)
    assert [bar.get_ylabel() for bar in colour_bars(figure)] == ["gpdm"]
    lines = lines_for(weather_map(HIGH_OVER_IBERIA)["z500"].values / 98.0665, 8.0)
    assert set(np.diff(lines)) == {8.0}
    assert set(lines % 8) == {0.0}
    written = {text.get_text(): text for text in axes.texts}
    assert {"544", "560"} <= set(written)
    assert [text for text in written if text in "HL"] == ["H"]
    assert written["H"].get_position() == pytest.approx((-4.5, 39.0), abs=1.5)
    assert "580" in written


GLOBE = Grid.parse("2.5deg")
BOX = Grid.from_coordinates(np.arange(30, 60.1, 0.5), np.arange(-20, 14.6, 0.5))


def pressure_map(grid: Grid, latitude: float, longitude: float) -> xr.Dataset:
    """Pressure with one low, of 950 hPa, at a cell of the grid, and no other extremum."""
    rows, columns = np.deg2rad(np.asarray(grid.latitude))[:, None], np.deg2rad(np.asarray(grid.longitude))
    place, turn = np.deg2rad(latitude), np.deg2rad(longitude)
    cosine = np.sin(rows) * np.sin(place) + np.cos(rows) * np.cos(place) * np.cos(columns - turn)
    distance = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    forecast = make_forecast(grid, hours=(24, 48, 72), msl=0.0)
    forecast["msl"][:] = 101000 + 5 * distance - 6000 * np.exp(-((distance / 12) ** 2))
    return forecast


def drawn(figure):
    """The same figure, laid out as in its file."""
    write_png(figure, io.BytesIO())
    return figure


@pytest.mark.parametrize(
    ("grid", "latitude", "longitude"),
    [
        (GLOBE, 51.25, 180), (GLOBE, 51.25, 177.5), (GLOBE, -41.25, 182.5), (GLOBE, 78.75, 0), (GLOBE, -78.75, 180),
        (GLOBE, 46.25, 10),
        (BOX, 59.5, 0), (BOX, 30.5, 14), (BOX, 31.5, -19.5), (BOX, 45, 14), (BOX, 45, -5),
    ],
)  # fmt: skip
def test_a_mark_at_the_edge_of_the_map_is_there_once_and_whole(grid, latitude, longitude):
    figure = drawn(forecast_figure(pressure_map(grid, latitude, longitude)))
    for axes in panels(figure):
        frame = axes.get_window_extent()
        marks = [text for text in axes.texts if text.get_text() in ("L", "950")]
        assert sorted(text.get_text() for text in marks) == ["950", "L"]
        for text in marks:
            box = text.get_window_extent()
            assert frame.x0 - 1 <= box.x0 < box.x1 <= frame.x1 + 1
            assert frame.y0 - 1 <= box.y0 < box.y1 <= frame.y1 + 1
        letter = next(text for text in marks if text.get_text() == "L")
        assert letter.get_position()[1] == latitude
        assert (letter.get_position()[0] - longitude) % 360 == 0


@pytest.mark.parametrize("grid", [GLOBE, BOX], ids=["globe", "box"])
def test_numbers_on_lines_are_whole_and_under_no_mark(grid):
    figure = drawn(forecast_figure(pressure_map(grid, 45, 0)))
    for axes in panels(figure):
        frame, texts = axes.get_window_extent(), axes.texts
        marks = [text.get_window_extent() for text in texts if text.get_text() in ("L", "950")]
        numbers = [text.get_window_extent() for text in texts if text.get_text() not in ("L", "950")]
        assert numbers
        for box in numbers:
            assert frame.x0 <= box.x0 < box.x1 <= frame.x1
            assert frame.y0 <= box.y0 < box.y1 <= frame.y1
            assert not any(box.overlaps(mark) for mark in marks)


@pytest.mark.parametrize("grid", [GLOBE, BOX], ids=["globe", "box"])
def test_maps_beside_the_analysis_fit_a_screen_and_no_title_covers_another(grid):
    forecast = pressure_map(grid, 45, 0)
    forecast = forecast.assign(t500=forecast["msl"] / 400, t850=forecast["msl"] / 350)
    figure = drawn(forecast_figure(forecast, truth=forecast))
    width, height = figure.get_size_inches() * DOTS_PER_INCH
    assert width <= 1920
    assert height <= 1080
    assert figure.get_suptitle().endswith("  ·  1 of 3 fields")
    titles = [axes.title.get_window_extent() for axes in panels(figure)]
    for row in (titles[:3], titles[3:6], titles[6:]):
        assert row[0].x1 < row[1].x0
        assert row[1].x1 < row[2].x0


def test_a_long_name_is_whole_above_a_narrow_map():
    forecast = pressure_map(BOX, 45, 0)
    forecast.attrs["model"] = "a_model_of_the_north_atlantic_with_a_long_name"
    figure = drawn(forecast_figure(forecast, leads=[24]))
    (title,) = figure.texts
    assert title.get_text().replace("\n", "").startswith(f"{forecast.attrs['model']}:")
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("count", [2, 4, 8, 12, 14, 26])
def test_the_numbers_of_a_bar_about_zero_are_the_same_on_both_sides(count):
    levels = np.array([n for n in range(-count // 2, count // 2 + 1) if n], np.float64)
    ticks = np.array(bar_ticks(levels))
    np.testing.assert_array_equal(ticks, -ticks[::-1])
    assert set(ticks) <= set(levels)
    assert ticks[-1] == levels[-1]
    assert 2 <= len(ticks) <= 8


@pytest.mark.parametrize(
    "box",
    [
        ((30, 60.1, 1.5), (-20, 14.6, 1.5)), ((36, 44.1, 0.25), (-10, 4.1, 0.25)), ((0, 80.1, 2.5), (0, 20.1, 2.5)),
        ((40, 45.1, 0.5), (-60, 60.1, 0.5)),
    ],
    ids=["europe", "iberia", "tall", "flat"],
)  # fmt: skip
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_of_any_box_fit_a_screen(box, rows):
    grid = Grid.from_coordinates(*(np.arange(*axis) for axis in box))
    width, height = empty_figure(grid, rows, 3).get_size_inches() * DOTS_PER_INCH
    assert width <= 1920
    assert height <= 1080


def test_fields_that_do_not_fit_a_screen_are_counted_in_the_title():
    forecast = make_forecast(
        Grid.parse("22.5deg"), **dict.fromkeys(("u500", "v500", "t500", "t850", "t2m", "msl"), 9.0)
    )
    forecast.attrs["model"] = "demo"
    figure = forecast_figure(forecast, leads=[24])
    shown = len(panels(figure))
    assert 1 < shown < 6
    assert figure.get_suptitle() == f"demo: forecast from 2025-12-24 00 UTC  ·  {shown} of 6 fields"
    assert len(panels(forecast_figure(forecast, variables=list(forecast.data_vars), leads=[24]))) == 6


@pytest.mark.parametrize("size", [1e-9, 1.0, 7e4])
def test_numbers_about_zero_have_one_colour_whatever_their_sign(size):
    levels = levels_for(size * np.linspace(-1, 1, 50), diverging=True)
    np.testing.assert_allclose(levels, -levels[::-1])
    assert len(np.unique(np.digitize([-1e-3 * size, 0.0, 1e-3 * size], levels))) == 1


def test_a_constant_field_and_a_variable_of_the_users_own_are_drawn(tmp_path):
    forecast = make_forecast(Grid.parse("22.5deg"), ozone=0.0)
    forecast["ozone"] = xr.zeros_like(forecast["ozone"]).assign_attrs(long_name="Ozone column", units="mol m-2")
    figure = forecast_figure(forecast, leads=[6])
    assert panels(figure)[0].get_ylabel() == "Ozone column"
    assert colour_bars(figure)[0].get_ylabel() == "mol m⁻²"
    plot_forecast(forecast, tmp_path / "ozone.png", leads=[6])


def test_coastline_lies_on_the_globe_and_in_known_places():
    coast = coastline()
    gaps = np.isnan(coast)
    assert np.array_equal(gaps[:, 0], gaps[:, 1])
    longitude, latitude = coast[~gaps[:, 0]].T
    assert np.abs(longitude).max() <= 180
    assert -90 < latitude.min() < -80
    assert 80 < latitude.max() < 90
    steps = np.abs(np.diff(coast, axis=0))
    assert np.nanmax(steps) < 15  # no line across the map
    for cape in ((18.5, -34.4), (-9.5, 38.7), (-67.3, -55.9), (103.9, 1.4)):  # of Good Hope, Roca, Horn; Singapore
        assert np.hypot(longitude - cape[0], latitude - cape[1]).min() < 1.5


@pytest.mark.parametrize(
    ("plain", "pretty"),
    [("m2 s-2", "m² s⁻²"), ("degC", "°C"), ("1e-5 s-1", "10⁻⁵ s⁻¹"), ("g kg-1", "g kg⁻¹"), ("hPa", "hPa"), ("1", "1")],
)
def test_units_are_written_as_people_write_them(plain, pretty):
    assert pretty_units(plain) == pretty


@pytest.mark.parametrize("name", ["maps.jpg", "maps.PDF"])
def test_a_picture_is_not_written_under_the_name_of_another_format(tmp_path, name):
    source = tmp_path / "f.nc"
    source.touch()
    with pytest.raises(UsageError, match=r"figures are written as PNG; give a name that ends in \.png"):
        plot(source, tmp_path / name)
