"""The health of a run as gauges, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pinnwx.data.calendar import parse_time
from pinnwx.errors import OutputError
from pinnwx.files import check_writable, writing
from pinnwx.text import printable

if TYPE_CHECKING:
    from pinnwx.jobs.status import Status

_SECOND, _EPOCH = np.timedelta64(1, "s"), np.datetime64(0, "ns")
_BEGINNING = b"# HELP pinnwx_"  # of a file
_OF_SKILL = ("variable", "lead_hours")


def require_metrics(path: Path) -> None:
    """Raises:
    OutputError: the file cannot be written, or exists and was not written by `status`.
    """
    check_writable(path, force=True)
    if path.exists():
        with path.open("rb") as file:
            begins = file.read(len(_BEGINNING))
        if begins not in (b"", _BEGINNING):
            raise OutputError(f"{path} exists and is not a metrics file of pinnwx; give another name")


def write_metrics(health: Status, path: Path) -> None:
    """Writes gauges for monitoring."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"pinnwx_{name}", text, ("run", *labels), registry=registry)

    # A time stamp and not an age, because an age would stay constant if this file is no longer written.
    success = gauge("job_last_success_timestamp_seconds", "Time of the last success of a job.", ["verb"])
    failures = gauge("job_failures", "Failures of a job since its last success.", ["verb"])
    run = printable(health.run)  # the library escapes only quotes and line breaks
    for job in health.jobs:
        verb = printable(job.verb)
        failures.labels(run, verb).set(job.failures)
        if job.last_success is not None:
            success.labels(run, verb).set(float((parse_time(job.last_success) - _EPOCH) / _SECOND))
    alarm = gauge("live_version_damaged", "1 if no forecast is possible because the live version is damaged.")
    alarm.labels(run).set(bool(health.alarm))
    version = gauge("live_version", "Number of the live version; 0 if there is none.")
    version.labels(run).set(int(health.version or 0))
    error = gauge("rmse", "RMSE of the newest week of scored forecasts, in SI units.", _OF_SKILL)
    drift = gauge("drift", "1 if these errors are larger than the earlier ones.", _OF_SKILL)
    for one in health.skill:
        labels = run, printable(one.variable), f"{one.lead_hours:g}"
        error.labels(*labels).set(one.recent)
        drift.labels(*labels).set(one.drifts)
    with writing(path.parent):
        write_to_textfile(str(path), registry)  # atomically, by a name that collectors ignore
