"""Whatever a job writes may be read by whom the umask allows: a job of another user, a web server."""

import os
import stat
from pathlib import Path

import pytest
from verbs import INIT, recipe

import pinnwx


@pytest.fixture(params=[0o022, 0o027, 0o002, 0o077], ids=oct)
def mask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    paths = [path for path in [folder, *folder.rglob("*")] if not path.is_symlink()]
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_all_that_jobs_write_has_the_modes_of_the_umask(mask, good, tmp_path):
    """Run folder with its training state, locks and logs; forecasts, maps, scores, exports, JSON and gauges."""
    made = tmp_path / "made"
    made.mkdir()
    run = made / "run"
    pinnwx.train(recipe(tmp_path, "batch_size = 8\nupdates = 4"), good, run)
    pinnwx.forecast(run, good, init=INIT, hours=12, out=made / "f.nc")
    pinnwx.forecast_series(run, good, made / "series", init=INIT, hours=12, plots=True, score=True)
    pinnwx.export(run, made / "exported.npz")
    pinnwx.evaluate(run, good, start="2026-01-17", end="2026-01-17", leads=[6], json=made / "scores.json")
    pinnwx.status(run, forecasts=made / "series", json=made / "status.json", metrics=made / "gauges.prom")
    found = modes(made)
    assert {Path(path).suffix for path in found} >= {".nc", ".png", ".json", ".npz", ".prom", ".safetensors", ".toml"}
    wrong = {
        path: oct(mode) for path, mode in found.items() if mode != (0o777 if Path(path).is_dir() else 0o666) & ~mask
    }
    assert wrong == {}
