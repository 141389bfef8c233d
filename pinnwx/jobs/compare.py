"""Compares the errors of two runs on the same forecasts, with confidence bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pinnwx.errors import UsageError
from pinnwx.files import check_writable
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.evaluate import default_leads, score_period, shared_inputs
from pinnwx.runtime import prepare
from pinnwx.verification.comparison import Comparison, compare_scores
from pinnwx.verification.results import Scores


def compare(
    first: str | Path,
    second: str | Path,
    data: Sequence[str | Path] | str | Path | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    leads: Sequence[float] | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> Comparison:
    """The ratio of the errors of the first to those of the second, with paired bounds.

    Each is a run folder or a scores file of `evaluate`. Run folders are evaluated on every analysis between `start` and
    `end` from which both can start. Two scores files need neither data nor period.

    Raises:
        UsageError: a run folder is given without data, start and end.
        DataError: the two were not scored on the same forecasts.
        MissingInputError, CheckpointError, UnavailableError, StabilityError, OutputError: see `pinnwx.errors`.
    """
    if json is not None:
        check_writable(json, force=force)
    operands = [_scores_or_predictor(path, leads) for path in (first, second)]
    predictors = [operand for operand in operands if isinstance(operand, Predictor)]
    if predictors and (data is None or start is None or end is None):
        raise UsageError("comparing run folders needs --data, --start and --end; only scores files do without")
    inputs = shared_inputs(predictors)  # all start from the same analyses
    scores = [
        operand if isinstance(operand, Scores) else score_period(operand, data or (), start or "", end or "", inputs)
        for operand in operands
    ]
    comparison = replace(compare_scores(scores[0], scores[1]), first=str(first), second=str(second))
    if json is not None:
        comparison.save(json)
    return comparison


def _scores_or_predictor(path: str | Path, leads: Sequence[float] | None) -> Scores | Predictor:
    if Path(path).suffix == ".json":
        return Scores.load(path)
    prepare()
    trained = Run.open(path).load()
    return Predictor(trained, leads or default_leads(trained))
