"""Export: the live model of a run as one file that jax can run without pinnwx."""

from __future__ import annotations

from pathlib import Path

from pinnwx.files import check_writable
from pinnwx.forecasting.export import export_model
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS
from pinnwx.runtime import prepare


def export(run: str | Path, out: str | Path, *, weights: str = "float32", force: bool = False) -> Path:
    """Writes the live model into one file, and returns its path; see `pinnwx.forecasting.export` for what is in it.

    `python -m pinnwx.run_exported` runs it, with jax, NumPy and flatbuffers. `weights`: "float32", as they are;
    "bfloat16", half of that; or "int8", a quarter.

    Raises:
        UsageError: the model cannot be exported, or there are no such weights.
        MissingInputError, CheckpointError, OutputError: as their names say.
    """
    prepare()
    check_writable(out, force=force)
    opened = Run.open(run)
    version = opened.live
    trained = opened.load()
    notes = {
        "version": version,
        "weights_sha256": trained.manifest["files"][WEIGHTS],
        "trained_on": trained.manifest.get("trained_on"),
    }
    export_model(trained, out, weights, notes)
    return Path(out)
