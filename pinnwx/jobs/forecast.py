"""One forecast from one analysis, as a CF NetCDF file that is complete or not there, and is made once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32, Shaped

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import duration, format_time, parse_time, require_one_time
from pinnwx.errors import DataError, OutputError, UsageError
from pinnwx.files import check_writable, output_lock
from pinnwx.forecasting.cf import forecast_dataset, read_forecast, write_forecast
from pinnwx.forecasting.forecasts import data_digest, predictor_of
from pinnwx.forecasting.lateral_boundary import lateral_boundary_archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import ForecastPredictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import require_stable_forecast
from pinnwx.forecasting.trained_model import CONFIG, WEIGHTS, TrainedModel
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.readiness import NEWEST, needed_times, require_credible, require_timely
from pinnwx.runtime import prepare

REQUEST, INPUTS, BOUNDARY = "request_sha256", "inputs_sha256", "boundary_sha256"


def forecast(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    members: int | None = None,
    lateral_boundary: Sequence[str | Path] | str | Path | None = None,
    max_age: float | None = None,
    accept_suspicious: Sequence[str] = (),
    out: str | Path | None = None,
    remake: bool = False,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model at every step up to `hours` after `init`, an ISO 8601 time or "latest".

    With `members` it is an ensemble of so many (see `pinnwx.forecasting.ensemble`), along the dimension `realization`.
    A model with a lateral boundary (`model.boundary_width`) needs `lateral_boundary`: a forecast, or analyses, of its
    fields at every step. With `out` it is written there too; where that file holds the very same forecast already, of
    the same analyses by the same model, nothing is done and it is returned; where those analyses have changed since it
    was made, it is refused, or with `remake` made again. `pinnwx.point(dataset, latitude, longitude)` reads
    it at a place.

    `max_age` is the age in hours from which an analysis is too old. One that repeats the step before it, jumps, or has
    what weather does not have (`pinnwx.data.outliers`) is refused unless `accept_suspicious` names it: `FIELD`,
    `FIELD:KIND` or `KIND`, each with or without `@TIME`. The refusal says how; the file says what was accepted.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the boundary does not reach far enough.
        StabilityError: the forecast is not finite; nothing is written.
        LockedError: another job is writing `out`.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError: as their names say.
    """
    prepare()
    require_one_time(init)
    _require_file(out)
    with contextlib.ExitStack() as held:
        event = held.enter_context(recorded(run, "forecast"))
        there = None
        if out is not None:
            event.details["file"] = str(out)
            check_writable(out, force=True)
            held.enter_context(output_lock(out))
            there = None if force else already_there(Path(out))
        job = ForecastJob.open(run, data, hours=hours, members=members, lateral_boundary=lateral_boundary, init=init)
        when = job.initial_time(init)
        event.details |= {"version": job.version, "init": format_time(when)}
        accepted = job.require_fit(when, max_age=max_age, accept_suspicious=accept_suspicious)
        if there is not None:
            if there.attrs[REQUEST] == job.origin(when)[REQUEST]:
                event.outcome = NOTHING_TO_DO
                return there
            if not job.differs_by_analyses(there, when):
                raise OutputError(f"{out} exists, and is another forecast; give --force to replace it, or another name")
            if not remake:
                raise OutputError(f"{out} exists, and {CHANGED}; give --remake to make it again, or another name")
        dataset = job.make(when, accepted)
        if out is not None:
            write_forecast(dataset, out, force=True)
    return dataset


def _require_file(out: str | Path | None) -> None:
    """Raises:
    UsageError: the name is that of a folder.
    """
    if out is not None and (str(out).endswith("/") or Path(out).is_dir()):
        raise UsageError(f"--out {out} is a folder; give a file, or fill the folder with forecast-series")


CHANGED = "its analyses have changed since it was made"


