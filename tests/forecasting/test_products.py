"""Products of an ensemble: what they are, and that nothing takes them for fields."""

import numpy as np
import pytest
import xarray as xr
from synthetic import ConstantClimatology, wave_archive

from pinnwx.data.inputs import as_dataset
from pinnwx.errors import DataError, UsageError
from pinnwx.forecasting.cf import ensemble_mean, forecast_dataset, point, read_forecast, write_forecast
from pinnwx.forecasting.form import require_form
from pinnwx.forecasting.products import NO_PRODUCTS, Products, is_product, without_products
from pinnwx.forecasting.thresholds import Threshold
from pinnwx.reporting.maps import forecast_figure
from pinnwx.verification.verify import verify_forecasts

ARCHIVE = wave_archive(60)
NAMES = ("msl", "t850")
SIZE = 9
ASKED = Products.of([0.9, 0.1, 0.5], ["t850<275", "t850<280", "msl>101500"], NAMES, SIZE)


@pytest.fixture(scope="module")
def members() -> np.ndarray:
    """Around the analyses of the valid times, (member, lead, field, lat, lon)."""
    noise = np.random.default_rng(0).standard_normal((SIZE, 2, 2, 8, 16))
    return (ARCHIVE.fields[41:43] + np.array([100.0, 1.0])[:, None, None] * noise).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(members) -> xr.Dataset:
    made = forecast_dataset(members, NAMES, ARCHIVE.grid, ARCHIVE.times[40], [6, 12], provenance=ASKED.settings)
    return ASKED.added_to(made)


