"""Ensembles: perturbed analyses represent initial errors; different networks and sampled errors represent model error.

Each member starts from the analyses X plus its own perturbation,

    X + a (X(t1) - X(t2)),

the scaled difference of two earlier analyses of the same time of day and season, drawn at random (random field
perturbations: Magnusson, Nycander and Kallen 2009, Tellus 61A). The perturbation is balanced, because it is a
difference of analyses, and large in regions of high variability. At a lateral boundary, it decays harmonically to zero.

A single forecast averages at every step over the networks of a deep ensemble and over their views (`model.views`). Each
member uses one network and one view instead. Therefore a member costs a fraction of a single forecast, and the
differences between networks add to the spread.

A cross-fitted model knows a sample of its errors of one step (`forecasting.model_errors`). At the end of every step, a
member adds one of them to its fields, scaled. Successive errors depend on each other, so a member takes them from
successive times, which begin at a random time of the same hour and season. On a global grid their area means are left
out: they would add up to a random walk, of the mass of the atmosphere in the case of pressure.

A model with noise (`model.noise`) has learned how its members differ. Each member draws its own noise at every step.

`pinnwx calibrate` fits the scales of perturbations and of model errors, and a calibration of the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float32, Int, Key, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, same_hour_and_season
from pinnwx.data.windows import match_times
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.calibration import CALIBRATION, Calibration
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.noise import is_learned
from pinnwx.model.rollout import ErrorDraws
from pinnwx.training.cross_fitting import block_numbers

PERTURBATION_SCALE = 0.2  # a: on the validation days of ERA5, the spread of pressure at one day is nearly its error
_FEWEST = 8  # the minimum number of analyses, which have 28 differences


def perturbed(
    trained: TrainedModel,
    analyses: Float32[np.ndarray, "#sequence input field lat lon"],
    difference: Float32[np.ndarray, "sequence input field lat lon"],
) -> Float32[np.ndarray, "sequence input field lat lon"]:
    """Adds a difference to the analyses; at a lateral boundary, the difference decays to zero.

    Values stay within the bounds of their variable; a value outside never moves farther out.
    """
    width = trained.config.model.boundary_width
    if width:
        each = jnp.asarray(difference.reshape(-1, *difference.shape[-3:]))
        at_the_edge = np.asarray(LateralBoundary(trained.grid, width).extended(each)).reshape(difference.shape)
        difference = difference - at_the_edge
    bounds = np.array(trained.model.inputs.forecast_bounds, np.float32)
    low, high = bounds.T[:, :, None, None]
    return np.clip(analyses + difference, np.minimum(analyses, low), np.maximum(analyses, high))


class Draws(NamedTuple):
    """What members draw besides their analyses.

    Attributes:
        errors: model errors.
        noise: the key of each forecast.
    """

    errors: ErrorDraws | None
    noise: Key[jax.Array, " batch"] | None


NO_DRAWS = Draws(None, None)


class Ensemble:
    """Runs a trained forecaster several times from one analysis."""

    def __init__(
        self,
        trained: TrainedModel,
        lead_hours: Sequence[float],
        size: int,
        perturbation_scale: float | None = None,
        model_error_scale: float | None = None,
        *,
        noise: bool = True,
        calibration: Calibration | None = None,
    ):
        """
        Args:
            trained: the forecaster.
            lead_hours: multiples of the step of the model.
            size: the number of members.
            perturbation_scale: of the perturbations of the analyses; 0 for none. By default `PERTURBATION_SCALE`, and 0
                for a model with model errors or noise.
            model_error_scale: of the errors that perturb every step; 0 for none. By default 1 for a model that has
                such errors and no noise.
            noise: whether the members of a model that was trained with noise draw it.
            calibration: of the members of `forecast`. Its scales become the default ones.

        Raises:
            UsageError: there are fewer than two members, or a lead is not a positive multiple of the step.
        """
        if size < 2:
            raise UsageError(f"an ensemble of {size} member(s) has no spread; ask for at least 2")
        has_errors = trained.model_errors is not None
        self.noise = noise and trained.model.noise is not None and is_learned(networks_of(trained.model)[0])
        if calibration is not None:
            if perturbation_scale is None:
                perturbation_scale = calibration.perturbation_scale
            if model_error_scale is None:
                model_error_scale = calibration.model_error_scale
        if perturbation_scale is None:
            perturbation_scale = 0.0 if has_errors or self.noise else PERTURBATION_SCALE
        if model_error_scale is None:
            model_error_scale = 1.0 if has_errors and not self.noise else 0.0
        if model_error_scale and not has_errors:
            raise UsageError("the model has no model errors; train it with training.cross_fitting_days")
        self.predictor, self.size = Predictor(trained, lead_hours), size
        self.perturbation_scale, self.model_error_scale = perturbation_scale, model_error_scale
        self.uses_earlier_analyses = perturbation_scale > 0  # perturbations are drawn from them
        self.trained, self.lead_hours, self.calibration = trained, self.predictor.lead_hours, calibration
        scales = {"perturbation_scale": perturbation_scale, "model_error_scale": model_error_scale}
        self.settings = {"members": size, **scales, **({"noise": True} if self.noise else {})}
        if calibration is not None:
            self.settings[CALIBRATION] = calibration.settings
        networks = [nnx.split(network) for network in networks_of(trained.model)]
        views = networks_of(trained.model)[0].views
        self._graph = networks[0][0]  # all networks share it, and its compiled code
        self._views = [(state, views[number]) for number in range(len(views)) for _, state in networks]

    def __call__(
        self,
        analyses: Float32[np.ndarray, "member input field lat lon"],
        initial_time: np.datetime64,
        lateral_boundary: Float32[np.ndarray, "1 step field lat lon"] | None = None,
    ) -> Float32[np.ndarray, "member lead field lat lon"]:
        """Computes the forecasts at each lead, from analyses at `initial_time + predictor.input_offsets`.

        The result is not calibrated, and it is not checked; see `pinnwx.forecasting.stability`.
        """
        assigned = np.arange(len(analyses)) % len(self._views)
        size = np.bincount(assigned).max()
        boundary = None if lateral_boundary is None else np.repeat(lateral_boundary, size, axis=0)
        draws = self._drawn_together(initial_time, len(analyses))
        members: dict[int, np.ndarray] = {}
        for number in np.unique(assigned):
            rows = np.flatnonzero(assigned == number)
            filled = np.resize(rows, size)  # smaller batches are padded, so that nothing is recompiled
            state, view = self._views[number]
            errors = None if draws.errors is None else draws.errors._replace(rows=draws.errors.rows[:, filled])
            forecasts = self.predictor.run(
                self._graph, state, analyses[filled], np.full(size, initial_time), view, boundary, errors,
                None if draws.noise is None else draws.noise[filled],
            )  # fmt: skip
            members |= dict(zip(rows.tolist(), forecasts, strict=False))
        return np.stack([members[row] for row in range(len(analyses))])

    @property
    def input_offsets(self) -> Shaped[np.ndarray, " input"]:
        """See `ForecastPredictor.input_offsets`."""
        return self.predictor.input_offsets

    def require_analyses(self, archive: Archive, initial_time: np.datetime64) -> None:
        """See `ForecastPredictor.require_analyses`."""
        self.predictor.require_analyses(archive, initial_time)

    def forecast(
        self, archive: Archive, initial_time: np.datetime64, lateral_boundary: Archive | None = None
    ) -> Float32[np.ndarray, "member lead field lat lon"]:
        """The members from the analyses of the archive, calibrated if there is a calibration; deterministic for given
        data and initial time.

        A model with a lateral boundary uses `lateral_boundary` for all members; by default, it uses the archive.

        Raises:
            UnavailableError: the archive lacks an input analysis, or has too few earlier analyses.
        """
        boundary = self.predictor.lateral_boundary(
            archive if lateral_boundary is None else lateral_boundary, np.array([initial_time])
        )
        members = self(self.analyses(archive, initial_time), initial_time, boundary)
        if self.calibration is None:
            return members
        bounds = np.array(self.trained.model.inputs.forecast_bounds, np.float32)
        return self.calibration(members, self.lead_hours, bounds)

    def analyses(
        self, archive: Archive, initial_time: np.datetime64
    ) -> Float32[np.ndarray, "member input field lat lon"]:
        """The perturbed analyses of the members; no analysis after the initial time is used.

        Raises:
            UnavailableError: as `forecast`.
        """
        analyses = self.predictor.analyses(archive, np.array([initial_time]))
        if not self.perturbation_scale:
            return np.repeat(analyses, self.size, axis=0)
        usable = self._alike(archive, initial_time)
        usable = usable[archive.times[usable[:, -1]] <= initial_time]
        if len(usable) < _FEWEST:
            raise UnavailableError(
                f"the data hold {len(usable)} analyses of this time of day and season up to "
                f"{format_time(initial_time)}; the perturbations of an ensemble need at least {_FEWEST}: give more "
                "data, or forecast without members"
            )
        repeated = np.repeat(analyses, self.size, axis=0)
        return self._perturbed(archive, repeated, usable, np.random.default_rng(_seed(initial_time)))

    def perturbed_in_training(
        self,
        number: int,
        training: Archive,
        initial_times: Shaped[np.ndarray, " batch"],
        analyses: Float32[np.ndarray, "batch input field lat lon"],
    ) -> Float32[np.ndarray, "batch input field lat lon"]:
        """The analyses of one member from each of these times; it draws from all other blocks of the training time."""
        if not self.perturbation_scale:
            return analyses
        return np.concatenate([
            self._perturbed(
                training, own[None], self._outside(training, when), np.random.default_rng((_seed(when), number, 1))
            )
            for when, own in zip(initial_times, analyses, strict=True)
        ])  # fmt: skip

    def _alike(self, archive: Archive, when: np.datetime64) -> Int[np.ndarray, "row input"]:
        """The sequences that end at the same time of day and season."""
        rows = self._sequences(archive)
        return rows[same_hour_and_season(archive.times[rows[:, -1]], when)]

    def _sequences(self, archive: Archive) -> Int[np.ndarray, "row input"]:
        """Rows of the archive: the analyses that a forecast starts from."""
        rows = match_times(archive.times, archive.times[:, None] + self.predictor.input_offsets)
        return rows[(rows >= 0).all(axis=1)]

    def _outside(self, training: Archive, when: np.datetime64) -> Int[np.ndarray, "row input"]:
        """Rows of the training time, as `_alike`, of other blocks of cross-fitting; of any block, hour and season, if
        they are fewer than two."""
        alike, every = self._alike(training, when), self._sequences(training)
        outside = alike[~self._same_block(training.times[alike[:, -1]], when)]
        return next((rows for rows in (outside, alike) if len(rows) > 1), every)

    def _same_block(self, times: Shaped[np.ndarray, " time"], when: np.datetime64) -> Bool[np.ndarray, " time"]:
        """Whether times are in the block of cross-fitting of another."""
        days = self.trained.config.training.cross_fitting_days
        return block_numbers(times, days) == block_numbers(np.array([when]), days)

    def _perturbed(
        self,
        archive: Archive,
        analyses: Float32[np.ndarray, "sequence input field lat lon"],
        usable: Int[np.ndarray, "row input"],
        generator: np.random.Generator,
    ) -> Float32[np.ndarray, "sequence input field lat lon"]:
        """Adds to each analysis the scaled difference of two different sequences of the archive."""
        first = generator.integers(len(usable), size=len(analyses))
        second = (first + generator.integers(1, len(usable), size=len(analyses))) % len(usable)
        difference = archive.fields[usable[first]] - archive.fields[usable[second]]
        return perturbed(self.trained, analyses, self.perturbation_scale * difference)

    @cached_property
    def _errors(self) -> jax.Array:
        assert self.trained.model_errors is not None
        fields, grid = self.trained.model_errors.fields, self.trained.grid
        if grid.is_global:
            fields = fields - (grid.area_weights * fields).mean(axis=(-2, -1), keepdims=True)
        return jnp.asarray(fields, jnp.float32)

    def draws_in_training(self, number: int, initial_times: Shaped[np.ndarray, " batch"]) -> Draws:
        """Of one member from each of these times, with model errors of other blocks; all numbers of members differ."""
        each = [self._drawn_together(when, 1, number, in_training=True) for when in initial_times]
        errors, noise = each[0]
        if errors is not None:
            errors = errors._replace(rows=jnp.concatenate([one.errors.rows for one in each if one.errors], axis=1))
        if noise is not None:
            noise = jnp.concatenate([one.noise for one in each if one.noise is not None])
        return Draws(errors, noise)

    def _drawn_together(
        self, initial_time: np.datetime64, count: int, first: int = 0, *, in_training: bool = False
    ) -> Draws:
        """Those of the members `first`, `first` + 1, ... of an ensemble."""
        errors = noise = None
        if self.model_error_scale:
            sample, ends = self.trained.model_errors, self.predictor.step_ends
            assert sample is not None
            generator = np.random.default_rng((_seed(initial_time), 1 + first))
            excluded = self._same_block(sample.times, initial_time) if in_training else None
            rows = sample.drawn(initial_time + ends - ends[0], count, generator, excluded)
            errors = ErrorDraws(self._errors, jnp.asarray(rows), jnp.float32(self.model_error_scale))
        if self.noise:
            key = jax.random.key(_seed(initial_time))
            noise = jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(count))
        return Draws(errors, noise)


def _seed(initial_time: np.datetime64) -> int:
    return int(initial_time.astype("datetime64[s]").astype(np.int64)) % 2**63
