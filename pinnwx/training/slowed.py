"""How often the wind exceeds the Courant limit of a sub-step, so that transport slows it (`physics.transport`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from pinnwx.config import ModelSettings
from pinnwx.data.archive import Archive
from pinnwx.model.build import transport_solvers
from pinnwx.physics.transport import EulerianTransport
from pinnwx.training.substeps import LARGEST_FRACTION, courant_excess, quantiles, substeps_for, winds_of


@dataclass(frozen=True)
class SlowedWinds:
    """The equation whose wind is slowed most often, in a sample of the analyses.

    Attributes:
        field: the transported field.
        fraction: of the cells in which the wind is slowed.
        median_courant: the median of the outflow Courant numbers of a sub-step.
        largest_courant: the largest of them.
        courant_limit: above which the wind is slowed.
        substeps: of a step of the model.
        substeps_needed: with which the wind is slowed in at most `LARGEST_FRACTION` of the cells.
        substeps_for_all: with which the wind is slowed nowhere in the sample.
    """

    field: str
    fraction: float
    median_courant: float
    largest_courant: float
    courant_limit: float
    substeps: int
    substeps_needed: int
    substeps_for_all: int

    @property
    def matters(self) -> bool:
        return self.fraction > LARGEST_FRACTION

    def __str__(self) -> str:
        return (
            f"the wind of {self.field} is slowed in {100 * self.fraction:.3g} % of the cells: its Courant number in a "
            f"sub-step is {self.median_courant:.2g} (median) and up to {self.largest_courant:.3g}, the limit "
            f"{self.courant_limit:g}; model.physics.substeps = {self.substeps_needed} instead of {self.substeps} would "
            f"slow no more than {100 * LARGEST_FRACTION:g} %, {self.substeps_for_all} none"
        )

    def summary(self) -> str:
        """The sub-steps and the fraction in a few words."""
        return (
            f"transport has {self.substeps} sub-step{'s' * (self.substeps > 1)} in a step and slows the wind in "
            f"{100 * self.fraction:.3g} % of the cells"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SlowedWinds:
        """From an entry of a manifest (`pinnwx.records.SlowedWindsNotes`)."""
        return cls(**{field.name: stored[field.name] for field in fields(cls)})


def slowed_winds(settings: ModelSettings, archive: Archive) -> SlowedWinds | None:
    """How often the physical wind of the analyses is slowed; None without one, or where no Courant number limits it.

    The learned wind is left out, because it is not known before training.

    Raises:
        ConfigError: the number of sub-steps has not been chosen yet.
    """
    if settings.kind != "transport":
        return None
    solver, intervals = transport_solvers(archive.grid, settings)[0], settings.physics.wind_intervals
    if not isinstance(solver, EulerianTransport) or (excess := courant_excess(solver, archive)) is None:
        return None
    worst = int((excess > 1).mean(axis=(0, 2, 3)).argmax())
    own, index = excess[:, worst], winds_of(solver)[worst]
    limit = float(solver.courant_limits[index, 0, 0])

    def needed(ratio: float) -> int:
        """The sub-steps of all intervals of constant wind together that reduce this ratio to 1."""
        return substeps_for(solver.substeps * max(ratio, 1.0)) * intervals

    return SlowedWinds(
        solver.equations[index].field,
        float((own > 1).mean()),
        float(np.median(own)) * limit,
        float(own.max()) * limit,
        limit,
        solver.substeps * intervals,
        needed(float(quantiles(excess, 1 - LARGEST_FRACTION)[worst])),
        needed(float(own.max())),
    )
