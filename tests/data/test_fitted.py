"""Normalisation and climatology: right on analytic signals, and blind to everything outside the training time."""

from dataclasses import replace

import h5py
import netCDF4
import numpy as np
import pytest

from pinnwx.data.archive import Archive
from pinnwx.data.fitting import fit_climatology, fit_normalisation
from pinnwx.data.statistics_files import (
    read_climatology,
    read_normalisation,
    write_climatology,
    write_normalisation,
)
from pinnwx.errors import CheckpointError, DataError, MissingInputError
from pinnwx.grid import Grid
from pinnwx.statistics import Normalisation
from pinnwx.time_features import day_angle

GRID = Grid.parse("15deg+poles")
SINE = np.sin(GRID.latitude_radians)[:, None] * np.ones(GRID.shape)


def archive(values, start="2020-01-01", step_hours=6, names=("t850",)) -> Archive:
    """An archive of f(times) -> (time, field, lat, lon), or of an array."""
    steps = values if isinstance(values, int) else len(values)
    times = np.datetime64(start, "ns") + np.timedelta64(step_hours, "h") * np.arange(steps)
    return Archive(times, np.asarray(values, np.float32), names, GRID)


FITS = {"scale": lambda part: fit_normalisation(part, 6), "climatology": fit_climatology}


def write(value, path) -> None:
    (write_normalisation if isinstance(value, Normalisation) else write_climatology)(value, path)


def read(value, path):
    """What a file of the same kind as the value holds."""
    return (read_normalisation if isinstance(value, Normalisation) else read_climatology)(path)


def noise(steps, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, 1, *GRID.shape)).astype(np.float32)


def test_normalisation_of_a_known_field():
    """x = 280 + (3 + (-1)^t 2) sin(lat): the mean of sin(lat)^2 over the sphere is 1/3."""
    amplitude = 3 + 2 * (-1.0) ** np.arange(40)
    found = fit_normalisation(archive(280 + amplitude[:, None, None, None] * SINE), 6)
    third = float((SINE**2 * GRID.area_weights).mean())
    assert third == pytest.approx(1 / 3, rel=0.02)
    np.testing.assert_allclose(found.mean, [280], rtol=1e-7)
    np.testing.assert_allclose(found.std, [np.sqrt((3**2 + 2**2) * third)], rtol=1e-5)
    np.testing.assert_allclose(found.increment_std, [4 * np.sqrt(third)], rtol=1e-3)
    np.testing.assert_allclose(found.mean_map[0], 280 + 3 * SINE, rtol=1e-7)


def test_large_means_do_not_spoil_small_deviations():
    found = fit_normalisation(archive(np.float64(54000) + noise(400)), 6)
    weighted = float(np.sqrt((noise(400).astype("f8") ** 2 * GRID.area_weights).mean()))
    np.testing.assert_allclose(found.std, [weighted], rtol=1e-3)


def test_increments_never_span_a_gap():
    values = noise(40)
    values[20:] += 1000  # the jump lies in the gap
    whole = archive(values)
    times = whole.times.copy()
    times[20:] += np.timedelta64(24, "h")
    gap = fit_normalisation(replace(whole, times=times), 6)
    assert gap.increment_std[0] == pytest.approx(np.sqrt(2), rel=0.05)
    assert fit_normalisation(whole, 6).increment_std[0] > 100


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_what_lies_outside_the_training_time_has_no_influence(fit):
    values = noise(1500 * 2)
    spoiled = values.copy()
    spoiled[1500:] = 1e9
    parts = [archive(array).select("2020-01-01", "2021-01-09T18:00") for array in (values, spoiled)]
    assert len(parts[0]) == 1500
    first, second = map(fit, parts)
    for key, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, key))


def test_normalisation_refuses_what_it_cannot_scale():
    with pytest.raises(DataError, match="no two training times are 6 h apart; their spacing is 24 h"):
        fit_normalisation(archive(noise(10), step_hours=24), 6)
    with pytest.raises(DataError, match="t850 never changes"):
        fit_normalisation(archive(np.full((10, 1, *GRID.shape), 3.0)), 6)


