"""Retraining learns, or says that it did not; what it holds out and rolls out is counted in steps of the model."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from synthetic import config_text, tiny_trained, wave_archive, wave_dataset

import pinnwx
from pinnwx.data.archive import Archive
from pinnwx.errors import NothingLearnedError, NotPromotedError, UnavailableError
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.jobs import promotion_check
from pinnwx.jobs import retrain as module
from pinnwx.jobs.events import read_events
from pinnwx.jobs.held_out import comparison_leads, fine_tuning_windows, require_forecasts, rollout_steps, split
from pinnwx.jobs.promotion_check import PromotionReport
from pinnwx.jobs.status import status
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.schedule import Plan
from pinnwx.training.trainer import TrainingResult
from pinnwx.verification.comparison import Comparison

LEARNED_TO = "2026-01-15T18:00Z"
DAY = np.timedelta64(1, "D")


def incumbent(step: int, settings: str = ""):
    """A model of this step; what it was fitted to does not matter here."""
    trained = tiny_trained(config_text(training=f"[retraining]\n{settings}"))
    trained = dataclasses.replace(trained, config=trained.config.with_model(step_hours=float(step)))
    trained.manifest.update(trained_on=["2026-01-01T00:00Z", LEARNED_TO])
    return trained


def analyses(step: int, days: int) -> Archive:
    whole = wave_archive(4)
    times = np.datetime64("2026-01-01T00", "ns") + np.arange(days * 24 // step) * np.timedelta64(step, "h")
    return Archive(times, np.zeros((len(times), 2, 8, 16), np.float32), whole.names, whole.grid)


@pytest.mark.parametrize(("step", "held_out_days"), [(6, 4), (12, 5), (24, 9), (30, 15), (48, 18)])
def test_enough_forecasts_are_held_out_for_a_verdict(step, held_out_days):
    """Four days hold three forecasts of a daily model: no verdict. Leads of three steps need nine for their bounds."""
    trained, archive = incumbent(step), analyses(step, 80)
    periods = split(trained, archive, None)
    held_out = archive.times[archive.times > periods.learn_to]
    longest = np.timedelta64(int(max(comparison_leads(trained))), "h")
    assert np.isin(held_out + longest, held_out).sum() >= 8
    assert periods.compare_to - periods.learn_to == held_out_days * DAY


def test_what_is_asked_for_is_held_out_where_it_is_longer():
    archive = analyses(24, 80)
    assert archive.times[-1] - split(incumbent(24, "hold_out_days = 20"), archive, None).learn_to == 20 * DAY


def test_too_few_forecasts_among_gaps():
    archive = analyses(24, 60)
    kept = np.ones(len(archive), bool)
    kept[[-3, -5, -7]] = False
    gaps = dataclasses.replace(archive, times=archive.times[kept], fields=archive.fields[kept])
    trained = incumbent(24)
    periods = split(trained, gaps, None)
    with pytest.raises(UnavailableError, match=r"only \d forecasts of 24 h can be scored .* and 8 are needed"):
        require_forecasts(trained, gaps, periods)


@pytest.mark.parametrize(
    ("step", "settings", "steps"),
    [(6, "", 4), (12, "", 2), (24, "", 1), (48, "", 1), (1, "", 4), (24, "steps = 4", 4), (6, "steps = 2", 2)],
)
def test_rollouts_of_a_day_unless_asked_for(step, settings, steps):
    assert rollout_steps(incumbent(step, settings)) == steps


def test_a_fresh_week_of_a_daily_model_is_learned_from():
    """Of rollouts of four days, six fresh days left one window."""
    trained, archive = incumbent(24), analyses(24, 16 + 6 + 9)
    periods = split(trained, archive, None)
    found = fine_tuning_windows(trained, archive, periods)
    assert len(found.fresh) + len(found.early_stopping) >= 5
    assert len(found.fresh) >= 4


@pytest.fixture
def run(tmp_path) -> Path:
    text = config_text(model="climate = { bound_margin = 0.1 }", training="batch_size = 8\n[retraining]\nsteps = 2")
    made = new_run(tmp_path / "run")
    made.publish(tiny_trained(text), {"seed": 0, "trained_on": ["2026-01-01T00:00Z", LEARNED_TO]})
    wave_dataset(120).to_netcdf(tmp_path / "waves.nc")
    return made.folder


def learned(monkeypatch, updates: int, scale: float, early_stopping_errors=(1.0, 0.9)) -> None:
    """Retraining ends with these many updates, which changed the weights by this share."""

    def fine_tune(model, *_, **__):
        weights = [nnx.state(member, nnx.Param) for member in networks_of(model)]
        parameters = [jax.tree.map(lambda leaf: leaf * (1 + scale), own) for own in weights]
        plan, ended = Plan((1,), (updates,)), "the test said so"
        return TrainingResult(parameters, [{} for _ in weights], updates, plan, ended, early_stopping_errors)

    monkeypatch.setattr(module, "fine_tune", fine_tune)
    monkeypatch.setattr(module, "named_leaves", lambda _: {})


@pytest.mark.parametrize(
    ("updates", "scale", "early_stopping_errors", "why"),
    [
        (4, 0.0, (1.0, 0.9), r"after 4 updates its errors are within 0 % .* 10 updates at least .* --minutes"),
        (400, 1e-6, (1.0, 0.9), r"after 400 updates its errors are within"),
        (400, 0.3, (1.0, 1.1), r"fine-tuning did not help: the error of early stopping went from 1 to 1.1"),
    ],
    ids=["no updates", "no change", "no help"],
)
def test_nothing_learned_is_an_outcome_of_its_own(run, monkeypatch, updates, scale, early_stopping_errors, why):
    learned(monkeypatch, updates, scale, early_stopping_errors)
    with pytest.raises(NothingLearnedError, match=why) as raised:
        pinnwx.retrain(run, run.parent / "waves.nc")
    assert raised.value.exit_code == 77
    assert "0001 stays live" in str(raised.value)
    assert Run(run).versions == ("0001",)
    event = read_events(run)[-1]
    assert (event.outcome, event.details["verdict"], event.details["updates"]) == (*2 * ["nothing learned"], updates)
    (report,) = (run / "reports").iterdir()
    kept = json.loads(report.read_text())
    assert (kept["outcome"], kept["learning_ended"]) == ("nothing learned", "the test said so")
    assert status(run).jobs[-1].failures == 0, "expected, as a refusal is"


def test_worse_is_another(run, monkeypatch):
    learned(monkeypatch, 400, 0.8)
    with pytest.raises(NotPromotedError) as raised:
        pinnwx.retrain(run, run.parent / "waves.nc")
    assert not isinstance(raised.value, NothingLearnedError)
    event = read_events(run)[-1]
    assert (event.outcome, event.details["verdict"]) == ("refused", "worse")


def test_too_few_days_to_tell_is_not_worse():
    """An error of 0.97 of the live model's, and up to 1.05 by chance: nobody knows; 1.04 is worse."""

    def verdict(ratio: float, other: str = "") -> PromotionReport:
        entry = {"variable": "msl", "lead_hours": 24, "n": 8, "n_days": 8, "ratio": ratio, "ratio_low": 0.9}
        found = Comparison("a", "b", ({**entry, "ratio_high": ratio + 0.08, "bounds_missing": None},))
        return PromotionReport(tuple(filter(None, [*map(promotion_check._of_ratio, found.ratios), other])), found)

    assert "days are too few" in verdict(0.97).objections[0]
    assert not verdict(0.97).is_worse
    assert verdict(1.04).is_worse
    assert verdict(0.97, "msl at 24 h: no better than persistence").is_worse
