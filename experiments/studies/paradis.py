"""PARADIS, the published program, on the GCM archive: the same data, cores and minutes as the models of pinnwx.

    git clone https://github.com/Wx-Alliance-Alliance-Meteo/paradis_model PARADIS     and pip install torch omegaconf
    python -m experiments.studies.paradis --program PARADIS --minutes 10              nothing else may run
    python -m experiments.studies.paradis --tables                                    only write the table

The network is that of the program (Environment and Climate Change Canada, Apache-2.0, arXiv 2601.21151), with its
settings file. What differs from its published training:

- Data: 13 fields at two times, winds as three Cartesian components as in its settings, all standardised (it has norms
  of its own for humidity); season and hour; orography, land and position.
- Size: width and depth are cut to what ten minutes on two cores can train (`SIZES`).
- Increments: the network gives the next state. In ten minutes it does not learn to copy the present one, so a variant
  gives the change, which is added to the state. Change and loss are in units of the typical change over a step, so
  slow fields count as much as fast ones, as for our models.
- Grid: ours has no rows on the poles. Its padding across a pole mirrors row 0 too, and rows 0 and -1 keep their waves.
- Loss: area-weighted square error, one of its options, instead of a reversed Huber loss.
- Optimiser: AdamW, one of its options, instead of NorMuon, at a learning rate that was not tuned. Warm-up, plateau and
  decay are its own, as fractions of the time. The last fifth of the time trains rollouts of four steps.

Scores go to experiments/results/paradis.json, the table to experiments/README.md.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from experiments.studies import ablations
from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.plain_scores import plain_scores, scores_of
from pinnwx.config import load_config
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import as_archive
from pinnwx.data.windows import window_indices
from pinnwx.grid import Grid
from pinnwx.runtime import product_speed
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.pairing import initial_times_between

SIZES = {"64 x 2": (64, 2, 16), "128 x 3": (128, 3, 32)}  # channels, layers, velocities
INCREMENTS = ", increments"  # ends the name of a variant
VARIANTS = (*SIZES, f"64 x 2{INCREMENTS}")
STEP_HOURS, INPUTS, BATCH = 6, 2, 4
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
WARMUP, DECAY, ROLLOUTS, ROLLOUT = 0.05, 0.2, 0.2, 4
WINDS = (("u500", "v500"), ("u850", "v850"), ("u10", "v10"))
CONSTANTS = ("orography", "lsm", "sine of latitude", "cosine of latitude", "cosine of longitude", "sine of longitude")
SCORING = scoring_of("gcm")
COMPARED = {"gcm_budgets": ("neural_10", "hybrid_10", "hybrid_latent_10")}  # runs by the clock, with as many minutes
VARIABLES = ("z500", "t850", "u500", "q850", "t2m", "msl")


class Variables:
    """Canonical fields and those of the program: winds are three Cartesian components."""

    def __init__(self, names: tuple[str, ...], grid: Grid):
        self.names = names
        longitude = np.broadcast_to(grid.longitude_radians, grid.shape)
        latitude = np.broadcast_to(grid.latitude_radians[:, None], grid.shape)
        zero = np.zeros(grid.shape)
        self.east = np.stack([-np.sin(longitude), np.cos(longitude), zero])
        self.north = np.stack(
            [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)]
        )
        self.scalars = [names.index(name) for name in names if not any(name in pair for pair in WINDS)]

    def cartesian(self, fields: Float[np.ndarray, "*batch field lat lon"]) -> np.ndarray:
        parts = [fields[..., self.scalars, :, :]]
        for u, v in WINDS:
            east, north = (fields[..., [self.names.index(name)], :, :] for name in (u, v))
            parts.append(east * self.east + north * self.north)
        return np.concatenate(parts, axis=-3).astype(np.float32)

    def canonical(self, fields: Float[np.ndarray, "*batch field2 lat lon"]) -> np.ndarray:
        result = np.empty((*fields.shape[:-3], len(self.names), *fields.shape[-2:]), np.float32)
        result[..., self.scalars, :, :] = fields[..., : len(self.scalars), :, :]
        for number, pair in enumerate(WINDS):
            first = len(self.scalars) + 3 * number
            wind = fields[..., first : first + 3, :, :]
            for name, direction in zip(pair, (self.east, self.north), strict=True):
                result[..., self.names.index(name), :, :] = (wind * direction).sum(-3)
        return result


def forcings(times: np.ndarray, grid: Grid) -> Float[np.ndarray, "time 4 lat lon"]:
    """Sine and cosine of the time of day and of the year."""
    day = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "D")
    year = (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D") / 365.25
    angles = 2 * np.pi * np.stack([day, year], axis=1)
    values = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return np.broadcast_to(values[..., None, None], (*values.shape, *grid.shape)).astype(np.float32)


def constants(archive: Archive) -> Float[np.ndarray, "6 lat lon"]:
    """Standardised orography, land, and position."""
    grid = archive.grid
    latitude, longitude = np.broadcast_arrays(grid.latitude_radians[:, None], grid.longitude_radians)
    height = archive.static["orography"]
    parts = [(height - height.mean()) / height.std(), archive.static["lsm"], np.sin(latitude), np.cos(latitude)]
    return np.stack([*parts, np.cos(longitude), np.sin(longitude)]).astype(np.float32)


def network(program: Path, size: tuple[int, int, int], fields: int, grid: Grid) -> Any:
    """The published network, with its own settings file at this size."""
    import torch
    from omegaconf import OmegaConf

    sys.path.insert(0, str(program))
    from model.paradis import Paradis  # of the program

    settings: Any = OmegaConf.load(program / "config" / "paradis_settings.yaml")
    channels, settings.model.num_layers, settings.model.velocity_vectors = size
    settings.model.latent_size = channels
    settings.dataset.n_time_inputs = INPUTS
    settings.features.input.constants = list(CONSTANTS)
    for block in ("velocity_net", "reaction", "output_proj"):
        settings.model.physblock[block].hidden_dim = channels
    data = SimpleNamespace(
        dataset=SimpleNamespace(num_in_dyn_features=INPUTS * fields, num_in_static_features=4 + len(CONSTANTS)),
        num_common_features=fields,
        num_out_features=fields,
    )
    latitude, longitude = np.broadcast_arrays(grid.latitude_radians[:, None], grid.longitude_radians)
    torch.manual_seed(1)
    coordinates = (torch.tensor(each.copy(), dtype=torch.float32) for each in (latitude, longitude))
    return without_pole_rows(Paradis(data, settings, *coordinates))


def without_pole_rows(model: Any) -> Any:
    """The network for a grid without rows on the poles: its padding and its transport assume such rows."""
    import torch

    def padded(self: Any, values: Any) -> Any:
        width, half = self.pad_width, values.shape[-1] // 2
        turned = torch.roll(values, half, dims=-1)
        below, above = turned[..., :width, :].flip(-2), turned[..., -width:, :].flip(-2)
        tall = torch.cat([below, values, above], dim=-2)
        return torch.cat([tall[..., -width:], tall, tall[..., :width]], dim=-1)

    for module in model.modules():
        if type(module).__name__ == "GeoCyclicPadding":
            module.forward = partial(padded, module)
        if type(module).__name__ == "NeuralSemiLagrangian":
            module.enforce_pole_continuity = lambda values: values
    return model


class Program:
    """The network with what it needs of the data; `rollout` is its autoregressive forecast."""

    def __init__(self, model: Any, archive: Archive, training: Archive, *, increments: bool):
        import torch

        self.model, self.archive, self.increments = model, archive, increments
        self.variables = Variables(archive.names, archive.grid)
        own = self.variables.cartesian(training.fields)
        self.mean = own.mean((0, 2, 3), keepdims=True)[0]
        self.std = own.std((0, 2, 3), keepdims=True)[0]
        self.states = torch.tensor((self.variables.cartesian(archive.fields) - self.mean) / self.std)
        change = np.diff(own, axis=0).std((0, 2, 3), keepdims=True)[0] / self.std
        self.change = torch.tensor(change.astype(np.float32) if increments else np.float32(1.0))
        self.forcings = torch.tensor(forcings(archive.times, archive.grid))
        self.constants = torch.tensor(constants(archive))

    def rollout(self, rows: Any, steps: int, start: Any) -> Iterator[Any]:
        """The states of `steps` steps from two states; `rows` are the archive indices of their initial times."""
        import torch

        before, now = start
        still = self.constants.expand(len(rows), *self.constants.shape)
        for step in range(steps):
            time_features = self.forcings[torch.clamp(rows + step, max=len(self.forcings) - 1)]
            output = self.model(torch.cat([before, now, time_features, still], dim=1))
            before, now = now, now + self.change * output if self.increments else output
            yield now

    def forecasts(self, starts: Int[np.ndarray, " init"], leads: tuple[int, ...]) -> np.ndarray:
        """Canonical fields (init, lead, field, lat, lon)."""
        import torch

        rows = torch.tensor(np.asarray(starts), dtype=torch.long)
        with torch.no_grad():
            states = list(self.rollout(rows, max(leads) // STEP_HOURS, (self.states[rows - 1], self.states[rows])))
        chosen = torch.stack([states[lead // STEP_HOURS - 1] for lead in leads], dim=1).numpy()
        return self.variables.canonical(chosen * self.std + self.mean)


def train(program: Program, rows: Int[np.ndarray, "window times"], minutes: float) -> int:
    """Trains for some minutes; returns the number of updates."""
    import torch

    weights = torch.tensor(program.archive.grid.area_weights, dtype=torch.float32)
    optimiser = torch.optim.AdamW(
        program.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.95)
    )
    generator, begun = np.random.default_rng(1), time.monotonic()
    deadline = begun + 60 * minutes

    def update(steps: int) -> None:
        window = torch.tensor(rows[generator.integers(len(rows), size=BATCH)], dtype=torch.long)
        states = program.states[window]
        loss = torch.zeros(())
        for step, state in enumerate(program.rollout(window[:, 1], steps, (states[:, 0], states[:, 1]))):
            loss = loss + (weights * ((state - states[:, step + 2]) / program.change) ** 2).mean() / steps
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def fraction() -> float:
        return (time.monotonic() - begun) / (60 * minutes)

    updates = 0
    while time.monotonic() < deadline:
        passed = fraction()
        factor = min(passed / WARMUP, 1.0, (1 - passed) / DECAY)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * max(factor, 1e-3)
        update(1 if passed < 1 - ROLLOUTS else ROLLOUT)
        updates += 1
        if updates % 100 == 0:
            print(f"update {updates}, {100 * passed:.0f} % of the time", flush=True)
    return updates


def measure(folder: Path, variant: str, minutes: float) -> dict[str, Any]:
    """Trains a variant of the program and scores it like the models of pinnwx."""
    speeds, begun = [product_speed()], time.monotonic()
    config = load_config(EXPERIMENTS / "gcm_neural.toml")
    archive = as_archive(DATA / SCORING.folder, config.data.fields, static=config.data.static)
    training = archive.select(config.data.train.start, config.data.train.end)
    size = SIZES[variant.removesuffix(INCREMENTS)]
    model = network(folder, size, len(Variables(archive.names, archive.grid).scalars) + 9, archive.grid)
    program = Program(model, archive, training, increments=variant.endswith(INCREMENTS))
    windows = window_indices(training.times, STEP_HOURS, INPUTS - 1 + ROLLOUT)
    windows = windows + np.searchsorted(archive.times, training.times[0])  # rows of the whole archive
    used = (time.monotonic() - begun) / 60
    updates = train(program, windows, minutes - used)
    seconds = time.monotonic() - begun
    speeds.append(product_speed())
    leads = SCORING.leads
    scores = score_hindcasts(
        archive, partial(program.forecasts, leads=leads), None,
        initial_times_between(archive, SCORING.start, SCORING.end), leads,
        inputs=np.array([-STEP_HOURS, 0], "timedelta64[h]").astype("timedelta64[s]"), run=f"PARADIS {variant}",
    )  # fmt: skip
    return {
        "updates": updates, "seconds": round(seconds, 1), "gflops": [round(speed, 1) for speed in speeds],
        "parameters": sum(each.numel() for each in model.parameters()), "minutes": minutes,
        **plain_scores(scores, "details"),
    }  # fmt: skip


def table(figures: Mapping[str, Any]) -> str:
    """RMSE over persistence of the program's variants and of our models."""
    if not figures:
        return "Not run yet.\n"
    columns = {f"PARADIS {variant}": one for variant, one in figures.items()}
    scores = {name: scores_of(one, name) for name, one in columns.items()}
    costs = dict(columns)
    for study, names in COMPARED.items():
        for run, own in ablations.scored(ablations.runs_in(study)):
            if run.seed == 1 and run.name in names:
                scores[run.name], costs[run.name] = own, ablations.cost_of(run)
    rows: list[list[object]] = []
    for variable in VARIABLES:
        for lead in SCORING.leads:
            entries = [one.entry(variable, lead) for one in scores.values()]
            rows.append([f"{variable} {lead} h", *(f"{e['rmse'] / e['persistence_rmse']:.3f}" for e in entries)])
    rows.append(["variance, q850 24 h", *(f"{ablations.variance(one, 'q850', 24):.2f}" for one in scores.values())])
    for key in ("updates", "parameters"):
        rows.append([key, *(f"{cost[key]:,}" for cost in costs.values())])
    rows.append(
        ["GFLOP/s before and after", *(" ".join(map(str, cost.get("gflops", ["-"]))) for cost in costs.values())]
    )
    return "\n".join(["RMSE over that of persistence.\n", *markdown_table(["field, lead", *scores], rows), ""])


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--program", type=Path, help="the folder of the published program")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each size, default 10")
    options = parser.parse_args()
    stored = StoredFigures(RESULTS / "paradis.json")
    if not options.tables:
        if options.program is None:
            parser.error("--program names the folder of the published program")
        stored.measure_missing({one: partial(measure, options.program, one, options.minutes) for one in VARIANTS})
    splice(README, "paradis", table(stored.figures))


if __name__ == "__main__":
    main()
