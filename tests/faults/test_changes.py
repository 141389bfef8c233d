"""A file that changes while it is read is read again, or refused with 75; never half of one and half of the other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data import source_field
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import ChangedError, LockedError

WAVES = wave_dataset(40)
FORMATS = {"netCDF-3": "NETCDF3_64BIT", "netCDF-4": "NETCDF4"}


def write(path: Path, dataset: xr.Dataset = WAVES, kind: str = "netCDF-4") -> Path:
    """Contiguous, with `msl` last, so that it is what a cut takes away."""
    dataset[["t850", "msl"]].to_netcdf(path, format=FORMATS[kind])
    return path


class Interfering:
    """Does something to the files before the n-th block of values is read, as another job would."""

    def __init__(self, monkeypatch, act, times: int = 1):
        self.act, self.left, self.calls = act, times, 0
        real = source_field.SourceField.read

        def read(this, block):
            self.calls += 1
            if self.left:
                self.left -= 1
                self.act()
            return real(this, block)

        monkeypatch.setattr(source_field.SourceField, "read", read)


def cut(path: Path):
    return lambda: os.truncate(path, path.stat().st_size // 3)


def copied_over(path: Path, other: Path):
    """As `cp` does: the same file, other bytes."""
    return lambda: path.write_bytes(other.read_bytes())


def renamed_over(path: Path, other: Path):
    return lambda: other.rename(path)


def later(dataset: xr.Dataset) -> xr.Dataset:
    """Other values at other times, of the same size."""
    return (dataset + 1).assign_coords(time=dataset["time"] + np.timedelta64(30, "D")).assign_attrs(dataset.attrs)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_is_never_read_on(tmp_path, monkeypatch, kind):
    """The second reading finds it damaged, or, where it is cut again, to be tried again; zeros are winds, too."""
    path = write(tmp_path / "x.nc", kind=kind)
    Interfering(monkeypatch, cut(path))
    with pytest.raises(Exception, match=r"damaged or incomplete|changed while it was read") as caught:
        open_data(path)
    assert caught.value.exit_code in (65, 75)


def test_the_library_alone_reads_on_as_zeros(tmp_path):
    """Else the test above could not fail."""
    path = write(tmp_path / "x.nc")
    with xr.open_dataset(path, cache=False) as dataset:
        dataset["t850"].load()
        cut(path)()
        assert (dataset["msl"].values[-1] == 0).all()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("how", [copied_over, renamed_over])
def test_a_file_that_is_replaced_is_read_as_the_new_one(tmp_path, monkeypatch, kind, how):
    path, other = write(tmp_path / "x.nc", kind=kind), write(tmp_path / "other", later(WAVES), kind)
    new = write(tmp_path / "new.nc", later(WAVES), kind)
    interference = Interfering(monkeypatch, how(path, other))
    found = open_data(path)
    assert interference.calls > 2  # it was read twice
    xr.testing.assert_identical(found, open_data(new))


def test_a_file_that_keeps_changing_is_refused_with_75(tmp_path, monkeypatch):
    path = write(tmp_path / "x.nc")
    Interfering(monkeypatch, lambda: os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1)), times=10)  # noqa: PTH116
    for read in (open_data, check_data):
        with pytest.raises(ChangedError, match=r"x\.nc changed while it was read; try again") as caught:
            read(path)
        assert isinstance(caught.value, LockedError)
        assert caught.value.exit_code == 75


def test_a_file_that_vanishes_is_not_read_from_what_is_left_open(tmp_path, monkeypatch):
    path, other = write(tmp_path / "x.nc"), write(tmp_path / "y.nc", later(WAVES))
    Interfering(monkeypatch, path.unlink)
    xr.testing.assert_identical(open_data(tmp_path), open_data(other))


def test_the_first_of_many_files_is_not_read_under_the_times_of_another(tmp_path, monkeypatch):
    """xarray keeps 128 files open, here 2: the first is closed after the survey and opened anew to be read."""
    steps = wave_dataset(6)
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        steps.isel(time=[index]).to_netcdf(folder / f"{index:03d}.nc")
    other = steps.isel(time=[5])
    other.assign_coords(time=other["time"] + np.timedelta64(6, "h")).to_netcdf(tmp_path / "other")
    Interfering(monkeypatch, renamed_over(folder / "000.nc", tmp_path / "other"))
    with xr.set_options(file_cache_maxsize=2):
        found = open_data(folder)
    np.testing.assert_array_equal(found["time"][:-1], steps["time"][1:])
    np.testing.assert_array_equal(found["msl"][:-1], steps["msl"][1:])


def test_a_zarr_store_that_is_extended_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "x.zarr"
    WAVES.isel(time=slice(0, 20)).to_zarr(path, zarr_format=2, consolidated=False)
    append = WAVES.isel(time=slice(20, 40))
    Interfering(monkeypatch, lambda: append.to_zarr(path, append_dim="time", consolidated=False))
    assert open_data(path).sizes["time"] == 40


def test_what_does_not_change_is_read_once(tmp_path, monkeypatch):
    path = write(tmp_path / "x.nc")
    interference = Interfering(monkeypatch, lambda: (tmp_path / "beside").touch())
    open_data(path)
    assert interference.calls == 2


def test_a_netcdf3_file_that_is_cut_does_not_end_the_process_by_a_signal(tmp_path):
    """A process of its own, for a memory map would end it by SIGBUS."""
    path = write(tmp_path / "x.nc", wave_dataset(400), "netCDF-3")
    code = (
        "import os, sys\n"
        "from pinnwx.data import source_field\n"
        "from pinnwx.data.open import open_data\n"
        "real = source_field.SourceField.read\n"
        f"def read(this, block):\n    os.truncate({str(path)!r}, 1000)\n    return real(this, block)\n"
        "source_field.SourceField.read = read\n"
        "try:\n"
        f"    open_data({str(path)!r})\n"
        "except Exception as error:\n"
        "    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode != -signal.SIGBUS, done.stderr
    assert done.returncode in (65, 75), done.stderr
