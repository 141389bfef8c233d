"""The budget of a forecast: it closes, each part is what it says, and the file holds it all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from exact.sphere import slope
from synthetic import TRACER, config_text, randomise, tiny_trained, transport, wave_archive

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.data.archive import Archive
from pinnwx.errors import DataError, UnavailableError
from pinnwx.explaining.budget import budget
from pinnwx.explaining.reading import area_mean, budget_fields, parts_of, shares, zonal_mean
from pinnwx.forecasting.cf import read_forecast, write_forecast
from pinnwx.forecasting.predictor import Predictor
from pinnwx.grid import Grid
from pinnwx.physics.diagnostics import rotational_wind
from pinnwx.reporting.budget import budget_figure

NAMES = ("msl", "vo850", "u850", "v850")
WHEN = np.datetime64("2026-01-03T00", "ns")
BOTH = transport(
    "vo850", wind="rotational:vo850", absolute_vorticity=True, learned_wind=True, diffusivity=2e5
) + transport("msl", wind="prognostic:850", learned_wind=True)
CARRIED = ("advection_by_physical_wind", "planetary_vorticity")
WIND_ALONE = ("msl", "u850", "v850")
CLIMATE = "climate = { relaxation_days = 5.0, bound_margin = 0.1 }"
SETTINGS = {
    "both winds": (NAMES, BOTH, ""),
    "midpoint, deep ensemble": (NAMES, 'wind_time = "midpoint"\n' + BOTH, "networks = 2"),
    "coupling_steps, climate": (NAMES, "coupling_steps = 2\n" + BOTH, CLIMATE),
    "wind_updates": (NAMES, "wind_updates = 3\n" + BOTH, ""),
    "semi-Lagrangian": (NAMES, 'method = "semi_lagrangian"\n' + BOTH, ""),
    "followers": (
        WIND_ALONE,
        transport("vo850", wind="prognostic:850", absolute_vorticity=True, balanced_field="msl"),
        "",
    ),
    "network alone": (NAMES, "", ""),
    "second order": (NAMES, "", 'kind = "second_order"'),
}


@functools.cache
def _explained(kind: str) -> xr.Dataset:
    names, physics, model = SETTINGS[kind]
    archive = wave_archive(40, names=names)
    trained = tiny_trained(config_text(names, physics=physics, model=model), archive)
    randomise(trained.model, 0, 0.05)
    return budget(trained, archive, WHEN, 12)


def explained(kind: str) -> xr.Dataset:
    """The budget with these settings, computed once; a test may change its copy."""
    return _explained(kind).copy(deep=True)


@pytest.fixture(scope="module", params=SETTINGS)
def made(request):
    return request.param, explained(request.param)


def test_the_parts_sum_to_the_change_of_the_forecast(made):
    """To 1e-5 of the largest tendency of a field, in float32, and nothing of it is the residual."""
    kind, dataset = made
    assert budget_fields(dataset) == list(SETTINGS[kind][0])
    for field in budget_fields(dataset):
        parts = {name: values.values for name, values in parts_of(dataset, field).items()}
        total = parts.pop("total")
        np.testing.assert_allclose(parts.pop("residual"), total - sum(parts.values()), atol=1e-6 * np.abs(total).max())
        largest = np.abs(total).max()
        assert largest > 0
        # What a state of 1e5 Pa cannot hold of a change is no fault of the budget.
        rounding = 8 * np.spacing(np.abs(dataset[field].values).max()) / 21600
        assert np.abs(sum(parts.values()) - total).max() <= max(1e-5 * largest, rounding)


@pytest.fixture
def optimised():
    """Programs are optimised here: two that hardly are round too differently."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("kind", ["both winds", "second order"])
def test_it_is_the_budget_of_the_forecast_itself(kind):
    names, physics, model = SETTINGS[kind]
    archive = wave_archive(40, names=names)
    trained = tiny_trained(config_text(names, physics=physics, model=model), archive)
    randomise(trained.model, 0, 0.05)
    dataset = budget(trained, archive, WHEN, 18)
    forecast = Predictor(trained, [6, 12, 18]).from_archive(archive, np.array([WHEN]))[0]
    (analysis,) = archive.fields[archive.times == WHEN]
    for place, field in enumerate(names):
        largest = np.abs(forecast[:, place]).max()
        np.testing.assert_allclose(dataset[field], forecast[:, place], rtol=0, atol=2e-6 * largest)
        states = np.concatenate([analysis[None, place], dataset[field].values]).astype(np.float64)
        total = dataset[f"{field}_tendency_total"].values
        np.testing.assert_allclose(
            total, np.diff(states, axis=0) / 21600, atol=4 * np.spacing(np.float32(largest)) / 21600
        )


