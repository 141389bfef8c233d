"""The number of sub-steps of transport, from the Courant numbers of the training winds.

Where the outflow Courant number of a sub-step exceeds its limit, the wind is slowed (`physics.transport`), and with it
the weather. `model.physics.substeps = "auto"` is the smallest number with which that happens in at most
`LARGEST_FRACTION` of the cells, for the equation with the fastest wind. A quantile sets the number, and not the largest
wind, which may be one damaged value. The number is at most `MOST_SUBSTEPS`, because the cost of transport is
proportional to it. A faster wind is slowed, and training warns (`training.slowed`).
"""

from __future__ import annotations

import math

import jax
import numpy as np
from jaxtyping import Float

from pinnwx.config import ModelSettings
from pinnwx.config.physics import SUBSTEPS_WITHOUT_WIND
from pinnwx.data.archive import Archive
from pinnwx.model.build import transport_solvers
from pinnwx.physics.transport import AbstractTransport
from pinnwx.physics.velocity import stacked_winds
from pinnwx.physics.winds import NoWind

LARGEST_FRACTION = 0.01  # of the cells in which the wind may be slowed
MOST_SUBSTEPS = 100
_SAMPLE = 48  # analyses, spread evenly


def with_substeps(settings: ModelSettings, archive: Archive) -> ModelSettings:
    """The settings with a number instead of `model.physics.substeps = "auto"`; of a network alone, unchanged."""
    if settings.physics.substeps != "auto":
        return settings
    if settings.physics.transport:
        return with_number(settings, automatic_substeps(settings, archive))
    return settings if settings.kind == "transport" else with_number(settings, settings.physics.number_of_substeps)


def with_number(settings: ModelSettings, substeps: int) -> ModelSettings:
    """The settings with this number of sub-steps."""
    return settings.model_copy(update={"physics": settings.physics.model_copy(update={"substeps": substeps})})


def automatic_substeps(settings: ModelSettings, archive: Archive) -> int:
    """The smallest number that the winds of the archive and the diffusivities of the settings need.

    A learned wind is not known before training. With one, the number is at least `SUBSTEPS_WITHOUT_WIND`.
    """
    intervals = settings.physics.wind_intervals
    solver = transport_solvers(archive.grid, with_number(settings, intervals))[0]  # one sub-step in an interval
    excess = courant_excess(solver, archive)
    needed = 1 if excess is None else substeps_for(float(quantiles(excess, 1 - LARGEST_FRACTION).max()))
    diffusivity = max(equation.diffusivity for equation in solver.equations)
    needed = max(needed, substeps_for(diffusivity / solver.largest_diffusivity))
    if excess is None or any(equation.learned_wind is not None for equation in solver.equations):
        needed = max(needed, math.ceil(SUBSTEPS_WITHOUT_WIND / intervals))
    return min(needed, max(MOST_SUBSTEPS // intervals, 1)) * intervals


def courant_excess(solver: AbstractTransport, archive: Archive) -> Float[np.ndarray, "time equation lat lon"] | None:
    """The outflow Courant number of a sub-step over its limit, of each equation with a physical wind; None without one.

    The winds are those of the equations (prognostic, rotational, geostrophic) in a sample of the analyses. Groups of
    cells near the poles and the edges of a regional grid are treated as by the solver.
    """
    with_wind = winds_of(solver)
    if not with_wind:
        return None

    @jax.jit
    def excess(fields):
        named = {name: fields[index] for index, name in enumerate(archive.names)}
        winds = stacked_winds([equation.wind for equation in solver.equations], named, archive.grid)
        return solver.slowing(winds)

    sample = np.linspace(0, len(archive) - 1, min(_SAMPLE, len(archive))).round().astype(int)
    numbers = [np.asarray(excess(archive.fields[time]), np.float64) for time in sample]
    return np.stack(numbers)[:, with_wind]


def winds_of(solver: AbstractTransport) -> list[int]:
    """The equations with a physical wind."""
    return [index for index, equation in enumerate(solver.equations) if equation.wind != NoWind()]


def quantiles(excess: Float[np.ndarray, "time equation lat lon"], fraction: float) -> Float[np.ndarray, " equation"]:
    """The value of each equation that no more than `1 - fraction` of the cells exceed."""
    return np.quantile(excess, fraction, axis=(0, 2, 3), method="higher")


def substeps_for(ratio: float) -> int:
    """The number of sub-steps that divides this ratio to 1 or less."""
    return max(math.ceil(ratio - 1e-9), 1)
