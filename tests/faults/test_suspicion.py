"""Quality control knows grid, time step and variable: weather passes, damage does not; what is accepted is named."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_archive, wave_dataset
from verbs import INIT

import pinnwx
from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.data.suspicion import names_of, summary, suspicions, suspicions_of
from pinnwx.errors import DataError, UsageError
from pinnwx.grid import Grid
from pinnwx.jobs.readiness import Acceptance, require_credible
from pinnwx.variables import VARIABLES, Variable, describe

RAIN = Variable("rain", "precipitation_amount", "Rain", "kg m-2", -1.0, 1e5)


def found(archive: Archive, name: str, variables=VARIABLES):
    """What is suspicious about the newest analysis."""
    values, last = archive.fields[:, archive.names.index(name)], archive.times[-1]
    return suspicions_of(values, archive.times, archive.grid, describe(name, variables), last, last)


def real(folder: Path, names, steps=slice(None), **options) -> Archive:
    archive = Archive.from_dataset(open_data(folder, names, **options), names)
    return Archive(archive.times[steps], archive.fields[steps], archive.names, archive.grid)


@pytest.mark.real_data
def test_report_14_a_tropical_cyclone_is_weather(real_data):
    report = pinnwx.check(real_data / "formats" / "cyclone_20070101.nc")
    assert report.ok, report.problems
    assert not [problem for problem in report.problems if problem.severity == "warning"]


@pytest.mark.real_data
def test_report_14_one_cell_of_a_daily_field_is_seen(real_data):
    """Off by 80 hPa, up or down, anywhere: the usual change of a day does not excuse it."""
    archive = real(real_data / "erainterim_europe", ("msl",), slice(0, 40))
    assert not found(archive, "msl")
    generator = np.random.default_rng(0)
    for sign in (-1, 1):
        for _ in range(20):
            row, column = generator.integers(21), generator.integers(24)
            fields = archive.fields.copy()
            fields[-1, 0, row, column] += sign * 8000
            damaged = Archive(archive.times, fields, archive.names, archive.grid)
            (spike,) = (one for one in found(damaged, "msl") if one.kind == "spike")
            where = f"{archive.grid.latitude[row]:g} N {archive.grid.longitude[column]:g} E"
            assert where in spike.text


@pytest.mark.real_data
def test_space_alone_convicts(real_data):
    """Of a single analysis, with nothing before to compare it with."""
    archive = real(real_data / "erainterim_europe", ("msl", "t850"), slice(7, 8))
    assert not found(archive, "msl")
    assert not found(archive, "t850")
    archive.fields[0, 0, 9, 9] += 5000
    archive.fields[0, 1, 3, 12] -= 40
    assert [one.kind for one in found(archive, "msl")] == ["spike"]
    assert [one.kind for one in found(archive, "t850")] == ["spike"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "names", "every", "options"),
    [
        ("erainterim_europe", ("msl", "z500", "t850"), 1, {"start": "2003-01-01", "end": "2004-06-30"}),
        ("era5_global", ("msl", "vo850"), 1, {"grid": "5.625deg"}),
        ("era5_global", ("msl", "vo850"), 4, {"start": "2026-01-01"}),
        ("ncep_iberia", ("msl", "z500", "t850", "q850", "t2m"), 1, {"start": "1980-01-01", "end": "1985-12-31"}),
        ("ncep_atlantic", ("msl",), 1, {}),
        ("gcm_t31", ("z500", "q850", "v850", "t2m"), 1, {"start": "2000-11-01", "end": "2000-12-31"}),
    ],
)
def test_there_is_no_false_alarm_in_analyses(real_data, folder, names, every, options):
    archive = real(real_data / folder, names, slice(None, None, every), **options)
    for index, name in enumerate(names):
        alarms = suspicions(archive.fields[:, index], archive.times, archive.grid, describe(name))
        assert not alarms, (name, alarms[0].text)


def rain(steps=13, seed=0) -> Archive:
    """Showers: most cells dry, some wet, a few very wet."""
    grid, generator = Grid.parse("5.625deg"), np.random.default_rng(seed)
    noise = generator.standard_normal((steps, *grid.shape))
    smooth = sum(np.roll(noise, shift, axis) for axis in (1, 2) for shift in (-1, 0, 1)) / np.sqrt(6)
    values = np.where(smooth > 0.8, np.expm1(smooth - 0.8), 0.0)
    times = np.datetime64("2026-01-01", "ns") + np.arange(steps) * np.timedelta64(6, "h")
    return Archive(times, values[:, None].astype(np.float32), ("rain",), grid)


def test_rain_is_no_spike_but_a_gross_error_in_it_is():
    table = {**VARIABLES, "rain": RAIN}
    for seed in range(8):
        archive = rain(seed=seed)
        assert not found(archive, "rain", table)
        for value in (10000.0, 90000.0):
            archive.fields[-1, 0, 11, 30] = value
            assert "spike" in [one.kind for one in found(archive, "rain", table)]


SHAPES = {
    "stripe": lambda field: field.__setitem__((5, slice(None)), field[5] + 3000),
    "spike": lambda field: field.__setitem__((4, 3), field[4, 3] + 6000),
    "stripe of a column": lambda field: field.__setitem__((slice(None), 7), field[:, 7] - 3000),
    "seam": lambda field: field.__setitem__((slice(2, 9), slice(4, 14)), field[2:9, 4:14] + 4000),
    "jump": lambda field: field.__setitem__(slice(None), field[:, ::-1].copy() + 500),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_damage_is_named(shape):
    archive = wave_archive(40, Grid.parse("15deg"), names=("msl",))
    assert not found(archive, "msl")
    SHAPES[shape](archive.fields[-1, 0])
    assert shape.partition(" ")[0] in [one.kind for one in found(archive, "msl")]


def test_a_step_is_not_blamed_for_the_one_before():
    archive = wave_archive(40, Grid.parse("15deg"), names=("msl",))
    archive.fields[-2, 0, 4, 3] += 3000
    assert not [one for one in found(archive, "msl") if one.kind != "jump"]


def test_many_wrapped_cells_are_seen():
    archive = wave_archive(40, Grid.parse("5.625deg"), names=("msl",))
    wrapped = np.random.default_rng(0).random(archive.grid.shape) < 0.1
    archive.fields[-1, 0][wrapped] -= 6000
    assert "spike" in [one.kind for one in found(archive, "msl")]


# ---- what is accepted is named ----


def damaged_archive() -> Archive:
    archive = wave_archive(40)
    archive.fields[-1, 0, 4, 5] += 8000
    archive.fields[-1, 1] = archive.fields[-2, 1]
    return archive


@pytest.mark.parametrize(
    ("accept", "left"),
    [
        ((), {"msl", "t850"}),
        (("msl",), {"t850"}),
        (("msl:spike", "t850:stuck"), set()),
        (("spike", "stuck"), set()),
        (("spike",), {"t850"}),
        (("msl@2026-01-10T18:00Z", "t850@2026-01-10"), set()),
        (("msl@2026-01-10T12", "t850:spike"), {"msl", "t850"}),
        (("msl:stuck", "t850"), {"msl"}),
    ],
)
def test_a_suspicion_that_is_not_named_is_refused(accept, left):
    archive = damaged_archive()
    last = archive.times[-1]
    if not left:
        accepted = require_credible(archive, last, last, accept=accept)
        assert {line.partition(":")[0] for line in accepted} == {"msl", "t850"}
        return
    with pytest.raises(DataError) as refused:
        require_credible(archive, last, last, accept=accept)
    for name in ("msl", "t850"):
        assert (f"--accept-suspicious {name}:" in str(refused.value)) == (name in left)


def test_the_refusal_prints_what_accepts_it(tmp_path):
    archive = damaged_archive()
    last = archive.times[-1]
    with pytest.raises(DataError) as refused:
        require_credible(archive, last, last)
    options = str(refused.value).split("--accept-suspicious ")[1:]
    require_credible(archive, last, last, accept=[option.strip() for option in options])


@pytest.mark.parametrize("text", ["", "q700", "msl:storm", "msl@", "msl@yesterday", "@2026-01-10", "msl:"])
def test_what_names_nothing_is_a_wrong_call(text):
    with pytest.raises(UsageError):
        Acceptance.parse(text, ("msl", "t850"))


def test_many_findings_are_told_in_one_line_each():
    archive = wave_archive(40)
    archive.fields[20:24, 0, 4, 5] += 8000
    several = suspicions(archive.fields[:, 0], archive.times, archive.grid, describe("msl"))
    spikes = [one for one in several if one.kind == "spike"]
    assert {one.time for one in spikes} >= set(archive.times[20:24])
    assert len([line for line in summary(several) if "a spike" in line]) == 1
    assert "msl:spike" in names_of("msl", spikes)


def test_the_file_says_what_was_accepted_and_nothing_else_passes(run, forecast, tmp_path):
    waves = wave_dataset(80)
    waves["msl"].values[61, 4, 5] += 3000.0
    waves["t850"].values[61] = waves["t850"].values[60]
    waves.to_netcdf(tmp_path / "bad.nc")
    spike, stuck = f"msl:spike@{INIT}Z", f"t850:stuck@{INIT}Z"
    forecast(tmp_path / "bad.nc").refused(65, f"--accept-suspicious {spike} --accept-suspicious {stuck}")
    forecast(tmp_path / "bad.nc", "--accept-suspicious", spike).refused(65, "t850: 1 step(s) repeat", stuck)
    forecast(tmp_path / "bad.nc", "--accept-suspicious", spike, "--accept-suspicious", stuck).did()
    with xr.open_dataset(tmp_path / "f.nc") as dataset:
        accepted = str(dataset.attrs["accepted"])
    assert "msl: a spike" in accepted
    assert "t850: 1 step(s) repeat" in accepted
