"""Long rollouts of trained models: whether they stay finite, keep the variance of the weather, and keep its climate.

    python -m experiments.studies.rollouts                 every part, for the runs of `experiments.studies.results`
    python -m experiments.studies.rollouts --parts year    only this part
    python -m experiments.studies.rollouts --again         also what is stored
    python -m experiments.studies.rollouts --tables        only write the table

Parts:
    ten_days    from every analysis of the validation time: variance up to zonal wavenumber 16 at 24 h and at ten days,
                over that of the analyses
    year        365 days of the GCM hybrids: area means beside climatology, variance, spectra (`verification.drift`)
    ensemble    20 ensembles of 20 members, spread evenly over the validation time: spread over the error of the mean,
                and the error of the mean and of the distribution beside those of a single forecast

Figures go to experiments/results/rollouts.json, the picture of a year that stayed finite to
experiments/results/NAME_year.png, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    RUNS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from pinnwx.config import Period
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_mask
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.reporting.drift import drift_figure
from pinnwx.reporting.style import save
from pinnwx.runtime import prepare
from pinnwx.verification.details import large_scale_variance, zonal_power
from pinnwx.verification.drift import measure_drift
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread
from pinnwx.verification.pairing import pair_by_time

MODELS = ("era5_hybrid", "era5_neural", "gcm_hybrid", "gcm_neural", "gcm_year")
YEARS = ("gcm_hybrid", "gcm_year")
BATCH = 16
DAYS = 365
MEMBERS, ENSEMBLES = 20, 20
ENSEMBLE_LEADS = (24.0, 72.0, 120.0)
VARIANCES = ("24 h", "10 d", "10 d, most")


def open_run(name: str) -> tuple[TrainedModel, Archive]:
    """The live model of a run, and all analyses of its fields."""
    trained = Run.open(RUNS / name).load()
    return trained, matching_archive(trained, DATA / scoring_of(name).folder)


def times_in(archive: Archive, period: Period | None) -> Shaped[np.ndarray, " time"]:
    """The archive's times in a period of the config."""
    assert period is not None
    return archive.times[period_mask(archive.times, period.start, period.end)]


def forecast_batches(predictor: Predictor, archive: Archive, starts: np.ndarray) -> Iterator[np.ndarray]:
    """Forecasts (batch, lead, field, lat, lon), batch by batch; the last is filled, so it compiles no new code."""
    for first in range(0, len(starts), BATCH):
        chosen = np.arange(first, first + BATCH).clip(max=len(starts) - 1)
        yield predictor.from_archive(archive, starts[chosen])[: len(starts) - first]


def measure_ten_days(name: str) -> dict[str, Any]:
    """Variance of ten-day forecasts over that of the analyses of the validation time, by field."""
    trained, archive = open_run(name)
    period = trained.config.data.validate_
    starts = times_in(archive, period)
    analyses = archive.fields[np.isin(archive.times, starts)]
    analysis_variance = large_scale_variance(zonal_power(analyses, archive.grid)).mean(axis=0)
    variances, finite = [], 0
    for forecasts in forecast_batches(Predictor(trained, [24.0, 240.0]), archive, starts):
        finite += int(np.isfinite(forecasts).all(axis=(1, 2, 3, 4)).sum())
        variances.append(large_scale_variance(zonal_power(forecasts, archive.grid)))
    ratio = np.concatenate(variances) / analysis_variance
    values = (ratio[:, 0].mean(axis=0), ratio[:, 1].mean(axis=0), ratio[:, 1].max(axis=0))
    by_field = {
        field: {key: float(value[index]) for key, value in zip(VARIANCES, values, strict=True)}
        for index, field in enumerate(archive.names)
    }
    return {"starts": len(starts), "finite": finite, "variance_ratio": by_field}


def measure_year(name: str) -> dict[str, Any]:
    """The drift of a rollout of 365 days, or of the days before it is no longer finite."""
    trained, archive = open_run(name)
    period = trained.config.data.train
    start = times_in(archive, trained.config.data.validate_)[:1]
    leads = 24.0 * np.arange(1, DAYS + 1)
    forecast = Predictor(trained, leads.tolist()).from_archive(archive, start)[0]
    finite = np.isfinite(forecast).all(axis=(1, 2, 3))
    days = len(finite) if finite.all() else int(np.argmin(finite))
    training = archive.select(period.start, period.end)
    drift = measure_drift(forecast[:days], start[0], leads[:days], training, trained.climatology)
    if days == DAYS:
        save(drift_figure(drift), RESULTS / f"{name}_year.png")
    by_field = {
        field: {
            "largest_departure": float(drift.departure[:, index].max()),
            "days_within_3_sigma": int((drift.departure[:, index] <= 3).sum()),
            "variance_ratio": float(drift.variance_ratio[index]),
            "bias": float(drift.bias[index]),
        }
        for index, field in enumerate(archive.names)
    }
    return {"start": str(start[0])[:16], "finite_days": days, "fields": by_field}


