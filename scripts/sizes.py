"""How small the ERA5 hybrid becomes: pruned, distilled, as a mixture of experts, and in eight bits.

    python scripts/sizes.py                       all that is not stored yet, one after another
    python scripts/sizes.py prune --seeds 1       only this part, of this seed (its teacher is trained first)
    python scripts/sizes.py --tables              only write tables and pictures anew

Parts:
    prune       every order of importance at every size, from the same teacher, with the same number of updates; half of
                the channels in as many minutes as the teacher had, by attribution and by chance; and a network of
                those widths trained from scratch for as long as teacher and pruning took together
    distill     a student and its twin that sees only the weather, in turn, in as many minutes
    experts     a mixture, a dense network of as much computing and one of as many weights, in turn; a map of where each
                expert works; and what else was tried, with as many updates as the dense network made
    export      the model pruned in minutes, in float32, bfloat16 and int8: sizes, and what rounding costs
    times       ten days of teacher, pruned and student, called in turn

The first seed is trained by the clock; the others make as many updates as it did, so they can be trained anywhere. A
seed's teacher is trained where anything is to be made of it and its run folder is not there.
Settings: experiments/ablations/compression.toml. Scores go to experiments/results/compression/, tables to
experiments/README.md.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import statistics
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from ablations import change
from flax import nnx
from matplotlib.figure import Figure
from stopwatch import in_turn
from trial import DATA, EXPERIMENTS, RESULTS, RUNS, scoring_of, splice, train_in_turn

from pinnwx.compression.prune import BETWEEN
from pinnwx.config import load_config
from pinnwx.files import write_text
from pinnwx.forecasting.portable import PRECISIONS, as_stored, export_model
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained import WEIGHTS, Trained
from pinnwx.grid import Grid
from pinnwx.jobs.evaluate import matching_archive, score_on
from pinnwx.jobs.explain import explain
from pinnwx.jobs.runs import Run
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.reporting.panel import Panel, draw_map, empty_figure
from pinnwx.reporting.style import PART_COLOURS, save
from pinnwx.runtime import prepare
from pinnwx.verification.comparison import compare_scores
from pinnwx.verification.results import Scores, in_lines

STUDY = tomllib.loads((EXPERIMENTS / "ablations" / "compression.toml").read_text())
STORED, FOLDER = RESULTS / "compression", RUNS / "compression"
SCORING = scoring_of(STUDY["base"])
ARCHIVE = DATA / SCORING.folder
LEADS = (6, 24, 72)
VARIABLES = ("msl", "vo850")
HEADLINE = ("msl", 24)
PRUNED, BY_CHANCE = "pruned", "pruned by chance"  # in minutes
PARTS = ("prune", "distill", "experts", "export", "times")
TEN_DAYS = 240.0


def stored(name: str, seed: int) -> Path:
    return STORED / f"{name.replace(' ', '_')}.{seed}.json"


def folder(name: str, seed: int) -> Path:
    return FOLDER / f"{name.replace(' ', '_')}.{seed}"


def by_clock(seed: int) -> bool:
    return seed == STUDY["seeds"][0]


def updates_of(name: str) -> int:
    """That the first seed's model made in its minutes."""
    return json.loads(stored(name, STUDY["seeds"][0]).read_text())["made"]["updates"]


def train_words(name: str, seed: int, changes: dict[str, Any], minutes: float, like: str = "") -> list[str]:
    """Trains the base experiment with these changes: for minutes, or for as many updates as the first seed's, or as
    the first seed of a model that it is to be `like`."""
    timed = by_clock(seed) and not like
    if not timed:
        changes = {**changes, "training.updates": updates_of(like or name)}
    settings = tomllib.loads((EXPERIMENTS / f"{STUDY['base']}.toml").read_text())
    for path, value in changes.items():
        change(settings, path, copy.deepcopy(value))
    settings |= {"seed": seed, "name": f"compression_{name.replace(' ', '_').replace('.', '')}_{seed}"}
    config = folder(name, seed).with_suffix(f".{seed}.toml")
    config.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, tomli_w.dumps(settings))
    words = ["train", config, "--data", ARCHIVE, "--out", folder(name, seed), "--force"]
    return [*map(str, words), *(["--minutes", str(minutes)] if timed else [])]


def compress_words(name: str, seed: int, *options: object) -> list[str]:
    words = ["compress", "--run", folder("teacher", seed), "--data", ARCHIVE, "--out", folder(name, seed), *options]
    return [*map(str, words), "--force"]


def rivals(names: Sequence[str], seed: int, verbs: Sequence[list[str]]) -> None:
    """Runs verbs in turn, none sharing compiled code with another, and scores what they made."""
    with ExitStack() as held:
        caches = [{"PINNWX_CACHE": held.enter_context(tempfile.TemporaryDirectory())} for _ in verbs]
        seconds = train_in_turn(verbs, caches)
    for name, took in zip(names, seconds, strict=True):
        score(name, seed, took)


