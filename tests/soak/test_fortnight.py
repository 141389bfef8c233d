"""Two weeks of the scheduled job, on a clock that is set, with everything going wrong once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fortnight.py")
SEED = int(os.environ.get("PINNWX_TEST_SEED", time.time_ns() % 2**32))


@pytest.mark.slow
def test_every_forecast_that_could_be_made_is_made_once_and_is_right(tmp_path):
    """In a process of its own: one that had compiled thousands of programs before crashed while it read one more."""
    words = [sys.executable, str(SCRIPT), str(tmp_path), "--seed", str(SEED)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    log = tmp_path / "messages.log"
    messages = log.read_text(encoding="utf-8") if log.exists() else ""
    tails = f"{done.stdout[-2000:]} {done.stderr[-2000:]} {messages[-3000:]}"
    assert done.stdout.splitlines()[-1:] == ["all is well"], tails
    for reason in ("no analysis at", "the file is damaged", "is not promoted"):
        assert reason in done.stdout, f"PINNWX_TEST_SEED={SEED}"