@dataclass(frozen=True, eq=False)
class ForecastJob:
    """What the forecasts of one live model from the same data share, read once: any analysis can be forecast from.

    `lateral_boundary` tells a model with a lateral boundary its edge; `predictor` makes single forecasts or ensembles;
    `attributes` are the user's.
    """

    version: str
    trained: TrainedModel
    archive: Archive
    lateral_boundary: Archive | None
    predictor: ForecastPredictor
    attributes: Mapping[str, str]

    @classmethod
    def open(
        cls,
        run: str | Path,
        data: Sequence[str | Path] | str | Path,
        *,
        hours: float,
        members: int | None = None,
        lateral_boundary: Sequence[str | Path] | str | Path | None = None,
        init: str | None = None,
        leave_damaged: bool = False,
    ) -> ForecastJob:
        """With `init`, of the analyses that a forecast from then needs, and no others. With `leave_damaged`, without
        the files that are damaged: forecasts that need them are refused, no others.

        Raises:
            UnavailableError: the data lack an analysis that the forecast from `init` starts from.
            MissingInputError, CheckpointError, DataError, UsageError: as `forecast`.
        """
        opened = Run.open(run)
        version = opened.live
        trained = TrainedModel.load(opened.version(version))
        predictor = predictor_of(trained, "--hours", hours, members)
        select = (
            None
            if init is None
            else partial(needed_times, init, predictor.input_offsets, predictor.uses_earlier_analyses)
        )
        archive = matching_archive(trained, data, select=select, leave_damaged=leave_damaged)
        text = opened.text(CONFIG)
        output = (trained.config if text is None else parse_config(text, str(opened.folder / CONFIG))).output
        return cls(
            version, trained, archive, _lateral_boundary(trained, lateral_boundary), predictor, output.attributes
        )

    def initial_time(self, init: str) -> np.datetime64:
        """The time that a text names: ISO 8601, or "latest"."""
        return self.archive.times[-1] if init == NEWEST else parse_time(init)

    def require_fit(self, when: np.datetime64, *, max_age: float | None, accept_suspicious: Sequence[str]) -> list[str]:
        """Refuses analyses that no forecast should start from; what was suspicious and accepted is returned.

        Raises:
            UnavailableError: one is missing or too old.
            DataError: one is from the future or suspicious, or may be in a file that was left out as damaged.
        """
        self._require_undamaged(when)
        self.predictor.require_analyses(self.archive, when)
        require_timely(when, max_age, self.archive.times)
        first, table = when + self.predictor.input_offsets[0], self.trained.config.variable_table()
        accepted = require_credible(self.archive, first, when, accept=accept_suspicious, variables=table)
        if self.lateral_boundary is not None:
            end = when + np.timedelta64(round(3600 * self.predictor.lead_hours[-1]), "s")
            accepted += require_credible(self.lateral_boundary, when, end, accept=accept_suspicious, variables=table)
        return accepted

    def _require_undamaged(self, when: np.datetime64) -> None:
        needed = self._inputs(when)
        for lacking in needed[~np.isin(needed, self.archive.times)]:
            held_by = [one for one in self.archive.damaged if one.may_hold(lacking)]
            if held_by:
                first, more = held_by[0], f" (and {len(held_by) - 1} more)" if len(held_by) > 1 else ""
                raise DataError(
                    f"no analysis at {format_time(lacking)}, which may be in {first.file}{more}, left out as damaged: "
                    f"{first.reason}"
                )

    def _inputs(self, when: np.datetime64) -> Shaped[np.ndarray, " input"]:
        """The times of the analyses that a forecast starts from."""
        return (when + np.asarray(self.predictor.input_offsets)).astype("datetime64[ns]")

    def inputs_digest(self, when: np.datetime64) -> str | None:
        """What tells the analyses that a forecast starts from; None where some of them are no longer there."""
        times = self.archive.times
        rows = np.searchsorted(times, self._inputs(when))
        if not np.array_equal(times[np.minimum(rows, len(times) - 1)], self._inputs(when)):
            return None
        return replace(self.archive, times=times[rows], fields=self.archive.fields[rows]).digest()

    def boundary_digest(self, when: np.datetime64) -> str | None:
        """What tells the fields that a forecast with a lateral boundary is told at its edge; None where there are
        none."""
        if self.lateral_boundary is None:
            return None
        last = when + duration(np.array(self.predictor.lead_hours[-1:]))
        used = (self.lateral_boundary.times > when) & (self.lateral_boundary.times <= last)
        if not used.any():
            return None
        return replace(
            self.lateral_boundary, times=self.lateral_boundary.times[used], fields=self.lateral_boundary.fields[used]
        ).digest()

    def has_changed(self, there: xr.Dataset, when: np.datetime64) -> bool:
        """Whether the analyses, or the boundary, that a forecast of these settings was made from are others now.

        Nothing is known, so nothing is said, of one that another kind of model made.
        """
        if there.attrs.get("config") != self.trained.config_text:
            return False
        now_there = {INPUTS: self.inputs_digest(when), BOUNDARY: self.boundary_digest(when)}
        pairs = [(there.attrs.get(key), digest) for key, digest in now_there.items()]
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    def differs_by_analyses(self, there: xr.Dataset, when: np.datetime64) -> bool:
        """Whether this forecast and the one that is there are the same but for the data they are made from."""
        origin = {key: value for key, value in self.origin(when).items() if key != REQUEST}
        origin["data_sha256"] = there.attrs.get("data_sha256")
        if BOUNDARY in origin:
            origin[BOUNDARY] = there.attrs.get(BOUNDARY)
        return self._request(origin, when) == there.attrs[REQUEST]

    def origin(self, when: np.datetime64) -> dict[str, Any]:
        """What a forecast is made from and with; under `REQUEST` the digest of it, the same for the same forecast."""
        trained, predictor = self.trained, self.predictor
        origin: dict[str, Any] = {
            "model": trained.config.name,
            "model_sha256": trained.manifest["files"][WEIGHTS],
            "config": trained.config_text,
            "versions": trained.manifest["versions"],
        }
        origin |= predictor.settings
        origin["data_sha256"] = data_digest(predictor, self.archive, when)
        if self.lateral_boundary is not None:
            origin |= {"boundary_width": trained.config.model.boundary_width, BOUNDARY: self.boundary_digest(when)}
        return origin | {REQUEST: self._request(origin, when)}

    def _request(self, origin: Mapping[str, Any], when: np.datetime64) -> str:
        request = [origin, self.trained.manifest["files"], format_time(when), self.predictor.lead_hours]
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()

    def provenance(self, when: np.datetime64, accepted: Sequence[str] = ()) -> dict[str, Any]:
        """The user's attributes, `origin`, digest of the inputs, what was `accepted`; if analyses may be replaced."""
        attributes = {**self.attributes, **self.origin(when), INPUTS: self.inputs_digest(when)}
        if accepted:
            attributes["accepted"] = list(accepted)
        if self.archive.preliminary:
            attributes["preliminary"] = "some of the analyses read may still be replaced by their producer"
        return attributes

    def make(self, when: np.datetime64, accepted: Sequence[str] = ()) -> xr.Dataset:
        """The forecast, as a CF dataset that says what it was made from and what was `accepted`.

        Raises:
            StabilityError: it is not finite.
        """
        return forecast_dataset(
            self._fields(when), self.archive.names, self.trained.grid, when, self.predictor.lead_hours,
            provenance=self.provenance(when, accepted), variables=self.trained.config.variable_table(),
        )  # fmt: skip

    def _fields(self, when: np.datetime64) -> Float32[np.ndarray, "*member lead field lat lon"]:
        """The forecast, or the members of an ensemble, none of which blew up."""
        fields = self.predictor.forecast(self.archive, when, self.lateral_boundary)
        require_stable_forecast(self.predictor, fields, when, self.archive, self.lateral_boundary)
        return fields


def already_there(out: Path) -> xr.Dataset | None:
    """The forecast of this job that `out` holds, or None where there is no such file.

    Raises:
        OutputError: the file is something else.
    """
    if not out.exists():
        return None
    why = "and is no forecast of this job"
    try:
        dataset = read_forecast(out)
        if REQUEST in dataset.attrs:
            return dataset
    except DataError as error:
        why = f"({error})"
    raise OutputError(f"{out} exists {why}; give --force to replace it, or another name")


def _lateral_boundary(
    trained: TrainedModel, lateral_boundary: Sequence[str | Path] | str | Path | None
) -> Archive | None:
    """What tells a model with a lateral boundary its edge.

    Raises:
        UsageError: a model with a lateral boundary without a boundary, or a boundary for any other.
    """
    width = trained.config.model.boundary_width
    if width and lateral_boundary is None:
        raise UsageError(
            f"the outer {width} cell(s) of this model are told from outside: give a forecast as --lateral-boundary"
        )
    if lateral_boundary is not None and not width:
        raise UsageError("this model has no lateral boundary; leave out --lateral-boundary")
    return None if lateral_boundary is None else lateral_boundary_archive(trained, lateral_boundary)