def test_every_part_that_the_settings_give_is_there_and_does_something(made):
    kind, dataset = made
    whole = {*CARRIED, "advection_by_learned_wind", "diffusion", "polar_structure", "network"}
    expected = {
        "coupling_steps, climate": whole | {"climate"},
        "network alone": {"network"},
        "second order": {"advection_by_learned_wind", "network"},
        "followers": {*CARRIED, "polar_structure", "network"},
        "semi-Lagrangian": whole - {"polar_structure"},
    }.get(kind, whole)
    for field in budget_fields(dataset)[:2]:
        found = {name: values for name, values in parts_of(dataset, field).items() if name not in ("total", "residual")}
        assert found.keys() == expected
        silent = {name for name, values in found.items() if not np.abs(values).max() > 0}
        assert silent <= {"planetary_vorticity", "diffusion"}, "pressure has no vorticity"
    if "planetary_vorticity" in expected:
        assert np.abs(parts_of(dataset, budget_fields(dataset)[1])["planetary_vorticity"]).max() > 0


def test_the_edge_of_a_driven_box_is_told_and_stands_apart():
    grid = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))
    archive = wave_archive(40, grid=grid)
    text = config_text(
        model="boundary_width = 1\nclimate = { bound_margin = 0.1 }",
        grid="native",
        closure="width = 16\nblocks = 1\npatch_size = 1",
    )
    trained = tiny_trained(text, archive)
    randomise(trained.model, 0, 0.05)
    parts = parts_of(budget(trained, archive, WHEN, 12), "msl")
    told = np.abs(parts["boundary"].values).max(axis=0)
    assert told[0].max() > 0
    assert not told[1:-1, 1:-1].any()
    left = np.abs(parts["residual"].values).max()
    assert left <= 8 * np.spacing(np.float32(1.1e5)) / 21600


def test_winds_that_are_slowed_down_still_add_up():
    """Winds of hundreds of metres a second in two sub-steps: every part is slowed by what the whole is."""
    names, physics, _ = SETTINGS["both winds"]
    archive = wave_archive(40, names=names)
    fast = Archive(archive.times, archive.fields * np.float32([1, 1, 40, 40])[:, None, None], names, archive.grid)
    trained = tiny_trained(config_text(names, physics=physics, closure="enabled = false"), fast)
    randomise(trained.model, 0, 0.05)
    parts = {name: values.values for name, values in parts_of(budget(trained, fast, WHEN, 6), "msl").items()}
    assert (
        np.abs(parts["residual"]).max()
        <= 1e-5 * np.abs(parts["total"]).max() + 8 * np.spacing(np.float32(1.1e5)) / 21600
    )
    assert np.abs(parts["advection_by_physical_wind"]).max() > 0


def test_planetary_vorticity_is_minus_beta_v():
    """To second order in the grid spacing."""
    rows = (12, 16, 24)
    assert slope([_error_of_planetary_vorticity(Grid.parse(f"{180 / count}deg")) for count in rows], rows) > 1.9


def _error_of_planetary_vorticity(grid: Grid) -> float:
    names = ("vo850", "msl")
    archive = wave_archive(40, grid=grid, names=names)
    physics = transport("vo850", wind="rotational:vo850", absolute_vorticity=True, gated=False)
    text = config_text(
        names, grid=f"{180 / len(grid.latitude)}deg", physics=physics, closure="enabled = false", substeps=12
    )
    dataset = budget(tiny_trained(text, archive), archive, WHEN, 6)
    (start,) = archive.fields[archive.times == WHEN]
    _, northward = rotational_wind(jnp.asarray(start[0]), grid)
    beta = 2 * EARTH_ROTATION * np.cos(grid.latitude_radians)[:, None] / EARTH_RADIUS
    expected, made = -beta * np.asarray(northward), dataset["vo850_tendency_planetary_vorticity"].values[0]
    middle = (
        np.abs(np.asarray(grid.latitude)) < 40
    )  # poleward of 60 degrees cells are merged into groups, which a flux sees two cells away
    assert not dataset["msl_tendency_planetary_vorticity"].values.any(), "nothing carries pressure here"
    return float(np.sqrt(np.mean((made - expected)[middle] ** 2) / np.mean(expected[middle] ** 2)))