def score(name: str, seed: int, seconds: float, trained: Trained | None = None, **more: Any) -> None:
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
    found = score_on(predictor, archive, SCORING.start, SCORING.end, predictor.needed_offsets).to_dict()
    found["made"] = {"seconds": seconds, **more}
    STORED.mkdir(parents=True, exist_ok=True)
    write_text(stored(name, seed), in_lines(found, "scores"))
    ratio = next(e for e in found["scores"] if (e["variable"], e["lead_hours"]) == HEADLINE)["persistence_ratio"]
    print(f"{name} seed {seed}: {ratio:.4f} of persistence, {seconds:.0f} s", flush=True)


def teacher(seed: int) -> None:
    """The model that the others are made from."""
    if not stored("teacher", seed).is_file() or not folder("teacher", seed).is_dir():
        for path in STORED.glob(f"*.{seed}.json"):  # what was made of another teacher
            if not path.name.startswith("experts"):
                path.unlink()
        rivals(["teacher"], seed, [train_words("teacher", seed, {}, STUDY["minutes"])])


def pruned_names() -> Iterator[tuple[str, str, float]]:
    for keep in STUDY["prune"]["keeps"]:
        for order in STUDY["prune"]["orders"]:
            yield f"{order} {keep}", order, keep


def prune(seed: int) -> None:
    study, first = STUDY["prune"], STUDY["seeds"][0]
    for name, order, keep in pruned_names():
        prune_once(name, seed, order, keep, "--updates", study["updates"])
    for name, order in ((PRUNED, study["order"]), (BY_CHANCE, "random")):
        budget = ("--minutes", study["minutes"]) if by_clock(seed) else ("--updates", pruning_updates())
        prune_once(name, seed, order, study["keep"], *budget)
    if not by_clock(seed) and not stored("narrow", first).is_file():
        print(f"narrow seed {seed}: waits for that of seed {first}, whose updates it makes", flush=True)
    elif not stored("narrow", seed).is_file():
        rivals(["narrow"], seed, [narrow_words(seed)])


def prune_once(name: str, seed: int, order: str, keep: float, *budget: object) -> None:
    if not stored(name, seed).is_file():
        rivals([name], seed, [compress_words(name, seed, "--prune", "--keep", keep, "--order", order, *budget)])


def pruning_updates() -> int:
    """Of a pruning that makes as many updates after its rounds as the first seed's, which had minutes. Between them,
    where updates cost least, that made more: rounds have a share of the time where there is no number of updates."""
    rounds = load_config(EXPERIMENTS / f"{STUDY['base']}.toml").compression.rounds
    return round(updates_of(PRUNED) / (1 - (rounds - 1) * BETWEEN))


def narrow_words(seed: int) -> list[str]:
    """Trains a network of the widths of the pruned one, for as long as that and its teacher took."""
    made = json.loads(stored(PRUNED, seed).read_text())["made"]
    closure = Run.open(folder(PRUNED, seed)).load().config.model.closure
    widths = closure.model_dump(include={"width", "fine_width", "block_widths"})
    alike = {f"model.closure.{name}": value for name, value in widths.items()}
    return train_words("narrow", seed, alike, STUDY["minutes"] + made["seconds"] / 60)


def distill(seed: int) -> None:
    size, minutes = STUDY["distill"]["size"], STUDY["distill"]["minutes"]
    alike = {"model.members": max(int(size * Run.open(folder("teacher", seed)).load().config.model.members), 1)}
    budget = ("--minutes", minutes) if by_clock(seed) else ("--updates", updates_of("student"))
    student = compress_words("student", seed, "--distill", "--size", size, *budget)
    rivals(["student", "twin"], seed, [student, train_words("twin", seed, alike, minutes)])


def experts(seed: int) -> None:
    study = STUDY["experts"]

    def words(name: str, changes: dict[str, Any], like: str = "") -> list[str]:
        return train_words(name, seed, {**study["common"], **changes}, study["minutes"], like)

    names = [f"experts {name}" for name in study["runs"]]
    if not all(stored(name, seed).is_file() for name in names):
        rivals(names, seed, [words(*run) for run in zip(names, study["runs"].values(), strict=True)])
        if by_clock(seed):
            save(expert_maps(folder("experts mixture", seed)), RESULTS / "experts.png")
    for tried, changes in study["alike"].items():
        if not stored(name := f"experts alike {tried}", seed).is_file():
            rivals([name], seed, [words(name, changes, "experts dense")])


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
    trained = Run.open(folder(PRUNED, seed)).load()
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
        trained = Run.open(folder(name, seed)).load()
        predictor, archive = Predictor(trained, [TEN_DAYS]), matching_archive(trained, ARCHIVE)
        when = archive.times[[100]]
        functions[name] = lambda predictor=predictor, archive=archive, when=when: predictor.from_archive(archive, when)
    write_text(stored("times", seed), json.dumps(in_turn(functions, rounds=15), indent=1) + "\n")


