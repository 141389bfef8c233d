"""Programs for the tests to kill: each writes without end, and says on stdout what it has promised to keep.

python writers.py checkpoints FOLDER
python writers.py forecasts FILE
python writers.py holds FILE       begins to write FILE and waits
python writers.py locks FILE       holds the lock of FILE and waits
"""

import sys
import time
from pathlib import Path

import numpy as np

from pinnwx.files import appearing, output_lock, replacing


def checkpoints(folder: Path) -> None:
    """Saves training state k, whose every number is k, for k = 1, 2, 3 ...; prints k when it is safe."""
    from pinnwx.training.checkpoint import Checkpoints

    saved = Checkpoints(folder)
    number = (saved.latest() or 0) + 1
    while True:
        saved.save(number, [np.full((64, 1024), number, np.float32)], {"number": number})
        say(number)
        number += 1


def forecasts(path: Path) -> None:
    """Writes forecast k, whose every number is k, over the one before."""
    from pinnwx.forecasting.cf import forecast_dataset, write_forecast
    from pinnwx.grid import Grid

    grid, init = Grid.parse("5.625deg"), np.datetime64("2026-01-01", "ns")
    number = 1
    while True:
        fields = np.full((4, 1, *grid.shape), 280 + number % 50, np.float32)
        write_forecast(forecast_dataset(fields, ["t850"], grid, init, (6, 12, 18, 24), provenance={}), path, force=True)
        say(number)
        number += 1


def holds(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half of it")
        say(temporary.name)
        time.sleep(600)


def appears(path: Path) -> None:
    with appearing(path) as temporary:
        (temporary / "weights.safetensors").write_bytes(b"half of it")
        say(temporary.name)
        time.sleep(600)


def locks(path: Path) -> None:
    with output_lock(path):
        say("locked")
        time.sleep(600)


def say(what: object) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    kinds = {each.__name__: each for each in (checkpoints, forecasts, holds, appears, locks)}
    kinds[sys.argv[1]](Path(sys.argv[2]))
