"""What all forecasts of one live model from the same data share: reading, checks, provenance."""

from __future__ import annotations

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
from pinnwx.data.calendar import duration, format_time, parse_time
from pinnwx.errors import DataError, OutputError, UsageError
from pinnwx.forecasting.calibration import CALIBRATION
from pinnwx.forecasting.cf import forecast_dataset, read_forecast
from pinnwx.forecasting.forecasts import data_digest, predictor_of
from pinnwx.forecasting.lateral_boundary import lateral_boundary_archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import ForecastPredictor
from pinnwx.forecasting.products import NO_PRODUCTS, Products
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import require_stable_forecast
from pinnwx.forecasting.trained_model import CALIBRATION_FILE, CONFIG, WEIGHTS, TrainedModel
from pinnwx.jobs.readiness import NEWEST, needed_times, require_credible, require_timely

REQUEST, INPUTS, BOUNDARY = "request_sha256", "inputs_sha256", "boundary_sha256"
CHANGED = "its analyses have changed since it was made"


@dataclass(frozen=True, eq=False)
class ForecastJob:
    """A live model and its data, read once, from which it forecasts from any analysis.

    Attributes:
        version: the name of the live version.
        trained: the model.
        archive: the analyses.
        lateral_boundary: the values at the edge, for a model with a lateral boundary.
        predictor: makes single forecasts or ensembles.
        attributes: the user's attributes of the file.
        products: of an ensemble.
    """

    version: str
    trained: TrainedModel
    archive: Archive
    lateral_boundary: Archive | None
    predictor: ForecastPredictor
    attributes: Mapping[str, str]
    products: Products = NO_PRODUCTS

    @classmethod
    def open(
        cls,
        run: str | Path,
        data: Sequence[str | Path] | str | Path,
        *,
        hours: float,
        members: int | None = None,
        calibrated: bool = False,
        quantiles: Sequence[float] = (),
        thresholds: Sequence[str] = (),
        lateral_boundary: Sequence[str | Path] | str | Path | None = None,
        init: str | None = None,
        leave_damaged: bool = False,
    ) -> ForecastJob:
        """Reads the live model and the data.

        With `init` it reads only the analyses that a forecast from that time needs. With `leave_damaged` it leaves
        damaged files out: only forecasts that need them are refused.

        Raises:
            UnavailableError: the data lack an analysis that the forecast from `init` starts from.
            MissingInputError, CheckpointError, DataError, UsageError: as `forecast`.
        """
        opened = Run.open(run)
        version = opened.live
        trained = TrainedModel.load(opened.version(version))
        products = Products.of(quantiles, thresholds, trained.names, members)
        predictor = predictor_of(trained, "--hours", hours, members, calibrated=calibrated)
        select = (
            None
            if init is None
            else partial(needed_times, init, predictor.input_offsets, predictor.uses_earlier_analyses)
        )
        archive = matching_archive(trained, data, select=select, leave_damaged=leave_damaged)
        text = opened.text(CONFIG)
        output = (trained.config if text is None else parse_config(text, str(opened.folder / CONFIG))).output
        return cls(
            version, trained, archive, _lateral_boundary(trained, lateral_boundary), predictor, output.attributes,
            products,
        )  # fmt: skip

    def initial_time(self, init: str) -> np.datetime64:
        """The initial time of an ISO 8601 text, or of "latest"."""
        return self.archive.times[-1] if init == NEWEST else parse_time(init)

    def require_fit(self, when: np.datetime64, *, max_age: float | None, accept_suspicious: Sequence[str]) -> list[str]:
        """Refuses analyses that no forecast should start from; returns the suspicious ones that were accepted.

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
        """The digest of the analyses that a forecast starts from; None where some of them are no longer there."""
        times = self.archive.times
        rows = np.searchsorted(times, self._inputs(when))
        if not np.array_equal(times[np.minimum(rows, len(times) - 1)], self._inputs(when)):
            return None
        return replace(self.archive, times=times[rows], fields=self.archive.fields[rows]).digest()

    def boundary_digest(self, when: np.datetime64) -> str | None:
        """The digest of the boundary fields that a forecast uses; None where there are none."""
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
        """Whether the analyses, or the boundary, of an existing forecast have changed since.

        False for a forecast by a model of other settings, of which nothing is known.
        """
        if there.attrs.get("config") != self.trained.config_text:
            return False
        now_there = {INPUTS: self.inputs_digest(when), BOUNDARY: self.boundary_digest(when)}
        pairs = [(there.attrs.get(key), digest) for key, digest in now_there.items()]
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    def differs_by_analyses(self, there: xr.Dataset, when: np.datetime64) -> bool:
        """Whether the existing forecast differs from this one only by the data that it was made from."""
        origin = {key: value for key, value in self.origin(when).items() if key != REQUEST}
        origin["data_sha256"] = there.attrs.get("data_sha256")
        if BOUNDARY in origin:
            origin[BOUNDARY] = there.attrs.get(BOUNDARY)
        return self._request(origin, when) == there.attrs[REQUEST]

    def origin(self, when: np.datetime64) -> dict[str, Any]:
        """The model, settings and data of a forecast; under `REQUEST` their digest, the same for the same forecast."""
        trained, predictor = self.trained, self.predictor
        origin: dict[str, Any] = {
            "model": trained.config.name,
            "model_sha256": trained.manifest["files"][WEIGHTS],
            "config": trained.config_text,
            "versions": trained.manifest["versions"],
        }
        origin |= {**predictor.settings, **self.products.settings}
        origin["data_sha256"] = data_digest(predictor, self.archive, when)
        if self.lateral_boundary is not None:
            origin |= {"boundary_width": trained.config.model.boundary_width, BOUNDARY: self.boundary_digest(when)}
        return origin | {REQUEST: self._request(origin, when)}

    def _request(self, origin: Mapping[str, Any], when: np.datetime64) -> str:
        files = dict(self.trained.manifest["files"])
        if CALIBRATION not in self.predictor.settings:  # which does not change this forecast
            files.pop(CALIBRATION_FILE, None)
        request = [origin, files, format_time(when), self.predictor.lead_hours]
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()

    def provenance(self, when: np.datetime64, accepted: Sequence[str] = ()) -> dict[str, Any]:
        """The attributes of the file: the user's, `origin`, the digest of the inputs, and the `accepted` analyses."""
        attributes = {**self.attributes, **self.origin(when), INPUTS: self.inputs_digest(when)}
        if accepted:
            attributes["accepted"] = list(accepted)
        if self.archive.preliminary:
            attributes["preliminary"] = "some of the analyses read may still be replaced by their producer"
        return attributes

    def make(self, when: np.datetime64, accepted: Sequence[str] = ()) -> xr.Dataset:
        """The forecast as a CF dataset, with its products and its `provenance`.

        Raises:
            StabilityError: it is not finite.
        """
        dataset = forecast_dataset(
            self._fields(when), self.archive.names, self.trained.grid, when, self.predictor.lead_hours,
            provenance=self.provenance(when, accepted), variables=self.trained.config.variable_table(),
        )  # fmt: skip
        return self.products.added_to(dataset)

    def _fields(self, when: np.datetime64) -> Float32[np.ndarray, "*member lead field lat lon"]:
        """The forecast, or the members of an ensemble, all of them stable."""
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
    """The values at the edge of a model with a lateral boundary.

    Raises:
        UsageError: a model with a lateral boundary has none, or another model is given one.
    """
    width = trained.config.model.boundary_width
    if width and lateral_boundary is None:
        raise UsageError(
            f"the outer {width} cell(s) of this model need values from outside; give a forecast as --lateral-boundary"
        )
    if lateral_boundary is not None and not width:
        raise UsageError("this model has no lateral boundary; leave out --lateral-boundary")
    return None if lateral_boundary is None else lateral_boundary_archive(trained, lateral_boundary)