def missing(part: str, seed: int) -> bool:
    """Whether any of its results is not stored."""
    runs = STUDY["experts"]
    names = {
        "prune": [*(name for name, _, _ in pruned_names()), PRUNED, BY_CHANCE, "narrow"],
        "distill": ["student", "twin"],
        "experts": [f"experts {name}" for name in (*runs["runs"], *(f"alike {name}" for name in runs["alike"]))],
        "export": [f"export {precision}" for precision in PRECISIONS],
        "times": ["times"] if by_clock(seed) else [],
    }[part]
    return not all(stored(name, seed).is_file() for name in names)


def scores(name: str) -> dict[int, Scores]:
    """By seed, of those stored."""
    return {seed: Scores.load(stored(name, seed)) for seed in STUDY["seeds"] if stored(name, seed).is_file()}


def made(name: str, key: str) -> float:
    return statistics.median(json.loads(stored(name, seed).read_text())["made"][key] for seed in scores(name))


def seconds_of(name: str) -> str:
    """Of making the first seed's, where that was made on this kind of machine."""
    path = stored(name, STUDY["seeds"][0])
    made = json.loads(path.read_text())["made"] if path.is_file() else {}
    return f"{made['seconds']:,.0f}" if made.get("device") == "cpu" else "-"


def ratios(name: str, other: str, variable: str, lead: int) -> list[float]:
    """RMSE over that of another model of the same seed."""
    found, against = scores(name), scores(other)
    return [found[s].entry(variable, lead)["rmse"] / against[s].entry(variable, lead)["rmse"]
            for s in found if s in against]  # fmt: skip


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def paired(name: str, other: str) -> str:
    """The headline ratio of the first seed with its bounds."""
    found, against = scores(name), scores(other)
    seed = min(set(found) & set(against), default=None)
    if seed is None:
        return "-"
    both = [Scores((one[seed].entry(*HEADLINE),), settings=one[seed].settings) for one in (found, against)]
    ratio = compare_scores(*both).ratios[0]
    return f"{ratio['ratio']:.3f} ({ratio['ratio_low']:.3f}-{ratio['ratio_high']:.3f})"


def rows(names: Sequence[tuple[str, str]], other: str) -> list[str]:
    """A row a model: what it weighs, and its errors over another's, mean and spread over seeds."""
    lines = head("", "seeds", "weights", "KiB", "s", *TITLES, "paired")
    for label, name in names:
        if not scores(name):
            continue
        facts = [f"{len(scores(name))}", f"{made(name, 'parameters'):,.0f}", f"{made(name, 'bytes') / 1024:,.0f}"]
        lines.append(
            f"| {label} | " + " | ".join([*facts, seconds_of(name), over(name, other), paired(name, other)]) + " |"
        )
    return lines


def over(name: str, other: str) -> str:
    """Cells of a row: a model's errors over another's."""
    return " | ".join(spread(ratios(name, other, *shown)) for shown in SHOWN)


SHOWN = [(variable, lead) for variable in VARIABLES for lead in LEADS]
TITLES = [f"{variable} {lead} h" for variable, lead in SHOWN]


def head(*titles: str) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]


