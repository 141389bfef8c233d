"""How small the ERA5 hybrid becomes: pruned, distilled, as a mixture of experts, and in eight bits.

    python scripts/sizes.py                       all that is not stored yet, one after another
    python scripts/sizes.py prune --seeds 1       only this part, of this seed (its teacher is trained first)
    python scripts/sizes.py --tables              only write tables and pictures anew

Parts:
    prune       every order of importance at every size, from the same teacher, with the same number of updates; half of
                the channels in as many minutes as the teacher had, by attribution and by chance; and a network of
                those widths trained from scratch for as long as teacher and pruning took together, and the teacher
                trained for twice its updates
    distill     a student and its twin that sees only the weather, in turn, in as many minutes
    experts     a mixture, a dense network of as much computing and one of as many weights, in turn; a map of where each
                expert works; and what else was tried, with as many updates as the dense network made
    export      the model pruned in minutes, in float32, bfloat16 and int8: sizes, and what rounding costs
    times       ten days of teacher, pruned and student, called in turn

The first seed is trained by the clock; the others make as many updates as it did, so they can be trained anywhere. What
is stored is not made again. What is to be made needs the run folder of the seed's teacher; where that is gone, --afresh
trains another and makes all of the seed again.
Settings: experiments/ablations/compression.toml. Scores go to experiments/results/compression/, tables to
experiments/README.md.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from ablations import change
from flax import nnx
from matplotlib.figure import Figure
from sizes_results import (
    BY_CHANCE,
    FIRST,
    HEADLINE,
    LEADS,
    PRUNED,
    STORED,
    STUDY,
    curves,
    missing,
    pruned_names,
    scores,
    stored,
    table,
)
from stopwatch import in_turn
from trial import DATA, EXPERIMENTS, RESULTS, RUNS, scoring_of, splice, train_in_turn

from pinnwx.compression.prune import fraction_between
from pinnwx.config import load_config
from pinnwx.files import write_text
from pinnwx.forecasting.export import PRECISIONS, as_stored, export_model
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS, TrainedModel
from pinnwx.grid import Grid
from pinnwx.jobs.evaluate import score_on
from pinnwx.jobs.explain import explain
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.reporting.panel import Panel, draw_map, empty_figure
from pinnwx.reporting.style import save
from pinnwx.runtime import prepare
from pinnwx.verification.results import in_lines

FOLDER = RUNS / "compression"
SCORING = scoring_of(STUDY["base"])
ARCHIVE = DATA / SCORING.folder
TEN_DAYS = 240.0


def folder(name: str, seed: int) -> Path:
    return FOLDER / f"{name.replace(' ', '_')}.{seed}"


def updates_of(name: str) -> int:
    """The number of updates that the first seed's model made."""
    if not stored(name, FIRST).is_file():
        sys.exit(f"other seeds make as many updates as {name} of seed {FIRST}, which is not there yet; make that first")
    return json.loads(stored(name, FIRST).read_text())["made"]["updates"]


def train_words(name: str, seed: int, changes: dict[str, Any], minutes: float, updates: int | None = None) -> list[str]:
    """Trains the base experiment with these changes: for minutes, or for as many updates as the first seed's model
    made in them, or for this number of updates."""
    if updates is None and seed != FIRST:
        updates = updates_of(name)
    if updates is not None:
        changes = {**changes, "training.updates": updates}
    settings = tomllib.loads((EXPERIMENTS / f"{STUDY['base']}.toml").read_text())
    for path, value in changes.items():
        change(settings, path, copy.deepcopy(value))
    settings |= {"seed": seed, "name": f"compression_{name.replace(' ', '_')}_{seed}"}
    config = folder(name, seed).with_suffix(f".{seed}.toml")
    config.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, tomli_w.dumps(settings))
    words = ["train", config, "--data", ARCHIVE, "--out", folder(name, seed), "--force", "--promote-anyway"]
    return [*map(str, words), *(["--minutes", str(minutes)] if updates is None else [])]


def compress_words(name: str, seed: int, *options: object) -> list[str]:
    words = ["compress", "--run", folder("teacher", seed), "--data", ARCHIVE, "--out", folder(name, seed), *options]
    return [*map(str, words), "--force", "--promote-anyway"]


def rivals(names: Sequence[str], seed: int, verbs: Sequence[list[str]]) -> None:
    """Runs verbs in turn, none sharing compiled code with another, and scores what they made."""
    with ExitStack() as held:
        caches = [{"PINNWX_CACHE": held.enter_context(tempfile.TemporaryDirectory())} for _ in verbs]
        seconds = train_in_turn(verbs, caches)
    for name, took in zip(names, seconds, strict=True):
        score(name, seed, took)


