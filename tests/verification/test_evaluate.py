"""Hindcasts: pairs are matched by time, every model is scored on the same ones, and the record is honest."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pinnwx.data.archive import Archive
from pinnwx.errors import DataError, MissingInputError, OutputError, StabilityError, UnavailableError, UsageError
from pinnwx.grid import Grid
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.pairing import initial_times_between, pair_by_time, time_mean
from pinnwx.verification.results import COLUMNS, Scores
from pinnwx.verification.significance import BlockBootstrap

LEADS = (6, 24, 72)
CONTRACT = {"variable", "lead_hours", "n", "rmse", "rmse_pooled", "bias", "acc", "acc_wb1"} | {
    "persistence_rmse", "climatology_rmse", "rmse_low", "rmse_high", "acc_low", "acc_high",
}  # fmt: skip


def without(archive: Archive, indices: list[int]) -> Archive:
    """The archive with gaps."""
    keep = np.setdiff1d(np.arange(len(archive)), indices)
    return replace(archive, times=archive.times[keep], fields=archive.fields[keep])


def persistence_model(archive, leads=LEADS):
    return lambda indices: np.repeat(archive.fields[indices][:, None], len(leads), axis=1)


def oracle(archive, complete, leads=LEADS, error=0.0):
    """Knows the complete record, and is wrong by `error`."""

    def rollout(indices):
        rows = np.searchsorted(complete.times, archive.times[indices])
        return np.stack([complete.fields[(rows + lead // 6) % len(complete)] for lead in leads], axis=1) + error

    return rollout


def test_gaps_cost_pairs_and_never_shift_them(archive, climatology):
    """With a truth that knows the complete record, an error other than zero would be a pair shifted by a gap."""
    gappy = without(archive, [10, 11, 30, 50])
    result = score_hindcasts(gappy, oracle(gappy, archive), climatology, archive.times, LEADS)
    times = set(gappy.times.tolist())
    expected = {
        lead: sum(time + lead * 3600 * 10**9 in times for time in times) for lead in LEADS
    }  # fmt: skip
    for entry in result.scores:
        assert entry["rmse"] == 0.0
        assert entry["n"] == expected[entry["lead_hours"]]
    assert result.skipped["initial_times_without_analysis"] == 4
    assert result.skipped["pairs_without_truth"] == len(gappy) * len(LEADS) - sum(expected.values())


def test_scores_equal_a_plain_loop(archive, climatology):
    """All three forecasts on the same pairs, written out."""
    result = score_hindcasts(archive, oracle(archive, archive, error=2.0), climatology, archive.times[:40], LEADS)
    weights = archive.grid.area_weights
    for position, name in enumerate(archive.names):
        for lead in LEADS:
            truth = archive.fields[lead // 6 : 40 + lead // 6, position].astype(float)
            entry = result.entry(name, lead)
            assert entry["n"] == 40
            assert entry["n_days"] == 10
            assert entry["rmse"] == pytest.approx(2.0, rel=1e-3)  # 2 Pa on 1e5 Pa in float32
            for key, other in (
                ("persistence_rmse", archive.fields[:40, position]),
                ("climatology_rmse", climatology.mean[position]),
            ):
                expected = np.sqrt((weights * (other.astype(float) - truth) ** 2).mean((-2, -1))).mean()
                assert entry[key] == pytest.approx(expected, rel=1e-12)
            assert entry["rmse_low"] <= entry["rmse"] <= entry["rmse_high"]
            assert entry["bounds_missing"] is None


def test_persistence_as_a_model_has_ratio_one_exactly(archive, climatology):
    result = score_hindcasts(archive, persistence_model(archive), climatology, archive.times, LEADS)
    for entry in result.scores:
        assert (entry["persistence_ratio"], entry["persistence_ratio_low"], entry["persistence_ratio_high"]) == (
            1,
            1,
            1,
        )


def test_batches_have_one_size_and_do_not_matter(archive, climatology):
    sizes, progress = [], []
    model = persistence_model(archive)

    def counted(indices):
        sizes.append(len(indices))
        return model(indices)

    options = {"initial_times": archive.times[:21], "lead_hours": LEADS}
    split = score_hindcasts(
        archive, counted, climatology, batch_size=4, progress=lambda done, of: progress.append((done, of)), **options
    )
    assert sizes == [4] * 6
    assert progress == [(4, 21), (8, 21), (12, 21), (16, 21), (20, 21), (21, 21)]
    whole = score_hindcasts(archive, model, climatology, batch_size=100, **options)
    for one, other in zip(split.scores, whole.scores, strict=True):
        assert one["n"] == other["n"] == 21
        assert one["rmse"] == pytest.approx(other["rmse"], rel=1e-12)
        assert one["acc_wb1"] == pytest.approx(other["acc_wb1"], rel=1e-12)


def test_repeated_initial_times_count_once(archive, climatology):
    times = np.concatenate([archive.times[:9], archive.times[:9]])
    assert score_hindcasts(archive, persistence_model(archive), climatology, times, LEADS).scores[0]["n"] == 9


def test_fractional_leads_and_text_times(archive, climatology):
    half = replace(archive, times=archive.times[0] + np.arange(len(archive)) * np.timedelta64(90, "m"))
    times = half.times[:30].astype("datetime64[s]")  # another resolution of the same instants
    result = score_hindcasts(half, persistence_model(half, (1.5,)), climatology, times, [1.5])
    assert result.entry("msl", 1.5)["n"] == 30


def test_the_test_mean_is_of_the_scored_valid_times(archive):
    indices = np.array([3, 7, 8])
    expected = archive.fields[indices].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(time_mean(archive, indices), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-01-02", "2026-01-03", np.arange(4, 12)),
        ("2026-01-02T01:00", "2026-01-02T18:00", np.arange(5, 8)),
        ("2025-12-31T12:00", "2026-01-01", np.arange(-2, 4)),
        (None, None, np.arange(0, 80)),
        ("2026-01-20", "2026-01-21", np.arange(76, 84)),
    ],
)
def test_initial_times_hold_the_gaps_too(archive, start, end, expected):
    gappy = without(archive, [5, 6, 40])
    expected = archive.times[0] + expected * np.timedelta64(6, "h")
    np.testing.assert_array_equal(initial_times_between(gappy, start, end), expected)


def test_nothing_to_score_says_what_there_is(archive, climatology):
    later = archive.times + np.timedelta64(365, "D")
    with pytest.raises(UnavailableError, match=r"2027-01-01.*hold 2026-01-01T00:00Z to 2026-01-20T18:00Z"):
        score_hindcasts(archive, persistence_model(archive), climatology, later, LEADS)
    with pytest.raises(UnavailableError, match="24 h"):  # an analysis, but no truth after it
        score_hindcasts(archive, persistence_model(archive, (24,)), climatology, archive.times[-1:], [24])
    with pytest.raises(UnavailableError):
        pair_by_time(archive, archive.times[:0], [6])


@pytest.mark.parametrize("leads", [[], [-6], [6, 6.0]])
def test_impossible_leads_are_refused(archive, climatology, leads):
    with pytest.raises(UsageError, match="lead"):
        score_hindcasts(archive, persistence_model(archive), climatology, archive.times, leads)


def test_a_forecast_that_blows_up_is_named(archive, climatology):
    model = persistence_model(archive)

    def unstable(indices):
        forecasts = model(indices).copy()
        forecasts[indices == 5, 1, 1, 2, 3] = np.inf
        return forecasts

    with pytest.raises(StabilityError, match=r"t850 from 2026-01-02T06:00Z .* 24 h"):
        score_hindcasts(archive, unstable, climatology, archive.times, LEADS)


def test_what_does_not_fit_is_refused(archive, climatology):
    with pytest.raises(ValueError, match="rollout returned"):
        score_hindcasts(archive, persistence_model(archive, (6,)), climatology, archive.times, LEADS)
    climatology.mean = climatology.mean[..., :-1]
    with pytest.raises(DataError, match="climatology of shape"):
        score_hindcasts(archive, persistence_model(archive), climatology, archive.times, LEADS)
    climatology.names = ("msl",)
    with pytest.raises(DataError, match="no climatology of t850"):
        score_hindcasts(archive, persistence_model(archive), climatology, archive.times, LEADS)


def test_a_climatology_is_taken_by_name(archive, climatology):
    """Of a run with more fields in another order."""
    extra = np.concatenate([climatology.mean[:1] * 0, climatology.mean[::-1]])
    other = type(climatology)(extra, ("q850", *archive.names[::-1]))
    results = [
        score_hindcasts(archive, persistence_model(archive), each, archive.times, LEADS)
        for each in (climatology, other)
    ]
    assert results[0].scores == results[1].scores


def test_json_is_the_contract(archive, climatology, tmp_path):
    result = score_hindcasts(archive, persistence_model(archive), climatology, archive.times, LEADS, run="first")
    path = tmp_path / "scores.json"
    result.save(path)
    raw = json.loads(path.read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert set(raw) == {"run", "scores", "skipped", "settings"}
    assert raw["run"] == "first"
    pairs = [(entry["variable"], entry["lead_hours"]) for entry in raw["scores"]]
    assert sorted(pairs) == sorted((name, lead) for name in archive.names for lead in LEADS)
    assert all(set(entry) >= CONTRACT for entry in raw["scores"])
    assert raw["settings"]["bootstrap"]["seed"] == 0
    assert raw["settings"]["first_initial_time"] == "2026-01-01T00:00Z"
    assert Scores.load(path).to_dict() == result.to_dict() == raw
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_saving_over_and_in_no_folder(tmp_path):
    path = tmp_path / "scores.json"
    Scores(scores=(), run="old").save(path)
    with pytest.raises(ValueError, match="JSON compliant"):
        Scores(scores=({"rmse": float("nan")},)).save(path)
    assert Scores.load(path).run == "old"
    with pytest.raises(OutputError):
        Scores(scores=()).save(tmp_path / "absent" / "scores.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scores": 3, "run": null}', "<html>"])
def test_what_is_no_scores_file_is_refused(tmp_path, text):
    path = tmp_path / "scores.json"
    with pytest.raises(MissingInputError):
        Scores.load(path)
    path.write_text(text)
    with pytest.raises(DataError, match="is not a scores file"):
        Scores.load(path)


def test_rows_are_in_display_units(archive, climatology):
    result = score_hindcasts(archive, persistence_model(archive, (24,)), climatology, archive.times[:8], [24])
    rows = result.table()
    assert all(len(row) == len(COLUMNS) for row in rows)
    pressure, temperature = rows
    assert pressure[:3] == ("msl [hPa]", "24 h", "8")
    assert float(pressure[3]) == pytest.approx(result.entry("msl", 24)["rmse"] / 100, rel=1e-2)
    assert temperature[0] == "t850 [K]"
    assert pressure[4] == "-"  # two days: no bounds
    with pytest.raises(DataError, match="there are msl 24 h"):
        result.entry("msl", 48)


@pytest.mark.real_data
def test_persistence_of_the_model_climate_is_as_published(real_data):
    """The figures that stand beside the data: z500 and t850 at 6, 24, 72, 120 h, initial times 2001-08 to 2001-12."""
    names, folders = ("z500", "t850"), ("geopotential_500", "temperature_850")
    opened = []
    for folder in folders:
        with xr.open_dataset(next((real_data / "gcm_t31" / folder).glob("*2001*.nc"))) as dataset:
            field = dataset[next(iter(dataset.data_vars))].sel(time=slice("2001-08", None)).squeeze()
            opened.append(field.transpose("time", "lat", "lon").sortby("lat").astype(np.float32).load())
    archive = Archive(
        opened[0]["time"].values.astype("datetime64[ns]"),
        np.stack([field.values for field in opened], axis=1),
        names,
        Grid.from_coordinates(opened[0]["lat"].values, opened[0]["lon"].values),
    )
    leads = (6, 24, 72, 120)
    bootstrap = BlockBootstrap(resamples=200)
    model = persistence_model(archive, leads)
    result = score_hindcasts(archive, model, None, archive.times, leads, batch_size=64, bootstrap=bootstrap)
    published = {"z500": (122, 412, 709, 796), "t850": (0.66, 2.15, 3.35, 3.60)}
    for name, figures in published.items():
        for lead, figure in zip(leads, figures, strict=True):
            assert result.entry(name, lead)["rmse"] == pytest.approx(figure, rel=0.01)
