"""Calibrates the ensembles of a cross-fitted model on its training time, and stores the result with the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pinnwx.data.archive import Archive
from pinnwx.data.find import Paths
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.files import writing
from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.ensemble import PERTURBATION_SCALE, Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.out_of_fold import CROSS_FITTED, OutOfFoldEnsembles, out_of_fold_ensembles
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel, load_optimiser
from pinnwx.jobs.events import recorded
from pinnwx.jobs.scored_area import ScoredArea, training_part
from pinnwx.runtime import prepare
from pinnwx.training.progress import shown
from pinnwx.verification.calibrating import FEWEST_FORECASTS, Amplitudes, fit_calibration, fit_scales

CALIBRATED_FROM = "calibrated_from"  # in the manifest: the version whose weights these are
_MEMBERS, _MOST_ENSEMBLES, _MOST_BYTES = 8, 128, 2**30  # for a calibration, and of the errors that it is fitted on
_MEMBERS_OF_SCALES, _ENSEMBLES_OF_SCALES, _LAST_OF_SCALES = 4, 32, 72  # h
_FIRST_DAY = (6.0, 12.0)  # leads [h], besides whole days
_ROUNDING = 1e-6  # steps


@dataclass(frozen=True)
class Calibrated:
    """What `calibrate` did: the version that is live now, and its calibration."""

    version: str
    calibration: Calibration


def calibrate(run: str | Path, data: Paths, *, progress: Callable[[int], None] | None = None) -> Calibrated:
    """Fits the ensembles of the live version, which has to be cross-fitted, and makes them a new live version.

    Fitted are the scales of perturbed analyses and of model errors, and then a calibration of the members
    (`verification.calibrating`), at 6 and 12 h and at whole days, up to half a block of cross-fitting. The weights are
    those of the live version, so single forecasts do not change. `forecast` and `evaluate` use the calibration where
    they are called with `calibrated`. An interruption leaves nothing; start again.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores with the training time.
        progress: is called with the number of ensembles that were computed.

    Raises:
        UsageError: the model is not cross-fitted, or its grid is too large.
        StabilityError: an ensemble of the training time is not finite.
        UnavailableError: the data lack the training time, or hold too little of it.
        LockedError: another job is at work in the run.
        MissingInputError, CheckpointError, DataError, OutputError: as their names say.
    """
    prepare()
    opened = Run.open(run)
    with recorded(run, "calibrate") as event, opened.lock():
        live = opened.live
        trained, optimiser = TrainedModel.load(opened.version(live)), load_optimiser(opened.version(live))
        _ = opened.next_version  # which raises if no version can be added
        leads = _require_leads(trained)
        training = training_part(trained, matching_archive(trained, data))
        with shown(progress, lambda count: f"fitting ensembles: {count:,} computed") as show:
            calibration = None if training is None else fitted_calibration(trained, training, leads, show)
        if calibration is None:
            raise UnavailableError(
                "the data hold too little of the training time of the model to calibrate its ensembles; give all of it "
                "as --data"
            )
        successor, notes = replace(trained, calibration=calibration), {**trained.notes, CALIBRATED_FROM: live}
        with writing(opened.folder):
            name = opened.publish(successor, notes, optimiser, ends_training=False)
        event.details |= {"version": name, "forecasts": calibration.forecasts}
    return Calibrated(name, calibration)


def _require_leads(trained: TrainedModel) -> list[float]:
    """The leads to fit.

    Raises:
        UsageError: there are none, or the model is not cross-fitted.
    """
    if not trained.manifest.get(CROSS_FITTED):
        raise UsageError(
            "the model cannot be calibrated: that needs networks that have not seen their own blocks; train it with "
            "training.cross_fitting_days, and calibrate it before it is retrained"
        )
    step, limit = trained.config.model.step_hours, 12 * trained.config.training.cross_fitting_days
    whole_days = np.arange(24.0, limit + 1, 24.0).tolist()
    leads = [lead for lead in (*_FIRST_DAY, *whole_days) if abs(lead / step - round(lead / step)) < _ROUNDING]
    if not (leads := fitted_leads(trained, leads)):
        raise UsageError(
            f"the model cannot be calibrated: no step of {step:g} h ends at 6 or 12 h or a whole day within half a "
            f"block of training.cross_fitting_days = {trained.config.training.cross_fitting_days:g}"
        )
    return leads


def fitted_leads(trained: TrainedModel, lead_hours: Sequence[float]) -> list[float]:
    """Those of at most half a block, so that starts differ enough; none if the networks know their own blocks."""
    if not trained.manifest.get(CROSS_FITTED):
        return []
    return [lead for lead in lead_hours if lead <= 12 * trained.config.training.cross_fitting_days]


def fitted_calibration(
    trained: TrainedModel,
    training: Archive,
    leads: Sequence[float],
    progress: Callable[[int], None] = lambda _: None,
) -> Calibration | None:
    """The calibration of ensembles with the scales of the lowest CRPS in the first three days, or None as
    `calibration_of`.

    `leads` are some of `fitted_leads`; `progress` is called with the number of ensembles that were computed.
    """
    done = 0

    def counted(parts: Iterator[OutOfFoldEnsembles]) -> Iterator[OutOfFoldEnsembles]:
        nonlocal done
        for part in parts:
            done += len(part.initial_times)
            progress(done)
            yield part

    inside = ScoredArea.of(trained, training)
    early = [lead for lead in leads if lead <= _LAST_OF_SCALES] or leads[:1]

    def ensembles(scales: Amplitudes) -> Iterator[OutOfFoldEnsembles]:
        ensemble = Ensemble(trained, early, _MEMBERS_OF_SCALES, *scales)
        return counted(_inside(inside, out_of_fold_ensembles(ensemble, training, _ENSEMBLES_OF_SCALES)))

    first = Amplitudes(PERTURBATION_SCALE, 0.0 if trained.model_errors is None else 1.0)
    best = fit_scales(ensembles, inside.archive.grid, first)
    return calibration_of(Ensemble(trained, leads, _MEMBERS, *best), training, counted)


def calibration_of(
    ensemble: Ensemble,
    training: Archive,
    counted: Callable[[Iterator[OutOfFoldEnsembles]], Iterator[OutOfFoldEnsembles]] = lambda parts: parts,
) -> Calibration | None:
    """The calibration of an ensemble, fitted at those of its leads that are at most half a block of cross-fitting.

    It is None for a model that was not cross-fitted, or that was trained further, and if the data hold too little of
    the training time.

    Raises:
        UsageError: the grid is too large.
        StabilityError: an ensemble is not finite.
    """
    trained = ensemble.trained
    if not (leads := fitted_leads(trained, ensemble.lead_hours)):
        return None
    scales = Amplitudes(ensemble.perturbation_scale, ensemble.model_error_scale)
    small = Ensemble(trained, leads, _MEMBERS, *scales, noise=ensemble.noise)
    most = min(_MOST_ENSEMBLES, _MOST_BYTES // (4 * len(leads) * math.prod(training.fields.shape[1:])))
    if most < FEWEST_FORECASTS:
        raise UsageError(
            f"a calibration at {len(leads)} leads on this grid needs more than {_MOST_BYTES / 1e9:.1f} GB of memory"
        )
    inside = ScoredArea.of(trained, training)
    ensembles = out_of_fold_ensembles(small, training, most)
    conserved = {each.field for each in trained.config.model.physics.transport if each.conserved}
    exempt = [row for row, name in enumerate(trained.names) if name in conserved]
    parts = counted(_inside(inside, ensembles))
    inner = fit_calibration(parts, trained.names, leads, inside.archive.grid, scales, exempt)
    if inner is None:
        return None
    return replace(inner, bias=inside.filled(inner.bias, 0.0), factor=inside.filled(inner.factor, 1.0))


def _inside(area: ScoredArea, ensembles: Iterator[OutOfFoldEnsembles]) -> Iterator[OutOfFoldEnsembles]:
    """What is inside the lateral boundary, where the truth is prescribed."""
    return (OutOfFoldEnsembles(each.initial_times, *map(area.of_fields, each[1:])) for each in ensembles)
