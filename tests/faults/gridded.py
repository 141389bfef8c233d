"""Small gridded files for the tests of what is read: smooth fields of Europe, every six hours."""

from pathlib import Path

import numpy as np
import xarray as xr

import pinnwx
from pinnwx.errors import PinnwxError

START = np.datetime64("2020-01-01T00", "ns")
HOUR = np.timedelta64(1, "h")
NORTH, EAST = np.linspace(40.0, 60.0, 9), np.linspace(0.0, 20.0, 9)
TYPICAL = {"t2m": (280.0, "K"), "t": (250.0, "K"), "z": (54000.0, "m2 s-2"), "msl": (101000.0, "Pa")}


def fields(name: str = "t2m", steps: int = 4, start: np.datetime64 = START, seed: int = 0) -> xr.Dataset:
    """One variable along (time, lat, lon)."""
    middle, units = TYPICAL[name]
    noise = np.random.default_rng(seed).normal(0, 1e-3 * middle, (steps, NORTH.size, EAST.size))
    values = (middle + noise).astype(np.float32)
    times = start + np.arange(steps) * 6 * HOUR
    return xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units})}, {"time": times, "lat": NORTH, "lon": EAST}
    )


def on_levels(axis: str, levels, attributes, name: str = "t") -> xr.Dataset:
    """A variable along (time, axis, lat, lon): at every level as many units more than at the first."""
    one = fields(name)
    values = np.stack([one[name].values + number for number in range(len(levels))], axis=1)
    return xr.Dataset(
        {name: (("time", axis, "lat", "lon"), values, one[name].attrs)},
        {**one.coords, axis: (axis, np.asarray(levels), attributes)},
    )


def write(dataset: xr.Dataset, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_netcdf(path, **options)
    return path


def opened(path, *arguments, **options) -> xr.Dataset | PinnwxError:
    """What `open_data` makes of the files, or says of them."""
    try:
        return pinnwx.open_data(path, *arguments, **options)
    except PinnwxError as error:
        return error


def refusal(path, *arguments, **options) -> str:
    """The one line with which the files are refused, with 65; `check` does not accept them either."""
    found = opened(path, *arguments, **options)
    assert isinstance(found, PinnwxError), found
    assert found.exit_code == 65
    assert "\n" not in str(found)
    assert not pinnwx.check(path).ok
    return str(found)


def notes(path) -> list[str]:
    """What `check` says of the files."""
    return [str(problem) for problem in pinnwx.check(path).problems]
