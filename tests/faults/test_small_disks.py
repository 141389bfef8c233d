"""Whatever the size of a disk that is full, a netCDF file of ours is written whole, or the job is refused.

The HDF5 library ended the process by SIGSEGV where its last step (it cuts the file to its length) failed: 1 of the 112
steps of a forecast. That step is none of ours to make fail here; so it is seen to that the library is given no file.
"""

import io
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import OutputError
from pinnwx.files import replacing
from pinnwx.forecasting.cf import forecast_dataset, write_forecast
from pinnwx.grid import Grid

# No file of this process may be larger than one size after another.
WRITER = """
import json, resource, sys
from pathlib import Path
import numpy as np
from pinnwx.data.storage import write_netcdf
from pinnwx.errors import OutputError
from pinnwx.forecasting.cf import forecast_dataset, read_forecast, write_forecast
from pinnwx.grid import Grid

folder, grid = Path(sys.argv[1]), Grid.parse("11.25deg")
path = folder / "f.nc"
fields = np.random.default_rng(0).standard_normal((2, 1, *grid.shape)).astype(np.float32)
made = forecast_dataset(fields, ["t850"], grid, np.datetime64("2026-01-01", "ns"), (6, 12), provenance={})
ended = {}
for name, write in {"forecast": lambda: write_forecast(made, path, force=True),
                    "analyses": lambda: write_netcdf(made, path)}.items():
    path.unlink(missing_ok=True)
    write()
    whole, ended[name] = path.read_bytes(), []
    sizes = {*range(0, len(whole) + 8192, 4096), *range(len(whole) - 3, len(whole) + 2)}
    for size in sorted(sizes):
        path.write_text("old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            write()
            code = 0
        except OutputError as error:
            code = error.exit_code
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        found = "old" if path.read_bytes() == b"old" else "new" if len(path.read_bytes()) == len(whole) else "part"
        ended[name].append([size >= len(whole), code, found, [p.name for p in folder.iterdir()]])
print(json.dumps(ended))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_disk_of_any_size(tmp_path):
    ended = subprocess.run([sys.executable, "-c", WRITER, tmp_path], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    for tries in json.loads(ended.stdout).values():
        assert sum(enough for enough, *_ in tries) >= 3
        assert len(tries) > 10
        for enough, code, found, names in tries:
            assert (code, found) == ((0, "new") if enough else (73, "old"))
            assert names == ["f.nc"]


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_disk_that_fails(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.nc"
    write_netcdf(xr.Dataset({"a": ("x", np.arange(3.0))}), path)

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(*{"write": (Path, "write_bytes"), "fsync": ("os.fsync",)}[failing], fails)
    with pytest.raises(OutputError, match=r"cannot write .*a\.nc: Input/output error; choose another place"):
        write_netcdf(xr.Dataset({"a": ("x", np.arange(9.0))}), path)
    assert [other.name for other in tmp_path.iterdir()] == ["a.nc"]
    assert read_netcdf(path)["a"].size == 3


@pytest.mark.parametrize(("free", "reason"), [(100, "no space left on device (100 bytes free)"), (2**40, "HDF error")])
def test_a_full_disk_is_called_full_whatever_the_library_says(tmp_path, monkeypatch, free, reason):
    monkeypatch.setattr("shutil.disk_usage", lambda _: mock.Mock(free=free))
    with pytest.raises(OutputError) as caught, replacing(tmp_path / "f.nc"):
        raise OSError(-101, "NetCDF: HDF error")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["forecast", "analyses"])
def test_the_library_is_given_no_file_to_write(tmp_path, monkeypatch, kind):
    opened = []

    class Watched(h5py.File):
        def __init__(self, name, mode="r", *rest, **options):
            opened.append((type(name), mode))
            super().__init__(name, mode, *rest, **options)

    def dataset(*_, **__):
        raise AssertionError("the netCDF library opens a file to write")

    monkeypatch.setattr(h5py, "File", Watched)
    monkeypatch.setattr(netCDF4, "Dataset", dataset)
    if kind == "forecast":
        monkeypatch.setattr("pinnwx.forecasting.cf.read_forecast", lambda _: None)  # it is read back when it is written
        fields = np.zeros((1, 1, 8, 16), np.float32)
        grid, start = Grid.parse("22.5deg"), np.datetime64("2026-01-01", "ns")
        write_forecast(forecast_dataset(fields, ["t850"], grid, start, (6,), provenance={}), tmp_path / "f.nc")
    else:
        write_netcdf(xr.Dataset({"a": ("x", np.arange(3.0))}), tmp_path / "f.nc")
    assert [given for given, mode in opened if mode != "r"] == [io.BytesIO]
    assert (tmp_path / "f.nc").read_bytes()[:4] == b"\x89HDF"
