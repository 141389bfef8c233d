"""Forecasts of a trained model as arrays; the code is compiled once and then called for any analysis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float32, Int, Key, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.data.windows import match_times
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.rollout import ErrorDraws, rollout
from pinnwx.model.views import View
from pinnwx.runtime import memory_limit
from pinnwx.time_features import TimeFeatures

MOST_HOURS = 876_600


def require_room(trained: TrainedModel, leads: int, members: int = 1) -> None:
    """Refuses a forecast whose fields alone exceed the memory of this machine.

    Raises:
        UsageError: the message names both sizes and what would fit.
    """
    available = memory_limit()
    one = 4 * leads * len(trained.names) * math.prod(trained.grid.shape)
    if members * one <= available:
        return
    fits = f"at most {available // one:,} members" if one <= available else "shorter forecasts"
    raise UsageError(
        f"{members:,} forecast(s) of {leads:,} steps are {members * one / 2**30:,.1f} GiB, and this machine has "
        f"{available / 2**30:,.1f}; choose {fits}"
    )


def whole_steps(label: str, hours: float, step_hours: float) -> int:
    """Converts hours to a number of steps of the model.

    Raises:
        UsageError: this is not a positive whole number, or longer than a hundred years; `label` names the hours.
    """
    if math.isfinite(hours) and hours > MOST_HOURS:
        raise UsageError(f"{label} {hours:g} h is longer than {MOST_HOURS:,} h, a hundred years; ask for less")
    steps = hours / step_hours
    if not math.isfinite(steps) or round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
        raise UsageError(
            f"{label} {hours:g} h is not a positive multiple of the model's step of {step_hours:g} h; "
            f"give {step_hours:g}, {2 * step_hours:g} and so on"
        )
    return round(steps)


@runtime_checkable
class ForecastPredictor(Protocol):
    """The interface of `Predictor` (one forecast from an initial time) and `Ensemble` (several)."""

    trained: TrainedModel
    lead_hours: tuple[float, ...]
    uses_earlier_analyses: bool  # whether it reads more than the input analyses of a forecast

    @property
    def size(self) -> int | None:
        """The members of an ensemble; None for a single forecast."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that its forecasts depend on in addition to model and data, for their provenance."""
        ...

    @property
    def input_offsets(self) -> Shaped[np.ndarray, " input"]:
        """The analyses a forecast starts from, as time from its initial time: the last is 0."""
        ...

    def require_analyses(self, archive: Archive, initial_time: np.datetime64) -> None:
        """Raises:
        UnavailableError: the archive lacks an analysis that a forecast starts from.
        """
        ...

    def forecast(
        self, archive: Archive, initial_time: np.datetime64, lateral_boundary: Archive | None = None
    ) -> Float32[np.ndarray, "*member lead field lat lon"]:
        """The forecast, or the members of an ensemble, from the analyses of the archive.

        Raises:
            UnavailableError: a field that a forecast needs is missing.
        """
        ...


