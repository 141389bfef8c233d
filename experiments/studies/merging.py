"""Scores of one model on several periods as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pinnwx.verification.results import Scores

ERRORS = ("rmse", "persistence_rmse")


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """The scores of all periods: means weighted by the number of forecasts, and the errors of all days.

    Other entries of the scores are left out, because they hold for one period only.
    """
    entries = []
    for entry in parts[0].scores:
        own = [part.entry(entry["variable"], entry["lead_hours"]) for part in parts]
        counts = [part["n"] for part in own]
        means = {key: float(np.average([part[key] for part in own], weights=counts)) for key in ERRORS}
        days = [day for part in own for day in part["daily"]]
        where = {key: entry[key] for key in ("variable", "lead_hours")}
        entries.append({**where, **means, "n": sum(counts), "daily": days})
    return Scores(tuple(entries), parts[0].run, {}, parts[0].settings)
