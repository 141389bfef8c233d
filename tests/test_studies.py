"""The studies of the ablations: every run is a valid config, and changes what it says and nothing else."""

import sys
from pathlib import Path

import pytest

from pinnwx.config import Config

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
import ablations

TRIALS = [trial for name, study in ablations.studies().items() for trial in ablations.trials(name, study)]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.study}-{trial.name}-{trial.seed}")
def test_every_run_is_a_valid_config(trial):
    config = Config.model_validate(trial.config())
    assert config.seed == trial.seed
    assert (config.training.updates is None) == (trial.minutes is not None), "a budget of updates, or one of minutes"


def test_what_a_run_is_compared_with_is_a_run_of_its_study():
    runs = {(trial.study, trial.name): trial for trial in TRIALS}
    for trial in TRIALS:
        against = runs[trial.study, trial.against]
        assert against.against == against.name, "a reference stands for itself"


def test_a_change_reaches_the_entry_it_names():
    settings = {"a": {"list": [{"x": 1}, {"x": 2}]}, "b": 3}
    ablations.change(settings, "a.list.*.x", 9)
    ablations.change(settings, "a.list.1.y", 5)
    ablations.change(settings, "c.new", [1])
    assert settings == {"a": {"list": [{"x": 9}, {"x": 9, "y": 5}]}, "b": 3, "c": {"new": [1]}}
