"""How much of what the weather does in one step the equations know, with nothing learned.

    python scripts/increments.py

For each hybrid experiment, with the wind of the start and of the midpoint of a step: the share of the variance of a
field's change that the increment of transport explains, after one factor for the whole field. Over the last `ANALYSES`
analyses of the training time, area-weighted, without the time-mean change at each place. Figures go to
experiments/results/increments.json, the table to experiments/README.md.
"""

from __future__ import annotations

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
from trial import DATA, EXPERIMENTS, RESULTS, scoring_of, splice

from pinnwx.config import Config, load_config
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.files import write_text
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.preparation import training_archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.runtime import prepare
from pinnwx.training.fit import device_archive

NAMES = ("era5_hybrid", "europe_hybrid", "gcm_hybrid")
WINDS = ("start", "midpoint")
ANALYSES, BATCH = 240, 16
NO_TRANSPORT = ("network", "climate", "boundary")


def with_winds(config: Config, winds: str) -> Config:
    """The same experiment, its fields carried by other winds."""
    physics = config.model.physics.model_copy(update={"wind_time": winds})
    return config.model_copy(update={"model": config.model.model_copy(update={"physics": physics})})


def explained(config: Config, archive: Archive) -> dict[str, float]:
    """Share of the variance of each carried field's change over a step; an untrained gate is 1, its network silent."""
    model = networks_of(TrainedModel.initialise(config, archive).model)[0]
    source = device_archive(archive, config.model.step_hours)
    windows = window_indices(archive.times, config.model.step_hours, model.input_times)[-ANALYSES:]
    windows = windows[len(windows) % BATCH :]

    @jax.jit
    def increment(rows):
        parts = model.tendency_terms(source.fields[rows[:, :-1]], source.time[rows[:, -2]])
        return sum(part for name, part in parts.items() if name not in NO_TRANSPORT)

    made = jnp.concatenate([increment(rows) for rows in windows.reshape(-1, BATCH, windows.shape[1])])
    happened = source.fields[windows[:, -1]] - source.fields[windows[:, -2]]
    made, happened = (np.asarray(part, np.float64) for part in (made, happened))
    made, happened = made - made.mean(0), happened - happened.mean(0)
    weights = archive.grid.area_weights

    def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (weights * one * other).mean((0, 2, 3))

    moved = np.flatnonzero(product(made, made) > 0)
    share = product(made, happened)[moved] ** 2 / product(made, made)[moved] / product(happened, happened)[moved]
    return {archive.names[index]: round(float(one), 3) for index, one in zip(moved, share, strict=True)}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    prepare()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in NAMES:
        config = load_config(EXPERIMENTS / f"{name}.toml")
        archive = training_archive(config, DATA / scoring_of(name).folder)
        found[name] = {winds: explained(with_winds(config, winds), archive) for winds in WINDS}
    write_text(RESULTS / "increments.json", json.dumps(found, indent=1) + "\n")
    lines = [
        "| experiment, field | " + " | ".join(f"wind of the {winds}" for winds in WINDS) + " |",
        "| --- | --- | --- |",
    ]
    for name, by_winds in found.items():
        for field in by_winds[WINDS[0]]:
            shares = " | ".join(f"{by_winds[winds][field]:.0%}" for winds in WINDS)
            lines.append(f"| {name}, {field} | {shares} |")
    splice(EXPERIMENTS / "README.md", "increments", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
