"""How small the ERA5 hybrid becomes: pruned, distilled, as a mixture of experts, and with eight-bit weights.

    python -m experiments.studies.sizes                       what is not stored yet, one after another
    python -m experiments.studies.sizes prune --seeds 1       only this part, of this seed (and its teacher first)
    python -m experiments.studies.sizes --tables              only write tables and pictures

Parts:
    prune       every criterion at every size, from the same teacher, with the same number of updates; half of the
                channels in as many minutes as the teacher had, by attribution and at random; a network of those widths
                trained from scratch for as long as teacher and pruning took together; and the teacher trained for twice
                its updates
    distill     a student and its twin without a teacher, in turns, in as many minutes
    experts     a mixture, a dense network of as much computing and one of as many weights, in turns; a map of where
                each expert works; and other mixtures, with as many updates as the dense network made
    export      the model pruned in minutes, in float32, bfloat16 and int8: sizes, and what rounding costs
    times       ten days of teacher, pruned models and student, called in turns

The first seed has a budget of minutes. The others make as many updates as it did, so any machine can train them. A
result needs the run folder of the seed's teacher; where that is gone, --replace-teachers trains another one and makes
all results of the seed again. Settings: experiments/ablations/compression.toml. Scores go to
experiments/results/compression/, tables to experiments/README.md.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from flax import nnx

from experiments.studies.ablations import changed_experiment
from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    README,
    RESULTS,
    RUNS,
    require_known,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.sizes_pictures import curves, expert_maps
from experiments.studies.sizes_record import (
    BY_CHANCE,
    FIRST,
    HEADLINE,
    LEADS,
    PRUNED,
    STORED,
    STUDY,
    is_missing,
    is_stored,
    load_scores,
    pruned_names,
    result_path,
    training_facts,
)
from experiments.studies.sizes_tables import table
from experiments.studies.stopwatch import time_in_turns
from experiments.studies.training_runs import compete
from pinnwx.compression.prune import fraction_between
from pinnwx.config import load_config
from pinnwx.files import write_text
from pinnwx.forecasting.export import PRECISIONS, as_stored, export_model
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS, TrainedModel
from pinnwx.jobs.evaluate import score_on
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.reporting.style import save
from pinnwx.runtime import prepare
from pinnwx.verification.results import in_lines

FOLDER = RUNS / "compression"
SCORING = scoring_of(STUDY["base"])
ARCHIVE = DATA / SCORING.folder
TEN_DAYS = 240.0


def run_folder(name: str, seed: int) -> Path:
    return FOLDER / f"{name.replace(' ', '_')}.{seed}"


def updates_of(name: str) -> int:
    """The number of updates that the first seed's model made."""
    if not is_stored(name, FIRST):
        sys.exit(f"other seeds make as many updates as {name} of seed {FIRST}, which is not there yet; make that first")
    return training_facts(name, FIRST)["updates"]


def train_command(
    name: str, seed: int, changes: Mapping[str, Any], minutes: float, updates: int | None = None
) -> list[str]:
    """Trains the base experiment with these changes, with a budget.

    The budget is this number of updates; or, where none is given, minutes for the first seed, and for the others as
    many updates as the first seed's model made.
    """
    if updates is None and seed != FIRST:
        updates = updates_of(name)
    budget = {} if updates is None else {"training.updates": updates}
    settings = changed_experiment(STUDY["base"], {**changes, **budget})
    settings |= {"seed": seed, "name": f"compression_{name.replace(' ', '_')}_{seed}"}
    config = run_folder(name, seed).with_suffix(f".{seed}.toml")
    config.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, tomli_w.dumps(settings))
    words = ["train", config, "--data", ARCHIVE, "--out", run_folder(name, seed), "--force", "--promote-anyway"]
    return [*map(str, words), *(["--minutes", str(minutes)] if updates is None else [])]


def compress_command(method: str, name: str, seed: int, *options: object) -> list[str]:
    """Makes a smaller model from the seed's teacher, by the method "prune" or "distill"."""
    teacher, out = run_folder("teacher", seed), run_folder(name, seed)
    words = ["compress", method, "--run", teacher, "--data", ARCHIVE, "--out", out, *options]
    return [*map(str, words), "--force", "--promote-anyway"]


