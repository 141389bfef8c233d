"""Quasi-geostrophic potential vorticity of levels that are coupled by vortex stretching, and its inversion.

    q_i = f + laplacian(psi_i) - psi_i / L_i^2 - sum_j (psi_i - psi_j) / L_ij^2

psi_i is the streamfunction of level i, L_i its radius of deformation below a free surface (infinite below a rigid lid)
and L_ij that between the levels i and j. By thermal wind, psi_i - psi_j is proportional to the temperature between
them: its transport is thermal advection, and what the inversion adds is what vertical motion does to both levels. The
radii are constants, as in the model of Marshall and Molteni (1993, J. Atmos. Sci. 50, 1792-1818).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.physics.diagnostics import streamfunction_from_potential_vorticity, streamfunction_from_vorticity

Field = Float[Array, "*batch lat lon"]
ROUND_OFF = 1e-6  # relative, of eigenvalues; those that occur twice have half of the digits


class VerticalModes(NamedTuple):
    """The vertical modes of coupled levels: amplitudes @ levels are modes, each with its radius of deformation.

    Attributes:
        amplitudes: (mode, level).
        levels: (level, mode), the inverse of it.
        radii: of each mode [m]; None for infinite.
    """

    amplitudes: np.ndarray
    levels: np.ndarray
    radii: tuple[float | None, ...]


@dataclass(frozen=True)
class CoupledLevels:
    """Levels with their radii of deformation; static under jit.

    Attributes:
        surface: L_i of each level [m]; None for infinite.
        between: (i, j, L_ij [m]) for each level i that a level j stretches.

    Raises:
        ConfigError: the coupling has no real vertical modes.
    """

    surface: tuple[float | None, ...]
    between: tuple[tuple[int, int, float], ...] = ()

    def __post_init__(self) -> None:
        values = np.linalg.eigvals(self.coupling)
        if (np.abs(values.imag) > ROUND_OFF * np.abs(values).max(initial=0)).any():
            raise ConfigError(
                "the stretching of these levels has no real vertical modes; give each pair of levels one radius"
            )

    @property
    def coupling(self) -> Float[np.ndarray, "level level"]:
        """S [m-2], with q = f + laplacian(psi) - S psi."""
        coupling = np.diag([0 if radius is None else radius**-2 for radius in self.surface]).astype(float)
        for level, other, radius in self.between:
            coupling[level, level] += radius**-2
            coupling[level, other] -= radius**-2
        return coupling

    @cached_property
    def modes(self) -> VerticalModes:
        """The eigenvectors of the coupling."""
        symmetric = (self.coupling == self.coupling.T).all()
        modes = np.linalg.eigh(self.coupling) if symmetric else np.linalg.eig(self.coupling)
        values, vectors = map(np.real, modes)
        smallest = max(ROUND_OFF * values.max(), 1e-30)  # the barotropic mode below a rigid lid has zero
        radii = tuple(float(value**-0.5) if value > smallest else None for value in values)
        return VerticalModes(np.linalg.inv(vectors), vectors, radii)

    def stretched(self, vorticities: Sequence[Field], grid: Grid) -> list[Field]:
        """Of each level, its vorticity and stretching by other levels, laplacian(psi_i) - sum_j ... [s-1].

        Without the term of the free surface: the wind along psi_i does not transport psi_i. Only on a global grid: in
        a box, psi is that of the vorticity inside, and lacks the flow through the box.
        """
        coupled = sorted({level for level, _, _ in self.between} | {other for _, other, _ in self.between})
        psi = {level: streamfunction_from_vorticity(vorticities[level], grid) for level in coupled}
        stretched = list(vorticities)
        for level, other, radius in self.between:
            stretched[level] = stretched[level] - (psi[level] - psi[other]) * radius**-2
        return stretched

    def streamfunctions(self, potential_vorticities: Sequence[Field], grid: Grid) -> list[Field]:
        """The solution psi [m2 s-1] of laplacian(psi) - S psi = q, for q [s-1] of each level."""
        if not self.between:
            return [
                streamfunction_from_potential_vorticity(one, grid, radius)
                for one, radius in zip(potential_vorticities, self.surface, strict=True)
            ]
        modes = [
            streamfunction_from_potential_vorticity(_combined(row, potential_vorticities), grid, radius)
            for row, radius in zip(self.modes.amplitudes, self.modes.radii, strict=True)
        ]
        return [_combined(row, modes) for row in self.modes.levels]


def _combined(weights: np.ndarray, fields: Sequence[Field]) -> Field:
    """The sum of the fields with these weights."""
    first, *others = (float(weight) * field for weight, field in zip(weights, fields, strict=True))
    return sum(others, first)
