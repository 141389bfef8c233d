"""The verbs of pinnwx, run as the command line runs them, and what became of them."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from unittest import mock

import numpy as np
import xarray as xr
from synthetic import config_text

from pinnwx.commands import clock
from pinnwx.commands.main import main

INIT = "2026-01-16T06:00"


class Ended:
    """A verb that has ended: exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

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


def pinnwx(verb: str, *options: object, env: dict[str, str] | None = None) -> Ended:
    """Runs `pinnwx VERB OPTIONS` inside this process, which spares the seconds that a new one takes to start.

    Standard output and standard error are those of the process, so what libraries print there is seen as well, and so
    are Python's warnings.
    """
    code: object = 0
    with (
        tempfile.TemporaryFile("w+", errors="backslashreplace") as out,
        tempfile.TemporaryFile("w+", errors="backslashreplace") as err,
    ):
        with (
            _environment(env or {}),
            mock.patch.object(sys, "argv", ["pinnwx", verb, *map(str, options)]),
            mock.patch.object(clock, "STARTED", time.monotonic()),
            _standard("stdout", 1, out),
            _standard("stderr", 2, err),
            _warnings_printed(),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code
        out.seek(0)
        err.seek(0)
        assert isinstance(code, int)
        return Ended(code, out.read(), err.read())


def in_a_process(words: list[str]) -> Ended:
    """Runs a command in a process of its own."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """More variables in the environment for a while, the time zone among them."""
    with mock.patch.dict(os.environ, more):
        time.tzset()
        yield
    time.tzset()


@contextlib.contextmanager
def _standard(name: str, descriptor: int, file: IO[str]) -> Iterator[None]:
    """The process's stream `name` goes to a file for a while."""
    getattr(sys, name).flush()
    kept = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        with (
            open(descriptor, "w", closefd=False, errors="backslashreplace") as stream,
            mock.patch.object(sys, name, stream),
        ):
            yield
            getattr(sys, name).flush()
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


@contextlib.contextmanager
def _warnings_printed() -> Iterator[None]:
    """Warnings are printed as a new process would print them, not collected by pytest."""

    def printed(message, category, filename, lineno, file=None, line=None) -> None:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)

    with warnings.catch_warnings(), mock.patch.object(warnings, "showwarning", printed):
        warnings.resetwarnings()
        for unseen in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", unseen)
        yield


def fields_of(path: Path) -> dict[str, np.ndarray]:
    """The forecast fields of a file."""
    with xr.open_dataset(path) as dataset:
        return {str(name): values.to_numpy() for name, values in dataset.data_vars.items()}


def recipe(folder: Path, training: str, **options) -> Path:
    """A config for a tiny model."""
    path = folder / "tiny.toml"
    path.write_text(config_text(training=training, **options))
    return path