def signal(times: np.ndarray) -> np.ndarray:
    """Two harmonics of the year and one of the day, with place-dependent size and phase."""
    days = (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    length = np.where(times.astype("datetime64[Y]").astype(int) % 4 == 2, 366, 365)  # 1970 + 2 = 1972
    year = 2 * np.pi * (days / length)[:, None, None]
    hour = 2 * np.pi * (((times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")) / 24)[:, None, None]
    field = 280 + 10 * SINE * np.cos(year - 0.6) + 2 * np.cos(2 * year) + 3 * (1 - SINE**2) * np.cos(hour + SINE)
    return field[:, None]


def test_harmonics_are_recovered_and_hold_for_other_years():
    steps = 2 * 365 * 4
    times = np.datetime64("2021-01-01", "ns") + np.timedelta64(6, "h") * np.arange(steps)
    found = fit_climatology(archive(signal(times), "2021-01-01"))
    assert (found.annual, found.diurnal) == (2, 1)
    later = np.arange("2024-02-25", "2024-03-05", 3, dtype="datetime64[h]").astype("datetime64[ns]")
    at = found.at(later)
    assert at.dtype == np.float32
    assert at.shape == (later.size, 1, *GRID.shape)
    np.testing.assert_allclose(at, signal(later), atol=2e-3)


def test_two_months_resolve_the_day_and_not_the_year():
    """62 days of 6 h: the daily cycle is recovered on later days, and the mean alone is wrong by it."""
    times = np.datetime64("2021-01-01", "ns") + np.timedelta64(6, "h") * np.arange(62 * 4)
    daily = 3 * (1 - SINE**2) * np.cos(day_angle(times)[:, None, None] + SINE)
    found = fit_climatology(archive((280 + daily)[:, None], "2021-01-01"))
    assert (found.annual, found.diurnal) == (0, 1)
    later = times + np.timedelta64(90, "D")
    np.testing.assert_allclose(found.at(later)[:, 0], 280 + daily, atol=1e-3)
    assert np.abs(found.minimum).max() < 1e-3


def test_less_than_ten_days_give_the_mean():
    values = noise(39)
    found = fit_climatology(archive(values))
    assert (found.annual, found.diurnal) == (0, 0)
    at = found.at(np.array(["2030-07-01"], dtype="datetime64[ns]"))
    np.testing.assert_allclose(at[0], values.mean(axis=0), atol=1e-6)


def test_daily_data_have_no_hours():
    found = fit_climatology(archive(noise(800), step_hours=24))
    assert (found.annual, found.diurnal) == (2, 0)
    assert fit_climatology(archive(noise(3000), step_hours=3)).diurnal == 2


@pytest.fixture(params=FITS)
def value(request):
    return FITS[request.param](archive(noise(1500)))


def test_a_round_trip_keeps_every_bit(value, tmp_path):
    path = tmp_path / "x.nc"
    write(value, path)
    found = read(value, path)
    for key, wanted in vars(value).items():
        np.testing.assert_array_equal(getattr(found, key), wanted)
        if isinstance(wanted, np.ndarray):
            assert getattr(found, key).dtype == wanted.dtype
    assert [child.name for child in tmp_path.iterdir()] == ["x.nc"]


def test_every_array_carries_a_checksum(value, tmp_path):
    write(value, tmp_path / "x.nc")
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        numbers = [array for array in file.variables.values() if array.dtype != str and array.ndim]
        assert numbers
        assert all(array.filters()["fletcher32"] for array in numbers)


def test_a_damaged_file_is_refused(value, tmp_path):
    path = tmp_path / "x.nc"
    with pytest.raises(MissingInputError):
        read(value, path)
    write(value, path)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        stored = file["mean_map" if isinstance(value, Normalisation) else "coefficients"].id.get_chunk_info(0)
    content[stored.byte_offset + stored.size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged|is no|finite"):
        read(value, path)
    path.write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="damaged"):
        read(value, path)


def test_one_is_not_taken_for_the_other(tmp_path):
    for key, fit in FITS.items():
        write(fit(archive(noise(1500))), tmp_path / f"{key}.nc")
    with pytest.raises(CheckpointError, match="is no climatology"):
        read_climatology(tmp_path / "scale.nc")
    with pytest.raises(CheckpointError, match="is no normalisation"):
        read_normalisation(tmp_path / "climatology.nc")
