"""Reads the fields that a model needs from files, datasets or archives."""

from __future__ import annotations

from pinnwx.data.archive import Archive
from pinnwx.data.inputs import Data, as_archive
from pinnwx.data.open import Selection
from pinnwx.forecasting.trained_model import TrainedModel


def matching_archive(
    trained: TrainedModel,
    data: Data,
    start: str | None = None,
    end: str | None = None,
    *,
    select: Selection | None = None,
    leave_damaged: bool = False,
) -> Archive:
    """The fields of the model on its grid, from `start` to `end`, at the times that `select` returns.

    With `leave_damaged`, damaged files are left out.
    """
    config = trained.config
    return as_archive(
        data, config.data.fields, grid=trained.grid, start=start, end=end, select=select, leave_damaged=leave_damaged,
        **config.reading_options(),
    )  # fmt: skip
