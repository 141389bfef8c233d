"""What the faults are tried on: a tiny model, and waves that are known for all time."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xarray as xr
from synthetic import tiny_trained, wave_dataset
from verbs import INIT, Ended, pinnwx

from pinnwx.forecasting.runs import new_run


@pytest.fixture(scope="session")
def untouched_run(tmp_path_factory) -> Iterator[Path]:
    """A run whose model has random weights: nothing here depends on skill. It is for copies: every verb adds to it."""
    made = new_run(tmp_path_factory.mktemp("untouched") / "run")
    made.publish(tiny_trained(), {"seed": 0})
    yield made.folder
    assert not (made.folder / "events.jsonl").exists(), "a test has used the run that is for copies"


@pytest.fixture
def run(untouched_run, tmp_path_factory) -> Path:
    """A run of this test's own."""
    return Path(shutil.copytree(untouched_run, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="session")
def good(tmp_path_factory) -> Iterator[Path]:
    """A data file without fault, which no test changes."""
    path = tmp_path_factory.mktemp("data") / "waves.nc"
    wave_dataset(80).to_netcdf(path)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before, "a test has changed what all tests share"
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@pytest.fixture
def damaged(tmp_path) -> Callable[[Callable[[xr.Dataset], xr.Dataset | None]], Path]:
    """Writes the good data with one thing changed: `damaged(change)` is the path."""

    def write(change: Callable[[xr.Dataset], xr.Dataset | None], name: str = "bad.nc", **options) -> Path:
        dataset = wave_dataset(80)
        changed = change(dataset)
        path = tmp_path / name
        (dataset if changed is None else changed).to_netcdf(path, **options)
        return path

    return write


@pytest.fixture
def forecast(run, tmp_path) -> Callable[..., Ended]:
    """`pinnwx forecast` of 12 h; where it is refused, nothing may have been written."""

    def make(data: Path, *options: object, out: str = "f.nc", init: str = INIT, **named) -> Ended:
        ended = pinnwx(
            "forecast", "--run", run, "--data", data, "--init", init, "--hours", 12,
            "--out", tmp_path / out, *options, **named,
        )  # fmt: skip
        assert (tmp_path / out).exists() == (ended.code == 0)
        assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
        return ended

    return make


@pytest.fixture(scope="module")  # compiled as the forecasts of the module are, so the values are equal
def expected(untouched_run, good, tmp_path_factory) -> xr.Dataset:
    """The forecast from the data without fault."""
    folder = tmp_path_factory.mktemp("expected")
    run, path = Path(shutil.copytree(untouched_run, folder / "run")), folder / "f.nc"
    pinnwx("forecast", "--run", run, "--data", good, "--init", INIT, "--hours", 12, "--out", path).did()
    with xr.open_dataset(path) as dataset:
        return dataset.load()
