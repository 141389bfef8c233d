"""A linear inverse model (Penland and Sardeshmukh 1995, Journal of Climate 8, 1999-2024).

The departures from climatology of all fields, divided by their standard deviations and weighted by area, are projected
on their K leading empirical orthogonal functions (EOFs). The coefficients p follow a linear stochastic system, whose
propagator over one step of the archive is a regression:

    p(t + step) = G p(t) + noise,    G = C(step) C(0)^-1,    p(t + n step) = G^n p(t)

C(tau) is the covariance of p(t + tau) and p(t). What the EOFs do not span is damped, by field and lead, as in damped
persistence. K is the number of `CANDIDATES` whose forecasts have the lowest error over all leads in the last quarter of
the training time, when they are fitted on the first three quarters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64

from pinnwx.data.archive import Archive
from pinnwx.verification.baselines import ClimatologyLike, damping, departures
from pinnwx.verification.pairing import LaggedPairs

CANDIDATES = (5, 10, 20, 40, 80)
_MOST_MAPS = 500  # analyses from which EOFs are computed
_MOST_PAIRS = 50  # of one lead, for the factors of the remainder and for the choice of K
_PAIRS_AN_EOF = 4  # the smallest number of pairs for each EOF: a propagator has K coefficients for each
_CHUNK = 128

Maps = Float32[np.ndarray, "map field lat lon"]
Coefficients = Float64[np.ndarray, "time eof"]


@dataclass(frozen=True, eq=False)
class LinearInverseModel:
    """The propagator of EOF coefficients over one step.

    Attributes:
        patterns: maps in the units of the fields; a departure is their sum times coefficients, and a remainder.
        projection: maps whose sum of products with a departure is a coefficient.
        propagator: G.
        step_hours: the step of the propagator.
        damping: the factor of the remainder of each field, by lead [h].
    """

    patterns: Maps
    projection: Maps
    propagator: Float64[np.ndarray, "eof eof"]
    step_hours: float
    damping: Mapping[float, Float64[np.ndarray, " field"]]

    @classmethod
    def fit(
        cls, training: Archive, climatology: ClimatologyLike, lead_hours: Sequence[float]
    ) -> LinearInverseModel | None:
        """Fits the model on an archive that holds the training time only; `None` if that is too short.

        Leads that are not a multiple of the step of the archive have no forecast.
        """
        if len(training) < 2:
            return None
        step, split = training.step_hours, 3 * len(training) // 4
        leads = {float(lead): LaggedPairs.of(training, lead) for lead in lead_hours if _steps(lead, step)}
        by_step = LaggedPairs.of(training, step)
        most = min(len(by_step.before(split).now) // _PAIRS_AN_EOF, _MOST_MAPS // 2, training.fields[0].size)
        candidates = [count for count in CANDIDATES if count <= most]
        late = {lead: pairs.since(split) for lead, pairs in leads.items() if len(pairs.since(split).now)}
        if not candidates or not late:
            return None
        maps, scale = _eofs(training, climatology, candidates[-1])
        known = _project(training, climatology, maps * scale)

        def fitted(count: int, pairs: LaggedPairs) -> LinearInverseModel:
            return cls(maps[:count] / scale, maps[:count] * scale, _propagator(known[:, :count], pairs), step, {})

        early = {lead: _fields(training, climatology, leads[lead].before(split)) for lead in late}
        truth = {lead: _fields(training, climatology, pairs) for lead, pairs in late.items()}
        trials = [fitted(count, by_step.before(split))._damped(early, training) for count in candidates]
        errors = [trial._error(truth, scale) for trial in trials]
        whole = {lead: _fields(training, climatology, pairs) for lead, pairs in leads.items()}
        return fitted(candidates[int(np.argmin(errors))], by_step)._damped(whole, training)

    def __call__(
        self,
        departures: Float[np.ndarray, "pair field lat lon"],
        climatology: Float[np.ndarray, "pair field lat lon"],
        lead_hours: float,
        /,
    ) -> Float[np.ndarray, "pair field lat lon"] | None:
        """See `pinnwx.verification.baselines.Baseline`."""
        factor = self.damping.get(float(lead_hours))
        if factor is None:
            return None
        coefficients = self._coefficients(departures)
        remainder = factor[:, None, None] * (departures - np.tensordot(coefficients, self.patterns, axes=1))
        propagator = np.linalg.matrix_power(self.propagator, _steps(lead_hours, self.step_hours))
        return climatology + np.tensordot(coefficients @ propagator.T, self.patterns, axes=1) + remainder

    def _coefficients(self, departures: np.ndarray) -> Float64[np.ndarray, "pair eof"]:
        return np.tensordot(departures, self.projection, axes=((1, 2, 3), (1, 2, 3))).astype(np.float64)

    def _remainder(self, departures: np.ndarray) -> np.ndarray:
        return departures - np.tensordot(self._coefficients(departures).astype(np.float32), self.patterns, axes=1)

    def _damped(self, fields: Mapping[float, tuple[Maps, Maps]], training: Archive) -> LinearInverseModel:
        """With the factors of the remainder, from departures now and later by lead."""
        weights = training.grid.area_weights
        factors = {
            lead: damping(self._remainder(now), self._remainder(later), weights)
            for lead, (now, later) in fields.items()
        }
        return replace(self, damping=factors)

    def _error(self, fields: Mapping[float, tuple[Maps, Maps]], scale: np.ndarray) -> float:
        """The scaled squared error of forecasts, mean over leads, from departures now and later by lead."""
        errors = [scale * (self(now, np.zeros_like(now), lead) - later) for lead, (now, later) in fields.items()]
        return float(np.mean([(error**2).mean() for error in errors]))


def _fields(training: Archive, climatology: ClimatologyLike, pairs: LaggedPairs) -> tuple[Maps, Maps]:
    """The departures now and later of at most `_MOST_PAIRS` pairs."""
    now, later = (departures(climatology, training, rows) for rows in pairs.at_most(_MOST_PAIRS))
    return now, later


def _steps(lead_hours: float, step_hours: float) -> int:
    """The number of steps of a lead, 0 if it is no positive multiple."""
    steps = round(lead_hours / step_hours)
    return steps if steps > 0 and abs(steps * step_hours - lead_hours) < 1e-6 else 0


def _eofs(
    training: Archive, climatology: ClimatologyLike, count: int
) -> tuple[Float32[np.ndarray, "eof field lat lon"], Float32[np.ndarray, "field lat 1"]]:
    """The leading EOFs, orthonormal, and the factor that turns departures into what they are computed from."""
    sample = np.arange(0, len(training), -(-len(training) // _MOST_MAPS))
    fields = departures(climatology, training, sample)
    weights = training.grid.area_weights
    deviation = np.sqrt((weights * fields.astype(np.float64) ** 2).mean((0, 2, 3)))
    deviation = np.where(deviation > 0, deviation, 1.0)
    scale = (np.sqrt(weights) / deviation[:, None, None]).astype(np.float32)
    states = (fields * scale).reshape(len(sample), -1)
    values, vectors = np.linalg.eigh((states @ states.T).astype(np.float64))
    leading = vectors[:, ::-1][:, :count] / np.sqrt(np.maximum(values[::-1][:count], np.finfo(np.float32).tiny))
    return (leading.T.astype(np.float32) @ states).reshape(count, *fields.shape[1:]), scale


def _project(
    training: Archive, climatology: ClimatologyLike, projection: Float32[np.ndarray, "eof field lat lon"]
) -> Float64[np.ndarray, "time eof"]:
    """The coefficients of every analysis."""
    parts = [
        np.tensordot(departures(climatology, training, rows), projection, axes=((1, 2, 3), (1, 2, 3)))
        for rows in np.array_split(np.arange(len(training)), -(-len(training) // _CHUNK))
    ]
    return np.concatenate(parts).astype(np.float64)


def _propagator(known: Float64[np.ndarray, "time eof"], pairs: LaggedPairs) -> Float64[np.ndarray, "eof eof"]:
    """G of the least-squares fit p(later) = G p(now)."""
    return np.linalg.lstsq(known[pairs.now], known[pairs.later], rcond=None)[0].T
