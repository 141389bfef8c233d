"""Artefacts that nobody thought of: JSON, TOML and weights with one thing changed are read as they are, or refused."""

import copy as copying
import json
import random
import shutil
import struct
import tomllib
import warnings
from pathlib import Path

import pytest
import tomli_w
from safetensors.numpy import load_file
from synthetic import config_text
from test_strangers import signed_again

from pinnwx.config import load_config
from pinnwx.errors import PinnwxError
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.compare import compare
from pinnwx.jobs.events import recorded
from pinnwx.jobs.models import list_models, show_model
from pinnwx.jobs.plot import plot
from pinnwx.jobs.status import status
from pinnwx.manifest import MANIFEST
from pinnwx.reporting.curves import plot_training
from pinnwx.terminal.health import status_table
from pinnwx.terminal.runs import version_table
from pinnwx.terminal.scores import comparison_table, score_table
from pinnwx.verification.results import Scores

SEED, TRIES = 20261128, 120
CODES = {2, 65, 66, 69, 70, 73, 75, 77, 78}
ODD = [
    None,
    True,
    0,
    -1,
    10**30,
    1e300,
    -1e-300,
    "",
    "x",
    "\x1b]0;x\x07\n",
    "../x",
    "9999-99-99",
    [],
    [[]],
    {},
    {"a": 1},
]
RAW = ["NaN", "Infinity", "-Infinity", "1e400", "[" * 100_000, "9" * 5000, '"\\ud800"', '{"a":' * 3000]


