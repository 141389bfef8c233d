"""Two weeks of the scheduled job, on a clock that is set, with everything going wrong once."""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
import fortnight

SEED = int(os.environ.get("PINNWX_TEST_SEED", time.time_ns() % 2**32))


@pytest.mark.slow
def test_every_forecast_that_could_be_made_is_made_once_and_is_right(tmp_path):
    outcome = fortnight.simulate(tmp_path, SEED)
    problems = "; ".join(fortnight.problems_of(outcome))
    assert not problems, f"PINNWX_TEST_SEED={SEED}: {problems}"
    reasons = "\n".join(
        reason for event in outcome.events for reason in (event.reason, *event.details.get("refused", {}).values())
    )
    for told in ("no analysis at", "the file is damaged", "is not promoted"):
        assert told in reasons, f"PINNWX_TEST_SEED={SEED}"
