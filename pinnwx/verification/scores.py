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

The baselines (persistence, the analysis of the initial time; climatology; damped persistence; the linear inverse model)
are scored by `rmse` on the same pairs. The tests compare these scores with the `scores` package to 12 digits. That
package is not used here, because its calls on labelled arrays take three times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pinnwx.data.calendar import format_time
from pinnwx.errors import DataError, StabilityError
from pinnwx.grid import Grid
from pinnwx.verification.details import detail_statistics, details
from pinnwx.verification.significance import BlockBootstrap, Measurement, adjusted, overlap_days

PairFields = Float[np.ndarray, "pair field lat lon"]
PairValues = Float[np.ndarray, "pair field"]

BASELINES = ("persistence", "climatology", "damped_persistence", "linear_inverse")
RATIOS = tuple(f"{name}_ratio" for name in BASELINES)
SCORES = ("rmse", "rmse_pooled", "bias", "acc", "acc_wb1", *(f"{name}_rmse" for name in BASELINES), *RATIOS)


def pair_statistics(
    forecast: PairFields,
    truth: PairFields,
    baselines: Mapping[str, PairFields],
    test_mean: Float[np.ndarray, "field lat lon"],
    weights: Float[np.ndarray, "lat 1"],
) -> dict[str, PairValues]:
    """The area means of each pair from which all scores are computed.

    Args:
        forecast: finite fields at the valid times.
        truth: the analyses at the valid times, in the same units.
        baselines: their fields at the valid times, by their names in `BASELINES`; some may be absent.
        test_mean: mean of the truth over all scored valid times of this lead.
        weights: cell areas divided by their mean (`Grid.area_weights`).

    Returns:
        Arrays (pair, field) by name, with `<baseline>_mse`; without a climatology, `correlation` is absent.
    """
    forecast, truth = forecast.astype(np.float64), truth.astype(np.float64)

    def area_mean(values: PairFields) -> PairValues:
        return (weights * values).mean((-2, -1))

    f, t = forecast - test_mean, truth - test_mean
    statistics = {
        "mse": area_mean((forecast - truth) ** 2),
        "bias": area_mean(forecast - truth),
        "covariance": area_mean(f * t),
        "forecast_square": area_mean(f * f),
        "truth_square": area_mean(t * t),
        "forecast_mean": area_mean(f),
        "truth_mean": area_mean(t),
        "forecast_cell_mean": f.mean((-2, -1)),
        "truth_cell_mean": t.mean((-2, -1)),
    }
    statistics |= {f"{name}_mse": area_mean((fields - truth) ** 2) for name, fields in baselines.items()}
    if (climatology := baselines.get("climatology")) is not None:
        f, t = forecast - climatology, truth - climatology
        with np.errstate(invalid="ignore"):  # 0 / 0 if the forecast equals climatology
            correlation = area_mean(f * t) / np.sqrt(area_mean(f * f) * area_mean(t * t))
        statistics["correlation"] = correlation
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
        baselines: Mapping[str, PairFields],
    ) -> None:
        """Adds the pairs of one lead.

        Raises:
            StabilityError: the forecast is not finite; the message names the first such initial time, lead and field.
            DataError: truth or a baseline is not finite.
        """
        for kind, fields in {"truth": truth, **baselines}.items():
            if where := self._first_not_finite(fields, init_times):
                raise DataError(f"{kind} of {where} is not finite at {lead_hours:g} h; repair or leave out that time")
        if where := self._first_not_finite(forecast, init_times):
            raise StabilityError(f"forecast of {where} is not finite at {lead_hours:g} h; score shorter leads")
        self._times[lead_hours].append(np.asarray(init_times))
        weights = self._grid.area_weights
        self._statistics[lead_hours].append(
            pair_statistics(forecast, truth, baselines, self._test_means[lead_hours], weights)
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
        for each `*_ratio`, `_p`, the p-value of the ratio 1, and `_p_adjusted`, the same adjusted for the number of
        entries (Benjamini and Hochberg 1995); `bounds_missing`, the reason why there are no bounds, or None; `details`
        (see `verification.details`); and `daily`, a list of `[day, n, rmse]` for each day of initial times, with which
        two runs can be compared. An undefined score is `None`: every score if n is 0, and a correlation or ratio 0 / 0.
        """
        entries = []
        for position, name in enumerate(self._names):
            for lead in sorted(self._statistics):
                entry = {"variable": name, "lead_hours": int(lead) if float(lead).is_integer() else lead}
                entries.append(entry | self._entry(lead, position, bootstrap))
        for name in RATIOS:
            p_values = adjusted([entry[f"{name}_p"] for entry in entries])
            for entry, p in zip(entries, p_values, strict=True):
                entry[f"{name}_p_adjusted"] = p
        return entries

    def _entry(self, lead: float, position: int, bootstrap: BlockBootstrap) -> dict:
        batches = self._statistics[lead]
        if not batches:
            blank: dict[str, Any] = {name + bound: None for name in SCORES for bound in ("", "_low", "_high")}
            blank |= {f"{name}_p": None for name in RATIOS}
            return {"n": 0, "n_days": 0, **blank, "bounds_missing": "no pairs", "details": {}, "daily": []}
        days, day = np.unique(np.concatenate(self._times[lead]).astype("datetime64[D]"), return_inverse=True)
        pairs = {name: np.concatenate([batch[name][:, position] for batch in batches]) for name in batches[0]}

        def day_sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(day, weights=values, minlength=len(days))

        result: dict = {"n": len(day), "n_days": len(days)}
        overlap = overlap_days(days, lead)
        for name, measured in _measurements(pairs, day_sums, bootstrap, overlap).items():
            value, low, high = measured.estimate(bootstrap.level, _LIMITS.get(name, (0.0, np.inf)))
            result |= {name: value, f"{name}_low": low, f"{name}_high": high}
            if name in RATIOS:
                result[f"{name}_p"] = measured.p_value(1.0)
        counts, errors = np.bincount(day), day_sums(np.sqrt(pairs["mse"]))
        daily = [[str(d), int(n), float(e / n)] for d, n, e in zip(days, counts, errors, strict=True)]
        result |= {"bounds_missing": bootstrap.obstacle(len(days), overlap), "details": details(pairs), "daily": daily}
        return result


def _measurements(
    pairs: Mapping[str, np.ndarray],
    day_sums: Callable[[np.ndarray], np.ndarray],
    bootstrap: BlockBootstrap,
    overlap: int,
) -> dict[str, Measurement]:
    """Every score of `SCORES` from the statistics of the pairs of one variable and lead."""

    def measure(statistic: Callable[..., np.ndarray], *values: np.ndarray) -> Measurement:
        return bootstrap.measure(statistic, *map(day_sums, values), overlap=overlap)

    def ratio(above: np.ndarray, below: np.ndarray) -> Measurement:
        return measure(lambda a, b: a / b, above, below)

    one, error = np.ones_like(pairs["mse"]), np.sqrt(pairs["mse"])
    absent = Measurement(None)
    measured = {
        "rmse": ratio(error, one),
        "rmse_pooled": measure(lambda a, n: np.sqrt(a / n), pairs["mse"], one),
        "bias": ratio(pairs["bias"], one),
        "acc": ratio(pairs["correlation"], one) if "correlation" in pairs else absent,
        "acc_wb1": measure(_pooled_correlation, one, *(pairs[name] for name in _POOLED)),
    }
    for name in BASELINES:
        known = f"{name}_mse" in pairs
        baseline = np.sqrt(pairs[f"{name}_mse"]) if known else one
        measured[f"{name}_rmse"] = ratio(baseline, one) if known else absent
        measured[f"{name}_ratio"] = ratio(error, baseline) if known else absent
    return measured


_LIMITS = {"bias": (-np.inf, np.inf), "acc": (-1.0, 1.0), "acc_wb1": (-1.0, 1.0)}  # all others are not negative
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