def places(value, path=()):
    """Every place inside a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(dice: random.Random, value):
    """The value with one place replaced, removed, or wrapped."""
    value = copying.deepcopy(value)
    path = dice.choice(list(places(value)))
    if not path:
        return dice.choice(ODD)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    kind = dice.choice(["replace", "replace", "remove", "wrap", "rename"])
    if kind == "remove":
        del inside[path[-1]]
    elif kind == "wrap":
        inside[path[-1]] = [inside[path[-1]]]
    elif kind == "rename" and isinstance(inside, dict):
        inside[dice.choice(["x", "", "\u202e", "../y"])] = inside.pop(path[-1])
    else:
        inside[path[-1]] = dice.choice(ODD)
    return value


def mutated(dice: random.Random, text: str) -> bytes:
    """A JSON text with one thing changed: in its structure mostly, else in its words or bytes."""
    kind = dice.choice(["structure", "structure", "structure", "raw", "bytes", "cut", "bom"])
    if kind == "structure":
        return json.dumps(changed(dice, json.loads(text))).encode()
    if kind == "raw":
        value = json.dumps(changed(dice, json.loads(text)))
        numbers = [index for index, each in enumerate(value) if each.isdigit()]
        place = dice.choice(numbers or [0])
        return (value[:place] + dice.choice(RAW) + value[place + 1 :]).encode()
    content = bytearray(text.encode())
    if kind == "bytes":
        for _ in range(dice.choice([1, 3])):
            content[dice.randrange(len(content))] = dice.randrange(256)
    elif kind == "cut":
        del content[dice.randrange(len(content)) :]
    else:
        content = bytearray(b"\xef\xbb\xbf") + content
    return bytes(content)


def only_errors_of_ours(*calls) -> int:
    """How many of these were refused; any other error is a fault of ours."""
    refused = 0
    for call in calls:
        try:
            call()
        except PinnwxError as error:
            assert error.exit_code in CODES  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    return refused


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_manifests(copy):
    dice, path = random.Random(SEED), copy / "versions" / "0001" / MANIFEST
    good, refused = path.read_text(), 0
    (copy / "live").write_text("0001\n")
    for _ in range(TRIES):
        path.write_bytes(mutated(dice, good))
        refused += only_errors_of_ours(
            lambda: show_model(copy), lambda: version_table(list_models(copy)), lambda: status_table(status(copy))
        )
    assert refused > TRIES / 2


def test_manifests_that_vouch_for_themselves(copy):
    """As somebody would write them who knows how: no note of any kind makes another error."""
    dice, folder = random.Random(SEED + 1), copy / "versions" / "0001"
    good = json.loads((folder / MANIFEST).read_text())
    notes = {
        **good, "name": "tiny", "trained_on": ["2026-01-01T00:00Z", "2026-01-12T18:00Z"], "updates": 8,
        "compressed_from": {"name": "x", "version": "0001", "parameters": 5}, "versions": {"jax": "1"},
    }  # fmt: skip
    for _ in range(TRIES):
        told = changed(dice, notes)
        if not isinstance(told, dict):
            continue
        content = {key: value for key, value in told.items() if key != "sha256"}
        content["sha256"] = digest(content)
        (folder / MANIFEST).write_text(json.dumps(content))
        (copy / "live").write_text("0001\n")
        only_errors_of_ours(
            lambda: Run(copy).load(), lambda: version_table(list_models(copy)), lambda: status_table(status(copy))
        )


def digest(content: dict) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def scores_text() -> str:
    daily = [[f"2026-01-{day:02d}", 4, 100.0 + day] for day in range(1, 13)]
    entry = {"variable": "msl", "lead_hours": 6, "n": 48, "rmse": 100.0, "rmse_low": 90.0, "rmse_high": 110.0}
    entry |= {"persistence_rmse": 200.0, "climatology_rmse": None, "persistence_ratio": 0.5, "acc": 0.9, "daily": daily}
    details = {"regions": {"tropics": 1.0}, "percentiles": {"50": 1.0, "90": 2.0, "99": 3.0}, "variance_ratio": 0.9}
    entries = [entry | {"lead_hours": lead, "details": details} for lead in (6, 12)]
    settings = {"first_initial_time": "2026-01-01T00:00Z", "grid": "x", "lead_hours": [6, 12]}
    return json.dumps({"run": "tiny", "scores": entries, "skipped": {"pairs_without_truth": 1}, "settings": settings})


def test_scores(tmp_path):
    dice, path, good = random.Random(SEED + 2), tmp_path / "s.json", tmp_path / "good.json"
    good.write_text(scores_text())
    refused = 0
    for number in range(TRIES):
        path.write_bytes(mutated(dice, scores_text()))
        calls = [
            lambda: score_table(Scores.load(path), details=True),
            lambda: comparison_table(compare(path, good, json=tmp_path / "c.json", force=True)),
        ]
        if number % 10 == 0:
            calls.append(lambda: plot(path, tmp_path / "p.png", force=True))
        refused += only_errors_of_ours(*calls)
    assert refused > TRIES / 2


def test_events_never_stop_status(copy):
    with recorded(copy, "forecast"):
        pass
    dice, path = random.Random(SEED + 3), copy / "events.jsonl"
    (good,) = path.read_text().splitlines()
    for _ in range(TRIES // 10):
        lines = [mutated(dice, good).replace(b"\n", b" ") for _ in range(10)]
        path.write_bytes(b"\n".join([*lines, good.encode()]) + b"\n")
        found = status(copy)
        status_table(found)
        assert any(job.verb == "forecast" for job in found.jobs)


def test_configs(tmp_path):
    dice, path, refused = random.Random(SEED + 4), tmp_path / "c.toml", 0
    good = tomllib.loads(config_text())
    for _ in range(TRIES):
        told = changed(dice, good)
        try:
            path.write_text(tomli_w.dumps(told))
        except (TypeError, ValueError, AttributeError, UnicodeEncodeError):
            continue  # TOML cannot hold that
        refused += only_errors_of_ours(lambda: load_config(path))
    assert refused > TRIES / 4


def test_weights(copy):
    """The header of safetensors is JSON of its own."""
    dice, folder = random.Random(SEED + 5), copy / "versions" / "0001"
    path = folder / "weights.safetensors"
    good, refused = path.read_bytes(), 0
    size = struct.unpack("<Q", good[:8])[0]
    header, values = good[8 : 8 + size].decode(), good[8 + size :]
    for _ in range(TRIES // 3):
        told = mutated(dice, header)
        path.write_bytes(struct.pack("<Q", dice.choice([len(told)] * 5 + [2**60, 0])) + told + values)
        signed_again(folder)
        refused += only_errors_of_ours(lambda: Run(copy).load())
    assert refused > TRIES / 6
    path.write_bytes(good)
    assert load_file(path)


LOSSES = {"an integer of 31 digits": 10**30, "a loss too small for float32": 1e-320, "one too large": 1e30}


@pytest.mark.parametrize("key", ["loss", "validation_loss", "wall_seconds"])
@pytest.mark.parametrize("case", LOSSES)
def test_metrics_of_numbers_that_no_training_writes(tmp_path, case, key):
    """JSON knows integers without bounds, which NumPy does not take for numbers."""
    line = {"update": 1, "wall_seconds": 60.0, "loss": 1.0, "validation_loss": 2.0}
    lines = [line, *(line | {key: LOSSES[case]} for _ in range(4))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_training(tmp_path / "metrics.jsonl", tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000
