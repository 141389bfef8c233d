"""Noise that makes the fields of a simulation as irregular in time as analyses.

The fields of a simulation follow smoothly from those before. A network that learns from them alone extrapolates from
its input times so exactly that, on analyses, it amplifies whatever is irregular there. So noise is added to the
simulation. It is drawn from what is irregular in the analyses, their third differences in steps of the model,

    e(t) = x(t + 3) - 3 x(t + 2) + 3 x(t + 1) - x(t),

less the mean of e at the same hour of the day, so that tides are no noise.

Each time of the simulation gets e of one random time, with a random sign and turned by a random longitude. All fields
and latitudes get the same time, sign and turn, so noise belongs together as errors of analyses do. For each field,
latitude and zonal wavenumber k it is multiplied by

    g(k) = sqrt(max(0, 1 - P_s(k) / P_a(k)) / 20)

with the mean P of |e(k)|^2 in the simulation (s) and in the analyses (a). The third difference of independent noise has
20 times its variance (1 + 9 + 9 + 1). So afterwards the third differences of the simulation have the power of those of
the analyses, and nowhere less than before.

Inputs and targets both get noise. For the mean square error this is a regularisation of the inputs (Bishop 1995, Neural
Computation 7), because the noise of the targets cannot be forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int32

from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import DataError, GridError

_VARIANCE = 20.0  # of the third difference of independent noise of unit variance
_FEWEST = 20  # third differences of the analyses

Power = Float64[np.ndarray, "field lat wavenumber"]


@dataclass(frozen=True, eq=False)
class AnalysisNoise:
    """Noise for a simulation.

    Attributes:
        analyses: what the noise is drawn from.
        sequences: indices of four times of the analyses, each a step after the one before.
        gain: g(k) of the module.
    """

    analyses: Archive
    sequences: Int32[np.ndarray, "sequence 4"]
    gain: Power

    @classmethod
    def fit(cls, simulation: Archive, analyses: Archive, step_hours: int | float) -> AnalysisNoise:
        """The noise that the simulation lacks.

        Args:
            simulation: what a model is to learn from.
            analyses: of the same fields on the same grid.
            step_hours: the step of the model.

        Raises:
            DataError: the fields or the grids differ, or there are too few sequences of four times a step apart.
            GridError: the grid does not go around the globe.
        """
        _require_same(simulation, analyses)
        drawn_from = _sequences(analyses, step_hours, "the analyses have")
        wanted = _power(analyses, drawn_from)
        present = _power(simulation, _sequences(simulation, step_hours, "the simulation has"))
        lacking = 1.0 - np.divide(present, wanted, out=np.ones_like(wanted), where=wanted > 0)
        return cls(analyses, drawn_from, np.sqrt(np.maximum(lacking, 0.0) / _VARIANCE))

    def added_to(self, simulation: Archive, seed: int = 0) -> Archive:
        """The simulation, or another period of it, with noise.

        Raises:
            DataError: the fields or the grids differ.
            GridError: the grid does not go around the globe.
        """
        _require_same(simulation, self.analyses)
        count, columns, generator = len(simulation), simulation.grid.shape[-1], np.random.default_rng(seed)
        drawn = generator.integers(len(self.sequences), size=count)
        turn = generator.integers(columns, size=count)
        sign = generator.choice([-1.0, 1.0], size=count)
        phase = sign[:, None] * np.exp(-2j * np.pi / columns * turn[:, None] * np.arange(columns // 2 + 1))
        noisy = np.empty_like(simulation.fields)
        for field in range(len(simulation.names)):
            spectrum = np.fft.rfft(_irregular(self.analyses, self.sequences, field), axis=-1) * self.gain[field]
            noise = np.fft.irfft(spectrum[drawn] * phase[:, None], n=columns, axis=-1)
            noisy[:, field] = simulation.fields[:, field] + noise
        return replace(simulation, fields=noisy)


def _power(archive: Archive, sequences: Int32[np.ndarray, "sequence 4"]) -> Power:
    """P(k) of the module, over sequences of four indices of times [unit of the field, squared]."""
    power = np.empty((*archive.fields.shape[1:-1], archive.grid.shape[-1] // 2 + 1))
    for field in range(len(archive.names)):
        power[field] = (np.abs(np.fft.rfft(_irregular(archive, sequences, field), axis=-1)) ** 2).mean(axis=0)
    return power


def _require_same(simulation: Archive, analyses: Archive) -> None:
    if (simulation.names, simulation.grid) != (analyses.names, analyses.grid):
        own, other = (f"{', '.join(one.names)} on {one.grid}" for one in (simulation, analyses))
        raise DataError(
            f"noise like that of analyses needs the fields and the grid of the simulation, {own}, not {other}"
        )
    if not simulation.grid.is_periodic:
        raise GridError(f"noise like that of analyses needs a grid around the globe, not {simulation.grid}")


def _sequences(archive: Archive, step_hours: int | float, holder: str) -> Int32[np.ndarray, "sequence 4"]:
    """Indices of four times, each a step after the one before.

    Raises:
        DataError: they are too few.
    """
    sequences = window_indices(archive.times, step_hours, 3)
    if len(sequences) < _FEWEST:
        raise DataError(
            f"{holder} {len(sequences)} sequences of four times {step_hours:g} h apart, noise like that of "
            f"analyses needs {_FEWEST}; give more of them, every {step_hours:g} h"
        )
    return sequences


def _irregular(
    archive: Archive, sequences: Int32[np.ndarray, "sequence 4"], field: int
) -> Float64[np.ndarray, "sequence lat lon"]:
    """e(t) of a field, less its mean at each hour of the day."""
    first, second, third, fourth = (archive.fields[rows, field].astype(np.float64) for rows in sequences.T)
    differences = fourth - 3.0 * (third - second) - first
    begun = archive.times[sequences[:, 0]]
    hours = begun - begun.astype("datetime64[D]")
    for hour in np.unique(hours):
        differences[hours == hour] -= differences[hours == hour].mean(axis=0)
    return differences
