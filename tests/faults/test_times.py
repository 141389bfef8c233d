"""Times that are none: in files and in options."""

import re
import time

import numpy as np
import pytest
import xarray as xr
from gridded import fields, notes, opened, refusal, write
from synthetic import config_text
from verbs import pinnwx

from pinnwx.config import parse_config
from pinnwx.data.calendar import initial_period, parse_time, period_bounds
from pinnwx.errors import ConfigError, UnavailableError, UsageError
from pinnwx.forecasting.predictor import require_times
from pinnwx.jobs.readiness import require_timely


def with_times(values, **attributes):
    return fields().assign_coords(time=("time", np.asarray(values), attributes))


@pytest.mark.parametrize("place", [0, 2, 3])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_time_that_is_no_number(tmp_path, value, place):
    """The first one, too, is not read as the date in the units."""
    hours = np.arange(4) * 6.0
    hours[place] = value
    assert "a time is missing or infinite in time" in refusal(
        write(with_times(hours, units="hours since 2020-01-01"), tmp_path / "x.nc")
    )


def test_a_time_that_is_the_fill_value(tmp_path):
    dataset = with_times([-999, 6, 12, 18], units="hours since 2020-01-01", _FillValue=-999)
    assert "a time is missing" in refusal(write(dataset, tmp_path / "x.nc"))


@pytest.mark.parametrize(
    "units", ["months since 2020-01-01", "years since 1900-01-01", "common_years since 1900-01-01"]
)
def test_report_22_units_without_an_exact_length(tmp_path, units):
    said = refusal(write(with_times(np.arange(4), units=units), tmp_path / "x.nc"))
    assert "has no exact length; convert the times to days since a date first" in said
    assert "damaged" not in said
    assert said.count("x.nc") == 1


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ("hours since yesterday", "are not understood"),
        ("fortnights since 2020-01-01", "only seconds, minutes, hours"),
        ("hours since 2020-13-45", "are not understood"), ("", "is needed"), ("hours", "is needed"),
    ],
)  # fmt: skip
def test_units_that_are_none_are_no_damage(tmp_path, units, said):
    message = refusal(write(with_times(np.arange(4), units=units), tmp_path / "x.nc"))
    assert said in message
    assert "damaged" not in message


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([1e300, 2e300, 3e300, 4e300], "hours since 2020-01-01"), ([0, 1, 2, 1e14], "seconds since 2020-01-01"),
        ([0, 1, 2, 3], "days since 0850-01-01"), ([0, 1, 2, 3], "days since 9999-01-01"),
        ([0, 90000, 2, 3], "days since 2020-01-01"), ([-2**31 + 1, 6, 12, 18], "hours since 1900-01-01"),
    ],
)  # fmt: skip
def test_years_that_nanoseconds_do_not_hold(tmp_path, values, units):
    said = refusal(write(with_times(values, units=units), tmp_path / "x.nc"))
    assert "outside the years 1678 to 2261" in said


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([0, 6, 12, 18], "hours since 2020-01-01"), ([0, 6, 12, 18], "hr since 2020-1-1"),
        ([0, 6, 12, 18], "  hours   since  2020-01-01  00:00:00 "), ([0, 360, 720, 1080], "min since 2020-01-01"),
        ([0, 21600000, 43200000, 64800000], "milliseconds since 2020-01-01"),
        ([0, 0.25, 0.5, 0.75], "d since 2020-01-01"),
        (np.arange(4) / 28, "weeks since 2020-01-01"), (np.float32([0, 6, 12, 18]), "Hours since 2020-01-01"),
    ],
)  # fmt: skip
def test_units_in_any_spelling(tmp_path, values, units):
    wanted = opened(write(fields(), tmp_path / "plain.nc"))
    xr.testing.assert_identical(opened(write(with_times(values, units=units), tmp_path / "x.nc")), wanted)


