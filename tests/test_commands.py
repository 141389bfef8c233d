"""The command line, end to end on the embedded sample: every verb, and every exit code of the contract."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
from synthetic import tiny_trained, wave_dataset
from typer.core import TyperGroup
from typer.testing import CliRunner

import pinnwx
from pinnwx.commands.app import app
from pinnwx.commands.main import main
from pinnwx.forecasting.runs import Run, new_run

PNG = b"\x89PNG\r\n\x1a\n"
RECIPE = """
name = "tiny"
[data]
fields = ["z500", "t850", "u850", "v850"]
static = ["orography"]
grid = "11.25deg"
train = { start = "2009-12-01", end = "2010-01-20" }
[model.physics]
substeps = 1
solver = "euler"
[[model.physics.transport]]
field = "t850"
wind = "prognostic:850"
scheme = "upwind1"
[model.closure]
width = 16
blocks = 1
[training]
batch_size = 4
updates = 4
"""
BROKEN = """
name = "bad name!"
[data]
fields = ["z500", "t9"]
train = { start = "2010-01-20", end = "2009-12-01" }
[model.closure]
widht = 16
"""


@pytest.fixture
def pinnwx_command(monkeypatch, capsys):
    """Runs the command in this process; gives exit code, standard output and standard error."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pinnwx", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def refused(result: tuple[int, str, str], code: int, *words: str) -> None:
    """One clear line and the exit code; no traceback."""
    assert result[0] == code, result
    assert "Traceback" not in result[1] + result[2]
    (line,) = (line for line in result[2].splitlines() if not line.startswith(("pinnwx: note:", "pinnwx: warning:")))
    assert line.startswith("pinnwx: ")
    for word in words:
        assert word in line


def done(result: tuple[int, str, str]) -> str:
    """Exit code 0; gives what was printed."""
    assert result[0] == 0, result[2]
    return result[1]


@pytest.fixture(scope="module")
def sample() -> Path:
    return pinnwx.sample_path()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def waves(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("waves") / "waves.nc"
    wave_dataset(40).to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def untrained_run(tmp_path_factory) -> Path:
    run = new_run(tmp_path_factory.mktemp("runs") / "run")
    run.publish(tiny_trained(), {})
    return run.folder


@pytest.mark.slow
def test_every_verb_in_turn(pinnwx_command, sample, recipe, tmp_path):
    """As a user would, from data to pictures."""
    data, run = ("--data", sample), ("--run", tmp_path / "run")
    assert "z500" in done(pinnwx_command("check", *data, "--json", tmp_path / "check.json"))
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["ok"] is True
    assert report["steps"] == 280

    trained = pinnwx_command("train", recipe, *data, "--out", tmp_path / "run")
    assert "0001 is live" in done(trained)
    assert "update 4 of 4" in trained[2]
    assert Run(tmp_path / "run").load().manifest["updates"] == 4

    period = ("--start", "2010-01-25", "--end", "2010-01-26T06:00", "--leads", "6,24")
    assert "t850" in done(pinnwx_command("evaluate", *run, *data, *period, "--json", tmp_path / "s.json"))
    scores = json.loads((tmp_path / "s.json").read_text())["scores"]
    assert len(scores) == 8
    assert {entry["n"] for entry in scores} == {6}

    compared = pinnwx_command("compare", tmp_path / "s.json", tmp_path / "run", *data, *period)
    assert done(compared).count("1.000") == 8
    assert "No bounds: only 2 day(s)" in compared[1]

    file, when = tmp_path / "f.nc", ("--init", "2010-01-25T12:00", "--hours", "24")
    assert "4 steps to 2010-01-26T12:00Z" in done(pinnwx_command("forecast", *run, *data, *when, "--out", file))
    with xr.open_dataset(file) as forecast:
        assert np.isfinite(forecast["t850"]).all()
        assert forecast["z500"].shape == (4, 16, 32)

    done(pinnwx_command("verify", file, *data, *run, "--json", tmp_path / "v.json"))
    assert all(entry["acc"] is not None for entry in json.loads((tmp_path / "v.json").read_text())["scores"])

    options = {file: ("--variables", "t850", "--leads", "24", *data), tmp_path / "s.json": (), tmp_path / "run": ()}
    for number, (source, chosen) in enumerate(options.items()):
        done(pinnwx_command("plot", source, "--out", tmp_path / f"{number}.png", *chosen))
        assert (tmp_path / f"{number}.png").read_bytes().startswith(PNG)

    model, page = tmp_path / "model.npz", tmp_path / "report.html"
    assert "MiB, weights as int8" in done(pinnwx_command("export", *run, "--out", model, "--weights", "int8"))
    refused(pinnwx_command("export", *run, "--out", model), 73, "--force")
    assert "open it in a browser" in done(pinnwx_command("report", *run, *data, *period, "--out", page))
    assert page.read_text().startswith("<!doctype html>")

    refused(pinnwx_command("train", recipe, *data, "--out", tmp_path / "run"), 73, "--resume")
    done(pinnwx_command("train", recipe, *data, "--out", tmp_path / "run", "--resume"))  # it is already done
    late = pinnwx_command("forecast", *run, *data, "--init", "2011-01-01", "--out", tmp_path / "g.nc")
    refused(late, 69, "2010-02-08")
    assert not (tmp_path / "g.nc").exists()


@pytest.mark.slow
def test_demo(pinnwx_command, tmp_path, monkeypatch):
    """With a smaller model than the true one, which takes minutes."""
    from pinnwx.jobs import demo

    period = 'validate = { start = "2010-02-03", end = "2010-02-03" }'
    small = tmp_path / "demo.toml"
    small.write_text(RECIPE.replace("[model.physics]", f"{period}\n[model.physics]"))
    monkeypatch.setattr(demo, "CONFIG", small)
    assert "persistence" in done(pinnwx_command("demo", "--out", tmp_path / "demo"))
    files = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"run", "forecast.nc", "scores.json", "forecast.png", "scores.png", "training.png"} <= files
    assert json.loads((tmp_path / "demo" / "scores.json").read_text())["scores"]
    refused(pinnwx_command("demo", "--out", tmp_path / "demo"), 73)


