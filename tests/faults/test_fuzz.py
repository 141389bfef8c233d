"""Files that nobody thought of: ingest gives the canonical values, or an error of ours; never another error, never a
wrong value."""

import subprocess
import sys
import tempfile
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinnwx.data.open import check_data, open_data
from pinnwx.errors import PinnwxError

STEPS, ROWS, COLUMNS = 5, 4, 8
TIMES = np.datetime64("2021-02-27T00:00", "ns") + np.arange(STEPS) * np.timedelta64(6, "h")
LATITUDE = -67.5 + 45.0 * np.arange(ROWS)
LONGITUDE = 45.0 * np.arange(COLUMNS)
TRUTH = {
    "msl": (101325 + 900 * np.random.default_rng(1).standard_normal((STEPS, ROWS, COLUMNS))).astype(np.float32),
    "t850": (275 + 8 * np.random.default_rng(2).standard_normal((STEPS, ROWS, COLUMNS))).astype(np.float32),
}
# raw name, units, factor and offset of what a file may hold for a canonical field
SPELLINGS = {
    "msl": [("msl", "Pa", 1, 0), ("slp", "hPa", 0.01, 0), ("prmsl", "mbar", 0.01, 0), ("psl", None, 1, 0)],
    "t850": [("t850", "K", 1, 0), ("T850", "degC", 1, -273.15), ("temperature_850", "kelvin", 1, 0), ("t", "K", 1, 0)],
}  # fmt: skip
TIME_UNITS = ["hours since 1900-01-01", "days since 2021-01-01 00:00:00", "hours", "seconds since 1970-01-01"]
ATTRIBUTES = ["scale_factor", "add_offset", "units", "standard_name", "long_name", "level", "x"]
CALENDARS = ["standard", "gregorian", "proleptic_gregorian", "noleap", "360_day", "julian", "martian", ""]
JUNK = st.one_of(st.text(max_size=8), st.integers(-(2**31), 2**31 - 1), st.floats(width=32), st.just(np.float32(1)))


@st.composite
def recipes(draw) -> dict:
    """How one file is written: every choice that real archives have been seen to make, and some that none has."""
    return {
        "names": {name: draw(st.sampled_from(spellings)) for name, spellings in SPELLINGS.items()},
        "dims": draw(st.permutations(["time", "lat", "lon"])),
        "steps": draw(st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=STEPS + 2)),
        "rows": draw(st.sampled_from([1, -1])),
        "roll": draw(st.integers(0, COLUMNS - 1)),
        "turn": draw(st.sampled_from([0, -180, -360])),
        "dtype": draw(st.sampled_from(["f4", "f8", "i2", "i4", ">f4"])),
        "coordinate": draw(st.sampled_from(["f4", "f8"])),
        "calendar": draw(st.sampled_from(CALENDARS)),
        "units": draw(st.sampled_from(TIME_UNITS)),
        "fill": draw(st.sampled_from([None, -32767, 9.96921e36, np.nan])),
        "holes": draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 7)), max_size=2)),
        "attributes": draw(st.dictionaries(st.sampled_from(ATTRIBUTES), JUNK, max_size=2)),
        "format": draw(st.sampled_from(["NETCDF4", "NETCDF4", "NETCDF3_64BIT"])),
        "stranger": draw(st.booleans()),
    }  # fmt: skip


