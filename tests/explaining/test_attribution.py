"""What a number in a forecast comes from: against finite perturbations, complete, and found where it must be."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import config_text, randomise, tiny_trained, transport, wave_archive

from pinnwx.errors import UsageError
from pinnwx.explaining.attribution import Target, attribution
from pinnwx.forecasting.cf import read_forecast, write_forecast
from pinnwx.forecasting.predictor import Predictor
from pinnwx.grid import Grid

NAMES = ("msl", "u850", "v850")
WHEN = np.datetime64("2026-01-03T00", "ns")
CARRIED = transport("msl", wind="prognostic:850")
SETTINGS = {
    "both": (CARRIED, ""),
    "as given": ("backpropagate = false\n" + CARRIED, ""),
    "deep ensemble of two times": (CARRIED, "networks = 2\ninput_times = 2"),
    "second order": ("", 'kind = "second_order"'),
}
TARGET = Target.parse("msl@34,11")


def trained_and_archive(kind: str):
    physics, model = SETTINGS[kind]
    archive = wave_archive(40, names=NAMES)
    trained = tiny_trained(config_text(NAMES, physics=physics, model=model), archive)
    randomise(trained.model, 0, 0.05)
    return trained, archive


@pytest.fixture(scope="module", params=SETTINGS)
def made(request):
    trained, archive = trained_and_archive(request.param)
    return trained, archive, attribution(trained, archive, WHEN, 18, TARGET, points=24)


def target_of(trained, analyses) -> float:
    fields = Predictor(trained, [18])(analyses, np.array([WHEN]))[0, 0].astype(np.float64)
    return float((TARGET.weights(trained.grid) * fields[trained.names.index(TARGET.field)]).sum())


def test_sensitivity_is_what_a_small_perturbation_does(made):
    trained, archive, dataset = made
    analyses = Predictor(trained, [18]).analyses(archive, np.array([WHEN]))
    usual, size = analyses.std(axis=(1, 3, 4), keepdims=True), 3e-3
    sensitivity = np.stack([dataset[f"{name}_sensitivity"].values for name in NAMES], axis=1)[None] * usual
    largest = np.sqrt((sensitivity**2).sum())
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(analyses.shape) * usual
        apart = [target_of(trained, (analyses + sign * size * direction).astype(np.float32)) for sign in (1, -1)]
        expected = (sensitivity * direction / usual).sum()
        assert (apart[0] - apart[1]) / (2 * size) == pytest.approx(expected, abs=0.03 * float(largest))


def test_attribution_is_complete(made):
    """What adds up is the departure of the target from what climatology gives; the gap is of the quadrature."""
    trained, archive, dataset = made
    whole = dataset.attrs["target_forecast"] - dataset.attrs["target_ordinary"]
    summed = sum(float(dataset[f"{name}_attribution"].values.astype(np.float64).sum()) for name in NAMES)
    assert abs(whole) > 10
    assert summed == pytest.approx(whole, abs=0.05 * abs(whole))
    assert dataset.attrs["completeness_gap"] == pytest.approx(whole - summed, abs=1e-3 * abs(whole))
    analyses = Predictor(trained, [18]).analyses(archive, np.array([WHEN]))
    assert dataset.attrs["target_forecast"] == pytest.approx(target_of(trained, analyses), rel=1e-6)


def test_equations_that_training_takes_as_given_are_asked_too():
    (given, archive), (not_given, _) = trained_and_archive("as given"), trained_and_archive("both")
    found = [attribution(trained, archive, WHEN, 6, TARGET, points=4) for trained in (given, not_given)]
    np.testing.assert_allclose(found[0]["u850_sensitivity"], found[1]["u850_sensitivity"], rtol=1e-5, atol=1e-6)
    assert given.model.backpropagate is False, "the model itself is left as it is"


def test_carried_by_a_known_wind_it_comes_from_upstream():
    """Nothing but advection by a zonal wind that crosses one cell in the forecast: the cell to the west tells it."""
    grid = Grid.parse("11.25deg")
    archive = wave_archive(40, grid=grid, names=NAMES)
    cell = np.cos(grid.latitude_radians)[:, None] * 6.371e6 * np.deg2rad(11.25)
    physics = transport("msl", wind="prognostic:850", gated=False)
    text = config_text(NAMES, grid="11.25deg", physics=physics, closure="enabled = false", substeps=4)
    trained = tiny_trained(text, archive)
    archive.fields[:, 1], archive.fields[:, 2] = cell / (12 * 3600), 0.0
    target = Target.parse("msl@16.875,90")
    found = attribution(trained, archive, WHEN, 12, target, points=2)["msl_sensitivity"].values[0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (grid.latitude[row], grid.longitude[column]) == (16.875, 90 - 11.25)
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
    assert found.max() > 0.45, "third order spreads a single cell: 0.54 is what its amplification factor gives"


@pytest.mark.parametrize("text", ["msl", "msl@1", "msl@1,2,3", "msl@a,b", "@1,2"])
def test_a_target_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="neither FIELD@LATITUDE,LONGITUDE nor"):
        Target.parse(text)


def test_the_weights_of_a_box_are_its_areas_and_cross_the_date_line():
    grid = Grid.parse("22.5deg")
    weights = Target.parse("msl@50,170,-50,-170").weights(grid)
    rows, columns = np.nonzero(weights)
    assert {grid.longitude[c] for c in columns} == {c for c in grid.longitude if c >= 170 and c <= 190}
    assert weights.sum() == pytest.approx(1.0)
    inside = np.unique(rows)
    np.testing.assert_allclose(weights[inside, columns[0]] / weights[inside[0], columns[0]],
                               grid.area_weights[inside, 0] / grid.area_weights[inside[0], 0])  # fmt: skip
    with pytest.raises(UsageError, match="no cell of the grid"):
        Target.parse("msl@50,1,49,2").weights(grid)


@pytest.mark.parametrize("circle", ["-180,-90,180", "0,-90,360"])
def test_the_whole_globe_is_a_box_too(circle):
    grid = Grid.parse("22.5deg")
    weights = Target.parse(f"msl@90,{circle}").weights(grid)
    np.testing.assert_allclose(
        weights, np.broadcast_to(grid.area_weights, grid.shape) / grid.area_weights.mean() / weights.size
    )


def test_a_point_beside_a_box_is_in_no_cell_of_it():
    grid = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))
    assert Target.parse("msl@48.7,-11").weights(grid)[-1, 0] == 1.0
    with pytest.raises(UsageError, match=r"no cell of the grid .* is at msl at 49 N"):
        Target.parse("msl@49,-11").weights(grid)


def test_what_is_not_forecast_is_no_target():
    trained, archive = trained_and_archive("both")
    with pytest.raises(UsageError, match="does not forecast z500; it forecasts msl, u850, v850"):
        attribution(trained, archive, WHEN, 6, Target.parse("z500@1,2"))


def test_a_file_keeps_it_all(made, tmp_path):
    _, _, dataset = made
    write_forecast(dataset, tmp_path / "a.nc")
    back = read_forecast(tmp_path / "a.nc")
    np.testing.assert_array_equal(back["msl_attribution"], dataset["msl_attribution"].astype(np.float32))
    assert back.attrs["target"] == "msl at 34 N, 11 E after 18 h"
    assert back["u850_sensitivity"].attrs["units"] == "Pa (m s-1)-1"
    assert jnp.isfinite(back["u850_sensitivity"].values).all()
