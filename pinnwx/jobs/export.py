"""Exports the live model of a run as one file that jax runs without pinnwx."""

from __future__ import annotations

from pathlib import Path

from pinnwx.files import check_writable
from pinnwx.forecasting.export import export_model
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS
from pinnwx.runtime import prepare


def export(run: str | Path, out: str | Path, *, weights: str = "float32", force: bool = False) -> Path:
    """Writes the live model into one file, and returns its path; `pinnwx.forecasting.export` describes the format.

    `python -m pinnwx.run_exported` runs it with jax, NumPy and flatbuffers. `weights` is "float32" (unchanged),
    "bfloat16" (half the size) or "int8" (a quarter of the size).

    Raises:
        UsageError: the model cannot be exported, or `weights` is unknown.
        MissingInputError, CheckpointError, OutputError: see `pinnwx.errors`.
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
