"""Where the error of a forecast is, by zonal wavenumber, and how much of a difference between models is blur.

    python -m experiments.studies.error_by_scale             the runs of `gcm_divergence` that were not measured yet
    python -m experiments.studies.error_by_scale --again     also what is stored
    python -m experiments.studies.error_by_scale --tables    only write the tables

A forecast that is smoother than the weather has a smaller error at long leads, because what it leaves out cannot be
wrong. Two models compare fairly where both are blurred as suits their errors. So forecasts and analyses are departures
from the climatology of the model; F and O are their Fourier coefficients along a row, E[.] is the mean over rows (by
area) and over forecasts, and the error of a zonal wavenumber k is

    e_k = E|F_k - O_k|^2 = E|F_k|^2 + E|O_k|^2 - 2 E Re(F_k O_k*).

A damped forecast is b_k F_k. Its error is smallest where b_k = E Re(F_k O_k*) / E|F_k|^2. `b_k` of each field and lead
comes from one half of the forecasts (in time) and is used on the other half, so a noisy one does not help. The area
mean stands apart from the rest of k = 0 and is damped by itself.

The runs are those that `experiments.studies.ablations gcm_divergence` trained. Figures go to
experiments/results/error_by_scale.json, the tables to experiments/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from experiments.studies import ablations
from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
    with_bounds,
)
from pinnwx.data.archive import Archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor, require_times
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.runtime import prepare
from pinnwx.verification.significance import BlockBootstrap, overlap_days

STUDY = "gcm_divergence"
REFERENCE = "neural"
MODELS = ("neural", "flux", "advective_and_radius")
SEED = 1
FIELDS = ("z500", "msl", "u500", "t850", "q850")
LEADS = (24, 72, 120)
BANDS = {"area mean": (0, 1), "0": (1, 2), "1-3": (2, 5), "4-8": (5, 10), "9-16": (10, 18), "17-": (18, None)}
BATCH = 20

Spectra = Float[np.ndarray, "forecast lead field mode"]


def amplitudes(departures: Float[np.ndarray, "*batch lat lon"], grid: Grid) -> Float[np.ndarray, "*batch lat mode"]:
    """Fourier coefficients along each row: the area mean, then wavenumbers 0 (without it), 1, 2, ...

    The sum of their squared moduli over the modes is the mean square of the row.
    """
    columns = grid.shape[1]
    mean = (grid.area_weights * departures).mean((-2, -1), keepdims=True)
    waves = np.fft.rfft(departures.astype(np.float64) - mean) / columns
    waves[..., 1 : (columns + 1) // 2] *= math.sqrt(2)
    constant = np.broadcast_to(mean, (*waves.shape[:-1], 1))
    return np.concatenate([constant, waves], axis=-1)


def products(
    forecasts: Float[np.ndarray, "*batch lat lon"], analyses: Float[np.ndarray, "*batch lat lon"], grid: Grid
) -> tuple[Float[np.ndarray, "*batch mode"], ...]:
    """Per mode, the mean over rows of |F|^2, |O|^2 and Re(F O*)."""
    first, second = amplitudes(forecasts, grid), amplitudes(analyses, grid)
    weights = grid.area_weights

    def mean(values: np.ndarray) -> np.ndarray:
        return (weights * values).mean(-2)

    return mean(np.abs(first) ** 2), mean(np.abs(second) ** 2), mean(np.real(first * second.conj()))


def damping(
    power: Spectra, product: Spectra, fitted_on: Shaped[np.ndarray, " forecast"]
) -> Float[np.ndarray, "lead field mode"]:
    """b_k of these forecasts; 0 where a forecast has no power."""
    whole, common = power[fitted_on].sum(0), product[fitted_on].sum(0)
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)


def halves(forecasts: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Masks of each half of the forecasts in time, each with the half on which its factors are fitted."""
    first = np.arange(forecasts) < forecasts // 2
    return (first, ~first), (~first, first)


def errors(forecast_power: Spectra, analysis_power: Spectra, product: Spectra) -> tuple[Spectra, Spectra]:
    """The error of each forecast and mode as it is, and damped by what the other half of the forecasts says."""
    damped = np.empty_like(product)
    for used, other in halves(len(product)):
        factor = damping(forecast_power, product, other)
        damped[used] = factor**2 * forecast_power[used] + analysis_power[used] - 2 * factor * product[used]
    return forecast_power + analysis_power - 2 * product, damped


def run_folder(model: str) -> Path:
    """Where `experiments.studies.ablations` trains a model."""
    return next(run.folder for run in ablations.runs_in(STUDY) if (run.name, run.seed) == (model, SEED))


