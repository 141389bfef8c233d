"""Explained variance by bands of latitude and of zonal wavenumber, of a forecast change and the analysed change.

Round a circle of latitude the waves are those of the Fourier transform. On a regional grid they are those of the cosine
transform (Denis et al. 2002): the longest is twice as long as the grid is wide. Their wavenumbers count waves round the
globe. Both transforms are orthonormal, so the sums over all bands are the sums over the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.fft import dct

from pinnwx.grid import Grid

LATITUDES = tuple((south, south + 15) for south in range(-90, 90, 15))  # degrees
WAVENUMBERS = ((0, 0), (1, 3), (4, 6), (7, 9), (10, 12), (13, 16), (17, 32), (33, 180))

Anomalies = Float[np.ndarray, "time field lat lon"]
Sums = Float[np.ndarray, "field band"]


@dataclass(frozen=True)
class Explained:
    """How much of the analysed change c in each band the increment x explains, without the time means.

    Attributes:
        bands: the limits.
        fraction: <x c>^2 / (<x x> <c c>), with one factor fitted for each field and band; 0 if <x c> is negative.
        as_it_is: 1 - <(c - x)^2> / <c c>, with nothing fitted; negative if the increment makes the change worse.
        share: <c c> of the band over that of all bands.
    """

    bands: tuple[tuple[int, int], ...]
    fraction: Sums
    as_it_is: Sums
    share: Sums

    @classmethod
    def of(cls, bands: Sequence[tuple[int, int]], forecast: Sums, both: Sums, analysed: Sums) -> Explained:
        """From <x x>, <x c> and <c c> of each band; bands without any change are left out."""
        kept: np.ndarray = np.all(analysed > 0, axis=0)
        forecast, both, analysed = forecast[:, kept], both[:, kept], analysed[:, kept]
        changed = forecast > 1e-12 * analysed  # not by rounding alone
        return cls(
            tuple(band for band, is_kept in zip(bands, kept, strict=True) if is_kept),
            np.where(changed, np.maximum(both, 0) ** 2 / (np.where(changed, forecast, 1) * analysed), 0),
            (2 * both - forecast) / analysed,
            analysed / analysed.sum(1, keepdims=True),
        )


Split = Callable[[Anomalies, Anomalies, Grid], Explained]


def by_latitude(increments: Anomalies, changes: Anomalies, grid: Grid) -> Explained:
    """In bands of 15 degrees, area-weighted."""
    latitude = np.array(grid.latitude)
    rows = [(latitude >= south) & (latitude < north) for south, north in LATITUDES]
    rows[-1] |= latitude == LATITUDES[-1][1]
    weights = grid.area_weights[:, 0] * np.array(rows)
    pairs = ((increments, increments), (increments, changes), (changes, changes))
    return Explained.of(LATITUDES, *(np.einsum("tfyx,tfyx,by->fb", *pair, weights, optimize=True) for pair in pairs))


def by_wavenumber(increments: Anomalies, changes: Anomalies, grid: Grid) -> Explained:
    """In bands of zonal wavenumber, area-weighted."""
    first, second = zonal_waves(increments, grid), zonal_waves(changes, grid)
    numbers = wavenumbers(grid)
    inside = np.array([(numbers > low - 0.5) & (numbers < high + 0.5) for low, high in WAVENUMBERS], float)
    weights = grid.area_weights[:, 0]

    def sums(one: np.ndarray, other: np.ndarray) -> Sums:
        return np.einsum("tfyk,tfyk,y,bk->fb", one, other.conj(), weights, inside, optimize=True).real

    return Explained.of(WAVENUMBERS, sums(first, first), sums(first, second), sums(second, second))


def zonal_waves(fields: Anomalies, grid: Grid) -> np.ndarray:
    """Amplitudes whose squared moduli add up to the squares of the fields of a row, (time, field, lat, wave)."""
    if not grid.is_periodic:
        return np.asarray(dct(fields, axis=-1, norm="ortho"))
    waves = np.fft.rfft(fields, axis=-1, norm="ortho")
    columns = fields.shape[-1]
    waves[..., 1 : (columns + 1) // 2] *= np.sqrt(2)  # each stands for its conjugate too
    return waves


def wavenumbers(grid: Grid) -> Float[np.ndarray, " wave"]:
    """The number of waves round the globe of each amplitude."""
    columns = len(grid.longitude)
    if grid.is_periodic:
        return np.arange(columns // 2 + 1, dtype=float)
    return np.arange(columns) * 180 / (columns * grid.longitude_spacing)