def score(name: str, seed: int, seconds: float, trained: TrainedModel | None = None, **more: Any) -> None:
    """Scores a run, or a model made of it, and stores that with what it cost."""
    run = Run.open(folder(name, seed)) if trained is None else None
    if run is not None:
        trained = run.load()
        keys = ("updates", "updates_between_rounds", "parameters", "versions", "device")
        notes = {key: trained.manifest.get(key) for key in keys}
        notes["bytes"] = (run.version(run.live) / WEIGHTS).stat().st_size
        more = {**notes, **more}
    predictor = Predictor(trained, LEADS)
    archive = matching_archive(trained, ARCHIVE)
    found = score_on(predictor, archive, SCORING.start, SCORING.end, predictor.needed_offsets)
    STORED.mkdir(parents=True, exist_ok=True)
    write_text(stored(name, seed), in_lines({**found.to_dict(), "made": {"seconds": seconds, **more}}, "scores"))
    ratio = found.entry(*HEADLINE)["persistence_ratio"]
    print(f"{name} seed {seed}: {ratio:.4f} of persistence, {seconds:.0f} s", flush=True)


def teacher(seed: int, afresh: bool = False) -> None:
    """The model that the others are made from, trained if its run folder is not there.

    Results that are stored are of the one that was; they are dropped when there is another, and only if that was asked
    for.
    """
    if stored("teacher", seed).is_file() and folder("teacher", seed).is_dir():
        return
    others = [path for path in STORED.glob(f"*.{seed}.json") if not path.name.startswith(("teacher", "experts"))]
    if others and not afresh:
        sys.exit(
            f"{len(others)} results of seed {seed} are of a teacher whose run folder {folder('teacher', seed)} is not "
            "there; --afresh trains another, and drops them"
        )
    rivals(["teacher"], seed, [train_words("teacher", seed, {}, STUDY["minutes"])])
    for path in others:
        path.unlink()


def opened(name: str, seed: int) -> TrainedModel:
    """The model of a run of the study."""
    if not folder(name, seed).is_dir():
        sys.exit(f"the run folder {folder(name, seed)} is not there; delete {stored(name, seed)} to make it again")
    return Run.open(folder(name, seed)).load()


def prune(seed: int) -> None:
    study = STUDY["prune"]
    wanted = [(name, criterion, keep, study["updates"]) for name, criterion, keep in pruned_names()]
    in_minutes = [(PRUNED, study["criterion"], study["keep"], None), (BY_CHANCE, "random", study["keep"], None)]
    for name, criterion, keep, updates in [*wanted, *in_minutes]:
        if not stored(name, seed).is_file():
            words = compress_words(name, seed, "--prune", "--keep", keep, "--criterion", criterion)
            rivals([name], seed, [[*words, *pruning_budget(seed, updates)]])
    if not stored("narrow", seed).is_file():
        rivals(["narrow"], seed, [narrow_words(seed)])
    if not stored("longer", seed).is_file():
        words = train_words("longer", seed, {}, 2 * STUDY["minutes"], 2 * updates_of("teacher"))
        rivals(["longer"], seed, [words])


def pruning_budget(seed: int, updates: int | None) -> list[str]:
    """So many updates; or, where there is no number, minutes for the first seed, and for the others the number of which
    as many come after the last round as the first seed made there. Between its rounds that made more, for those have a
    share of the minutes, or of the updates, and updates cost least there."""
    study = STUDY["prune"]
    if updates is None and seed == FIRST:
        return ["--minutes", str(study["minutes"])]
    rounds = load_config(EXPERIMENTS / f"{STUDY['base']}.toml").compression.rounds
    return ["--updates", str(updates or round(updates_of(PRUNED) / (1 - (rounds - 1) * fraction_between(rounds))))]


def narrow_words(seed: int) -> list[str]:
    """Trains a network of the widths of the pruned one, for as long as that and its teacher took."""
    seconds = json.loads(stored(PRUNED, seed).read_text())["made"]["seconds"]
    closure = opened(PRUNED, seed).config.model.closure
    widths = closure.model_dump(include={"width", "fine_width", "block_widths"}, exclude_none=True)
    alike = {f"model.closure.{name}": value for name, value in widths.items()}
    return train_words("narrow", seed, alike, STUDY["minutes"] + seconds / 60)


