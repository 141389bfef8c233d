"""`pinnwx` on a clock that stands while the process is stopped: for trainings that take turns (`trial.train_in_turn`).

    python at_work.py FILE VERB ...      FILE holds the seconds that the process was stopped so far, as a float64

So a budget of minutes counts the minutes at work, and a training paces itself by them.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

with Path(sys.argv.pop(1)).open("rb") as file:
    stopped = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
clock = time.monotonic
time.monotonic = lambda: clock() - struct.unpack("d", stopped[:8])[0]

from pinnwx.cli import main  # noqa: E402

main()