def written(recipe: dict, path: Path) -> None:
    steps = recipe["steps"]
    since = recipe["units"].partition(" since ")[2] or "1900-01-01"
    divisor = {"hours": 3600, "days": 86400, "seconds": 1}[recipe["units"].split()[0]]
    seconds = (TIMES[steps] - np.datetime64(since.split()[0], "ns")) / np.timedelta64(1, "s")
    columns = np.roll(np.arange(COLUMNS), recipe["roll"])
    east = np.where(LONGITUDE[columns] >= 180, LONGITUDE[columns] + recipe["turn"], LONGITUDE[columns])
    order = np.arange(ROWS)[:: recipe["rows"]]
    data = {}
    for name, (raw, units, factor, offset) in recipe["names"].items():
        values = (TRUTH[name].astype("f8") * factor + offset)[steps][:, order][..., columns]
        for hole in recipe["holes"]:
            if hole[0] < len(steps):
                values[hole] = np.nan
        attributes = {"units": units} if units else {}
        if recipe["dtype"].startswith("i"):
            low, high = np.nanmin(values), np.nanmax(values)
            scale = (high - low) / 60000 or 1.0
            packed = np.round((values - (low + high) / 2) / scale)
            attributes |= {"scale_factor": scale, "add_offset": (low + high) / 2}
            if recipe["fill"] is not None and np.isfinite(recipe["fill"]) and abs(recipe["fill"]) < 2**15:
                attributes["_FillValue"] = np.dtype(recipe["dtype"]).type(recipe["fill"])
            values = np.where(np.isnan(packed), -32767, packed).astype(recipe["dtype"])
        else:
            values = values.astype(recipe["dtype"])
            if recipe["fill"] is not None:
                values[np.isnan(values)] = recipe["fill"]
                attributes["_FillValue"] = values.dtype.type(recipe["fill"])
        array = xr.Variable(("time", "lat", "lon"), values, attributes | recipe["attributes"])
        data[raw] = array.transpose(*recipe["dims"])
    if recipe["stranger"]:
        data["crs"] = ((), b"x")
    coordinates = {
        "time": ("time", seconds / divisor, {"units": recipe["units"], "calendar": recipe["calendar"]}),
        "lat": ("lat", LATITUDE[order].astype(recipe["coordinate"]), {"units": "degrees_north"}),
        "lon": ("lon", east.astype(recipe["coordinate"]), {"units": "degrees_east"}),
    }
    dataset = xr.Dataset(data, coordinates)
    # Written by hand, because xarray would decode, check or refuse some of it.
    with netCDF4.Dataset(path, "w", format=recipe["format"]) as file:
        for name, size in dataset.sizes.items():
            file.createDimension(name, size)
        for name, variable in dataset.variables.items():
            if variable.dtype.kind not in "fi":
                continue
            fill = variable.attrs.get("_FillValue")
            made = file.createVariable(name, variable.dtype.newbyteorder("="), variable.dims, fill_value=fill)
            made.set_auto_maskandscale(False)
            made[...] = variable.to_numpy()
            for key, value in variable.attrs.items():
                if key != "_FillValue":
                    made.setncattr(key, value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes())
def test_any_file_gives_the_canonical_values_or_an_error_of_ours(recipe):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.nc"
        try:
            written(recipe, path)
        except (ValueError, TypeError, RuntimeError, AttributeError, OverflowError):
            return  # netCDF cannot hold that
        report = check_data(path)
        try:
            found = open_data(path, ("msl", "t850"), levels={"t": 850})
        except PinnwxError:
            return
    assert report.files
    packed = recipe["dtype"].startswith("i")
    # A file whose numbers are packed one way and labelled another, or whose gaps are not marked, tells no truth.
    lied = {"scale_factor", "add_offset", "units"} & recipe["attributes"].keys()
    lied |= {"unmarked gaps"} if packed and recipe["holes"] and recipe["fill"] != -32767 else set()
    for index, time in enumerate(found["time"].values):
        (step,) = np.flatnonzero(time == TIMES)
        assert step in recipe["steps"]
        for name, truth in TRUTH.items():
            values = found[name].values[index]
            assert np.isfinite(values).all()
            if not lied:
                step_of_packing = np.ptp(truth) / 3e4 if packed else 0.0
                np.testing.assert_allclose(values, truth[step], atol=2e-5 * np.abs(truth).max() + step_of_packing)


FLIPPER = """
import random, sys
from pathlib import Path
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import PinnwxError
path, dice, refused = Path(sys.argv[1]), random.Random(int(sys.argv[2])), 0
good = path.read_bytes()
for _ in range(300):
    damaged = bytearray(good)
    for _ in range(dice.choice([1, 1, 8])):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    if dice.random() < 0.2:
        del damaged[dice.randrange(len(damaged)):]
    path.write_bytes(damaged)
    try:
        open_data(path)
    except PinnwxError as error:
        assert "\\n" not in str(error), error
        refused += 1
    check_data(path)
print(refused)
"""


def test_damaged_bytes_never_cause_another_error(tmp_path):
    """In a process of its own, for the library below might fall over."""
    for number, kind in enumerate(("NETCDF4", "NETCDF3_64BIT")):
        fields = {name: (("time", "lat", "lon"), values) for name, values in TRUTH.items()}
        dataset = xr.Dataset(fields, {"time": TIMES, "lat": LATITUDE, "lon": LONGITUDE})
        dataset["msl"].attrs["units"], dataset["t850"].attrs["units"] = "Pa", "K"
        dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
        dataset.to_netcdf(tmp_path / "x.nc", format=kind)
        words = [sys.executable, "-c", FLIPPER, tmp_path / "x.nc", number]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert int(done.stdout) > 50