def measure_ensemble(name: str) -> dict[str, Any]:
    """Spread, error and CRPS of ensembles from the validation time, beside a single forecast from the same analyses."""
    trained, archive = open_run(name)
    members = Ensemble(trained, ENSEMBLE_LEADS, MEMBERS)
    leads = np.asarray(members.lead_hours)
    starts, truth_rows = ensemble_starts(members, archive, times_in(archive, trained.config.data.validate_))
    single = members.predictor.from_archive(archive, starts)
    weights = archive.grid.area_weights
    means: dict[str, Float[np.ndarray, "lead field"]] = {}
    for start, rows, alone in zip(starts, truth_rows, single, strict=True):
        truth, ensemble = archive.fields[rows], members.forecast(archive, start)
        for member in ensemble:
            require_bounded(member, leads.tolist(), trained, start)
        scores = {
            "spread": mean_square_spread(ensemble, weights),
            "error": mean_square_error(ensemble, truth, weights),
            "single_error": mean_square_error(alone[None], truth, weights),
            "crps": crps(ensemble, truth, weights),
            "single_crps": (weights * np.abs(alone - truth)).mean((-2, -1), dtype=np.float64),
        }
        means = {key: means.get(key, 0) + value / len(starts) for key, value in scores.items()}
    ratios = {
        "spread_over_error": np.sqrt(means["spread"] / means["error"]),
        "error_over_single": np.sqrt(means["error"] / means["single_error"]),
        "crps_over_single": means["crps"] / means["single_crps"],
    }
    by_field = {
        field: {
            f"{lead:g} h": {key: float(ratio[row, column]) for key, ratio in ratios.items()}
            for row, lead in enumerate(leads)
        }
        for column, field in enumerate(archive.names)
    }
    settings = {"members": MEMBERS, "perturbation_scale": members.perturbation_scale}
    return {"starts": len(starts), **settings, "fields": by_field}


def ensemble_starts(members: Ensemble, archive: Archive, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Initial times spread evenly over those with inputs and with truth at every lead, and the rows of that truth."""
    pairs = pair_by_time(archive, wanted, ENSEMBLE_LEADS, inputs=members.predictor.needed_offsets)
    complete = (pairs.truth_indices >= 0).all(axis=1)
    starts, truth_rows = archive.times[pairs.init_indices[complete]], pairs.truth_indices[complete]
    chosen = np.unique(np.linspace(0, len(starts) - 1, ENSEMBLES).round().astype(int))
    return starts[chosen], truth_rows[chosen]


def table(figures: Mapping[str, Any]) -> str:
    """The tables of all parts, as Markdown."""
    lines = ten_days_table(figures["ten_days"]) if "ten_days" in figures else []
    for name, entry in figures.get("year", {}).items():
        lines += year_table(name, entry)
    for name, entry in figures.get("ensemble", {}).items():
        lines += ensemble_table(name, entry)
    return "\n".join(lines)


def ten_days_table(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row for each model: the range of its variance ratios over the fields."""
    rows = []
    for name, entry in entries.items():
        ratios = entry["variance_ratio"].values()
        ranges = [value_range([ratio[key] for ratio in ratios]) for key in VARIANCES]
        finite = "yes" if entry["finite"] == entry["starts"] else f"{entry['finite']}"
        rows.append([name, entry["starts"], finite, *ranges])
    titles = ["ten-day rollouts", "starts", "all finite", "variance at 24 h", "at ten days", "maximum"]
    caption = "Variance up to zonal wavenumber 16 over that of the analyses: minimum and maximum over the fields.\n"
    return [*markdown_table(titles, rows), "", caption]


def year_table(name: str, entry: Mapping[str, Any]) -> list[str]:
    """A row for each field: how far the rollout of a year departs from climatology."""
    days = entry["finite_days"]
    finite = "all finite" if days == DAYS else f"finite for the first {days} only; the table covers these"
    rows = [
        [
            field,
            f"{row['largest_departure']:.3g}",
            row["days_within_3_sigma"],
            f"{row['variance_ratio']:.3g}",
            f"{row['bias']:.2f}" if "bias" in row else "-",
        ]
        for field, row in entry["fields"].items()
    ]
    titles = ["field", "largest departure of the area mean, sigma", "days within 3 sigma", "variance ratio", "bias"]
    title = f"{DAYS} days of {name} from {entry['start']}, {finite}:\n"
    return [title, *markdown_table(titles, rows), ""]


def ensemble_table(name: str, entry: Mapping[str, Any]) -> list[str]:
    """A row for each field: spread over error, and CRPS over that of the single forecast, by lead."""
    leads = next(iter(entry["fields"].values()))
    rows = [
        [field, *(f"{row[lead][key]:.2f}" for key in ("spread_over_error", "crps_over_single") for lead in row)]
        for field, row in entry["fields"].items()
    ]
    titles = ["field", *(f"{what}, {lead}" for what in ("spread over error", "CRPS") for lead in leads)]
    caption = "Spread over the error of the mean. CRPS over that of the single forecast, which is its absolute error.\n"
    title = f"{entry['starts']} ensembles of {entry['members']} members of {name}:\n"
    return [title, *markdown_table(titles, rows), "", caption]


def value_range(values: Sequence[float]) -> str:
    return f"{min(values):.2f}" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}"


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "ten_days": measure_ten_days,
    "year": measure_year,
    "ensemble": measure_ensemble,
}


def main() -> None:
    parser = study_parser(__doc__, remeasure=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="whose run folders to use, where they exist")
    options = parser.parse_args()
    prepare()
    stored = StoredFigures(RESULTS / "rollouts.json")
    for part in () if options.tables else options.parts:
        names = [name for name in options.models if (RUNS / name).is_dir() and (part != "year" or name in YEARS)]
        print(f"== {part}")
        section = stored.figures.setdefault(part, {})
        measurements = {name: partial(PARTS[part], name) for name in names}
        stored.measure_missing(measurements, section=section, again=options.again)
    splice(README, "rollouts", table(stored.figures))


if __name__ == "__main__":
    main()
