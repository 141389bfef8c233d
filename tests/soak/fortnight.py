"""Two weeks of the scheduled job in a few minutes: analyses arrive in a folder, and everything goes wrong once.

    python tests/soak/fortnight.py FOLDER      in a new folder, which is kept; prints what happened

The verbs run as `scripts/schedules/forecast.sh` asks for them, once a day on a clock that is set (`PINNWX_NOW`), and
`pinnwx retrain` once a week. One analysis arrives a day late, one is cut off and sent again, one arrives twice, one
never does. The job is killed twice at random moments and started twice at once; these are processes of their own, and
all other verbs run in this one. A bad candidate is put before the promotion check. At the end every forecast that could
be made is there, was made once, is complete, and equals what its model makes of its analyses; `latest.nc` is the
newest; the model was retrained twice and the bad candidate refused; and the log has a reason for every refusal. The
weather is that of the embedded sample, its dates included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import xarray as xr
from flax import nnx
from fortnight_checks import HOURS, Fortnight, problems_of
from fortnight_feed import BEGIN, DAY, DAYS, TURN, Feed

import pinnwx
from pinnwx.commands.main import main as command_line
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel

FIELDS = ["msl", "t850", "u850", "v850"]
JOB = Path(__file__).resolve().parents[2] / "scripts" / "schedules" / "forecast.sh"
RETRAINED, PROMOTED = (8, 14), 12  # numbers of turns

CONFIG = """
name = "fortnight"
seed = 1
[data]
fields = ["msl", "t850", "u850", "v850"]
grid = "11.25deg"
train = { start = "2009-12-01", end = "2010-01-17" }
[model]
input_times = 2
climate = { bound_margin = 1.0, mean_relaxation_days = 10 }
[[model.physics.transport]]
field = "t850"
wind = "prognostic:850"
[model.closure]
width = 16
blocks = 1
patch_size = 2
[training]
batch_size = 8
learning_rate = 3e-3
updates = 40
[retraining]
updates = 40
learning_rate_factor = 0.7
steps = 2
"""


def simulate(folder: Path, seed: int) -> Fortnight:
    """Runs the job for two weeks in `folder`."""
    generator = random.Random(seed)
    with xr.open_dataset(pinnwx.sample_path()) as sample:
        feed = Feed(sample[FIELDS].load(), folder / "analyses")
    outcome = Fortnight(folder, feed.initial_times())
    config = folder / "fortnight.toml"
    config.write_text(CONFIG)
    pinnwx.train(config, feed.folder / "archive.nc", outcome.run)
    turns = np.arange(BEGIN + TURN, BEGIN + (DAYS + 2) * DAY, TURN)
    # The turn of the damaged file is not killed, because it has to report it; nor is the one before or after: with the
    # late analysis that would be more than the three days that the job makes up for.
    damaged = int(np.searchsorted(turns, feed.due[feed.cut_off]))
    killed = generator.sample([turn for turn in range(2, 12) if abs(turn - damaged) > 1], 2)
    doubled = generator.choice([turn for turn in range(2, 12) if turn not in killed])
    for number, now in enumerate(turns):
        feed.deliver(now)
        environment = _environment(outcome, now)
        if number in killed:
            outcome.kills += _start_and_kill(outcome, environment, generator.uniform(0.5, 6.0))
        elif number == doubled:
            processes = [_start(outcome, environment) for _ in range(2)]
            outcome.codes.update(f"forecast-series {process.wait()}" for process in processes)
        else:
            for words in _verbs_of_the_job(environment):
                _run_verb(outcome, environment, *words)
        if number in RETRAINED:
            _run_verb(outcome, environment, "retrain", "--run", outcome.run, "--data", feed.folder)
        if number == PROMOTED:
            _promote_bad_candidate(outcome, environment)
        outcome.turns += 1
    return outcome


def _environment(outcome: Fortnight, now: np.datetime64) -> dict[str, str]:
    return {
        "PINNWX": f"{sys.executable} -m pinnwx",
        "PINNWX_NOW": str(now.astype("datetime64[m]")),
        "RUN": str(outcome.run),
        "ANALYSES": str(outcome.analyses),
        "FORECASTS": str(outcome.folder / "forecasts"),
        "METRICS": str(outcome.folder / "pinnwx.prom"),
        "HOURS": str(HOURS),
        "MAX_AGE": "36",
        "OPTIONS": "--score",
    }


def _start(outcome: Fortnight, environment: dict[str, str]) -> subprocess.Popen:
    """Starts the scheduled job as a process whose messages go to the end of `messages.log`."""
    with outcome.messages.open("ab") as log:
        return subprocess.Popen(
            ["sh", JOB], env=os.environ | environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=log
        )


def _verbs_of_the_job(environment: dict[str, str]) -> tuple[list[str], list[str]]:
    """The words of the two verbs that the scheduled job runs."""
    noted = environment | {"PINNWX": r"printf %s\0"}
    words = subprocess.check_output(["sh", JOB], env=os.environ | noted, text=True).split("\0")[:-1]
    second = words.index("status")
    return words[:second], words[second:]


def _run_verb(outcome: Fortnight, environment: dict[str, str], *words: object, name: str | None = None) -> None:
    """Runs a verb in this process, as the command line runs it."""
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["pinnwx", *map(str, words)]),
        outcome.messages.open("a", encoding="utf-8") as log,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(log),
    ):
        try:
            command_line()
        except SystemExit as end:
            outcome.codes[f"{name or words[0]} {end.code}"] += 1


def _start_and_kill(outcome: Fortnight, environment: dict[str, str], after: float) -> int:
    """Starts the job and kills it with all its processes; 1, or 0 if it ended before."""
    process = _start(outcome, environment)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return 1
    return 0


def _promote_bad_candidate(outcome: Fortnight, environment: dict[str, str]) -> None:
    """Publishes a version whose weights are twice those of the live one, and tries to promote it."""
    run = Run(outcome.run)
    live = run.live
    trained = TrainedModel.load(run.version(live))
    weights = nnx.state(trained.model, nnx.Param)
    nnx.update(trained.model, nnx.map_state(lambda _, values: 2 * values, weights))
    candidate = run.publish(trained, {**trained.manifest, "source": "planted"}, ends_training=False)
    run.point_to(live)
    period = ("--start", "2010-01-23", "--end", "2010-01-29", "--leads", "6,24")
    words = ("models", "promote", candidate, "--run", outcome.run, "--data", outcome.analyses, *period)
    _run_verb(outcome, environment, *words, name="promote")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of kills; default: random")
    options = parser.parse_args()
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed
    start = time.monotonic()
    outcome = simulate(options.folder, seed)
    print(f"seed {seed}: {outcome.turns} turns, {outcome.kills} kills, {time.monotonic() - start:.0f} s")
    print("exit codes: " + ", ".join(f"{what} ({count})" for what, count in sorted(outcome.codes.items())))
    print(f"{len(outcome.forecasts)} forecasts of {len(outcome.expected)} that could be made")
    for reason, count in outcome.reasons.items():
        print(f"refused {count} time(s): {reason}")
    problems = problems_of(outcome)
    print("\n".join(problems) or "all is well")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