@pytest.mark.parametrize("verb", ["", "train", "compress prune"])
def test_help(pinnwx_command, verb):
    assert "Usage: " in done(pinnwx_command(*verb.split(), "--help"))


def test_help_fits_80_columns_and_is_whole():
    """No sentence is cut, no option lacks one; and who mistypes is told what there is."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    groups = {"": root, **{name: one for name, one in root.commands.items() if isinstance(one, TyperGroup)}}
    verbs = [f"{group} {name}".split() for group, one in groups.items() for name in one.commands]
    assert len(verbs) > 20
    for words in [[], *verbs]:
        text = CliRunner().invoke(app, [*words, "--help"], terminal_width=80).output
        assert max(map(len, text.splitlines())) <= 80, words
        assert not re.search(r"(?m)^  .*\.\.\.$", text), words
        assert not re.search(r"(?m)^  --\S+(  ?<\S+>)?$", text), words
    retrain = " ".join(CliRunner().invoke(app, ["retrain", "--help"], terminal_width=80).output.split())
    assert "Exit 77 if the candidate is worse, if nothing was learned, or if the days are too few to decide." in retrain
    assert "--force Replace an existing file of --json." in retrain, "it forces no promotion"
    told = CliRunner().invoke(app, ["forcast"])
    assert told.exit_code == 2
    assert "Did you mean 'forecast'" in told.output


def test_version(pinnwx_command):
    assert pinnwx_command("--version") == (0, f"pinnwx {pinnwx.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict",),
        ("train",),
        ("train", "c.toml", "--data", "d", "--out", "r", "--minutes", "many"),
        ("forecast", "--run", "r", "--data", "d"),
        ("check", "--data", "d", "--nonsense"),
    ],
    ids=" ".join,
)
def test_wrong_usage(pinnwx_command, arguments):
    code, _, err = pinnwx_command(*arguments)
    assert code == 2
    assert "Usage: " in err
    assert "Traceback" not in err


def test_wrong_values(pinnwx_command, untrained_run, waves, tmp_path):
    run, data = ("--run", untrained_run), ("--data", waves)
    period = ("--start", "2026-01-05", "--end", "2026-01-06")
    refused(pinnwx_command("evaluate", *run, *data, *period, "--leads", "6;12"), 2, "--leads", "6,12,24")
    refused(pinnwx_command("evaluate", *run, *data, *period, "--leads", "7"), 2, "multiple")
    refused(pinnwx_command("evaluate", *run, *data, "--start", "x", "--end", "y"), 2, "ISO 8601")
    refused(pinnwx_command("forecast", *run, *data, "--hours", "3", "--out", tmp_path / "f.nc"), 2, "step of 6 h")


def test_a_file_and_a_folder_have_verbs_of_their_own(pinnwx_command, untrained_run, waves, tmp_path):
    """Neither a trailing slash nor an existing folder turns one verb into the other."""
    made_from = ("--run", untrained_run, "--data", waves, "--hours", "6", "--out")
    for out in (tmp_path, f"{tmp_path}/series/"):
        refused(pinnwx_command("forecast", *made_from, out), 73, "is a folder", "forecast-series")
    period = pinnwx_command("forecast", *made_from, tmp_path / "f.nc", "--init", "P1D/latest")
    refused(period, 2, "is a period", "forecast-series")
    assert list(tmp_path.iterdir()) == []
    done(pinnwx_command("forecast-series", *made_from, tmp_path / "series", "--init", "PT6H/latest"))
    assert len(list((tmp_path / "series").glob("tiny_*.nc"))) == 2
    (tmp_path / "f.nc").write_text("mine")
    refused(pinnwx_command("forecast-series", *made_from, tmp_path / "f.nc"), 73, "f.nc")


def test_missing_files(pinnwx_command, sample, recipe, tmp_path):
    nowhere = tmp_path / "nowhere"
    refused(pinnwx_command("check", "--data", nowhere), 66, "nowhere")
    refused(pinnwx_command("train", nowhere, "--data", sample, "--out", tmp_path / "r"), 66, "no config file")
    refused(pinnwx_command("train", recipe, "--data", nowhere, "--out", tmp_path / "r"), 66, "nowhere")
    refused(pinnwx_command("forecast", "--run", nowhere, "--data", sample, "--out", tmp_path / "f.nc"), 66, "no run")
    refused(pinnwx_command("verify", nowhere, "--data", sample), 66, "no forecast file")
    refused(pinnwx_command("plot", nowhere, "--out", tmp_path / "p.png"), 66)


def test_wrong_names_and_wrong_files(pinnwx_command, sample, waves, tmp_path):
    recipe = tmp_path / "q.toml"
    recipe.write_text(RECIPE.replace('"z500", ', '"q850", '))
    refused(pinnwx_command("train", recipe, "--data", sample, "--out", tmp_path / "r"), 65, "q850", "z500")
    (tmp_path / "notes.txt").write_text("no data")
    code, out, err = pinnwx_command("check", "--data", tmp_path / "notes.txt")
    assert code == 65
    assert "Traceback" not in out + err
    refused(pinnwx_command("verify", waves, "--data", waves), 65, "not a forecast")
    refused(pinnwx_command("plot", tmp_path / "notes.txt", "--out", tmp_path / "p.png"), 65)


def test_a_bad_config_names_every_problem_by_its_path(pinnwx_command, sample, tmp_path):
    recipe = tmp_path / "broken.toml"
    recipe.write_text(BROKEN)
    result = pinnwx_command("train", recipe, "--data", sample, "--out", tmp_path / "r")
    refused(result, 78, "name:", "data.train:", "model.closure.widht:")
    recipe.write_text("name = [")
    refused(pinnwx_command("train", recipe, "--data", sample, "--out", tmp_path / "r"), 78, "not valid TOML")
    assert not (tmp_path / "r").exists()


def test_outputs_that_exist_or_cannot_be(pinnwx_command, waves, untrained_run, tmp_path):
    (tmp_path / "f.nc").write_text("mine")
    run = ("forecast", "--run", untrained_run, "--data", waves, "--hours", "6", "--out")
    refused(pinnwx_command(*run, tmp_path / "f.nc"), 73, "--force")
    refused(pinnwx_command(*run, tmp_path / "no" / "such" / "f.nc"), 73, "create it first")
    assert (tmp_path / "f.nc").read_text() == "mine"
    done(pinnwx_command(*run, tmp_path / "f.nc", "--force"))


def test_no_analysis_at_the_time_asked(pinnwx_command, waves, untrained_run, tmp_path):
    run, data = ("--run", untrained_run), ("--data", waves)
    late = ("--init", "2026-03-01")
    refused(pinnwx_command("forecast", *run, *data, *late, "--out", tmp_path / "f.nc"), 69, "2026-01-10T18:00Z")
    period = ("--start", "2027-01-01", "--end", "2027-01-02")
    refused(pinnwx_command("evaluate", *run, *data, *period), 69)


def test_a_damaged_or_locked_run(pinnwx_command, waves, recipe, tmp_path):
    run = new_run(tmp_path / "run")
    run.publish(tiny_trained(), {})
    (run.folder / "versions" / "0001" / "weights.safetensors").write_bytes(b"")
    forecast = ("forecast", "--run", run.folder, "--data", waves, "--out", tmp_path / "f.nc")
    refused(pinnwx_command(*forecast), 65, "SHA-256")
    with run.lock():
        refused(pinnwx_command("train", recipe, "--data", waves, "--out", run.folder, "--force"), 75, "try again")


def test_bad_data_are_reported_and_refused(pinnwx_command, tmp_path):
    broken = wave_dataset(20)
    broken["msl"][3, 2, 1] = np.nan
    broken["t850"][:] = 1e6
    broken.to_netcdf(tmp_path / "broken.nc")
    code, out, err = pinnwx_command("check", "--data", tmp_path / "broken.nc")
    assert code == 65
    assert "t850" in out
    assert "refused" in out
    assert "Traceback" not in out + err


def test_an_unexpected_error_is_one_line_too(pinnwx_command, waves, monkeypatch):
    from pinnwx.jobs import check

    def explode(*_, **__):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(check, "check", explode)
    refused(pinnwx_command("check", "--data", waves), 1, "unexpected RuntimeError: first line", "--debug")
    with pytest.raises(RuntimeError):
        pinnwx_command("check", "--data", waves, "--debug")


def test_in_a_process_of_its_own(tmp_path):
    """The installed command, as a script calls it: exit code and one line on standard error, nothing else."""
    program = [sys.executable, "-c", "from pinnwx.commands.main import main; main()"]
    arguments = ["check", "--data", str(tmp_path / "nowhere")]
    found = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 66
    assert found.stdout == ""
    assert found.stderr.startswith("pinnwx: ")
    assert found.stderr.count("\n") == 1