def make(commands: Mapping[str, list[str]], seed: int) -> None:
    """Runs the commands in turns and scores the models that they make, by name."""
    seconds = compete(list(commands.values()))
    for name, seconds_used in zip(commands, seconds, strict=True):
        score_run(name, seed, seconds_used)


def score_run(name: str, seed: int, seconds: float) -> None:
    """Scores a run and stores that with what it cost."""
    run = Run.open(run_folder(name, seed))
    trained = run.load()
    keys = ("updates", "updates_between_rounds", "parameters", "versions", "device")
    facts = {key: trained.manifest.get(key) for key in keys}
    score(name, seed, seconds, trained, **facts, bytes=(run.version(run.live) / WEIGHTS).stat().st_size)


def score(name: str, seed: int, seconds: float, trained: TrainedModel, **facts: Any) -> None:
    """Scores a model and stores that with these facts."""
    predictor = Predictor(trained, LEADS)
    archive = matching_archive(trained, ARCHIVE)
    scores = score_on(predictor, archive, SCORING.start, SCORING.end, predictor.needed_offsets)
    STORED.mkdir(parents=True, exist_ok=True)
    record = {**scores.to_dict(), "made": {"seconds": seconds, **facts}}
    write_text(result_path(name, seed), in_lines(record, "scores"))
    ratio = scores.entry(*HEADLINE)["persistence_ratio"]
    print(f"{name} seed {seed}: {ratio:.4f} of persistence, {seconds:.0f} s", flush=True)


def require_teacher(seed: int, replace: bool = False) -> None:
    """Trains the model that the others are made from, if its run folder is not there.

    Stored results belong to the teacher that they were made from. They are dropped when another one is trained, which
    `replace` must allow.
    """
    if is_stored("teacher", seed) and run_folder("teacher", seed).is_dir():
        return
    others = [path for path in STORED.glob(f"*.{seed}.json") if not path.name.startswith(("teacher", "experts"))]
    if others and not replace:
        sys.exit(
            f"{len(others)} results of seed {seed} are of a teacher whose run folder {run_folder('teacher', seed)} is "
            "not there; --replace-teachers trains another, and drops them"
        )
    make({"teacher": train_command("teacher", seed, {}, STUDY["minutes"])}, seed)
    for path in others:
        path.unlink()


def open_model(name: str, seed: int) -> TrainedModel:
    """The model of a run of the study."""
    folder = run_folder(name, seed)
    if not folder.is_dir():
        sys.exit(f"the run folder {folder} is not there; delete {result_path(name, seed)} to make it again")
    return Run.open(folder).load()


def prune(seed: int) -> None:
    """The pruned models and their two controls."""
    study = STUDY["prune"]
    fixed = [(name, criterion, keep, study["updates"]) for name, criterion, keep in pruned_names()]
    in_minutes = [(PRUNED, study["criterion"], study["keep"], None), (BY_CHANCE, "random", study["keep"], None)]
    for name, criterion, keep, updates in [*fixed, *in_minutes]:
        if not is_stored(name, seed):
            budget = pruning_budget(seed, updates)
            options = ("--keep", keep, "--criterion", criterion, *budget)
            make({name: compress_command("prune", name, seed, *options)}, seed)
    if not is_stored("narrow", seed):
        make({"narrow": narrow_command(seed)}, seed)
    if not is_stored("longer", seed):
        command = train_command("longer", seed, {}, 2 * STUDY["minutes"], 2 * updates_of("teacher"))
        make({"longer": command}, seed)


def pruning_budget(seed: int, updates: int | None) -> tuple[str, str]:
    """This number of updates; where none is given, minutes for the first seed and a matching number for the others.

    The matching number leaves as many updates after the last round as the first seed made there. A fixed fraction of
    the minutes, or of the updates, belongs to each pause between rounds, and updates take the least time there; so the
    first seed made more of them between its rounds.
    """
    if updates is None and seed == FIRST:
        return "--minutes", str(STUDY["prune"]["minutes"])
    rounds = load_config(EXPERIMENTS / f"{STUDY['base']}.toml").compression.rounds
    return "--updates", str(updates or round(updates_of(PRUNED) / (1 - (rounds - 1) * fraction_between(rounds))))


