"""The names of the files of a series: model and initial time of each forecast."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import UsageError

LATEST = "latest.nc"
SCORES = ".scores.json"  # takes the place of .nc
_STAMP = re.compile(r"\d{8}T\d{4}Z")


def forecasts_in(folder: Path, name: str) -> dict[np.datetime64, Path]:
    """The files of a series by the model of that name, by their initial times, oldest first."""
    return {when: path for path in sorted(folder.glob(f"{name}_*.nc")) if (when := time_of(path, name)) is not None}


def forecast_file(folder: Path, name: str, when: np.datetime64) -> Path:
    """The file of the forecast from this initial time by the model of that name."""
    stamp = format_time(when).replace("-", "").replace(":", "")
    return folder / f"{name}_{stamp}.nc"


def time_of(path: Path, name: str) -> np.datetime64 | None:
    """The initial time that the name of a file of a series tells; None for another file, or of another model."""
    stamp = path.name.partition(".")[0].removeprefix(f"{name}_")
    try:
        return parse_time(stamp) if _STAMP.fullmatch(stamp) else None
    except UsageError:
        return None
