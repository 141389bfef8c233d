"""The folder of a series: the link to its newest forecast, and the removal of old ones.

The name of a file says which forecast it should be (`jobs.series_files`). Only its content says whether it is one.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np

from pinnwx.errors import OutputError
from pinnwx.files import replacing, writing
from pinnwx.forecasting.cf import reference_time
from pinnwx.jobs.forecast_job import already_there
from pinnwx.jobs.series_files import LATEST, forecasts_in, time_of
from pinnwx.jobs.series_times import days

_log = logging.getLogger(__name__)


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