def distill(seed: int) -> None:
    size, minutes = STUDY["distill"]["size"], STUDY["distill"]["minutes"]
    alike = {"model.networks": max(int(size * opened("teacher", seed).config.model.networks), 1)}
    budget = ("--minutes", minutes) if seed == FIRST else ("--updates", updates_of("student"))
    student = compress_words("student", seed, "--distill", "--size", size, *budget)
    rivals(["student", "twin"], seed, [student, train_words("twin", seed, alike, minutes)])


def experts(seed: int) -> None:
    study = STUDY["experts"]

    def words(name: str, changes: dict[str, Any], updates: int | None = None) -> list[str]:
        return train_words(name, seed, {**study["common"], **changes}, study["minutes"], updates)

    names = [f"experts {name}" for name in study["runs"]]
    if not all(stored(name, seed).is_file() for name in names):
        rivals(names, seed, [words(*run) for run in zip(names, study["runs"].values(), strict=True)])
        if seed == FIRST:
            save(expert_maps(folder("experts mixture", seed)), RESULTS / "experts.png")
    for tried, changes in study["alike"].items():
        if not stored(name := f"experts alike {tried}", seed).is_file():
            rivals([name], seed, [words(name, changes, updates_of("experts dense"))])


def expert_maps(run: Path) -> Figure:
    """In which share of the blocks and of the validation days each expert works, and where."""
    days = np.arange(np.datetime64(SCORING.start), np.datetime64(SCORING.end) + 1)
    made = [explain(run, ARCHIVE, init=f"{day}T00:00", hours=24) for day in days]
    grid = Grid.from_coordinates(made[0]["latitude"].values, made[0]["longitude"].values)
    names = sorted(name for name in made[0] if str(name).startswith("expert_"))
    figure, drawn = empty_figure(grid, -(-len(names) // 2), 2), None
    axes = figure.subplots(-(-len(names) // 2), 2, squeeze=False).ravel()
    for place, name in zip(axes, names, strict=False):
        share = np.mean([one[name].values for one in made], axis=(0, 1))
        title = (
            f"{str(name).removesuffix('_use').replace('_', ' ')}: {100 * share.min():.0f} to {100 * share.max():.0f} %"
        )
        drawn = draw_map(place, Panel(100 * share, title, "viridis", np.linspace(0, 100, 11), False), grid, 0.0)
    figure.colorbar(drawn, ax=list(axes), fraction=0.04, pad=0.01, aspect=24).set_label("% of blocks and steps")
    figure.suptitle("Where each expert works", fontsize="large", fontweight="bold")
    return figure


def export(seed: int) -> None:
    """The pruned model with the weights that each precision stores."""
    trained = opened(PRUNED, seed)
    for precision in PRECISIONS:
        model = nnx.clone(trained.model)
        weights = {name: as_stored(values, precision) for name, values in named_weights(model).items()}
        set_weights(model, weights)
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "model.npz"
            export_model(trained, file, precision, {})
            size = file.stat().st_size
        score(f"export {precision}", seed, 0.0, dataclasses.replace(trained, model=model), bytes=size)


def times(seed: int) -> None:
    """Seconds of ten days, of the first seed's models."""
    names = ["teacher", PRUNED, *(name for name, _, _ in pruned_names()), "student"]
    functions = {}
    for name in names:
        trained = opened(name, seed)
        predictor, archive = Predictor(trained, [TEN_DAYS]), matching_archive(trained, ARCHIVE)
        when = archive.times[[100]]
        functions[name] = lambda predictor=predictor, archive=archive, when=when: predictor.from_archive(archive, when)
    write_text(stored("times", seed), json.dumps(in_turn(functions, rounds=15), indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(MAKE)}; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", choices=STUDY["seeds"], default=STUDY["seeds"])
    parser.add_argument("--afresh", action="store_true", help="train teachers anew whose run folders are gone")
    parser.add_argument("--tables", action="store_true", help="only write tables and pictures anew")
    given = parser.parse_args()
    if unknown := sorted(set(given.parts) - set(MAKE)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(MAKE)}")
    prepare()
    for seed in () if given.tables else given.seeds:
        run_parts([part for part in MAKE if part in (given.parts or MAKE)], seed, given.afresh)
    if any(scores(name) for name, _, _ in pruned_names()):
        save(curves(), RESULTS / "compression.png")
    splice(EXPERIMENTS / "README.md", "compression", table())


def run_parts(parts: Sequence[str], seed: int, afresh: bool) -> None:
    """Makes what is missing of these parts."""
    if any(missing(part, seed) for part in parts if part != "experts"):
        teacher(seed, afresh)
    for part in parts:
        if missing(part, seed):
            MAKE[part](seed)


MAKE = {"prune": prune, "distill": distill, "experts": experts, "export": export, "times": times}


if __name__ == "__main__":
    main()
