"""The scores of a run, with conversion to JSON, tables, pandas and xarray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinnwx.enclosed import LARGEST_TEXT
from pinnwx.errors import DataError, MissingInputError
from pinnwx.files import write_text
from pinnwx.records import NotARecord, ScoresFile, checked, parsed
from pinnwx.text import decimals_for, three_digits, with_decimals
from pinnwx.variables import VARIABLES, Variable, difference_units
from pinnwx.verification.details import PERCENTILES, REGIONS
from pinnwx.verification.significance import FALSE_DISCOVERIES, is_significant

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

DETAIL_COLUMNS = ("variable", "lead", *REGIONS, *(f"{percent} %" for percent in PERCENTILES), "variance")
ENSEMBLE_SCORES = ("crps", "spread", "mean_rmse_pooled")
ENSEMBLE_COLUMNS = ("variable", "lead", "n", "CRPS", "spread", "RMSE of the mean", "spread / RMSE")
PROBABILITY_COLUMNS = ("variable", "lead", "/ climatology", "95 % bounds", "/ dressed forecast", "95 % bounds")
RANK_COLUMNS = ("variable", "lead", "outer ranks", "variance", "energy score", "variogram score")
EVENT_COLUMNS = ("event", "lead", "happens", "Brier skill", "ROC area", "slope", "95 % bounds")
BASELINE_COLUMNS = ("variable", "lead", "persistence", "climatology", "damped persistence", "linear inverse model")
COLUMNS = ("variable", "lead", "n", "RMSE", "95 % bounds", "persistence", "climatology", "ratio", "ACC")


@dataclass(frozen=True, eq=False)
class Scores:
    """The result of a verification.

    `scores` has one entry for each variable and lead (see `pinnwx.verification.scores`), in SI units. `skipped` counts
    the initial times without an analysis and the pairs without truth. `settings` describes how the scores were
    computed.
    """

    scores: tuple[dict[str, Any], ...]
    run: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The table, with the name of the run and the period."""
        rows = [COLUMNS, *self.table()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        period = [
            str(self.settings[key]) for key in ("first_initial_time", "last_initial_time") if key in self.settings
        ]
        run = f" of {self.run}" if self.run else ""
        return "\n".join([f"Scores{run}" + (f", forecasts from {' to '.join(period)}" if period else ""), *lines])

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each variable and lead, indexed by both, in SI units; without the regional details."""
        import pandas as pd

        numbers = [{key: value for key, value in entry.items() if not isinstance(value, dict)} for entry in self.scores]
        columns = None if numbers else ["variable", "lead_hours"]
        return pd.DataFrame(numbers, columns=columns).set_index(["variable", "lead_hours"])

    def to_xarray(self) -> xr.Dataset:
        """The scores as variables along `variable` and `lead_hours`, in SI units; NaN where undefined."""
        import numpy as np
        import xarray as xr

        names = list(dict.fromkeys(entry["variable"] for entry in self.scores))
        leads = sorted({entry["lead_hours"] for entry in self.scores})
        at = {"variable": names, "lead_hours": leads}
        numbers = [
            (entry, key) for entry in self.scores for key, value in entry.items() if isinstance(value, int | float)
        ]
        blank = np.full((len(names), len(leads)), np.nan)
        values = {key: blank.copy() for _, key in numbers if key not in at}
        for entry, key in numbers:
            if key in values:
                values[key][names.index(entry["variable"]), leads.index(entry["lead_hours"])] = entry[key]
        dataset = xr.Dataset({key: (tuple(at), array) for key, array in values.items()}, at)
        return dataset.assign_attrs(run=self.run or "")

    def entry(self, variable: str, lead_hours: float | int) -> dict[str, Any]:
        """The entry of a variable and lead.

        Raises:
            DataError: there is no such entry; the message lists the entries.
        """
        for entry in self.scores:
            if entry["variable"] == variable and entry["lead_hours"] == lead_hours:
                return entry
        known = ", ".join(f"{entry['variable']} {entry['lead_hours']:g} h" for entry in self.scores)
        raise DataError(f"no score of {variable} at {lead_hours:g} h; there are {known or 'none'}")

    def table(self, variables: Mapping[str, Variable] = VARIABLES) -> list[tuple[str, ...]]:
        """Rows of text for `COLUMNS`, in display units; a dash marks an undefined value.

        All errors of a variable have the same number of decimals. The ratio is the RMSE divided by that of persistence.
        """
        errors: dict[str, list[float | None]] = {}
        for entry in self.scores:
            factor, _ = difference_units(entry["variable"], variables)
            errors.setdefault(entry["variable"], []).append(factor * (entry.get("rmse") or 0.0))
        decimals = {name: decimals_for(values) for name, values in errors.items()}
        return [_row(entry, variables, decimals[entry["variable"]]) for entry in self.scores]

    def details_table(self, variables: Mapping[str, Variable] = VARIABLES) -> list[tuple[str, ...]]:
        """Rows of text for `DETAIL_COLUMNS`, for the entries with details."""
        return [_detail_row(entry, variables) for entry in self.scores if entry.get("details")]

    def baseline_table(self) -> list[tuple[str, ...]]:
        """Rows of text for `BASELINE_COLUMNS`: the RMSE over that of each baseline, for entries with fitted ones."""
        names = ("persistence", "climatology", "damped_persistence", "linear_inverse")
        return [
            (entry["variable"], f"{entry['lead_hours']:g} h", *(_text(entry.get(f"{name}_ratio")) for name in names))
            for entry in self.scores
            if entry.get("damped_persistence_ratio") is not None
        ]

    def ensemble_table(self, variables: Mapping[str, Variable] = VARIABLES) -> list[tuple[str, ...]]:
        """Rows of text for `ENSEMBLE_COLUMNS`, for the entries of ensembles."""
        scored = (entry for entry in self.scores if all(entry.get(name) is not None for name in ENSEMBLE_SCORES))
        return [_ensemble_row(entry, variables) for entry in scored]

    def probability_table(self) -> list[tuple[str, ...]]:
        """Rows of text for `PROBABILITY_COLUMNS`: the CRPS over that of each baseline, where there is one."""
        names = ("climatology_crps_ratio", "dressed_crps_ratio")
        return [_probability_row(entry) for entry in self.scores if any(entry.get(name) is not None for name in names)]

    def rank_table(self, variables: Mapping[str, Variable] = VARIABLES) -> list[tuple[str, ...]]:
        """Rows of text for `RANK_COLUMNS`, for the entries of ensembles of one size."""
        return [_rank_row(entry, variables) for entry in self.scores if entry.get("probabilities")]

    def event_table(self) -> list[tuple[str, ...]]:
        """Rows of text for `EVENT_COLUMNS`: the probabilities of each event."""
        return [
            _event_row(event, entry["lead_hours"])
            for entry in self.scores
            for event in (entry.get("probabilities") or {}).get("events", ())
        ]

    @property
    def significance(self) -> str:
        """How many of the entries differ from persistence, after the adjustment for their number; empty if unknown."""
        tested = [entry for entry in self.scores if entry.get("persistence_ratio_p_adjusted") is not None]
        if not tested:
            return ""
        different = [entry for entry in tested if is_significant(entry["persistence_ratio_p_adjusted"])]
        better = sum(entry["persistence_ratio"] < 1 for entry in different)
        return (
            f"Of {len(tested)} comparisons, better than persistence: {better}, worse: {len(different) - better}, with "
            f"a false discovery rate of {100 * FALSE_DISCOVERIES:.0f} %."
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of a scores file."""
        return {
            "run": self.run,
            "scores": [dict(entry) for entry in self.scores],
            "skipped": dict(self.skipped),
            "settings": dict(self.settings),
        }

    def save(self, path: str | Path) -> None:
        """Writes JSON atomically: the file is the old one or the complete new one.

        Raises:
            OutputError: the file cannot be written.
        """
        write_text(path, in_lines(self.to_dict(), "scores"))

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """Reads a file that `save` wrote.

        Raises:
            MissingInputError: there is no such file.
            DataError: the file does not contain scores.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingInputError(f"no scores file {path}")
        try:
            if path.stat().st_size > LARGEST_TEXT:
                raise NotARecord(f"it has more than {LARGEST_TEXT:,} bytes")
            raw = parsed(path.read_bytes())
            checked(raw, ScoresFile)
            return cls(tuple(raw["scores"]), raw["run"], raw["skipped"], raw["settings"])
        except (NotARecord, OSError) as error:
            raise DataError(f"{path} is not a scores file ({error}); write it again with evaluate or verify") from None


def in_lines(record: Mapping[str, Any], entries: str) -> str:
    """JSON with one line for each key and one for each item of the list `entries`, so that a diff is readable."""

    def text(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    items = ",\n".join(f"  {text(item)}" for item in record[entries])
    values = {key: f"[\n{items}\n]" if key == entries else text(value) for key, value in record.items()}
    return "{\n" + ",\n".join(f"{text(key)}: {value}" for key, value in values.items()) + "\n}\n"


def _text(value: float | None, scale: float = 1.0) -> str:
    return "-" if value is None else three_digits(scale * value)


def _row(entry: Mapping[str, Any], variables: Mapping[str, Variable], decimals: int) -> tuple[str, ...]:
    factor, units = difference_units(entry["variable"], variables)

    def error(name: str) -> str:
        value = entry.get(name)
        return "-" if value is None else with_decimals(factor * value, decimals)

    def fraction(name: str) -> str:
        value = entry.get(name)
        return "-" if value is None else f"{value:.3f}"

    bounds = "-" if entry.get("rmse_low") is None else f"{error('rmse_low')} to {error('rmse_high')}"
    return (
        f"{entry['variable']} [{units}]", f"{entry['lead_hours']:g} h", str(entry["n"]), error("rmse"), bounds,
        error("persistence_rmse"), error("climatology_rmse"), fraction("persistence_ratio"), fraction("acc"),
    )  # fmt: skip


def _detail_row(entry: Mapping[str, Any], variables: Mapping[str, Variable]) -> tuple[str, ...]:
    factor, units = difference_units(entry["variable"], variables)
    details = entry["details"]
    regions = [_text(details.get("regions", {}).get(name), factor) for name in REGIONS]
    percentiles = [_text(details.get("percentiles", {}).get(str(percent)), factor) for percent in PERCENTILES]
    lead = f"{entry['lead_hours']:g} h"
    return (f"{entry['variable']} [{units}]", lead, *regions, *percentiles, _text(details.get("variance_ratio")))


def _ensemble_row(entry: Mapping[str, Any], variables: Mapping[str, Variable]) -> tuple[str, ...]:
    factor, units = difference_units(entry["variable"], variables)
    spread, error = entry["spread"], entry["mean_rmse_pooled"]
    texts = [_text(entry[name], factor) for name in ENSEMBLE_SCORES]
    ratio = f"{spread / error:.2f}" if error > 0 else "-"
    return (f"{entry['variable']} [{units}]", f"{entry['lead_hours']:g} h", str(entry["n"]), *texts, ratio)


def _probability_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    cells = []
    for name in ("climatology_crps_ratio", "dressed_crps_ratio"):
        low, high = (_text(entry.get(f"{name}_{end}")) for end in ("low", "high"))
        cells += [_text(entry.get(name)), "-" if low == "-" else f"{low} to {high}"]
    return (entry["variable"], f"{entry['lead_hours']:g} h", *cells)


def _rank_row(entry: Mapping[str, Any], variables: Mapping[str, Variable]) -> tuple[str, ...]:
    factor, units = difference_units(entry["variable"], variables)
    own = entry["probabilities"]
    scores = (_text(own.get("energy_score"), factor), _text(own.get("variogram_score"), factor))
    outer, variance = (_text(own.get(name)) for name in ("outer_ranks", "variance_ratio"))
    return (f"{entry['variable']} [{units}]", f"{entry['lead_hours']:g} h", outer, variance, *scores)


def _event_row(event: Mapping[str, Any], lead_hours: float) -> tuple[str, ...]:
    plain, low, high = event.get("brier_climatology"), *(_text(event.get(f"slope_{end}")) for end in ("low", "high"))
    skill = 1 - event["brier"] / plain if plain else None
    return (
        event["event"], f"{lead_hours:g} h", f"{100 * event['frequency']:.1f} %", _text(skill),
        _text(event.get("roc_area")), _text(event.get("slope")), "-" if low == "-" else f"{low} to {high}",
    )  # fmt: skip
