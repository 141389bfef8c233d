"""Sizes and numbers that are asked for are judged before memory is, with the limit and the way out."""

import math
import time

import pytest
from synthetic import config_text, tiny_trained
from verbs import pinnwx

from pinnwx.commands.lists import numbers
from pinnwx.config import MOST_WEIGHTS, parse_config
from pinnwx.errors import ConfigError, UsageError
from pinnwx.forecasting.predictor import MOST_HOURS, Predictor, require_room, whole_steps
from pinnwx.jobs.budget import budget_ends
from pinnwx.jobs.forecast_job import ForecastJob
from pinnwx.jobs.preparation import require_memory
from pinnwx.jobs.prune import prune
from pinnwx.model.weights import count_weights

BASE = config_text()


def problem(text: str, *, within: float = 5.0) -> str:
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        require_memory(parse_config(text, "c.toml"))
    assert time.monotonic() - began < within
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 5000
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("step_hours = 6", "step_hours = 1e-300"), "model.step_hours: Input should be greater than or equal to 0.01"),
        (("step_hours = 6", "step_hours = nan"), "model.step_hours: Input should be a finite number"),
        (("step_hours = 6", "step_hours = inf"), "model.step_hours: Input should be a finite number"),
        (("step_hours = 6", "step_hours = 1e300"), "less than or equal to 744"),
        (("step_hours = 6", f"step_hours = {'9' * 5000}"), "not valid TOML"),
        (("batch_size = 8", "learning_rate = inf"), "training.learning_rate: Input should be a finite number"),
        (("batch_size = 8", "minutes = 1e300"), "training.minutes"),
        (("batch_size = 8", f"updates = {10**30}"), "training.updates"),
        (("width = 16", "width = 4096\nblocks = 4"), "model.closure"),
        (("step_hours = 6", "steps_hours = 6"), 'did you mean "step_hours"?'),
        (("[training]\n", "[training]\nstep_hours = 6\n"), 'did you mean "model.step_hours"?'),
        (("width = 16", "widht = 16"), 'did you mean "width"?'),
        (("[data]", "[data]\nvalidation = 1"), 'did you mean "validate"?'),
        (('name = "tiny"', 'name = "tiny"\nx = ' + "[" * 100_000), "nested too deeply"),
        (('name = "tiny"', 'name = "tiny"\n' + ".".join("a" * 60_000) + " = 1"), "dots"),
        (('name = "tiny"', 'name = "tiny"\n' + "".join(f"a.b{i} = 1\n" for i in range(60_000))), "characters are more"),
        (('name = "tiny"', 'name = "tiny"\n' + "".join(f"a{i} = 1\n" for i in range(20_000))), "and 19980 more"),
        (('name = "tiny"', 'name = "tiny"\ndate = 2026-13-45'), "not valid TOML"),
        (('"msl", "t850"', ", ".join(f'"t{i}"' for i in range(2000))), "at most 1000 items"),
    ],
)  # fmt: skip
def test_a_config_that_cannot_be(change, words):
    text = BASE.replace(*change)
    assert text != BASE
    if words == "model.closure":
        text = text.replace("blocks = 1", "").replace("[model]", "[model]\nnetworks = 16")
        found = problem(text)
        assert "16 network(s) of width 4096 have about" in found
        assert f"more than {MOST_WEIGHTS:,}" in found
        return
    assert words in problem(text)


def test_every_problem_of_a_config_is_told_at_once():
    text = BASE.replace("step_hours = 6", "step_hours = nan\nsteps = 1").replace("width = 16", "width = -1")
    found = problem(text.replace("batch_size = 8", 'batch_size = "x"\nfield_weights = { q = inf }'))
    for path in (
        "model.step_hours",
        "model.steps",
        "model.closure.width",
        "training.batch_size",
        "training.field_weights.q",
    ):
        assert path in found


def test_a_bound_of_a_variable_may_be_open():
    text = BASE + '[variables.x]\nunits = "1"\nminimum = 0\nmaximum = inf\n'
    assert math.isinf(parse_config(text).variables["x"].maximum)
    assert "nan is not a number" in problem(text.replace("maximum = inf", "maximum = nan"))


@pytest.mark.parametrize(
    "closure", ["width = 32\nblocks = 2", "width = 48\nblocks = 1\nfine_width = 20", "width = 32\npatch_size = 1"]
)
def test_the_weights_of_a_model_are_about_as_many_as_told(closure):
    trained = tiny_trained(config_text(closure=closure, grid="22.5deg"))
    told, true = trained.config.model.weights, count_weights(trained.model)
    assert told <= true < 2.5 * told


def test_a_training_that_does_not_fit_is_refused(monkeypatch):
    settings = parse_config(BASE.replace("batch_size = 8", "batch_size = 4096").replace("22.5deg", "0.25deg"))
    monkeypatch.setattr("pinnwx.jobs.preparation.memory_limit", lambda: 4 * 2**30)
    with pytest.raises(ConfigError, match=r"training takes at least 6.\.. GiB, this machine has 4\.0.*lower"):
        require_memory(settings)
    require_memory(parse_config(BASE))


@pytest.mark.parametrize("hours", [1e18, 1e300, MOST_HOURS + 6, math.nan, math.inf, -6, 0, -math.inf])
def test_hours_are_bounded(hours):
    with pytest.raises(UsageError, match=r"--hours"):
        whole_steps("--hours", hours, 6.0)
    with pytest.raises(UsageError):
        Predictor(tiny_trained(), [hours])


def test_a_forecast_that_does_not_fit_is_refused(run, good, monkeypatch):
    monkeypatch.setattr("pinnwx.forecasting.predictor.memory_limit", lambda: 2**30)
    trained = tiny_trained()
    with pytest.raises(UsageError, match=r"1,000,000,000 forecast\(s\) of 20 steps .* at most 52,428 members"):
        require_room(trained, 20, 10**9)
    with pytest.raises(UsageError, match="choose shorter forecasts"):
        require_room(trained, 10**7)
    require_room(trained, 20, 50)
    with pytest.raises(UsageError, match="at most"):
        ForecastJob.open(run, good, hours=12, members=10**9)


@pytest.mark.parametrize("minutes", [-1, 0, math.inf, math.nan, 1e300, 525_601])
def test_minutes_are_bounded(minutes):
    with pytest.raises(UsageError, match=r"--minutes .* at most 525,600"):
        budget_ends(minutes, 0.0)


@pytest.mark.parametrize("updates", [10**30, 0, -1])
def test_updates_are_bounded(run, good, tmp_path, updates):
    with pytest.raises(UsageError, match=r"at most 1,000,000,000"):
        prune(run, good, tmp_path / "out", keep=0.5, updates=updates)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["nan", "6,inf", "6,x", "", "1e999", ",".join(["6"] * 60_000)])
def test_lists_of_numbers_are_bounded(text):
    with pytest.raises(UsageError, match="--leads"):
        numbers("--leads", text)
    assert numbers("--leads", "6,12") == [6.0, 12.0]


def test_a_number_beyond_all_bounds_is_a_usage_error(run, good, tmp_path):
    out = tmp_path / "f.nc"
    ended = pinnwx("forecast", "--run", run, "--data", good, "--hours", "1e18", "--out", out)
    ended.refused(2, "--hours 1e+18 h is longer than 876,600 h")
    assert not out.exists()
