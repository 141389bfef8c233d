"""Events and their probabilities: against an independent package, and for probabilities that are right or too bold."""

from dataclasses import replace

import numpy as np
import pytest
import scores.probability
import xarray as xr
from synthetic import ConstantClimatology, wave_archive

from pinnwx.errors import UsageError
from pinnwx.forecasting.thresholds import Threshold
from pinnwx.grid import Grid
from pinnwx.verification.events import Event, event_scores, percentile_events, probability_table

GRID = Grid.parse("30deg")
WHEN = np.datetime64("2026-01-01T00:00", "ns")


def plain(function, *values):
    """Without bounds."""
    return function(*(each.sum() for each in values)), None, None


def measured(event: Event, members: np.ndarray, truth: np.ndarray) -> dict:
    """Of forecasts (member, pair, lat, lon)."""
    pairs = zip(np.moveaxis(members, 1, 0), truth, strict=True)
    tables = [probability_table(event, made, true, WHEN, GRID.area_weights) for made, true in pairs]
    return event_scores(event, np.array(tables), plain)


def forecasts(size: int, count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A signal that is forecast, and noise that is not; members and truth are drawn alike."""
    generator = np.random.default_rng(seed)
    signal = generator.standard_normal((count, *GRID.shape))
    both = signal + generator.standard_normal((size + 1, count, *GRID.shape))
    return both[1:], both[0]


@pytest.mark.parametrize("text", ["msl<1", " msl > 0.5 ", "msl>-1e-1"])
def test_brier_score_and_roc_area_are_those_of_an_independent_package(text):
    members, truth = forecasts(9)
    event = Threshold.parse(text, ("t850", "msl"))
    own = measured(event, members, truth)
    dims = ("pair", "lat", "lon")
    weights = xr.DataArray(np.broadcast_to(GRID.area_weights, GRID.shape), dims=dims[1:])
    sign = 1 if event.above else -1  # the package knows only values above a threshold
    made, true = xr.DataArray(sign * members, dims=("member", *dims)), xr.DataArray(sign * truth, dims=dims)
    brier = scores.probability.brier_score_for_ensemble(
        made, true, "member", sign * event.limit, weights=weights, fair_correction=True
    )
    assert own["brier"] == pytest.approx(float(brier.squeeze()), rel=1e-6)
    happened = true > sign * event.limit
    probability = (made > sign * event.limit).mean("member")
    roc = scores.probability.roc_curve_data(
        probability, happened.astype(float), np.linspace(0, 1, 10), weights=weights, reduce_dims=dims
    )
    assert own["roc_area"] == pytest.approx(float(roc.AUC), abs=2e-3)
    assert own["frequency"] == pytest.approx(float(happened.weighted(weights).mean()))
    assert own["brier_climatology"] == pytest.approx(own["frequency"] * (1 - own["frequency"]))


def test_probabilities_that_are_right_have_a_slope_near_one():
    """That of a finite ensemble is below 1, because its probabilities scatter; the fair Brier score does not mind."""
    event = Threshold.parse("msl>1", ("msl",))
    slopes = [measured(event, *forecasts(size))["slope"] for size in (5, 20, 80)]
    assert slopes[0] < slopes[1] < slopes[2] < 1.01
    assert slopes[2] > 0.95
    few, many = (measured(event, *forecasts(size))["brier"] for size in (5, 80))
    assert few == pytest.approx(many, rel=0.02)


def test_probabilities_that_are_too_bold_have_a_smaller_slope():
    members, truth = forecasts(20)
    mean = members.mean(axis=0)
    event = Threshold.parse("msl>1", ("msl",))
    bold = measured(event, mean + 0.3 * (members - mean), truth)
    assert bold["slope"] < 0.75 * measured(event, members, truth)["slope"]
    areas, p, observed = (np.array(bold[key], float) for key in ("areas", "probabilities", "frequencies"))
    assert areas.sum() == pytest.approx(1)
    assert observed[0] > 0.05
    assert observed[-1] < 0.9
    assert (areas * observed)[areas > 0].sum() == pytest.approx(bold["frequency"])
    assert len(p) == 21


def test_what_never_happens_has_no_roc_area_and_no_slope():
    members, truth = forecasts(5, 3)
    own = measured(Threshold.parse("msl>1e9", ("msl",)), members, truth)
    assert (own["frequency"], own["brier"], own["roc_area"], own["slope"]) == (0, 0, None, None)
    assert own["frequencies"] == [0.0] + 5 * [None]


def test_percentiles_of_climatology_happen_as_often_as_they_say():
    archive = wave_archive(200)
    noise = np.random.default_rng(0).standard_normal(archive.fields.shape)
    archive = replace(archive, fields=(np.array([1e5, 280.0])[:, None, None] + noise).astype(np.float32))
    events = percentile_events(archive, ConstantClimatology(archive.fields.mean(axis=0)))
    assert [event.name for event in events] == [
        "msl < 10th percentile", "msl > 90th percentile", "t850 < 10th percentile", "t850 > 90th percentile",
    ]  # fmt: skip
    for event in events:
        fields = archive.fields[:, archive.names.index(event.variable)]
        assert event.happens(fields, WHEN).mean(axis=0) == pytest.approx(0.1, abs=0.011)


@pytest.mark.parametrize("text", ["msl", "msl=3", "msl<", "<3", "msl<nan", "msl<1e", "msl<2<3", "msl<1e999"])
def test_a_threshold_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="is not a variable, < or >, and a number"):
        Threshold.parse(text, ("msl",))


def test_a_threshold_of_another_variable_is_refused():
    with pytest.raises(UsageError, match=r'threshold "t2m<273\.15": the forecast has no t2m; it has msl, t850'):
        Threshold.parse("t2m<273.15", ("msl", "t850"))


def test_an_area_of_probabilities_that_are_certain_is_one_at_most():
    """Up to rounding, which must not leave the interval that a scores file allows."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        truth = generator.standard_normal((1, *GRID.shape))
        members = truth + 1e-6 * generator.standard_normal((5, 1, *GRID.shape))
        area = measured(Threshold.parse("msl>0.3", ("msl",)), members, truth)["roc_area"]
        assert 0.99 < area <= 1


def test_percentiles_are_those_of_all_hours_of_the_day():
    """Of very many analyses some are chosen; they are not all of one hour."""
    archive = wave_archive(2400)
    hours = (archive.times.astype("datetime64[h]").astype(int) % 24).astype(np.float32)
    fields = archive.fields * 0 + hours[:, None, None, None]
    archive = replace(archive, fields=fields)
    events = percentile_events(archive, ConstantClimatology(0 * archive.fields[0]))
    assert events[0].departure.max() == 0
    assert events[1].departure.min() == 18


def test_a_name_has_all_digits_of_its_limit():
    names = {Threshold.parse(text, ("msl",)).name for text in ("msl<101325.5", "msl<101325.6", "msl<101325")}
    assert names == {"msl<101325.5", "msl<101325.6", "msl<101325"}


def test_bounds_that_are_not_defined_are_none():
    """As where some days have one probability alone; a scores file holds no NaN."""
    members, truth = forecasts(5, 30)
    event = Threshold.parse("msl>1", ("msl",))
    tables = np.array([
        probability_table(event, made, true, WHEN, GRID.area_weights)
        for made, true in zip(np.moveaxis(members, 1, 0), truth, strict=True)
    ])  # fmt: skip
    own = event_scores(event, tables, lambda function, *sums: (plain(function, *sums)[0], np.nan, np.inf))
    assert own["slope"] == pytest.approx(measured(event, members, truth)["slope"])
    assert (own["slope_low"], own["slope_high"]) == (None, None)
