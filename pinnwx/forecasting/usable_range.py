"""How far a model can forecast before what it makes is refused.

Skill at its first leads does not tell: what a network was never shown may grow for days before it is seen. So a few
forecasts are run on until one of them has blown up (`forecasting.stability`) or is no weather
(`forecasting.plausibility`), as the verbs that forecast would find.
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
    """The longest lead up to which all forecasts tried pass, zero if there is none, and what is wrong beyond it [h]."""

    hours: float
    tried_hours: float
    refusal: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether none was refused."""
        return not self.refusal


def usable_range(trained: TrainedModel, archive: Archive) -> UsableRange | None:
    """That of forecasts of ten days, or of one step if that is longer, from `STARTS` analyses spread over the archive.

    A model with a lateral boundary is told its edge by the later analyses. None where the archive holds no analyses to
    start from.
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
    """How many steps pass, and why the next one does not; "" if all do."""
    stable = stable_steps(forecast, leads, trained, when)
    steps = plausible_steps(forecast[:stable], np.array(leads[:stable]), trained, when, analysis)
    if steps < stable:
        part = slice(steps, steps + 1)
        return steps, next(implausibilities(forecast[part], leads[part], trained, when, analysis))
    return stable, "" if stable == len(leads) else f"a forecast blows up after {leads[stable]:g} h"
