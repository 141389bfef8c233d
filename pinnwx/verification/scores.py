"""Scores of pairs of forecast and truth on a latitude-longitude grid, accumulated in float64.

Every score is a function of sums over pairs of a few area means per pair. Therefore pairs can be added in batches, and
the bootstrap needs no fields. A is the area mean, f the forecast, t the truth, c the training climatology at the valid
time, o the test mean (the mean of t over the scored valid times of a lead), and N the number of pairs:

    rmse         1/N sum sqrt A (f - t)^2        square root for each forecast, then the mean
    rmse_pooled  sqrt(1/N sum A (f - t)^2)       square root last, as in WeatherBench 2 (Rasp et al. 2024)
    bias         1/N sum A (f - t)
    acc          1/N sum A(f'' t'') / sqrt(A(f''^2) A(t''^2)),  f'' = f - c,  t'' = t - c
    acc_wb1      sum A(f' t') / sqrt(sum A(f'^2) sum A(t'^2)),  f' = f - o minus its mean over cells and pairs; t' alike
                 (as in WeatherBench, Rasp et al. 2020; that mean gives every cell the same weight)
    *_ratio      rmse divided by the rmse of the baseline

Persistence (the analysis of the initial time) and climatology are scored by `rmse` on the same pairs. The tests compare
these scores with the `scores` package to 12 digits. That package is not used here, because its calls on labelled arrays
take three times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pinnwx.data.calendar import format_time
from pinnwx.errors import DataError, StabilityError
from pinnwx.grid import Grid
from pinnwx.verification.details import detail_statistics, details
from pinnwx.verification.significance import BlockBootstrap, Estimate

PairFields = Float[np.ndarray, "pair field lat lon"]
PairValues = Float[np.ndarray, "pair field"]

SCORES = (
    "rmse", "rmse_pooled", "bias", "acc", "acc_wb1",
    "persistence_rmse", "climatology_rmse", "persistence_ratio", "climatology_ratio",
)  # fmt: skip


def pair_statistics(
    forecast: PairFields,
    truth: PairFields,
    climatology: PairFields | None,
    persistence: PairFields,
    test_mean: Float[np.ndarray, "field lat lon"],
    weights: Float[np.ndarray, "lat 1"],
) -> dict[str, PairValues]:
    """The area means of each pair from which all scores are computed.

    Args:
        forecast: finite fields at the valid times.
        truth: the analyses at the valid times, in the same units.
        climatology: the climatology at the valid times, or None.
        persistence: the analyses of the initial times.
        test_mean: mean of the truth over all scored valid times of this lead.
        weights: cell areas divided by their mean (`Grid.area_weights`).

    Returns:
        Arrays (pair, field) by name; without a climatology, `correlation` and `climatology_mse` are absent.
    """
    forecast, truth = forecast.astype(np.float64), truth.astype(np.float64)

    def area_mean(values: PairFields) -> PairValues:
        return (weights * values).mean((-2, -1))

    f, t = forecast - test_mean, truth - test_mean
    statistics = {
        "mse": area_mean((forecast - truth) ** 2),
        "bias": area_mean(forecast - truth),
        "persistence_mse": area_mean((persistence - truth) ** 2),
        "covariance": area_mean(f * t),
        "forecast_square": area_mean(f * f),
        "truth_square": area_mean(t * t),
        "forecast_mean": area_mean(f),
        "truth_mean": area_mean(t),
        "forecast_cell_mean": f.mean((-2, -1)),
        "truth_cell_mean": t.mean((-2, -1)),
    }
    if climatology is not None:
        f, t = forecast - climatology, truth - climatology
        with np.errstate(invalid="ignore"):  # 0 / 0 if the forecast equals climatology
            correlation = area_mean(f * t) / np.sqrt(area_mean(f * f) * area_mean(t * t))
        statistics |= {"correlation": correlation, "climatology_mse": area_mean((climatology - truth) ** 2)}
    return statistics


class ScoreAccumulator:
    """Collects batches of pairs and tabulates their scores; it stores statistics of each pair, not fields.

    Args:
        names: the names of the fields.
        grid: the grid of the fields.
        test_means: the mean of the truth over all scored valid times, by lead [h].
    """

    def __init__(
        self,
        names: Sequence[str],
        grid: Grid,
        test_means: Mapping[float, Float[np.ndarray, "field lat lon"]],
    ) -> None:
        self._names = tuple(names)
        self._grid = grid
        self._test_means = dict(test_means)
        self._times: dict[float, list[np.ndarray]] = {lead: [] for lead in test_means}
        self._statistics: dict[float, list[dict[str, PairValues]]] = {lead: [] for lead in test_means}

    def add(
        self,
        init_times: np.ndarray,
        lead_hours: float | int,
        forecast: PairFields,
        truth: PairFields,
        climatology: PairFields | None,
        persistence: PairFields,
    ) -> None:
        """Adds the pairs of one lead.

        Raises:
            StabilityError: the forecast is not finite; the message names the first such initial time, lead and field.
            DataError: truth, climatology or persistence is not finite.
        """
        for kind, fields in (("truth", truth), ("climatology", climatology), ("persistence", persistence)):
            if fields is not None and (where := self._first_not_finite(fields, init_times)):
                raise DataError(f"{kind} of {where} is not finite at {lead_hours:g} h; repair or leave out that time")
        if where := self._first_not_finite(forecast, init_times):
            raise StabilityError(f"forecast of {where} is not finite at {lead_hours:g} h; score shorter leads")
        self._times[lead_hours].append(np.asarray(init_times))
        weights = self._grid.area_weights
        self._statistics[lead_hours].append(
            pair_statistics(forecast, truth, climatology, persistence, self._test_means[lead_hours], weights)
            | detail_statistics(forecast, truth, self._grid)
        )

    def _first_not_finite(self, fields: PairFields, init_times: np.ndarray) -> str | None:
        """Variable and initial time of the first NaN or infinite value; None if all are finite."""
        bad = ~np.isfinite(fields)
        if not bad.any():
            return None
        pair, position = np.argwhere(bad)[0][:2]
        return f"{self._names[position]} from {format_time(init_times[pair])}"

    def table(self, bootstrap: BlockBootstrap = BlockBootstrap()) -> list[dict]:  # noqa: B008
        """One entry for each variable and lead.

        The keys are `variable, lead_hours, n, n_days`; the scores of this module with their `_low` and `_high` bounds;
        `bounds_missing`, the reason why there are no bounds, or None; `details` (see `verification.details`); and
        `daily`, a list of `[day, n, rmse]` for each day of initial times, with which two runs can be compared. An
        undefined score is `None`: every score if n is 0, and a correlation or ratio 0 / 0.
        """
        entries = []
        for position, name in enumerate(self._names):
            for lead in sorted(self._statistics):
                entry = {"variable": name, "lead_hours": int(lead) if float(lead).is_integer() else lead}
                entries.append(entry | self._entry(lead, position, bootstrap))
        return entries

    def _entry(self, lead: float, position: int, bootstrap: BlockBootstrap) -> dict:
        batches = self._statistics[lead]
        if not batches:
            blank = {name + bound: None for name in SCORES for bound in ("", "_low", "_high")}
            return {"n": 0, "n_days": 0, **blank, "bounds_missing": "no pairs", "details": {}, "daily": []}
        days, day = np.unique(np.concatenate(self._times[lead]).astype("datetime64[D]"), return_inverse=True)
        pairs = {name: np.concatenate([batch[name][:, position] for batch in batches]) for name in batches[0]}

        def day_sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(day, weights=values, minlength=len(days))

        result: dict = {"n": len(day), "n_days": len(days)}
        for name, estimate in _estimates(pairs, day_sums, bootstrap).items():
            result |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        counts, errors = np.bincount(day), day_sums(np.sqrt(pairs["mse"]))
        daily = [[str(d), int(n), float(e / n)] for d, n, e in zip(days, counts, errors, strict=True)]
        result |= {"bounds_missing": bootstrap.obstacle(len(days)), "details": details(pairs), "daily": daily}
        return result


def _estimates(
    pairs: Mapping[str, np.ndarray], day_sums: Callable[[np.ndarray], np.ndarray], bootstrap: BlockBootstrap
) -> dict[str, Estimate]:
    """Every score of `SCORES` from the statistics of the pairs of one variable and lead."""

    def ratio(above: np.ndarray, below: np.ndarray, limits: tuple[float, float]) -> Estimate:
        return bootstrap.estimate(lambda a, b: a / b, day_sums(above), day_sums(below), limits=limits)

    positive, unlimited, correlation = (0.0, np.inf), (-np.inf, np.inf), (-1.0, 1.0)
    one, error = np.ones_like(pairs["mse"]), np.sqrt(pairs["mse"])
    count, persistence = day_sums(one), np.sqrt(pairs["persistence_mse"])
    absent = Estimate(None, None, None)
    estimates = {
        "rmse": ratio(error, one, positive),
        "rmse_pooled": bootstrap.estimate(lambda a, n: np.sqrt(a / n), day_sums(pairs["mse"]), count, limits=positive),
        "bias": ratio(pairs["bias"], one, unlimited),
        "acc": absent,
        "acc_wb1": bootstrap.estimate(
            _pooled_correlation, count, *(day_sums(pairs[name]) for name in _POOLED), limits=correlation
        ),
        "persistence_rmse": ratio(persistence, one, positive),
        "climatology_rmse": absent,
        "persistence_ratio": ratio(error, persistence, positive),
        "climatology_ratio": absent,
    }
    if "climatology_mse" in pairs:
        climatology = np.sqrt(pairs["climatology_mse"])
        estimates["acc"] = ratio(pairs["correlation"], one, correlation)
        estimates["climatology_rmse"] = ratio(climatology, one, positive)
        estimates["climatology_ratio"] = ratio(error, climatology, positive)
    return estimates


_POOLED = (
    "covariance", "forecast_square", "truth_square",
    "forecast_mean", "truth_mean", "forecast_cell_mean", "truth_cell_mean",
)  # fmt: skip


def _pooled_correlation(count, covariance, f_square, t_square, f_mean, t_mean, f_cells, t_cells):
    """`acc_wb1` from sums over pairs: pooled moments about the means over cells and pairs.

    The bootstrap does not change the test mean, which is the mean over all days.
    """
    f_centre, t_centre = f_cells / count, t_cells / count
    covariance = covariance - f_centre * t_mean - t_centre * f_mean + count * f_centre * t_centre
    f_square = f_square - 2 * f_centre * f_mean + count * f_centre**2
    t_square = t_square - 2 * t_centre * t_mean + count * t_centre**2
    return covariance / np.sqrt(f_square * t_square)
