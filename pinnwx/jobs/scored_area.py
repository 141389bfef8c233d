"""The area of a model in which forecasts are scored, and the notes that scores need to be read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import UnavailableError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.statistics import Climatology
from pinnwx.verification.results import Scores

OVERLAP = "trained_on"  # key in the settings of scores: the part of the scored period that is in the training time
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ScoredArea:
    """What is scored: everything inside the lateral boundary of a model, whose values there are prescribed."""

    width: int
    archive: Archive
    climatology: Climatology
    training: Archive | None

    @classmethod
    def of(cls, trained: TrainedModel, archive: Archive, training: Archive | None = None) -> ScoredArea:
        width = trained.config.model.boundary_width
        own = None if training is None else training.inside(width)
        return cls(width, archive.inside(width), trained.climatology.inside(width), own)

    def of_fields(self, fields: Shaped[np.ndarray, "*batch lat lon"]) -> Shaped[np.ndarray, "*batch lat2 lon2"]:
        rows, columns = (slice(self.width, size - self.width) for size in fields.shape[-2:])
        return fields[..., rows, columns]

    def filled(
        self, fields: Shaped[np.ndarray, "*batch lat lon"], value: float
    ) -> Shaped[np.ndarray, "*batch lat2 lon2"]:
        """Fields of this area on the whole grid, with a value at the boundary."""
        around = ((self.width, self.width),) * 2
        return np.pad(fields, ((0, 0),) * (fields.ndim - 2) + around, constant_values=value)


def training_part(trained: TrainedModel, archive: Archive) -> Archive | None:
    """The analyses of the archive in the training time of a model, `None` without any."""
    period = trained.config.data.train
    start, end = trained.manifest.get("trained_on", (period.start, period.end))
    try:
        return archive.select(start, end)
    except UnavailableError:
        return None


def with_notes(scores: Scores, trained: TrainedModel) -> Scores:
    """The scores, with settings that say how to read them.

    If the scored period overlaps the training time, a warning is logged too.
    """
    if trained.config.model.boundary_width:
        scores = replace(scores, settings={**scores.settings, "lateral_boundary": "analyses of the valid times"})
    training_time = trained.manifest.get("trained_on")
    if not training_time:
        return scores
    first, last = (parse_time(scores.settings[key]) for key in ("first_initial_time", "last_valid_time"))
    begin, end = max(first, parse_time(training_time[0])), min(last, parse_time(training_time[-1]))
    if begin > end:
        return scores
    overlap = [format_time(begin), format_time(end)]
    _log.warning(
        "warning: %s was trained on analyses from %s to %s, which are scored here: errors in the training time are too "
        "small; choose later days",
        trained.config.name, *overlap,
    )  # fmt: skip
    return replace(scores, settings={**scores.settings, OVERLAP: overlap})
