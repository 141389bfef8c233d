"""The folder of a series: which forecasts are in it, the link to the newest, and what goes when it is old.

The name of a file tells whose forecast it should be and of when; whether it is one, only its content does.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import numpy as np

from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import OutputError, UsageError
from pinnwx.files import replacing, writing
from pinnwx.forecasting.cf import reference_time
from pinnwx.jobs.forecast import already_there
from pinnwx.jobs.series_times import days

_log = logging.getLogger(__name__)
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


def point_at_newest(folder: Path, name: str) -> None:
    """The link `latest.nc`; a copy where the file system knows no links.

    Raises:
        OutputError: there is a file of that name that is no forecast of ours.
    """
    entry = _newest_whole(folder, name)
    if entry is None:
        return
    newest, link = entry[1], folder / LATEST
    if link.is_symlink():
        if link.readlink() == Path(newest.name):
            return
    else:
        already_there(link)
    with replacing(link) as temporary:
        temporary.unlink()
        try:
            temporary.symlink_to(newest.name)
        except OSError:
            shutil.copyfile(newest, temporary)


def _is_ours(file: Path, name: str) -> bool:
    """Whether this is a whole forecast of this job, of the time in its name."""
    try:
        there = already_there(file)
    except OutputError:
        return False
    if there is None or there.attrs.get("model") != name:
        return False
    return bool(reference_time(there) == time_of(file, name))


def _newest_whole(folder: Path, name: str) -> tuple[np.datetime64, Path] | None:
    """The newest forecast of this job by its content, whatever else in the folder has the name of one."""
    for when, file in sorted(forecasts_in(folder, name).items(), reverse=True):
        if _is_ours(file, name):
            return when, file
    return None


def remove_old(folder: Path, name: str, keep_days: float) -> list[Path]:
    """Removes forecasts of this job, and their maps, that are too old."""
    newest, gone = _newest_whole(folder, name), []
    if newest is None:
        return gone
    for when, file in forecasts_in(folder, name).items():
        if when > newest[0] - days(keep_days):
            continue
        if not _is_ours(file, name):
            _log.warning("warning: %s is old, but no whole forecast of this job; left alone", file.name)
            continue
        for path in (file, file.with_suffix(".png")):
            if path.exists():
                with writing(folder):
                    path.unlink()
                gone.append(path)
    return gone