def table() -> str:
    """All of it, as text for a README."""
    if not scores("teacher"):
        return "Not run yet.\n"
    of_persistence = [
        np.mean([one.entry(*shown)["persistence_ratio"] for one in scores("teacher").values()]) for shown in SHOWN
    ]
    told = ", ".join(f"{title} {value:.3f}" for title, value in zip(TITLES, of_persistence, strict=True))
    lines = []
    lines.append(
        "RMSE over that of another model of the same seed, mean of the seeds (least-most); last, the ratio of "
        f"{HEADLINE[0]} at {HEADLINE[1]} h of the first seed with its 95 % bounds, paired by day. Seconds are "
        f"of making the first seed's, where that was done on CPU cores. The teachers over persistence: {told}.\n"
    )
    study = STUDY["prune"]
    pruned = [(f"{order}, {keep:.0%} of the channels", name) for name, order, keep in pruned_names()]
    lines += [f"**Pruned**, over the teacher, with {study['updates']:,} updates of all members.\n"]
    lines += rows([("teacher", "teacher"), *pruned], "teacher")
    lines += ["\nThe orders over random, of the same size:\n", *head("", *TITLES)]
    lines += [
        f"| {label} | {over(name, f'random {name.split()[1]}')} |" for label, name in pruned if "random" not in name
    ]
    lines += [f"\n**Pruned in {study['minutes']} minutes**, over the teacher of {STUDY['minutes']}.\n"]
    half = f"{study['keep']:.0%} of the channels"
    longer = [(f"{study['order']}, {half}", PRUNED), (f"random, {half}", BY_CHANCE)]
    lines += rows([*longer, ("of those widths, from scratch, in as long as both", "narrow")], "teacher")
    lines += ["\n**Distilled**, over the teacher.\n"]
    lines += rows([("student", "student"), ("its twin, untaught", "twin")], "teacher")
    lines += ["\nThe student over its twin:\n", *head(*TITLES), f"| {over('student', 'twin')} |"]
    lines += ["\n**A mixture of experts**, over the dense network of as much computing.\n"]
    lines += rows([(name, f"experts {name}") for name in STUDY["experts"]["runs"]], "experts dense")
    lines += ["\nWith as many updates as the dense network, whatever time that takes, over it:\n"]
    lines += rows([(name, f"experts alike {name}") for name in STUDY["experts"]["alike"]], "experts dense")
    if scores("export float32"):
        lines += ["\n**Exported**: what was pruned in minutes, with weights as they are stored, over itself.\n"]
        lines += head("weights", "KiB of the artefact", *TITLES)
    for precision in PRECISIONS:
        if scores(name := f"export {precision}"):
            lines.append(f"| {precision} | {made(name, 'bytes') / 1024:,.0f} | {over(name, 'export float32')} |")
    lines += speeds()
    pictures = {"compression.png": "Error against size", "experts.png": "Where each expert works"}
    there = [f"![{words}](results/{name})" for name, words in pictures.items() if (RESULTS / name).is_file()]
    return "\n".join([*lines, "", *there, ""])


def speeds() -> list[str]:
    """Seconds of ten days of the first seed's models."""
    path = stored("times", STUDY["seeds"][0])
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    whole = found["teacher"]["median"]
    lines = ["\n**Ten days**, called in turn.\n", *head("model", "seconds: median (least-most)", "times faster")]
    for name, took in found.items():
        seconds = f"{took['median']:.3f} ({took['least']:.3f}-{took['most']:.3f})"
        lines.append(f"| {name} | {seconds} | {whole / took['median']:.2f} |")
    return lines


def curves() -> Figure:
    """Error of the pruned models by order, against their size and against the time of a forecast."""
    figure = Figure(figsize=(9.5, 6.6), layout="constrained")
    panels = figure.subplots(2, len(VARIABLES), sharex="row", sharey="col")
    path = stored("times", STUDY["seeds"][0])
    times = json.loads(path.read_text()) if path.is_file() else {}
    measures = (
        ("trained numbers, 4 bytes each in the file", lambda name: made(name, "parameters") if scores(name) else None),
        ("seconds of ten days", lambda name: times[name]["median"] if name in times and scores(name) else None),
    )
    for row, (what, measure) in zip(panels, measures, strict=True):
        for axes, variable in zip(row, VARIABLES, strict=True):
            for colour, order in zip(PART_COLOURS[::2], STUDY["prune"]["orders"], strict=False):
                names = ["teacher", *(name for name, of, _ in pruned_names() if of == order)]
                names = [name for name in names if measure(name) is not None]
                values = [ratios(name, "teacher", variable, HEADLINE[1]) for name in names]
                means, low, high = (np.array([of(one) for one in values]) for of in (np.mean, min, max))
                look = {"color": colour, "label": order, "markersize": 4, "capsize": 3}
                axes.errorbar([measure(name) for name in names], means, [means - low, high - means], fmt="o-", **look)
            others = (
                (f"pruned, {STUDY['prune']['minutes']} min", PRUNED, "D"),
                ("student", "student", "*"),
                ("from scratch", "narrow", "s"),
            )
            for label, name, marker in others:
                if (x := measure(name)) is not None:
                    value = np.mean(ratios(name, "teacher", variable, HEADLINE[1]))
                    axes.plot(x, value, marker, color="black", label=label, linestyle="none")
            axes.set_title(f"{variable}, {HEADLINE[1]} h", fontsize="medium")
            axes.set(xlabel=what, ylabel="RMSE over the teacher's")
            axes.grid(color="0.85", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize="small")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=STUDY["seeds"])
    parser.add_argument("--tables", action="store_true", help="only write tables and pictures anew")
    given = parser.parse_args()
    prepare()
    make = {"prune": prune, "distill": distill, "experts": experts, "export": export, "times": times}
    for seed in () if given.tables else given.seeds:
        wanted = given.parts or PARTS
        if any(missing(part, seed) for part in wanted if part != "experts"):
            teacher(seed)
        for part in wanted:
            if missing(part, seed):
                make[part](seed)
    if any(scores(name) for name, _, _ in pruned_names()):
        save(curves(), RESULTS / "compression.png")
    splice(EXPERIMENTS / "README.md", "compression", table())


if __name__ == "__main__":
    main()
