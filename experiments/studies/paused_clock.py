"""Runs a module on a clock that pauses while the process is stopped, so a budget of minutes counts running time only.

    python -m experiments.studies.paused_clock FILE MODULE [ARGUMENTS ...]

FILE holds one float64: the seconds for which the process has been stopped so far (`turns.run_in_turns` writes it).
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path


def pause_clock(file: Path) -> None:
    """Makes `time.monotonic` leave out the seconds that the file holds. Call it before JAX or pinnwx is imported."""
    with file.open("rb") as opened:
        stopped = mmap.mmap(opened.fileno(), 8, prot=mmap.PROT_READ)
    clock = time.monotonic
    time.monotonic = lambda: clock() - struct.unpack("d", stopped[:8])[0]


def main() -> None:
    file, module = sys.argv[1:3]
    pause_clock(Path(file))
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
