"""The study of how small a model becomes: its settings are sound, and its tables are of what is stored."""

import re
import sys
from pathlib import Path

import pytest

from pinnwx.config import load_config

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
import sizes

SEEDS = sizes.STUDY["seeds"]
EXPERTS = sizes.STUDY["experts"]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Runs and results of the study, in a folder that holds none yet."""
    monkeypatch.setattr(sizes, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(sizes, "STORED", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return tmp_path


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("changes", [*EXPERTS["runs"].values(), *EXPERTS["alike"].values()], ids=str)
def test_every_network_of_experts_is_a_valid_config(changes, seed, places, monkeypatch):
    monkeypatch.setattr(sizes, "updates_of", lambda name: {"model": 12, "other": 34}[name])
    for like, updates in (("", None if seed == SEEDS[0] else 12), ("other", 34)):
        words = sizes.train_words("model", seed, {**EXPERTS["common"], **changes}, 4, like)
        config = load_config(words[1])
        assert (config.seed, config.model.members, config.training.updates) == (seed, 1, updates)
        assert ("--minutes" in words) == (updates is None), "a budget of updates, or one of minutes"
        assert config.model.closure.width == changes.get("model.closure.width", 64)
        assert config.model.closure.experts == changes.get("model.closure.experts", 1)


def test_a_part_is_missing_if_one_of_its_results_is(places):
    names = {path.name.rsplit(".", 2)[0] for path in Path(sizes.RESULTS / "compression").glob("*.json")}
    for name in names:
        for seed in SEEDS:
            sizes.stored(name, seed).touch()
    assert not [part for part in sizes.PARTS for seed in SEEDS if sizes.missing(part, seed)]
    for name, part in {
        "taylor 0.5": "prune",
        "twin": "distill",
        "experts wide": "experts",
        "export int8": "export",
    }.items():
        sizes.stored(name, 2).unlink()
        assert sizes.missing(part, 2)
        assert not sizes.missing(part, 1)
        sizes.stored(name, 2).touch()


def test_what_was_made_of_another_teacher_is_forgotten(places, monkeypatch):
    for name in ("teacher", "taylor 0.5", "student", "experts mixture"):
        for seed in (1, 2):
            sizes.stored(name, seed).touch()
    trained = []
    monkeypatch.setattr(sizes, "rivals", lambda names, seed, _: trained.append((names, seed)))
    sizes.teacher(1)
    assert trained == [(["teacher"], 1)]
    left = {path.name for path in (places / "results").iterdir()}
    assert left == {
        "experts_mixture.1.json",
        *(f"{n}.2.json" for n in ("teacher", "taylor_0.5", "student", "experts_mixture")),
    }


def test_a_teacher_that_is_there_is_kept(places, monkeypatch):
    sizes.stored("teacher", 1).touch()
    sizes.stored("student", 1).touch()
    sizes.folder("teacher", 1).mkdir(parents=True)
    monkeypatch.setattr(sizes, "rivals", lambda *_: pytest.fail("it was trained again"))
    sizes.teacher(1)
    assert sizes.stored("student", 1).is_file()


def test_other_seeds_learn_on_for_as_many_updates_as_the_first(places):
    sizes.stored("pruned", SEEDS[0]).write_text('{"made": {"updates": 850, "updates_between_rounds": 400}}')
    assert sizes.pruning_updates() == 1000, "of which 0.15 between two rounds"


def test_every_result_is_of_the_study():
    """A result of a model that the settings no longer name would stand there unseen."""
    known = {name.replace(" ", "_") for name, _, _ in sizes.pruned_names()}
    known |= {sizes.PRUNED, sizes.BY_CHANCE.replace(" ", "_"), "teacher", "narrow", "student", "twin", "times"}
    known |= {f"experts_{name}" for name in EXPERTS["runs"]}
    known |= {f"experts_alike_{name}".replace(" ", "_") for name in EXPERTS["alike"]}
    known |= {f"export_{precision}" for precision in sizes.PRECISIONS}
    stored = {path.name.rsplit(".", 2)[0] for path in Path(sizes.RESULTS / "compression").glob("*.json")}
    assert stored <= known


def test_the_tables_are_of_the_results():
    text = (sizes.EXPERIMENTS / "README.md").read_text()
    found = re.search("<!-- compression -->\n\n(.*?)\n<!-- end of compression -->", text, re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == sizes.table().strip()
