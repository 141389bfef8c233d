"""The longest lead time at which all forecasts of a model are accepted.

Skill at short leads does not show this, because errors of a network may grow for days before they become visible.
Therefore a few forecasts are computed, and checked for stability (`forecasting.stability`) and plausibility
(`forecasting.plausibility`), like the forecasts of the commands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from pinnwx.data.archive import Archive
from pinnwx.forecasting.plausibility import implausibilities, plausible_steps
from pinnwx.forecasting.predictor import Predictor, spread_starts
from pinnwx.forecasting.stability import stable_steps
from pinnwx.forecasting.trained_model import TrainedModel

HOURS, STARTS = 240.0, 4


@dataclass(frozen=True)
class UsableRange:
    """`hours` is the longest lead [h] at which all tried forecasts pass (zero if none), `refusal` the next problem."""

    hours: float
    tried_hours: float
    refusal: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether no forecast was refused."""
        return not self.refusal


def usable_range(trained: TrainedModel, archive: Archive) -> UsableRange | None:
    """The usable range of forecasts of ten days, or of one step if that is longer.

    The forecasts start from `STARTS` analyses spread over the archive; later analyses provide lateral boundary fields.
    The result is None if the archive has no initial analyses.
    """
    step = trained.config.model.step_hours
    leads = [step * count for count in range(1, max(1, int(HOURS // step)) + 1)]
    predictor = Predictor(trained, leads)
    starts = spread_starts(archive.times, predictor.needed_offsets, STARTS)
    if not len(starts):
        return None
    reach = UsableRange(leads[-1], leads[-1])
    for forecast, when in zip(predictor.from_archive(archive, starts), starts, strict=True):
        analysis = archive.fields[int(np.searchsorted(archive.times, when))]
        steps, refusal = _accepted_steps(forecast, leads, trained, when, analysis)
        if refusal and steps * step < reach.hours:
            reach = UsableRange(steps * step, reach.tried_hours, refusal)
    return reach


def _accepted_steps(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    leads: list[float],
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> tuple[int, str]:
    """(the number of accepted steps, the reason why the next step is refused, or "")."""
    stable = stable_steps(forecast, leads, trained, when)
    steps = plausible_steps(forecast[:stable], np.array(leads[:stable]), trained, when, analysis)
    if steps < stable:
        part = slice(steps, steps + 1)
        return steps, next(implausibilities(forecast[part], leads[part], trained, when, analysis))
    return stable, "" if stable == len(leads) else f"a forecast is unstable after {leads[stable]:g} h"