LONG = ["x" * 100_000, "1" * 100_000, "hours since " + "1" * 100_000, " since " * 15_000, "hours " * 20_000]


@pytest.mark.parametrize("units", LONG, ids=["letters", "digits", "date", "since", "hours"])
@pytest.mark.parametrize("on", ["time", "lat", "t2m", "level"])
def test_units_of_a_hundred_kilobytes(tmp_path, units, on):
    """Refused within seconds, in a line that does not repeat them."""
    dataset = with_times(np.arange(4) * 6, units="hours since 2020-01-01")
    if on == "level":
        dataset = dataset.assign_coords(level=((), 500.0))
    dataset[on].attrs["units"] = units
    path = write(dataset, tmp_path / "x.nc")
    before = time.process_time()
    found = opened(path)
    assert time.process_time() - before < 2
    assert len(str(found)) < 1000
    assert all(len(note) < 1000 for note in notes(path))


@pytest.mark.parametrize("key", ["long_name", "standard_name", "calendar", "GRIB_typeOfLevel", "positive", "axis"])
def test_other_attributes_of_a_hundred_kilobytes(tmp_path, key):
    dataset = fields("t").expand_dims(level=[500.0]).transpose("time", "level", ...)
    dataset["level"].attrs[key] = dataset["t"].attrs[key] = "level 1 " * 12_500
    path = write(dataset, tmp_path / "x.nc")
    before = time.process_time()
    opened(path)
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    "text", ["9999-12-31", "2262-01-01", "0001-01-01T00:00+02:00", "1677-12-31", "9999-12-31T23:59Z"]
)
def test_a_year_outside_is_refused_in_options(text):
    with pytest.raises(UsageError, match="choose a year from 1678 to 2261"):
        parse_time(text)
    with pytest.raises(UsageError, match="choose a year from 1678 to 2261"):
        period_bounds(None, text)


def test_the_first_and_last_years_are_held():
    assert str(parse_time("1678-01-01T00:00"))[:10] == "1678-01-01"
    first, last = period_bounds("1678-01-01", "2261-12-31")
    assert (str(first)[:10], str(last)[:19]) == ("1678-01-01", "2261-12-31T23:59:59")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("16/01/2026", "did you mean 2026-01-16?"), ("01/16/2026", "did you mean 2026-01-16?"),
        ("1.2.2026", "did you mean 2026-02-01 or 2026-01-02?"), ("2026/01/16", "did you mean 2026-01-16?"),
        ("16-01-2026", "did you mean 2026-01-16?"), ("99/99/2026", "write for example 2026-02-04"),
        ("soon", "write for example 2026-02-04"), ("lastest", 'did you mean "latest"?'),
        ("x" * 100_000, "write for example"),
    ],
)  # fmt: skip
def test_a_date_in_another_order(text, meant):
    for read in (parse_time, initial_period):
        with pytest.raises(UsageError) as caught:
            read(text)
        assert meant in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("16/01/2026/latest", "did you mean 2026-01-16/latest?"),
        ("16/01/2026/18.01.2026", "did you mean 2026-01-16/2026-01-18?"),
        ("2026/01/16/2026-01-18T06:00", "did you mean 2026-01-16/2026-01-18T06:00?"),
        ("01/02/2026/latest", '"01" is not an ISO 8601 time'),
    ],
)
def test_a_period_of_dates_in_another_order(text, meant):
    with pytest.raises(UsageError) as caught:
        initial_period(text)
    assert meant in str(caught.value)


def test_a_length_stands_before_latest_alone():
    with pytest.raises(UsageError, match="P3D/latest; otherwise give FROM/TO"):
        initial_period("P9D/2026-01-16")


