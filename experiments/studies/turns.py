"""Commands that take turns: a few seconds of one, a few seconds of the next.

The speed of a shared machine changes from minute to minute by more than the models that are compared differ. Commands
that take turns meet the same changes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Self

TURN_SECONDS = 5.0
CLOCK = "experiments.studies.paused_clock"


def run_in_turns(commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]]) -> list[float]:
    """Runs each command (a module and its arguments), one at a time, in turns; the seconds that each ran.

    A command keeps its budget of minutes by these seconds (`paused_clock`).

    Raises:
        subprocess.CalledProcessError: a command failed. The others have ended before it is raised.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # `_Worker.__exit__` then ends every stopped process
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(command, environment, stack.enter_context(tempfile.NamedTemporaryFile())))
            for command, environment in zip(commands, environments, strict=True)
        ]
        while any(worker.process.returncode is None for worker in workers):
            for worker in workers:
                worker.run_for(TURN_SECONDS)
    for worker in workers:
        if worker.process.returncode:
            raise subprocess.CalledProcessError(worker.process.returncode, worker.process.args)
    return [round(worker.seconds, 1) for worker in workers]


class _Worker:
    """A process that is stopped except during its turns; a file tells it for how many seconds it was stopped."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], file: IO[bytes]):
        file.write(struct.pack("d", 0.0))
        file.flush()
        words = [sys.executable, "-m", CLOCK, file.name, *command]
        self.process = subprocess.Popen(words, env=os.environ | dict(environment), start_new_session=True)
        self.seconds, self._seconds_stopped, self._file = 0.0, 0.0, file
        self._stopped_at = self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _stop(self) -> float:
        os.killpg(self.process.pid, signal.SIGSTOP)
        return time.monotonic()

    def run_for(self, seconds: float) -> None:
        """Lets the process run for so long, or to its end."""
        if self.process.returncode is not None:
            return
        start = time.monotonic()
        self._seconds_stopped += start - self._stopped_at
        os.pwrite(self._file.fileno(), struct.pack("d", self._seconds_stopped), 0)
        os.killpg(self.process.pid, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        if self.process.returncode is None:
            self._stopped_at = self._stop()
        self.seconds += time.monotonic() - start
