"""Probability maps and stamps: what they show, and what they refuse."""

import numpy as np
import pytest
import xarray as xr

from pinnwx.errors import DataError, UsageError
from pinnwx.forecasting.cf import forecast_dataset
from pinnwx.forecasting.products import Products
from pinnwx.grid import Grid
from pinnwx.jobs.plot import plot
from pinnwx.reporting.ensemble_maps import probability_figure, stamp_figure

GRID, MEMBERS = Grid.parse("22.5deg"), 10
WHEN = np.datetime64("2026-01-20", "ns")


def ensemble(members: int = MEMBERS) -> xr.Dataset:
    """Member i has the temperature 268.15 + i; the pressure rises by 100 Pa a member from 101,000 Pa, and eastward."""
    numbers = np.arange(members)[:, None, None, None]
    shape = (members, 3, *GRID.shape)
    pressure = 101_000 + 100 * numbers + 10 * np.arange(GRID.shape[1])
    fields = np.stack([np.broadcast_to(268.15 + numbers, shape), np.broadcast_to(pressure, shape)], axis=2)
    return forecast_dataset(
        fields.astype(np.float32), ("t2m", "msl"), GRID, WHEN, (12.0, 24.0, 36.0), provenance={"model": "a model"}
    )


def filled(axes) -> float:
    """The middle of the one band that covers a map."""
    (contours,) = [each for each in axes.collections if hasattr(each, "levels")]
    full = [level for level, path in enumerate(contours.get_paths()) if len(path.vertices)]
    edges = np.array([0.0, *contours.levels, 1.0])
    assert len(full) == 1
    return edges[full[0] : full[0] + 2].mean()


@pytest.mark.parametrize(("event", "share"), [("t2m<273.15", 0.5), ("t2m>270.5", 0.7), ("t2m<300", 1), ("t2m>300", 0)])
def test_a_map_shows_the_share_of_the_members(event, share):
    figure = probability_figure(ensemble(), [event], leads=[24])
    first = figure.axes[0]
    assert filled(first) == pytest.approx(share, abs=0.1)
    assert first.get_title() == "+24 h  ·  2026-01-21 00 UTC"


def test_a_row_for_each_event_and_a_column_for_each_lead():
    figure = probability_figure(ensemble(), ["t2m<273.15", "msl>101325"])
    maps = [axes for axes in figure.axes if axes.get_title()]
    assert len(maps) == 2 * 3
    headings = [axes.get_ylabel() for axes in maps[::3]]
    assert headings == ["2 metre temperature < 0 °C", "Mean sea level pressure > 1013.25 hPa"]
    assert figure.get_suptitle() == "a model, 10 members from 2026-01-20 00 UTC: probability"


def test_a_stamp_for_each_member_after_mean_and_spread():
    figure = stamp_figure(ensemble(), variable="msl", lead=36)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0] == "mean"
    assert titles[1].startswith("spread, at most 3.03")
    assert titles[2:] == [f"member {number}" for number in range(1, MEMBERS + 1)]
    assert "Mean sea level pressure, +36 h" in figure.get_suptitle()


def test_all_stamps_have_one_colour_scale():
    figure = stamp_figure(ensemble())
    maps = [axes for axes in figure.axes if axes.get_title()]
    levels = [next(each.levels for each in axes.collections if hasattr(each, "levels")) for axes in maps]
    for own in levels[2:]:
        np.testing.assert_array_equal(own, levels[0])


def test_they_are_written_as_pictures(tmp_path):
    dataset = Products.of([0.5], ["t2m<273.15"], ("t2m", "msl"), MEMBERS).added_to(ensemble())
    dataset.to_netcdf(tmp_path / "e.nc")
    plot(tmp_path / "e.nc", tmp_path / "p.png", thresholds=["t2m<273.15"], leads=[12, 24])
    plot(tmp_path / "e.nc", tmp_path / "s.png", stamps=True, variables=["msl"], leads=[24])
    assert all((tmp_path / name).stat().st_size > 20_000 for name in ("p.png", "s.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": ["z500>5e4"]}, "the forecast has no z500"),
        ({"thresholds": ["t2m=3"]}, "is not a variable, < or >, and a number"),
        ({"thresholds": ["t2m<273.15"], "leads": [18]}, "no lead of 18 h"),
        ({"thresholds": ["t2m<273.15"] * 7}, "7 thresholds: a picture has 1 to 6"),
        ({"thresholds": ["t2m<273.15"], "stamps": True}, "--threshold or --stamps draws the forecast of an ensemble"),
        ({"thresholds": ["t2m<273.15"], "variables": ["t2m"]}, "leave out --variables"),
        ({"stamps": True, "data": ["x"]}, "without --data"),
        ({"stamps": True, "leads": [18]}, "no lead of 18 h"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, options, message):
    ensemble().to_netcdf(tmp_path / "e.nc")
    with pytest.raises(UsageError, match=message):
        plot(tmp_path / "e.nc", tmp_path / "p.png", **options)
    assert not (tmp_path / "p.png").exists()


def test_a_forecast_without_members_has_no_maps_of_them():
    single = ensemble().isel(realization=0, drop=True)
    for made in (lambda: probability_figure(single, ["t2m<273.15"]), lambda: stamp_figure(single)):
        with pytest.raises(UsageError, match="the forecast has no members; make it with --members"):
            made()


def test_too_many_members_and_values_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="61 members are more than 60"):
        stamp_figure(ensemble(61))
    spoilt = ensemble()
    spoilt["t2m"][3, 1, 2, 2] = np.nan
    for made in (lambda: probability_figure(spoilt, ["t2m<273.15"]), lambda: stamp_figure(spoilt, lead=24)):
        with pytest.raises(DataError, match="t2m of the forecast holds 1 values that are not finite"):
            made()
    with pytest.raises(DataError, match='no variable "z500" in the forecast'):
        stamp_figure(ensemble(), variable="z500")
