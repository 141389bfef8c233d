"""What the two parts of the barotropic vorticity equation explain: advection, and divergence; with nothing trained.

    python -m experiments.studies.divergence

In flux form, d(zeta)/dt = -v . grad(zeta + f) - (zeta + f) div(v). The increment by divergence is that of the flux form
less that of the advective form. Factors for both parts are fitted to the change of a step by least squares, one pair
for the globe and one for each band of latitude, on the fields that the vorticity of gcm_flux changes. The changes are
those of `experiments.studies.increments`. A factor near 1 means that the part is right as it is; near 0, that it is
noise. Figures go to experiments/results/divergence.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.increments import Changes, increments_and_changes, vorticity_alone
from pinnwx.config import load_config
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.preparation import training_archive
from pinnwx.runtime import prepare

EXPERIMENT, FIELDS = "gcm_flux", ("z500", "u500", "v500", "u850", "v850")
BANDS = tuple((south, south + 15) for south in range(-90, 90, 15))

Values = Float[np.ndarray, "time lat lon"]


def fitted(change: Values, parts: Sequence[Values], weights: Float[np.ndarray, "lat lon"]) -> tuple[list[float], float]:
    """The factors of the parts with the least area-weighted square error, and that error."""
    products = np.array([[(weights * one * other).sum() for other in parts] for one in parts])
    factors = np.linalg.lstsq(products, np.array([(weights * one * change).sum() for one in parts]))[0]
    rest = change - sum(factor * part for factor, part in zip(factors, parts, strict=True))
    return [round(float(factor), 2) for factor in factors], float((weights * rest**2).sum())


def measure() -> dict[str, Any]:
    """For each field: the fraction explained by both forms and by both parts, and the factors of the parts."""
    config = load_config(EXPERIMENTS / f"{EXPERIMENT}.toml")
    archive = training_archive(vorticity_alone(config, form="flux"), DATA / scoring_of(EXPERIMENT).folder)
    by_form: dict[str, Changes] = {}
    for form in ("flux", "advective"):
        trained = TrainedModel.initialise(vorticity_alone(config, form=form), archive)
        by_form[form], changes = (each - each.mean(0) for each in increments_and_changes(trained, archive))
    weights, latitude = np.broadcast_to(archive.grid.area_weights, archive.grid.shape), np.array(archive.grid.latitude)
    figures: dict[str, Any] = {}
    for name in FIELDS:
        place = archive.names.index(name)
        change, flux, advective = (each[:, place] for each in (changes, by_form["flux"], by_form["advective"]))
        parts, variance = (advective, flux - advective), float((weights * change**2).sum())
        errors = {"flux": fitted(change, [flux], weights)[1], "advective": fitted(change, [advective], weights)[1]}
        factors, errors["both parts"] = fitted(change, parts, weights)
        by_band = []
        for south, north in BANDS:
            rows = (latitude >= south) & (latitude < north)
            by_band.append(fitted(change[:, rows], [part[:, rows] for part in parts], weights[rows]))
        errors["both parts by latitude"] = sum(error for _, error in by_band)
        figures[name] = {
            "explained": {way: round(1 - error / variance, 3) for way, error in errors.items()},
            "factors": factors,
            "factors_by_latitude": [band for band, _ in by_band],
        }
    return figures


def tables(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The fractions explained, and the factors of both parts by latitude."""
    ways = list(next(iter(figures.values()))["explained"])
    explained = [[name, *(f"{each['explained'][way]:.0%}" for way in ways)] for name, each in figures.items()]
    factors = [
        [
            f"{south} to {north}",
            *(f"{a:.2f}, {d:.2f}" for a, d in (figures[name]["factors_by_latitude"][row] for name in figures)),
        ]
        for row, (south, north) in enumerate(BANDS)
    ]
    return "\n".join(
        [*markdown_table(["explained", *ways], explained), "", *markdown_table(["latitude", *figures], factors), ""]
    )


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "divergence.json")
    if not options.tables:
        prepare()
        stored.measure_missing({EXPERIMENT: measure}, again=options.again)
    splice(README, "divergence", tables(stored.figures[EXPERIMENT]))


if __name__ == "__main__":
    main()
