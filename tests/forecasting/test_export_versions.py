"""Which versions of jax run what this one exported: the oldest that is promised, and the newest there is."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from synthetic import config_text, tiny_trained, transport, wave_archive

from pinnwx import run_exported
from pinnwx.forecasting.export import export_model
from pinnwx.forecasting.predictor import Predictor

SCRIPT = Path(run_exported.__file__)
ARCHIVE = wave_archive(60)
OLDEST = {"0.10": "0.9.2"}  # jax that runs what this one writes, found by trial; StableHLO looks back some weeks
HERE = jax.__version__.rpartition(".")[0]


RUN = (  # the script, where nothing of pinnwx can be imported
    "import runpy, sys; sys.modules['pinnwx'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def installed(folder: Path, version: str) -> Path:
    """A folder to import this jax from, beside the other packages of here; skips where nothing can be installed."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--target", str(folder)]
    install = [sys.executable, "-m", "pip", "install", *options, f"jax{version}", f"jaxlib{version}"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode and "No matching distribution" not in done.stderr:
        pytest.skip(f"cannot install jax{version} here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[list[object], np.ndarray]:
    """The words that forecast with an exported model, and that forecast by the model itself."""
    folder = tmp_path_factory.mktemp("exported")
    trained = tiny_trained(config_text(model="networks = 2\ninput_times = 2", physics=transport("t850", wind="none")))
    predictor, when = Predictor(trained, [6, 12]), ARCHIVE.times[[20]]
    export_model(trained, folder / "model.npz", "bfloat16", {})
    np.save(folder / "analyses.npy", predictor.analyses(ARCHIVE, when)[0])
    words = [SCRIPT, folder / "model.npz", folder / "analyses.npy", when[0], 2]
    return words, predictor.from_archive(ARCHIVE, when)[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="written for POSIX paths")
@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_it_runs_with(end, exported, tmp_path):
    if end == "oldest" and HERE not in OLDEST:
        pytest.skip(f"which jax is the oldest to run what {jax.__version__} writes was not tried")
    other = installed(tmp_path / "jax", f"=={OLDEST[HERE]}" if end == "oldest" else "")
    words, expected = exported
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # another XLA, other options
    env["PYTHONPATH"] = str(other)
    command = [sys.executable, "-c", RUN, *map(str, words), str(tmp_path / "out.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    change = np.abs(expected - ARCHIVE.fields[20]).max()
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() < 0.05 * change
