"""The verbs of pinnwx, each in a process of its own, and what became of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from synthetic import config_text

INIT = "2026-01-16T06:00"


class Ended:
    """A verb that has ended: exit code and what it printed."""

    def __init__(self, done: subprocess.CompletedProcess[str]):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def refused(self, code: int, *words: str) -> None:
        """It ended with this code and one line that holds these words."""
        assert self.code == code, (self.code, self.err)
        (line,) = (line for line in self.err.splitlines() if "warning:" not in line and "note:" not in line)
        assert line.startswith("pinnwx: ")
        for word in words:
            assert word in line, (word, line)

    def did(self) -> str:
        """It ended well; what it printed on stderr."""
        assert self.code == 0, self.err
        return self.err


def command(verb: str, *options: object) -> list[str]:
    return [sys.executable, "-m", "pinnwx", verb, *map(str, options)]


def pinnwx(verb: str, *options: object, env: dict[str, str] | None = None, timeout: float = 120) -> Ended:
    """Runs `pinnwx VERB OPTIONS`."""
    return Ended(
        subprocess.run(
            command(verb, *options), capture_output=True, text=True, timeout=timeout, env=os.environ | (env or {})
        )
    )


def fields_of(path: Path) -> dict[str, np.ndarray]:
    """The forecast fields of a file."""
    with xr.open_dataset(path) as dataset:
        return {str(name): values.to_numpy() for name, values in dataset.data_vars.items()}


def recipe(folder: Path, training: str, **options) -> Path:
    """A config for a tiny model."""
    path = folder / "tiny.toml"
    path.write_text(config_text(training=training, **options))
    return path