def test_a_conserved_tracer_is_carried_and_nothing_else():
    archive = wave_archive(40, names=("u850", "v850", "tracer"))
    fields = archive.fields.copy()
    fields[:, 2] = np.abs(fields[:, 2])
    archive = Archive(archive.times, fields, archive.names, archive.grid)
    physics = transport("tracer", wind="prognostic:850", form="flux", scheme="limited", conserved=True)
    text = config_text(("u850", "v850", "tracer"), physics=physics, extra=TRACER)
    dataset = budget(tiny_trained(text, archive), archive, WHEN, 12)
    parts = {name: values.values for name, values in parts_of(dataset, "tracer").items()}
    assert not parts["network"].any()
    assert np.abs(parts["advection_by_physical_wind"]).max() > 0
    merged = np.abs(parts["polar_mean"]).max(axis=(0, 2))
    assert merged[0] > 0
    assert not merged[3:5].any(), "away from the poles nothing is merged"
    for name in ("total", "advection_by_physical_wind", "polar_mean"):
        whole = area_mean(dataset)[f"tracer_tendency_{name}"].values
        assert np.abs(whole).max() < 1e-6 * np.abs(parts[name]).max()


def test_what_the_networks_learned_is_there():
    dataset = explained("both winds")
    for name, units in (("vo850_learned_eastward_wind", "m s-1"), ("msl_diffusivity", "m2 s-1"), ("msl_gate", "1")):
        assert dataset[name].attrs["units"] == units
    assert ((dataset["vo850_gate"] > 0) & (dataset["vo850_gate"] < 2)).all()
    np.testing.assert_allclose(dataset["vo850_diffusivity"], 2e5)


def test_shares_add_up_to_one(made):
    _, dataset = made
    for field in budget_fields(dataset):
        found = [one for one in shares(dataset) if one.field == field]
        assert sum(one.share for one in found if one.part != "total") == pytest.approx(1.0, abs=1e-4)
        assert next(one.share for one in found if one.part == "total") == pytest.approx(1.0)


def test_means_over_the_globe_and_round_it():
    dataset = explained("network alone")
    grid_weights = np.cos(np.deg2rad(dataset["latitude"].values))
    mean = area_mean(dataset)["msl"].values
    by_hand = (dataset["msl"].values.mean(-1) * grid_weights).sum(-1) / grid_weights.sum()
    np.testing.assert_allclose(mean, by_hand, rtol=1e-5)
    np.testing.assert_allclose(zonal_mean(dataset)["msl"], dataset["msl"].values.mean(-1), rtol=1e-6)


def test_a_file_keeps_it_all(tmp_path):
    dataset = explained("both winds")
    write_forecast(dataset, tmp_path / "b.nc")
    back = read_forecast(tmp_path / "b.nc")
    assert set(back.data_vars) == set(dataset.data_vars)
    np.testing.assert_array_equal(back["time_bnds"].values[:, 1], back["time"].values)
    assert back["time"].attrs["bounds"] == "time_bnds"
    name = "msl_tendency_advection_by_learned_wind"
    assert back[name].attrs["units"] == "Pa s-1"
    assert back[name].attrs["cell_methods"] == "time: mean"
    np.testing.assert_array_equal(back[name], dataset[name])


def test_the_picture_shows_every_part_and_where(tmp_path):
    dataset = explained("both winds")
    figure = budget_figure(dataset, field="vo850", lead=12)
    titles = [axes.get_title() for axes in figure.axes]
    assert {"total", "network", "diffusion", "planetary vorticity", "advection by learned wind"} <= set(titles)
    assert any("residual" in title for title in titles)
    with pytest.raises(DataError, match="no budget of z500; the budgets are of msl, vo850, u850, v850"):
        budget_figure(dataset, field="z500")


def test_an_analysis_that_is_not_there_is_named():
    archive = wave_archive(40)
    with pytest.raises(UnavailableError, match="no analysis at 2030-01-01"):
        budget(tiny_trained(), archive, np.datetime64("2030-01-01", "ns"), 6)
