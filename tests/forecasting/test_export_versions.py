"""Which versions of jax run what this one exported: the oldest that is promised, and the newest there is."""

import os
import subprocess
import sys
import venv
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


def installed(folder: Path, requirement: str) -> Path:
    """A Python with this jax, NumPy and flatbuffers; skips where nothing can be installed."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement, "flatbuffers"]
    done = subprocess.run(list(map(str, install)), capture_output=True, text=True)
    if done.returncode and "No matching distribution" not in done.stderr:
        pytest.skip(f"cannot install {requirement} here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="written for POSIX paths")
@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_it_runs_with(end, tmp_path):
    if end == "oldest" and HERE not in OLDEST:
        pytest.skip(f"which jax is the oldest to run what {jax.__version__} writes was not tried")
    requirement = f"jax=={OLDEST[HERE]}" if end == "oldest" else "jax"
    trained = tiny_trained(config_text(model="networks = 2\ninput_times = 2", physics=transport("t850", wind="none")))
    predictor, when = Predictor(trained, [6, 12]), ARCHIVE.times[[20]]
    export_model(trained, tmp_path / "model.npz", "bfloat16", {})
    np.save(tmp_path / "analyses.npy", predictor.analyses(ARCHIVE, when)[0])
    python = installed(tmp_path / "venv", requirement)
    words = [python, SCRIPT, tmp_path / "model.npz", tmp_path / "analyses.npy", when[0], 2, tmp_path / "out.npy"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    made, expected = np.load(tmp_path / "out.npy"), predictor.from_archive(ARCHIVE, when)[0]
    change = np.abs(expected - ARCHIVE.fields[20]).max()
    assert np.abs(made - expected).max() < 0.05 * change
