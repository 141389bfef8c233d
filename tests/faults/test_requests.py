"""Faults 52 to 54: what is asked for is itself wrong."""

import pytest
from verbs import pinnwx, recipe


def test_52_training_and_validation_overlap(good, tmp_path):
    config = recipe(tmp_path, "updates = 8")
    text = config.read_text()
    config.write_text(text.replace("[model]", 'validate = { start = "2026-01-15", end = "2026-01-20" }\n[model]', 1))
    ended = pinnwx("train", config, "--data", good, "--out", tmp_path / "run")
    ended.refused(78, "data.validate", "overlaps data.train", "leave a gap")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["../other", "a/../../b", "/etc/x", "..", "a\\b"])
def test_53_a_name_that_leaves_its_folder(good, tmp_path, name):
    config = recipe(tmp_path, "updates = 8")
    config.write_text(config.read_text().replace('name = "tiny"', f"name = '{name}'"))
    ended = pinnwx("train", config, "--data", good, "--out", tmp_path / "run")
    ended.refused(2, "name", "leads out of its folder")
    assert not (tmp_path / "run").exists()


def test_54_every_problem_of_a_config_at_once(good, tmp_path):
    config = recipe(tmp_path, 'updates = "many"\nbatchsize = 8')
    config.write_text(config.read_text().replace("width = 16", "width = -1"))
    ended = pinnwx("train", config, "--data", good, "--out", tmp_path / "run")
    ended.refused(78, "training.updates", "training.batchsize", "model.closure.width")
    assert not (tmp_path / "run").exists()