class Predictor:
    """Runs a trained forecaster from analyses to lead times."""

    size = None
    uses_earlier_analyses = False
    settings: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, trained: TrainedModel, lead_hours: Sequence[float]):
        """Leads are multiples of the step of the model.

        Raises:
            UsageError: a lead is not a positive multiple of the step.
        """
        step = trained.config.model.step_hours
        self.trained, self.lead_hours = trained, tuple(lead_hours)
        self._step = np.timedelta64(round(step * 3600), "s")
        self._lead_indices = np.array([whole_steps("lead", lead, step) - 1 for lead in lead_hours])
        self._graph, self._state = nnx.split(trained.model)

    def __call__(
        self,
        analyses: Float32[np.ndarray, "batch input field lat lon"],
        initial_times: Shaped[np.ndarray, " batch"],
        lateral_boundary: Float32[np.ndarray, "batch step field lat lon"] | None = None,
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """Computes the forecasts at each lead, from analyses at `initial_times + input_offsets`.

        A model with a lateral boundary also needs the `lateral_boundary` fields at `initial_times +
        lateral_boundary_offsets`. The result is not checked; see `pinnwx.forecasting.stability`.
        """
        return self.run(self._graph, self._state, analyses, initial_times, lateral_boundary=lateral_boundary)

    def run(
        self,
        graph: nnx.GraphDef,
        state: nnx.State,
        analyses: Float32[np.ndarray, "batch input field lat lon"],
        initial_times: Shaped[np.ndarray, " batch"],
        view: View | None = None,
        lateral_boundary: Float32[np.ndarray, "batch step field lat lon"] | None = None,
        errors: ErrorDraws | None = None,
        noise: Key[jax.Array, " batch"] | None = None,
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """Like a call, but with the given weights, view, model errors and keys of the noise.

        All weights of one graph share the compiled code.
        """
        times = self.times(initial_times)
        boundary = None if lateral_boundary is None else np.moveaxis(lateral_boundary, 0, 1)
        forecasts = _rollout(graph, state, self._lead_indices, analyses, times, view, boundary, errors, noise)
        return np.moveaxis(np.asarray(forecasts), 0, 1)

    def times(self, initial_times: Shaped[np.ndarray, " batch"]) -> TimeFeatures:
        """The middle of every step up to the last lead, arrays (step, batch)."""
        middles = initial_times + self._step * np.arange(self._lead_indices.max() + 1)[:, None] + self._step // 2
        return TimeFeatures.of(middles)

    @property
    def input_offsets(self) -> Shaped[np.ndarray, " input"]:
        """The analyses a forecast starts from, as time from its initial time: the last is 0."""
        return self._step * np.arange(1 - self.trained.config.model.input_times, 1)

    @property
    def lead_offsets(self) -> Shaped[np.ndarray, " lead"]:
        """The valid time of each lead, relative to the initial time."""
        return self._step * (self._lead_indices + 1)

    @property
    def step_ends(self) -> Shaped[np.ndarray, " step"]:
        """The end of every step up to the last lead, relative to the initial time."""
        return self._step * np.arange(1, self._lead_indices.max() + 2)

    @property
    def lateral_boundary_offsets(self) -> Shaped[np.ndarray, " step"]:
        """The times of the lateral boundary fields, relative to the initial time; empty without a lateral boundary."""
        return self.step_ends if self.trained.model.has_lateral_boundary else self.step_ends[:0]

    @property
    def needed_offsets(self) -> Shaped[np.ndarray, " time"]:
        """The times of the analyses that a hindcast needs, relative to its initial time; the last is 0."""
        return np.concatenate([self.lateral_boundary_offsets, self.input_offsets])

    def from_archive(
        self, archive: Archive, initial_times: Shaped[np.ndarray, " batch"], lateral_boundary: Archive | None = None
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """The forecasts from the analyses of the archive.

        `lateral_boundary` provides the boundary fields of a model with a lateral boundary. By default, the later
        analyses of the archive provide them, which makes it a hindcast.

        Raises:
            UnavailableError: a field that a forecast needs is missing.
        """
        analyses = self.analyses(archive, initial_times)
        return self(
            analyses,
            initial_times,
            self.lateral_boundary(archive if lateral_boundary is None else lateral_boundary, initial_times),
        )

    def require_analyses(self, archive: Archive, initial_time: np.datetime64) -> None:
        """See `ForecastPredictor.require_analyses`."""
        self.analyses(archive, np.array([initial_time]))

    def forecast(
        self, archive: Archive, initial_time: np.datetime64, lateral_boundary: Archive | None = None
    ) -> Float32[np.ndarray, "lead field lat lon"]:
        """See `ForecastPredictor.forecast`."""
        return self.from_archive(archive, np.array([initial_time]), lateral_boundary)[0]

    def analyses(
        self, archive: Archive, initial_times: Shaped[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch input field lat lon"]:
        """The input analyses of forecasts.

        Raises:
            UnavailableError: the archive lacks an analysis.
        """
        return _fields_at(archive, initial_times[:, None] + self.input_offsets, "analysis")

    def lateral_boundary(
        self, archive: Archive, initial_times: Shaped[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch step field lat lon"] | None:
        """The boundary fields of a model with a lateral boundary; None for any other model.

        Raises:
            UnavailableError: the archive lacks a field.
        """
        if not self.trained.model.has_lateral_boundary:
            return None
        return _fields_at(archive, initial_times[:, None] + self.lateral_boundary_offsets, "lateral boundary field")


def spread_starts(
    times: Shaped[np.ndarray, " time"],
    offsets: Shaped[np.ndarray, " offset"],
    most: int,
    among: Shaped[np.ndarray, " start"] | None = None,
) -> Shaped[np.ndarray, " init"]:
    """At most `most` initial times, evenly spread over those whose analyses (at `offsets`) are all in `times`.

    `among` are the candidate initial times; by default `times`.
    """
    within = times if among is None else among
    usable = within[(match_times(times, within[:, None] + offsets) >= 0).all(axis=1)]
    return usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)]


def _fields_at(archive: Archive, needed: Shaped[np.ndarray, "batch time"], what: str) -> np.ndarray:
    """The fields of the archive at these times."""
    return archive.fields[require_times(archive.times, needed, what)]


def require_times(
    times: Shaped[np.ndarray, " time"], needed: Shaped[np.ndarray, "*shape"], what: str = "analysis"
) -> Int[np.ndarray, "*shape"]:
    """The indices of the needed times in the sorted `times`.

    Raises:
        UnavailableError: a time is missing. The message names the newest missing time of the first affected initial
            time, and the times present.
    """
    rows = match_times(times, needed)
    if (rows < 0).any():
        lacking = (rows < 0).reshape(-1, rows.shape[-1] if rows.ndim else 1)
        first_sample = int(lacking.any(axis=1).argmax())
        when = needed.reshape(lacking.shape)[first_sample][lacking[first_sample]].max()
        missing, first, last = map(format_time, (when, *times[[0, -1]]))
        same_day = times.astype("datetime64[D]") == when.astype("datetime64[D]")
        hours = [format_time(time)[11:] for time in times[same_day]]
        day = f"of that day they hold {', '.join(hours)}; " if hours else ""
        raise UnavailableError(f"no {what} at {missing}; {day}the data hold {first} to {last}")
    return rows


@partial(jax.jit, static_argnums=0)
def _rollout(graph, state, lead_indices, analyses, times, view, lateral_boundary, errors, noise):
    model = nnx.merge(graph, state)
    return rollout(model, analyses, times, view, lateral_boundary, errors=errors, noise=noise)[lead_indices]
