"""Analyses that arrive one by one, as a data service delivers them: most in time, one late, one damaged, one never."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time

DAY, HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")
BEGIN = np.datetime64("2010-01-18", "ns")  # the end of the training time
DAYS = 14
TURN = np.timedelta64(24, "h")  # between two runs of the job


@dataclass
class Feed:
    """A folder of analyses, and when each of them arrives there.

    One arrives a day late, one is cut off and sent again a day later, one arrives twice, and one never does.
    """

    fields: xr.Dataset
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.fields.sel(time=slice(None, BEGIN - HOUR)).to_netcdf(self.folder / "archive.nc")
        times = self.fields["time"].values
        self.due = {time: time + 2 * HOUR for time in times[(times >= BEGIN) & (times < BEGIN + DAYS * DAY)]}
        ordered = sorted(self.due)
        self.late, self.cut_off, self.twice, self.missing = (ordered[position] for position in (9, 19, 29, 39))
        self.due[self.late] += DAY
        del self.due[self.missing]

    def deliver(self, now: np.datetime64) -> None:
        """Writes every analysis that has arrived by now."""
        for time, due in self.due.items():
            path = self.path(time)
            if due <= now and not path.exists():
                self._write(time, path)
                if time == self.twice:
                    self._write(time, path.with_name(f"again_{path.name}"))
                if time == self.cut_off:
                    path.write_bytes(path.read_bytes()[:-2000])
            elif time == self.cut_off and due + DAY <= now and not _is_readable(path):
                self._write(time, path)

    def path(self, time: np.datetime64) -> Path:
        return self.folder / f"analysis_{format_time(time)[:13]}.nc"

    def _write(self, time: np.datetime64, path: Path) -> None:
        temporary = path.with_suffix(".part")
        self.fields.sel(time=[time]).to_netcdf(temporary)
        temporary.rename(path)

    def initial_times(self) -> list[np.datetime64]:
        """Times from which a model of two analyses can forecast, from three days before the first run of the job on."""
        times = self.fields["time"].values
        available = {*times[times < BEGIN], *self.due}
        newest = max(time for time, due in self.due.items() if due <= BEGIN + TURN)
        return sorted(time for time in available if time >= newest - 3 * DAY and time - 6 * HOUR in available)


def _is_readable(path: Path) -> bool:
    try:
        with xr.open_dataset(path) as dataset:
            dataset.load()
    except Exception:
        return False
    return True
