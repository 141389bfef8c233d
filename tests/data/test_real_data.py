"""The real files open with one call each, and give the published figures of the evaluation protocol."""

import numpy as np
import pytest

from pinnwx.data.archive import Archive
from pinnwx.data.fitting import fit_climatology, fit_normalisation
from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.data.windows import window_indices
from pinnwx.errors import DataError

pytestmark = pytest.mark.real_data


def persistence(archive: Archive, start: str, end: str, lead_hours: float) -> np.ndarray:
    """Area-weighted RMSE, root first, mean over the initial times from start to end."""
    first, last = archive.select(start, end).times[[0, -1]]
    pairs = window_indices(archive.times, lead_hours, 1)
    pairs = pairs[(archive.times[pairs[:, 0]] >= first) & (archive.times[pairs[:, 0]] <= last)]
    difference = archive.fields[pairs[:, 1]] - archive.fields[pairs[:, 0]]
    return np.sqrt((difference**2 * archive.grid.area_weights).mean(axis=(2, 3))).mean(axis=0)


def test_era5_global(real_data):
    dataset, report = open_with_report(real_data / "era5_global", ("msl", "vo850"), grid="5.625deg")
    assert dataset.sizes == {"time": 304, "latitude": 32, "longitude": 64}
    assert {entry.layout for entry in report.files} == {"Climate Data Store since 2024"}
    assert any("preliminary" in note for note in report.files[0].normalised)
    archive = Archive.from_dataset(dataset, ("msl", "vo850"))
    found = np.array([persistence(archive, "2026-02-04", "2026-02-11", lead) for lead in (6, 12, 24, 48, 72)])
    np.testing.assert_allclose(found[:, 0], [240, 355, 556, 779, 871], rtol=0.002)
    np.testing.assert_allclose(found[:, 1] * 1e5, [1.78, 2.23, 2.55, 2.69, 2.79], rtol=0.003)
    departure = archive.fields - archive.fields.mean(axis=0)
    spread = np.sqrt((departure**2 * archive.grid.area_weights).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(spread, [700, 2.0e-5], rtol=0.02)


def test_era5_is_aliased_on_its_own_grid(real_data):
    """Why vorticity is averaged: at 2.5 degrees its 6 h persistence error exceeds its standard deviation."""
    archive = Archive.from_dataset(open_data(real_data / "era5_global", ("vo850",)), ("vo850",))
    assert archive.grid.has_pole_rows
    scale = fit_normalisation(archive, 6)
    assert scale.increment_std[0] > 0.98 * scale.std[0]


def test_erainterim_europe(real_data):
    names = ("z500", "t850", "msl")
    dataset, report = open_with_report(real_data / "erainterim_europe", names)
    assert dataset.sizes == {"time": 3288, "latitude": 21, "longitude": 24}
    assert float(dataset["longitude"][0]) == -20
    assert all("unpacked from int16" in entry.normalised for entry in report.files)
    archive = Archive.from_dataset(dataset, names)
    assert archive.step_hours == 24
    np.testing.assert_allclose(persistence(archive, "2007-01-01", "2008-12-31", 24), [625, 2.79, 543], rtol=0.005)


def test_ncep_iberia(real_data):
    dataset, report = open_with_report(real_data / "ncep_iberia")
    assert set(dataset.data_vars) == {"z500", "t850", "q850", "msl", "t2m"}
    assert dataset.sizes == {"time": 18262 - 36, "latitude": 6, "longitude": 9}
    assert report.end == "2010-11-25T00:00Z"
    assert (
        sum("36 step(s) without values left out, the first 2010-11-26" in str(entry) for entry in report.problems) == 4
    )
    assert any("transposed from (time, height, rlon, rlat)" in entry.normalised for entry in report.files)


def test_gcm_t31(real_data):
    names = ("z500", "t850", "t2m", "u10", "u500", "q850")
    dataset = open_data(real_data / "gcm_t31", names, static=("orography", "lsm"))
    assert dataset.sizes == {"time": 2924, "latitude": 32, "longitude": 64}
    archive = Archive.from_dataset(dataset, names, ("orography", "lsm"))
    wanted = {
        6: [122, 0.66, 0.46, 0.99, 1.25, 0.26e-3], 24: [412, 2.15, 1.53, 3.09, 4.10, 0.82e-3],
        72: [709, 3.35, 2.47, 4.57, 6.79, 1.26e-3], 120: [796, 3.60, 2.65, 4.92, 7.48, 1.33e-3],
    }  # fmt: skip
    for lead, figures in wanted.items():
        np.testing.assert_allclose(persistence(archive, "2001-08-01", "2001-12-26", lead), figures, rtol=0.02)


def test_the_seasonal_climatology_beats_the_mean_on_unseen_years(real_data):
    archive = Archive.from_dataset(open_data(real_data / "ncep_iberia", ("z500", "t850")), ("z500", "t850"))
    train, test = archive.select("1961-01-01", "2000-12-31"), archive.select("2001-01-01", "2005-12-31")
    climatology = fit_climatology(train)
    assert climatology.annual == 2
    assert climatology.diurnal == 0
    seasonal = np.abs(climatology.at(test.times) - test.fields).mean(axis=(0, 2, 3))
    mean = np.abs(train.fields.mean(axis=0) - test.fields).mean(axis=(0, 2, 3))
    assert (seasonal < 0.8 * mean).all()


def test_era5_uk_grib(real_data):
    pytest.importorskip("eccodes")
    folder = real_data / "era5_uk"
    before = sorted(folder.iterdir())
    dataset = open_data(folder)
    assert dataset["t2m"].sizes == {"time": 744, "latitude": 33, "longitude": 49}
    assert 260 < float(dataset["t2m"].min()) < float(dataset["t2m"].max()) < 300
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("folder", ["era5_global", "erainterim_europe", "ncep_iberia"])
def test_check_finds_nothing_wrong(real_data, folder):
    report = check_data(real_data / folder)
    assert report.ok
    assert not [problem for problem in report.problems if "spike" in problem.message or "stuck" in problem.message]


def test_station_tables_are_left_alone(real_data):
    report = check_data(real_data / "gsn_iberia")
    assert {entry.format for entry in report.files} == {"not gridded data"}
    with pytest.raises(DataError, match="no variable of the table in 4 file"):
        open_data(real_data / "gsn_iberia")
