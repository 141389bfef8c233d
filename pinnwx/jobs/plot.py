"""Figures of the output of a job: forecast maps, error growth, training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinnwx.data.open import open_data
from pinnwx.errors import DataError, MissingInputError, UsageError
from pinnwx.explaining.reading import TARGET, budget_fields
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import read_forecast, reading_options
from pinnwx.forecasting.products import without_products
from pinnwx.grid import Grid
from pinnwx.reporting.attribution import plot_attribution
from pinnwx.reporting.budget import plot_budget
from pinnwx.reporting.curves import plot_scores, plot_training
from pinnwx.reporting.ensemble_maps import probability_figure, stamp_figure
from pinnwx.reporting.maps import plot_forecast
from pinnwx.reporting.probabilities import plot_probabilities
from pinnwx.reporting.style import save
from pinnwx.verification.results import Scores

_OTHER_PICTURES = {".eps", ".gif", ".jpeg", ".jpg", ".pdf", ".ps", ".svg", ".tif", ".tiff", ".webp"}


def plot(
    source: str | Path,
    out: str | Path,
    *,
    variables: Sequence[str] | None = None,
    leads: Sequence[float] | None = None,
    data: Sequence[str | Path] | str | Path | None = None,
    probabilities: bool = False,
    thresholds: Sequence[str] = (),
    stamps: bool = False,
    force: bool = False,
) -> Path:
    """Writes a PNG of a forecast (maps), a budget, an attribution, scores (error against lead) or a run (its training).

    `variables` and `leads` select the maps of a forecast; a budget uses the first of each. With `data`, the figure also
    shows the analysis and the difference between forecast and analysis. With `probabilities`, the scores of ensembles
    give rank histograms, spread against error, and reliability diagrams, of the `variables` and `leads`.

    Of the forecast of an ensemble, `thresholds` such as `t2m<273.15` (SI units) give maps of their probability at the
    `leads`, and `stamps` a small map of each member, of the first of `variables` and `leads`.

    Raises:
        MissingInputError, DataError, OutputError, UsageError: see `pinnwx.errors`.
    """
    source = Path(source)
    if not source.exists():
        raise MissingInputError(f"no file or run {source}")
    if probabilities and source.suffix != ".json":
        raise UsageError(f"--probabilities draws the scores of ensembles (.json), not {source}")
    if (thresholds or stamps) and (source.suffix != ".nc" or data is not None or (thresholds and stamps)):
        raise UsageError("--threshold or --stamps draws the forecast of an ensemble (.nc), without --data")
    if thresholds and variables is not None:
        raise UsageError("--threshold names its variable; leave out --variables")
    check_picture(out, force=force)
    if source.is_dir():
        return Path(plot_training(source / "metrics.jsonl", out, source.resolve().name))
    if source.suffix == ".json":
        scores = Scores.load(source).to_dict()
        return plot_probabilities(scores, out, variables, leads) if probabilities else Path(plot_scores(scores, out))
    if source.suffix == ".nc":
        dataset = read_forecast(source)
        if thresholds:
            return save(probability_figure(dataset, thresholds, leads=leads), out)
        if stamps:
            variable, lead = next(iter(variables or ()), None), next(iter(leads or ()), None)
            return save(stamp_figure(dataset, variable=variable, lead=lead), out)
        if TARGET in dataset.attrs:
            return plot_attribution(dataset, out)
        budgeted, field = budget_fields(dataset), next(iter(variables or ()), None)
        if budgeted and (field is None or field in budgeted):
            return plot_budget(dataset, out, field=field, lead=next(iter(leads or ()), None))
        return Path(plot_forecast(dataset, out, variables=variables, leads=leads, truth=_truth(dataset, data)))
    raise DataError(f"{source} is neither a forecast (.nc), nor scores (.json), nor a run folder")


def check_picture(out: str | Path, *, force: bool) -> None:
    """Refuses a name of another image format, and a file that cannot be written.

    Raises:
        UsageError, OutputError: see `pinnwx.errors`.
    """
    if Path(out).suffix.lower() in _OTHER_PICTURES:
        raise UsageError(f"{out}: figures are written as PNG; give a name that ends in .png")
    check_writable(out, force=force)


def _truth(dataset, data):
    if data is None:
        return None
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    names = tuple(map(str, without_products(dataset).data_vars))
    return open_data(data, names, grid=grid, **reading_options(dataset))
