"""How often the wind exceeds the Courant limit of a sub-step, so that transport slows it (`physics.transport`)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pinnwx.config import ModelSettings
from pinnwx.data.archive import Archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster
from pinnwx.physics.winds import NoWind

LARGEST_FRACTION = 0.01  # of the cells, above which there is a warning
_SAMPLE = 48  # analyses in the sample, spread evenly


@dataclass(frozen=True)
class SlowedWinds:
    """The equation whose wind is slowed most often, in a sample of the analyses.

    Attributes:
        field: the transported field.
        fraction: of the cells in which the wind is slowed.
        median_courant: the median of the outflow Courant numbers of a sub-step.
        largest_courant: the largest of them.
        courant_limit: above which the wind is slowed.
        substeps: of the settings (`model.physics.substeps`).
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

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def slowed_winds(model: Forecaster, archive: Archive, settings: ModelSettings) -> SlowedWinds | None:
    """How often the physical wind of the analyses is slowed; None if no equation has one.

    The learned wind is left out, because it is not known before training.
    """
    member = networks_of(model)[0]
    if not isinstance(member, TransportForecaster):
        return None
    equations = member.solver.equations
    with_wind = [index for index, equation in enumerate(equations) if equation.wind != NoWind()]
    if not with_wind:
        return None
    sample = np.linspace(0, len(archive) - 1, min(_SAMPLE, len(archive))).round().astype(int)
    graph, state = nnx.split(member)
    slowing = jax.jit(lambda state, fields: nnx.merge(graph, state).slowing(fields))
    excess = np.asarray(slowing(state, jnp.asarray(archive.fields[sample])), np.float64)[:, with_wind]
    worst = int((excess > 1).mean(axis=(0, 2, 3)).argmax())
    own, limit = excess[:, worst], float(member.solver.courant_limits[with_wind[worst], 0, 0])
    coupling_steps = settings.physics.coupling_steps
    in_use = member.solver.substeps * coupling_steps

    def needed(ratio: float) -> int:
        """The sub-steps of all coupling steps together that reduce this ratio to 1."""
        return max(math.ceil(in_use * ratio / coupling_steps - 1e-9) * coupling_steps, in_use)

    return SlowedWinds(
        equations[with_wind[worst]].field,
        float((own > 1).mean()),
        float(np.median(own)) * limit,
        float(own.max()) * limit,
        limit,
        in_use,
        needed(float(np.quantile(own, 1 - LARGEST_FRACTION))),
        needed(float(own.max())),
    )
