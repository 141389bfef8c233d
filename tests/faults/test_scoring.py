"""Forecasts are scored on no analysis that a forecast would not start from."""

import json
import logging

import numpy as np
import pytest
from synthetic import wave_dataset

import pinnwx
from pinnwx.jobs.series import forecast_series

INIT = "2026-01-16T06:00"


def scores_of(run, data, folder):
    forecast_series(run, data, folder, init=INIT, hours=24, score=True)
    (path,) = folder.glob("*.scores.json")
    return {entry["lead_hours"]: entry["n"] for entry in json.loads(path.read_text())["scores"]}


@pytest.mark.parametrize("damage", ["nothing", "stuck", "spike", "ahead"])
def test_score_leaves_out_what_forecast_refuses(run, tmp_path, caplog, monkeypatch, damage):
    """The truth of 12 h is damaged, or that of 18 h on lies in the future."""
    waves = wave_dataset(80)
    if damage == "stuck":
        waves["t850"].values[63] = waves["t850"].values[62]
    elif damage == "spike":
        waves["msl"].values[63, 4, 5] += 7000
    elif damage == "ahead":
        monkeypatch.setenv("PINNWX_NOW", "2026-01-16T20:00")
    waves.to_netcdf(tmp_path / "a.nc")
    with caplog.at_level(logging.WARNING, "pinnwx"):
        counts = scores_of(run, tmp_path / "a.nc", tmp_path / "out")
    left_out = {"nothing": set(), "stuck": {12}, "spike": {12}, "ahead": {18, 24}}[damage]
    assert {lead for lead, count in counts.items() if not count} == left_out
    told = [
        record.getMessage() for record in caplog.records if "not scored with the analysis of" in record.getMessage()
    ]
    assert bool(told) == bool(left_out)
    if damage in ("stuck", "spike"):
        assert "2026-01-16T18:00Z" in told[0]


def test_verify_warns_of_them(run, tmp_path, caplog):
    waves = wave_dataset(80)
    waves.to_netcdf(tmp_path / "a.nc")
    pinnwx.forecast(run, tmp_path / "a.nc", init=INIT, hours=24, out=tmp_path / "f.nc")
    waves["t850"].values[63] = waves["t850"].values[62]
    waves.to_netcdf(tmp_path / "b.nc")
    for name, warned in (("a.nc", False), ("b.nc", True)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "pinnwx"):
            scores = pinnwx.verify(tmp_path / "f.nc", tmp_path / name)
        assert np.array([entry["n"] for entry in scores.scores]).all()
        assert (
            any("the step at 2026-01-16T18:00Z repeats the previous one" in one.getMessage() for one in caplog.records)
            == warned
        )
