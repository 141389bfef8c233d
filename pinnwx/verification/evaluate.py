"""Scores hindcasts and their baselines against analyses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.verification.baselines import Baseline, ClimatologyLike, climatology_at, departures, persistence
from pinnwx.verification.fitted_baselines import describe_fit, fit_baselines
from pinnwx.verification.pairing import NO_HISTORY, Pairs, lead_deltas, pair_by_time, time_mean
from pinnwx.verification.results import Scores
from pinnwx.verification.scores import ScoreAccumulator
from pinnwx.verification.significance import BlockBootstrap, describe


@runtime_checkable
class Hindcaster(Protocol):
    """The interface of a model for verification."""

    def __call__(self, init_indices: Int[np.ndarray, " init"], /) -> np.ndarray:
        """Forecasts (init, lead, field, lat, lon) from the analyses at these archive indices, at the scored leads."""
        ...


def score_hindcasts(
    archive: Archive,
    rollout: Hindcaster,
    climatology: ClimatologyLike | None,
    initial_times: Shaped[np.ndarray, " init"],
    lead_hours: Sequence[float | int],
    *,
    batch_size: int = 16,
    inputs: Shaped[np.ndarray, " input"] = NO_HISTORY,
    training: Archive | None = None,
    bootstrap: BlockBootstrap = BlockBootstrap(),  # noqa: B008
    progress: Callable[[int, int], None] | None = None,
    run: str | None = None,
) -> Scores:
    """Scores of a model and its baselines on the same pairs.

    Initial times without their analyses and pairs without truth are skipped and counted. Only the fields of one batch
    are in memory. All batches have the same size, so that a rollout is compiled once.

    Args:
        archive: the analyses, which provide initial states and truth.
        rollout: a `Hindcaster`.
        climatology: a `ClimatologyLike` fitted on the training time; with `None`, its scores are undefined.
        initial_times: as `datetime64`; duplicates count once.
        lead_hours: the leads of the forecasts of `rollout`, in their order.
        batch_size: the largest number of initial times in one call of `rollout`.
        inputs: the times of the input analyses of a forecast, as `timedelta64` from its initial time.
        training: the analyses of the training time and no others, on which damped persistence and the linear inverse
            model are fitted; with `None`, their scores are undefined.
        bootstrap: the method of the confidence bounds.
        progress: called after each batch with the number of finished initial times and their total.
        run: the name of the run in the result.

    Raises:
        UnavailableError: there is no pair to score.
        StabilityError: a forecast is not finite; the message names its initial time, lead and field.
    """
    pairs = pair_by_time(archive, initial_times, lead_hours, inputs=inputs)
    return score_pairs(
        archive, rollout, climatology, pairs, training=training, batch_size=batch_size, bootstrap=bootstrap,
        progress=progress, run=run,
    )  # fmt: skip


def score_pairs(
    archive: Archive,
    rollout: Hindcaster,
    climatology: ClimatologyLike | None,
    pairs: Pairs,
    *,
    training: Archive | None = None,
    batch_size: int,
    bootstrap: BlockBootstrap,
    progress: Callable[[int, int], None] | None = None,
    run: str | None = None,
) -> Scores:
    """Like `score_hindcasts`, for matched pairs; forecasts without truth are ignored."""
    test_means = {
        lead: time_mean(archive, column[column >= 0])
        for lead, column in zip(pairs.lead_hours, pairs.truth_indices.T, strict=True)
    }
    fitted = fit_baselines(training, climatology, pairs.lead_hours)
    accumulator = ScoreAccumulator(archive.names, archive.grid, test_means)
    n = len(pairs.init_indices)
    n_batches = -(-n // batch_size)
    size = -(-n // n_batches)
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        padded = np.pad(rows, (0, size - len(rows)), mode="edge")
        forecasts = np.asarray(rollout(pairs.init_indices[padded]))
        expected = (size, len(pairs.lead_hours), *archive.fields.shape[1:])
        if forecasts.shape != expected:
            raise ValueError(f"rollout returned {forecasts.shape}, not {expected} (init, lead, field, lat, lon)")
        _add(accumulator, archive, climatology, fitted, pairs, rows, forecasts)
        if progress is not None:
            progress(int(rows[-1]) + 1, n)
    return Scores(
        scores=tuple(accumulator.table(bootstrap)),
        run=run,
        skipped=pairs.skipped,
        settings=_settings(archive, archive.times[pairs.init_indices], pairs.lead_hours, bootstrap)
        | {"baselines": describe_fit(training, fitted)},
    )


def _add(
    accumulator: ScoreAccumulator,
    archive: Archive,
    climatology: ClimatologyLike | None,
    fitted: Mapping[str, Baseline],
    pairs: Pairs,
    rows: np.ndarray,
    forecasts: np.ndarray,
) -> None:
    """Adds the pairs of one batch that have a truth, for each lead."""
    for column, lead in enumerate(pairs.lead_hours):
        has_truth = pairs.truth_indices[rows, column] >= 0
        if not has_truth.any():
            continue
        init, truth = pairs.init_indices[rows][has_truth], pairs.truth_indices[rows, column][has_truth]
        expected = climatology_at(climatology, archive, archive.times[truth])
        known = {"persistence": persistence(archive, init), "climatology": expected}
        if climatology is not None and fitted:
            start = departures(climatology, archive, init)
            known |= {name: baseline(start, expected, lead) for name, baseline in fitted.items()}
        baselines = {name: fields for name, fields in known.items() if fields is not None}
        accumulator.add(
            archive.times[init], lead, forecasts[: len(rows), column][has_truth], archive.fields[truth], baselines
        )


def _settings(
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    lead_hours: Sequence[float | int],
    bootstrap: BlockBootstrap,
) -> dict:
    """The settings of the scores, for their record."""
    return {
        "first_initial_time": format_time(initial_times.min()),
        "last_initial_time": format_time(initial_times.max()),
        "last_valid_time": format_time(min(initial_times.max() + lead_deltas(lead_hours).max(), archive.times[-1])),
        "initial_times": len(initial_times),
        "lead_hours": [int(lead) if lead.is_integer() else lead for lead in map(float, lead_hours)],
        "variables": list(archive.names),
        "units": "SI",
        "grid": str(archive.grid),
        "weighting": "cell area",
        "acc_reference": "training climatology",
        "acc_wb1_reference": "mean of the truth over the scored valid times of each lead",
        "bootstrap": describe(bootstrap),
    }
