"""Noise that makes the fields of a simulation change as irregularly as analyses.

The fields of a simulation follow smoothly from those before. A network that learns from them alone extrapolates from
its input times so exactly that, on analyses, it amplifies whatever is irregular there. So noise is added to the
simulation: independent from time to time, with the variance

    N(k) = max(0, D_a(k) - D_s(k)) / 2

for each field, latitude and zonal wavenumber k. D(k) is the mean square of the change over a step, of the analyses (a)
and of the simulation (s). The change of such noise has the variance 2 N, so afterwards the simulation changes as much
as the analyses, and nowhere less than before. (Training with noise on the inputs is a regularisation: Bishop 1995,
Neural Computation 7. It also keeps long rollouts stable: Sanchez-Gonzalez et al. 2020, arXiv 2002.09405.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import DataError

_CHUNK = 256  # times that are computed at once

Power = Float64[np.ndarray, "field lat wavenumber"]


def with_analysis_noise(simulation: Archive, analyses: Archive, step_hours: int | float, *, seed: int = 0) -> Archive:
    """The simulation with noise, so that it changes as irregularly as the analyses.

    Args:
        simulation: what a model is to learn from.
        analyses: of the same fields on the same grid. Only the power of their change is used.
        step_hours: the step of the model.
        seed: of the noise.

    Raises:
        DataError: the fields or the grids differ, or no two times are a step apart.
    """
    if (simulation.names, simulation.grid) != (analyses.names, analyses.grid):
        own, other = (f"{', '.join(one.names)} on {one.grid}" for one in (simulation, analyses))
        raise DataError(f"noise like that of analyses needs the same fields and grid: {own} is not {other}")
    power = noise_power(simulation, analyses, step_hours)
    columns = simulation.grid.shape[-1]
    amplitude = np.sqrt(power / columns)  # white noise of unit variance has the power `columns` at every wavenumber
    generator, noisy = np.random.default_rng(seed), np.empty_like(simulation.fields)
    for first in range(0, len(simulation), _CHUNK):
        part = simulation.fields[first : first + _CHUNK]
        white = np.fft.rfft(generator.standard_normal(part.shape), axis=-1)
        noisy[first : first + _CHUNK] = part + np.fft.irfft(amplitude * white, n=columns, axis=-1)
    return replace(simulation, fields=noisy)


def noise_power(simulation: Archive, analyses: Archive, step_hours: int | float) -> Power:
    """N(k) of the module, as the mean of |rfft(noise)|^2 [unit of the field, squared].

    Raises:
        DataError: no two times are a step apart.
    """
    wanted, own = (_power_of_change(one, step_hours) for one in (analyses, simulation))
    return np.maximum(wanted - own, 0.0) / 2


def _power_of_change(archive: Archive, step_hours: int | float) -> Power:
    """Mean over pairs of times, a step apart, of |rfft(x(t + step) - x(t))|^2."""
    pairs = window_indices(archive.times, step_hours, 1)
    if len(pairs) == 0:
        raise DataError(f"no two times are {step_hours:g} h apart; noise like that of analyses needs them")
    total = np.zeros((*archive.fields.shape[1:-1], archive.grid.shape[-1] // 2 + 1))
    for first in range(0, len(pairs), _CHUNK):
        before, after = pairs[first : first + _CHUNK].T
        change = archive.fields[after].astype(np.float64) - archive.fields[before]
        total += (np.abs(np.fft.rfft(change, axis=-1)) ** 2).sum(axis=0)
    return total / len(pairs)