def forecast_starts(predictor: Predictor, archive: Archive) -> Shaped[np.ndarray, " forecast"]:
    """The analyses of the scoring time, twice a day, whose forecasts can be verified."""
    scoring = scoring_of(STUDY)
    within = archive.select(scoring.start, scoring.end).times
    last = archive.times[-1] - predictor.lead_offsets.max()
    starts = within[within <= last][len(predictor.input_offsets) :: 2]
    return starts[: len(starts) // BATCH * BATCH]


def measure(model: str) -> dict[str, Any]:
    """Errors and power of a run by field, lead and band; the daily errors, for bounds of ratios."""
    trained = Run.open(run_folder(model)).load()
    archive = matching_archive(trained, DATA / scoring_of(STUDY).folder)
    predictor = Predictor(trained, LEADS)
    starts = forecast_starts(predictor, archive)
    batches = [
        products(*_departures(trained, predictor, archive, starts[first : first + BATCH]), archive.grid)
        for first in range(0, len(starts), BATCH)
    ]
    forecast_power, analysis_power, product = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    plain, damped = errors(forecast_power, analysis_power, product)
    entries = []
    for place, field in enumerate(FIELDS):
        for row, lead in enumerate(LEADS):
            each = {
                "error": plain[:, row, place], "damped_error": damped[:, row, place],
                "forecast_power": forecast_power[:, row, place], "analysis_power": analysis_power[:, row, place],
            }  # fmt: skip
            bands = {
                name: {key: float(values[:, slice(*band)].sum(1).mean()) for key, values in each.items()}
                for name, band in BANDS.items()
            }
            daily = {key: daily_sums(each[key].sum(1), starts) for key in ("error", "damped_error")}
            entries.append({"field": field, "lead": lead, "bands": bands, "daily": daily})
    first = str(starts[0])[:16]
    return {"updates": trained.manifest["updates"], "starts": len(starts), "first": first, "scores": entries}


def _departures(
    trained: TrainedModel, predictor: Predictor, archive: Archive, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and analyses as departures from climatology, (forecast, lead, field, lat, lon)."""
    valid = starts[:, None] + np.array(LEADS, "timedelta64[h]")
    rows = [archive.names.index(field) for field in FIELDS]
    forecasts, analyses = predictor.from_archive(archive, starts), archive.fields[require_times(archive.times, valid)]
    expected = trained.climatology.at(valid.reshape(-1)).reshape(analyses.shape)
    return (forecasts - expected)[:, :, rows], (analyses - expected)[:, :, rows]


def daily_sums(values: Float[np.ndarray, " forecast"], starts: np.ndarray) -> list[float]:
    """Sums over the forecasts of each day, in order."""
    _, place = np.unique(starts.astype("datetime64[D]"), return_inverse=True)
    return np.bincount(place, values).tolist()


def ratio_text(model: Mapping[str, Any], reference: Mapping[str, Any], key: str, lead: int) -> str:
    """The RMSE of a model over that of the reference, with bounds over days: `0.954 (0.946-0.963)`."""
    days = [np.array(entry["daily"][key]) for entry in (model, reference)]
    overlap = overlap_days(np.arange(len(days[0])).astype("datetime64[D]"), lead)
    value, low, high = BlockBootstrap().estimate(lambda own, other: np.sqrt(own / other), *days, overlap=overlap)
    assert value is not None
    return with_bounds(value, low, high)


def tables(figures: Mapping[str, Any]) -> str:
    """The ratios as they are and damped, and the bands that make the difference."""
    measured = [(model, one) for model in MODELS if model in figures for one in figures[model]["scores"]]
    entries = {(model, one["field"], one["lead"]): one for model, one in measured}
    rows, parts = [], []
    for (model, field, lead), entry in entries.items():
        reference = entries.get((REFERENCE, field, lead))
        if reference is None:
            continue
        bands, other = entry["bands"], reference["bands"]
        whole = sum(band["error"] for band in other.values())
        shares = [f"{100 * (bands[name]['error'] - other[name]['error']) / whole:+.1f}" for name in BANDS]
        kept = [bands[name]["forecast_power"] / bands[name]["analysis_power"] for name in BANDS]
        parts.append([model, field, lead, *(f"{each:.2f}" for each in kept[1:])])
        if model != REFERENCE:
            ratios = [ratio_text(entry, reference, key, lead) for key in ("error", "damped_error")]
            rows.append([model, field, lead, *ratios, *shares])
    if not rows:
        return "Not run yet.\n"
    titles = ["run", "field", "h", "as it is", "both damped", *(f"{name}, %" for name in BANDS)]
    return "\n".join(
        [
            f"RMSE over that of `{REFERENCE}` as it is and with both forecasts damped by wavenumber, bounds over days; "
            f"then the squared error that each band adds to or takes from that of `{REFERENCE}`, in percent of it.\n",
            *markdown_table(titles, rows),
            "\nPower of the departures from climatology over that of the analyses, by zonal wavenumber:\n",
            *markdown_table(["run", "field", "h", *list(BANDS)[1:]], parts),
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = study_parser(__doc__, remeasure=True).parse_args(arguments)
    stored = StoredFigures(RESULTS / "error_by_scale.json")
    if not options.tables:
        prepare()
        trained = [model for model in MODELS if (run_folder(model) / "live").is_file()]
        for model in (one for one in MODELS if one not in trained and one not in stored.figures):
            print(f"{model} is not trained: python -m experiments.studies.ablations {STUDY}/{model}")
        stored.measure_missing({model: partial(measure, model) for model in trained}, again=options.again)
    splice(README, "error_by_scale", tables(stored.figures))


if __name__ == "__main__":
    main()
