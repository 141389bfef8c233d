"""The study of how small a model becomes: budgets are equal, nothing is lost or mixed, and its tables are of what is
stored."""

import json
import re

import pytest

from experiments.studies import sizes, sizes_record, sizes_tables
from pinnwx.config import load_config

STUDY, FIRST = sizes_record.STUDY, sizes_record.FIRST
OTHERS = STUDY["seeds"][1:]
EXPERTS = STUDY["experts"]
MADE = {"updates": 850, "updates_between_rounds": 400, "seconds": 600.0}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The trainings that the study starts, (name, seed, words), in places that hold none of it; each at once done."""
    stored, runs, trainings = tmp_path / "results", tmp_path / "runs", []
    stored.mkdir()
    monkeypatch.setattr(sizes, "FOLDER", runs)
    monkeypatch.setattr(sizes, "STORED", stored)
    monkeypatch.setattr(sizes_record, "STORED", stored)
    monkeypatch.setattr(sizes, "RESULTS", tmp_path)
    monkeypatch.setattr(sizes, "expert_maps", lambda run, *_: run)
    monkeypatch.setattr(sizes, "save", lambda _, path: path.touch())

    def make(commands, seed):
        for name, words in commands.items():
            trainings.append((name, seed, list(map(str, words))))
            sizes.run_folder(name, seed).mkdir(parents=True, exist_ok=True)
            sizes_record.result_path(name, seed).write_text(json.dumps({"made": MADE}))

    def open_model(_, seed):
        return _Opened(load_config(sizes.run_folder("teacher", seed).with_suffix(f".{seed}.toml")))

    monkeypatch.setattr(sizes, "make", make)
    monkeypatch.setattr(sizes, "open_model", open_model)
    for part, names in (("export", [f"export {each}" for each in sizes.PRECISIONS]), ("times", ["times"])):
        touch = lambda seed, names=names: [sizes_record.result_path(name, seed).touch() for name in names]  # noqa: E731
        monkeypatch.setitem(sizes.PARTS, part, touch)
    return trainings


class _Opened:
    def __init__(self, config):
        self.config = config


def updates_in(words: list[str]) -> int | None:
    """The number of updates that a verb is told to make; None if it has minutes."""
    assert ("--minutes" in words) != ("--updates" in words) or words[0] == "train"
    fixed = load_config(words[1]).training.updates if words[0] == "train" else None
    if "--updates" in words:
        fixed = int(words[words.index("--updates") + 1])
    assert ("--minutes" in words) == (fixed is None), "a budget of updates, or one of minutes"
    return fixed


def test_the_first_seed_has_minutes_and_the_others_as_many_updates(started):
    for seed in STUDY["seeds"]:
        sizes.run_parts(list(sizes.PARTS), seed)
    made = {(name, seed): updates_in(words) for name, seed, words in started}
    assert len(made) == len(started) == 3 * (1 + 12 + 4 + 2 + len(EXPERTS["runs"]) + len(EXPERTS["alike"]))
    for name, criterion, keep in sizes_record.pruned_names():
        assert {made[name, seed] for seed in STUDY["seeds"]} == {STUDY["prune"]["updates"]}
        words = next(words for one, _, words in started if one == name)
        assert (words[words.index("--criterion") + 1], float(words[words.index("--keep") + 1])) == (criterion, keep)
    for name in EXPERTS["alike"]:
        assert {made[f"experts alike {name}", seed] for seed in STUDY["seeds"]} == {850}
    assert {made["longer", seed] for seed in STUDY["seeds"]} == {2 * 850}
    for name in ("teacher", "student", "twin", "narrow", *(f"experts {name}" for name in EXPERTS["runs"])):
        assert made[name, FIRST] is None
        assert {made[name, seed] for seed in OTHERS} == {850}
    for name in ("pruned", "pruned by chance"):
        assert made[name, FIRST] is None
        assert {made[name, seed] for seed in OTHERS} == {1000}, "of which 0.15 between two rounds"
    before = len(started)
    for seed in STUDY["seeds"]:
        sizes.run_parts(list(sizes.PARTS), seed)
    assert len(started) == before, "what is stored is not made again"


def test_networks_of_experts_are_what_the_settings_say(started):
    sizes.run_parts(["experts"], FIRST)
    assert [name for name, _, _ in started if "experts" not in name] == [], "they need no teacher"
    for name, _, words in started:
        changes = (EXPERTS["alike"] if "alike" in name else EXPERTS["runs"])[
            re.sub("experts (alike )?", "", name, count=1)
        ]
        config = load_config(words[1]).model
        expected = {"width": 64, "experts": 1, "experts_per_region": 1}
        expected |= {key.rpartition(".")[2]: value for key, value in changes.items()}
        assert config.closure.model_dump(include=set(expected)) == expected
        assert config.networks == 1


def test_a_part_is_missing_if_one_of_its_results_is(started):
    for seed in STUDY["seeds"]:
        sizes.run_parts(list(sizes.PARTS), seed)
    last = {
        "narrow": "prune",
        "longer": "prune",
        "taylor 0.5": "prune",
        "pruned": "prune",
        "twin": "distill",
        "student": "distill",
    }
    last |= {"experts wide": "experts", "experts alike mixture": "experts", "export int8": "export", "times": "times"}
    for name, part in last.items():
        text = sizes_record.result_path(name, FIRST).read_text()
        sizes_record.result_path(name, FIRST).unlink()
        assert [one for one in sizes.PARTS if sizes_record.is_missing(one, FIRST)] == [part]
        sizes_record.result_path(name, FIRST).write_text(text)


def test_results_of_another_teacher_are_dropped_only_if_that_was_asked_for(started):
    sizes.run_parts(["prune", "experts"], FIRST)
    before = {path.name for path in sizes.STORED.iterdir()}
    sizes.run_folder("teacher", FIRST).rmdir()
    sizes_record.result_path("narrow", FIRST).unlink()
    with pytest.raises(SystemExit, match="15 results of seed 1 are of a teacher whose run folder"):
        sizes.run_parts(["prune"], FIRST)
    assert {path.name for path in sizes.STORED.iterdir()} == before - {"narrow.1.json"}
    started.clear()
    sizes.run_parts(["prune"], FIRST, replace_teacher=True)
    assert {path.name for path in sizes.STORED.iterdir()} == before
    assert not [name for name, _, _ in started if "experts" in name]
    assert len(started) == 1 + 12 + 4


def test_a_teacher_that_could_not_be_trained_costs_nothing(started, monkeypatch):
    sizes.run_parts(["prune"], FIRST)
    before = {path.name for path in sizes.STORED.iterdir()}
    sizes.run_folder("teacher", FIRST).rmdir()

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sizes, "make", fails)
    with pytest.raises(KeyboardInterrupt):
        sizes.require_teacher(FIRST, replace=True)
    assert {path.name for path in sizes.STORED.iterdir()} == before


def test_another_seed_waits_for_the_first(started):
    with pytest.raises(SystemExit, match="as many updates as teacher of seed 1"):
        sizes.run_parts(["prune"], OTHERS[0])
    assert not started


def test_stored_budgets_are_those_of_the_study():
    """What one seed's model was made with says nothing beside another's if the first was made again since."""
    results = {path.name.removesuffix(".json"): json.loads(path.read_text())
               for path in sizes_record.STORED.glob("*.json")}  # fmt: skip
    names = [name for part in sizes.PARTS for name in sizes_record.results_of(part, FIRST)]
    known = {"teacher", *(name.replace(" ", "_") for name in names)}
    assert {name.rpartition(".")[0] for name in results} <= known, "a result of no model of the study"
    made = {name: result["made"]["updates"] for name, result in results.items() if "updates" in result.get("made", {})}
    for name, updates in made.items():
        model, _, seed = name.rpartition(".")
        first = "experts_dense.1" if "alike" in model else f"{model}.1"
        if model == "pruned_by_chance" and seed != "1":
            first = "pruned.1"
        twice = model == "longer"  # but for what does not divide among members and stages
        assert updates == (pytest.approx(2 * made["teacher.1"], rel=0.01) if twice else made[first]), name


def test_the_tables_are_of_the_results():
    text = sizes.README.read_text()
    match = re.search("<!-- compression -->\n\n(.*?)\n<!-- end of compression -->", text, re.DOTALL)
    assert match is not None
    assert match.group(1).strip() == sizes_tables.table().strip()
