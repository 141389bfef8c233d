"""Scores as a study stores them: the errors of each day, without the details of each forecast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinnwx.verification.results import Scores

KEYS = ("variable", "lead_hours", "n", "rmse", "persistence_rmse", "daily")


def plain_scores(scores: Scores, *others: str) -> dict[str, Any]:
    """What a comparison with another model needs, and the `others` of each entry, as JSON."""
    entries = [{key: entry[key] for key in (*KEYS, *others)} for entry in scores.scores]
    return {"settings": dict(scores.settings), "scores": entries}


def scores_of(stored: Mapping[str, Any], run: str) -> Scores:
    """The scores that `plain_scores` gave."""
    return Scores(tuple(stored["scores"]), run, {}, stored["settings"])