def test_each_is_what_its_name_says(dataset, members):
    values = members[:, :, 1].astype(np.float64)
    at = ("time", "latitude", "longitude")
    assert dataset["t850_mean"].dims == dataset["t850_spread"].dims == at
    np.testing.assert_allclose(dataset["t850_mean"], values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(dataset["t850_spread"], values.std(axis=0, ddof=1), rtol=1e-5)
    assert dataset["t850_quantile"].dims == ("quantile", *at)
    assert dataset["quantile"].values.tolist() == [0.1, 0.5, 0.9]
    np.testing.assert_allclose(dataset["t850_quantile"].sel(quantile=0.5), np.median(values, axis=0), rtol=1e-6)
    below = dataset["t850_probability_below"]
    assert below.dims == ("t850_below", *at)
    assert below["t850_below"].values.tolist() == [275, 280]
    np.testing.assert_allclose(below.sel(t850_below=280), (values < 280).mean(axis=0), rtol=1e-6)
    assert 0 < below.mean() < 1
    above = dataset["msl_probability_above"].sel(msl_above=101500)
    np.testing.assert_allclose(above, (members[:, :, 0] > 101500).mean(axis=0), rtol=1e-6)
    assert "msl_probability_below" not in dataset


def test_attributes_are_those_of_cf(dataset):
    assert dataset["t850_spread"].attrs["cell_methods"] == "time: point realization: standard_deviation"
    assert dataset["t850_spread"].attrs["units_metadata"] == "temperature: difference"
    assert dataset["t850_mean"].attrs["cell_methods"] == "time: point realization: mean"
    below = dataset["t850_probability_below"].attrs
    assert below["units"] == "1"
    assert "standard_name" not in below
    limits = dataset["t850_below"].attrs
    assert (limits["units"], limits["standard_name"]) == ("K", "air_temperature")
    assert dataset["quantile"].attrs["standard_name"] == "quantile"
    assert not is_product(dataset["t850"])
    assert all(is_product(dataset[name]) for name in dataset.data_vars if name not in NAMES)


def test_a_file_holds_them(dataset, tmp_path):
    write_forecast(dataset, tmp_path / "a.nc")
    stored = read_forecast(tmp_path / "a.nc")
    assert set(stored.data_vars) == set(dataset.data_vars)
    for name in dataset.data_vars:
        assert stored[name].dims == dataset[name].dims
        np.testing.assert_array_equal(stored[name], dataset[name])
    assert ASKED.are_in(stored)
    assert not NO_PRODUCTS.are_in(stored)


def test_nothing_takes_them_for_fields(dataset, members):
    plain = without_products(dataset)
    assert tuple(plain.data_vars) == NAMES
    assert set(plain.dims) == {"realization", "time", "latitude", "longitude"}
    assert tuple(ensemble_mean(dataset).data_vars) == NAMES
    scores = verify_forecasts([dataset], ARCHIVE, ConstantClimatology(ARCHIVE.fields.mean(axis=0)))
    assert {entry["variable"] for entry in scores.scores} == {*NAMES}
    assert scores.scores[0]["crps"] is not None
    assert len(forecast_figure(dataset).axes) == 6  # two leads and a colour bar for each field
    here = point(dataset, 0.0, 100.0)
    np.testing.assert_allclose(here["t850_mean"], here["t850"].mean("realization"), rtol=1e-6)


def test_one_member_alone_has_none_that_are_drawn(dataset):
    assert tuple(ensemble_mean(dataset.isel(realization=0)).data_vars) == NAMES


def test_they_are_no_lateral_boundary(dataset, tmp_path):
    """The spread of a field has its standard name. Of an ensemble, one member is a boundary."""
    write_forecast(dataset.isel(realization=0, drop=True), tmp_path / "one.nc")
    opened = as_dataset(tmp_path / "one.nc", NAMES, forecasts=True)
    np.testing.assert_allclose(opened["msl"].values[-1], dataset["msl"].values[0, -1], rtol=1e-6)
    assert set(opened.data_vars) == {*NAMES}
    write_forecast(dataset, tmp_path / "all.nc")
    with pytest.raises(DataError, match="select one"):
        as_dataset(tmp_path / "all.nc", NAMES, forecasts=True)


def test_a_value_on_the_limit_is_not_beyond_it(members):
    level = np.float32(273.15)
    made = forecast_dataset(
        np.full_like(members, level), NAMES, ARCHIVE.grid, ARCHIVE.times[40], [6, 12], provenance={}
    )
    asked = Products.of([], ["t850<273.15", "t850>273.15"], NAMES, SIZE)
    both = asked.added_to(made)
    truth = Threshold.parse("t850<273.15", NAMES).happens(np.full((2, 2), level))
    assert both["t850_probability_below"].values.any() == truth.any()
    order = [asked.settings, Products.of([], ["t850>273.15", "t850<273.15"], NAMES, SIZE).settings]
    assert order[0] == order[1]


def test_without_a_wish_there_are_none(members):
    made = forecast_dataset(members, NAMES, ARCHIVE.grid, ARCHIVE.times[40], [6, 12], provenance={})
    assert NO_PRODUCTS.added_to(made) is made
    assert NO_PRODUCTS.settings == {}
    assert NO_PRODUCTS.are_in(made)


@pytest.mark.parametrize(
    ("quantiles", "thresholds", "size", "message"),
    [
        ([0.5], [], None, "quantiles and probabilities are those of an ensemble; give --members"),
        ([], ["msl<1"], None, "quantiles and probabilities are those of an ensemble; give --members"),
        ([0.5, 1.5], [], 5, "quantile 1.5 is not between 0 and 1"),
        ([-0.1], [], 5, "quantile -0.1 is not between 0 and 1"),
        ([], ["t2m<1"], 5, "the forecast has no t2m; it has msl, t850"),
    ],
    ids=["quantiles without members", "a threshold without members", "above 1", "below 0", "another variable"],
)
def test_what_cannot_be_is_refused(quantiles, thresholds, size, message):
    with pytest.raises(UsageError, match=message):
        Products.of(quantiles, thresholds, NAMES, size)


def test_a_file_with_a_product_of_another_form_is_refused(dataset):
    wrong = dataset.rename({"t850_below": "elsewhere"})
    with pytest.raises(DataError, match="t850_probability_below is not a field of numbers"):
        require_form(wrong)