def narrow_command(seed: int) -> list[str]:
    """Trains a network of the widths of the pruned one, for as long as that and its teacher took."""
    seconds = training_facts(PRUNED, seed)["seconds"]
    closure = open_model(PRUNED, seed).config.model.closure
    widths = closure.model_dump(include={"width", "fine_width", "block_widths"}, exclude_none=True)
    changes = {f"model.closure.{name}": value for name, value in widths.items()}
    return train_command("narrow", seed, changes, STUDY["minutes"] + seconds / 60)


def distill(seed: int) -> None:
    """A student of the teacher, and its twin: the same network, trained without a teacher."""
    size, minutes = STUDY["distill"]["size"], STUDY["distill"]["minutes"]
    twin = {"model.networks": max(int(size * open_model("teacher", seed).config.model.networks), 1)}
    budget = ("--minutes", minutes) if seed == FIRST else ("--updates", updates_of("student"))
    student = compress_command("distill", "student", seed, "--size", size, *budget)
    make({"student": student, "twin": train_command("twin", seed, twin, minutes)}, seed)


def train_experts(seed: int) -> None:
    """Mixtures of experts and dense networks."""
    study = STUDY["experts"]

    def command(name: str, changes: Mapping[str, Any], updates: int | None = None) -> list[str]:
        return train_command(name, seed, {**study["common"], **changes}, study["minutes"], updates)

    names = [f"experts {name}" for name in study["runs"]]
    if not all(is_stored(name, seed) for name in names):
        changes = study["runs"].values()
        make({name: command(name, change) for name, change in zip(names, changes, strict=True)}, seed)
        if seed == FIRST:
            save(expert_maps(run_folder("experts mixture", seed), ARCHIVE, SCORING), RESULTS / "experts.png")
    for mixture, changes in study["alike"].items():
        if not is_stored(name := f"experts alike {mixture}", seed):
            make({name: command(name, changes, updates_of("experts dense"))}, seed)


def export(seed: int) -> None:
    """The pruned model with the weights that each precision stores."""
    trained = open_model(PRUNED, seed)
    for precision in PRECISIONS:
        model = nnx.clone(trained.model)
        set_weights(model, {name: as_stored(values, precision) for name, values in named_weights(model).items()})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.npz"
            export_model(trained, path, precision, {})
            size = path.stat().st_size
        score(f"export {precision}", seed, 0.0, dataclasses.replace(trained, model=model), bytes=size)


def time_forecasts(seed: int) -> None:
    """Seconds of ten days of the first seed's models."""
    names = ["teacher", PRUNED, *(name for name, _, _ in pruned_names()), "student"]
    forecasts: dict[str, Callable[[], object]] = {}
    for name in names:
        trained = open_model(name, seed)
        archive = matching_archive(trained, ARCHIVE)
        forecasts[name] = partial(Predictor(trained, [TEN_DAYS]).from_archive, archive, archive.times[[100]])
    write_text(result_path("times", seed), json.dumps(time_in_turns(forecasts, rounds=15), indent=1) + "\n")


PARTS: dict[str, Callable[[int], None]] = {
    "prune": prune,
    "distill": distill,
    "experts": train_experts,
    "export": export,
    "times": time_forecasts,
}


def run_parts(parts: Sequence[str], seed: int, *, replace_teacher: bool = False) -> None:
    """Makes the results of these parts that are not stored."""
    if any(is_missing(part, seed) for part in parts if part != "experts"):
        require_teacher(seed, replace_teacher)
    for part in parts:
        if is_missing(part, seed):
            PARTS[part](seed)


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", choices=STUDY["seeds"], default=STUDY["seeds"])
    parser.add_argument("--replace-teachers", action="store_true", help="train teachers again whose folders are gone")
    options = parser.parse_args()
    require_known(parser, "part", options.parts, PARTS)
    prepare()
    for seed in () if options.tables else options.seeds:
        parts = [part for part in PARTS if part in (options.parts or PARTS)]
        run_parts(parts, seed, replace_teacher=options.replace_teachers)
    if any(load_scores(name) for name, _, _ in pruned_names()):
        save(curves(), RESULTS / "compression.png")
    splice(README, "compression", table())


if __name__ == "__main__":
    main()
