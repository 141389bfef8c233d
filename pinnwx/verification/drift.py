"""The drift of a long forecast: whether it keeps the climate of the analyses that its model was trained on.

With A the area mean, f the forecast, t the training analyses, c the climatology at the valid time:

    departure       |A f - A c| / std(A t - A c)                      of each day, in standard deviations
    bias            sqrt A (mean over days of f - c)^2 / sqrt A std(t - c)^2
    variance_ratio  power of f up to zonal wavenumber 16 over that of t (`verification.details`)

A model that keeps its climate has departures below about 3, a small bias and a variance ratio near 1 at any lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import duration
from pinnwx.errors import DataError, GridError, UnavailableError
from pinnwx.verification.baselines import ClimatologyLike, climatology_at
from pinnwx.verification.details import large_scale_variance, zonal_power

_MAP_SAMPLE, _POWER_SAMPLE = 8, 4  # every eighth or fourth analysis is enough for a map of deviations or a spectrum


@dataclass(frozen=True, eq=False)
class Drift:
    """Area means and spectra of a forecast beside those of climatology and analyses, in SI units."""

    names: tuple[str, ...]
    days: Float[np.ndarray, " day"]
    """Lead times in days."""
    area_mean: Float[np.ndarray, "day field"]
    climatology_mean: Float[np.ndarray, "day field"]
    """Area mean of the climatology at the valid times."""
    sigma: Float[np.ndarray, " field"]
    """Standard deviation of the area mean of the analyses about their climatology."""
    power: Float[np.ndarray, "field wavenumber"]
    """Mean power by zonal wavenumber from 0 on."""
    analysis_power: Float[np.ndarray, "field wavenumber"]
    bias: Float[np.ndarray, " field"]
    """Of the time-mean map, over the standard deviation of the analyses."""

    @property
    def departure(self) -> Float[np.ndarray, "day field"]:
        """The distance of each area mean from climatology, in standard deviations."""
        return np.abs(self.area_mean - self.climatology_mean) / self.sigma

    @property
    def variance_ratio(self) -> Float[np.ndarray, " field"]:
        """Large-scale variance of the forecast over that of the analyses."""
        return np.asarray(large_scale_variance(self.power) / large_scale_variance(self.analysis_power))


def measure_drift(
    forecast: Float[np.ndarray, "lead field lat lon"],
    init_time: np.datetime64,
    lead_hours: Sequence[float] | Float[np.ndarray, " lead"],
    analyses: Archive,
    climatology: ClimatologyLike,
) -> Drift:
    """The drift of one forecast.

    Args:
        forecast: finite fields, in the order of `analyses.names`, on its grid.
        init_time: initial time of the forecast.
        lead_hours: lead times of the forecast.
        analyses: the training time of the model.
        climatology: fitted on that time.

    Raises:
        GridError: the grid does not close around the globe, so it has no zonal spectrum.
        UnavailableError: there are fewer than two analyses, or a field has a constant area mean.
        DataError: the climatology lacks a field or is on another grid; a forecast value is not finite.
    """
    grid, hours = analyses.grid, np.asarray(lead_hours, np.float64)
    if not grid.is_periodic:
        raise GridError(
            f"the grid {grid} does not close around the globe; a drift needs zonal spectra of a global grid"
        )
    if len(analyses.times) < 2:
        raise UnavailableError(f"{len(analyses.times)} analyses of the training time; a drift needs at least 2")
    if not np.isfinite(forecast).all():
        raise DataError("the forecast is not finite; give leads at which it is")

    def area_mean(fields: np.ndarray) -> np.ndarray:
        return (grid.area_weights * fields.astype(np.float64)).mean((-2, -1))

    known, expected = (
        climatology_at(climatology, analyses, times) for times in (analyses.times, init_time + duration(hours))
    )
    assert known is not None
    assert expected is not None
    departures = analyses.fields - known
    sigma, deviation = area_mean(departures).std(axis=0), departures[::_MAP_SAMPLE].std(axis=0, dtype=np.float64)
    if not (sigma > 0).all():
        constant = [name for name, value in zip(analyses.names, sigma, strict=True) if not value > 0]
        raise UnavailableError(f"the area mean of {', '.join(constant)} is constant in training; it has no drift")
    bias = (forecast - expected).mean(axis=0, dtype=np.float64)
    return Drift(
        names=analyses.names,
        days=hours / 24,
        area_mean=area_mean(forecast),
        climatology_mean=area_mean(expected),
        sigma=sigma,
        power=zonal_power(forecast, grid).mean(axis=0),
        analysis_power=zonal_power(analyses.fields[::_POWER_SAMPLE], grid).mean(axis=0),
        bias=np.sqrt(area_mean(bias**2) / area_mean(deviation**2)),
    )