def test_a_limit_of_age_that_no_daily_analysis_can_keep(monkeypatch):
    """The refusal says what suits analyses so far apart; where the limit is wide enough, they are late, no more."""
    monkeypatch.setenv("PINNWX_NOW", "2026-01-18T06:00")
    noons = np.arange("2026-01-10T12", "2026-01-17", 24, "M8[h]").astype("M8[ns]")
    with pytest.raises(UnavailableError, match=r"more than --max-age 12 h; .*: analyses 24 h apart need 48$"):
        require_timely(noons[-1], 12, noons)
    with pytest.raises(UnavailableError, match=r"raise --max-age: analyses 24 h apart need 48$"):
        require_timely(noons[-1], 36, noons)
    require_timely(noons[-1], 48, noons)
    monkeypatch.setenv("PINNWX_NOW", "2026-01-28T06:00")
    with pytest.raises(UnavailableError, match=r"raise --max-age$"):
        require_timely(noons[-1], 48, noons)


@pytest.mark.parametrize(("end", "words"), [("31/01/2026", "did you mean 2026-01-31?"), ("soon", "for example 2026-")])
def test_a_date_of_a_config_in_another_order(end, words):
    text = re.sub(r'(train = .*end = ")[^"]*', rf"\g<1>{end}", config_text())
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "tiny.toml")
    assert f'data.train.end: "{end}" is not an ISO 8601 time (year-month-day); ' in str(caught.value)
    assert words in str(caught.value)


def test_the_initial_time_is_named_where_no_analysis_is_of_its_hour():
    """A model of two analyses lacks the one before too; who asks for the 16th is told of the 16th."""
    noons = np.arange("2026-01-10T12", "2026-01-20", 24, "M8[h]").astype("M8[ns]")
    needed = np.array([["2026-01-15T00", "2026-01-16T00"]], "M8[ns]")
    with pytest.raises(UnavailableError, match=r"no analysis at 2026-01-16T00:00Z; of that day they hold 12:00Z"):
        require_times(noons, needed)
    noons = np.delete(noons, 5)
    with pytest.raises(UnavailableError, match=r"no analysis at 2026-01-15T12:00Z"):
        require_times(noons, needed + np.timedelta64(12, "h"))


@pytest.mark.parametrize(
    "text",
    ["/latest", "2026-01-16/", "/", "latest/latest", "P3D/2026-01-16", "P/latest", "01/2026", "2026-01-16/x/y",
     "P" + "9" * 5000 + "D/latest"],
)  # fmt: skip
def test_what_is_no_period(text):
    with pytest.raises(UsageError) as caught:
        initial_period(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text", ["2026-01-16/latest", "P3D/latest", "PT36H/latest", "P1DT6H/latest", "2026-01-01/2026-02-01T06:00"]
)
def test_what_is_a_period(text):
    assert initial_period(text) == tuple(text.split("/"))
    assert initial_period("latest") is initial_period("2026-01-16T06:00") is None


@pytest.mark.parametrize(
    ("init", "out", "words"),
    [
        ("16/01/2026", "f.nc", ["did you mean 2026-01-16?"]), ("16/01/2026", "many/", ["did you mean 2026-01-16?"]),
        ("/latest", "many/", ["is not a period; write FROM/TO"]), ("9999-12-31", "f.nc", ["choose a year"]),
    ],
)  # fmt: skip
def test_an_initial_time_that_is_none_is_a_usage_error(run, good, tmp_path, init, out, words):
    ended = pinnwx("forecast", "--run", run, "--data", good, "--out", f"{tmp_path}/{out}", "--init", init)
    ended.refused(2, *words)


def test_a_date_without_an_analysis_at_midnight_names_those_of_that_day(run, damaged, tmp_path):
    noon = damaged(lambda dataset: dataset.sel(time=dataset["time"].dt.hour % 12 == 6))
    ended = pinnwx("forecast", "--run", run, "--data", noon, "--out", tmp_path / "f.nc", "--init", "2026-01-16")
    ended.refused(69, "no analysis at 2026-01-16T00:00Z", "of that day they hold 06:00Z, 18:00Z")
