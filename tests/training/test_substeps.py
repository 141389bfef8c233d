"""`model.physics.substeps = "auto"`: the fewest sub-steps that slow at most 1 % of the cells, kept with the model."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import config_text, transport

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.errors import CheckpointError, ConfigError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.model.build import transport_solvers
from pinnwx.training.slowed import slowed_winds
from pinnwx.training.substeps import MOST_SUBSTEPS, courant_excess, with_number, with_substeps

BOX = Grid.from_coordinates(np.arange(-10.0, 11.0, 2.5), np.arange(0.0, 30.0, 2.5))
GLOBE = Grid.parse("11.25deg")
HOUR = 3600.0
WIND = transport("t500", wind="prognostic:500")


def winds(speed: float, grid: Grid = BOX, count: int = 12) -> Archive:
    """A uniform wind along the circles of latitude, and a temperature to transport."""
    ripple = np.cos(np.arange(count))[:, None, None] * np.ones(grid.shape)
    fields = np.stack([280 + ripple, speed + 1e-4 * ripple, 1e-4 * ripple], axis=1)
    times = np.datetime64("2026-01-01T00", "ns") + np.arange(count) * np.timedelta64(6, "h")
    return Archive(times, fields.astype(np.float32), ("t500", "u500", "v500"), grid)


def settings(physics: str = WIND, *, substeps: str | int = '"auto"', **keys):
    keys = "".join(f"{key} = {value}\n" for key, value in keys.items())
    text = config_text(
        ("t500", "u500", "v500"), grid="native", substeps=substeps, physics=keys + physics, closure="enabled = false"
    )
    return parse_config(text)


def chosen(archive: Archive, physics: str = WIND, **keys) -> int:
    return with_substeps(settings(physics, **keys).model, archive).physics.substeps


def needed(speed: float, limit: float = 0.9, seconds: float = 6 * HOUR) -> int:
    """u dt / dx in the rows with the shortest circles of latitude, which are two of nine."""
    return math.ceil(speed * seconds / BOX.zonal_spacing.min() / limit)


def test_unset_is_automatic():
    text = config_text(("t500", "u500", "v500"), physics=WIND).replace("substeps = 2\n", "")
    assert parse_config(text).model.physics.substeps == "auto"


@pytest.mark.parametrize(("speed", "coupling_steps"), [(1.0, 1), (33.0, 1), (33.0, 2)])
def test_the_smallest_number_that_slows_no_more_than_one_percent(speed, coupling_steps):
    archive = winds(speed)
    number = chosen(archive, coupling_steps=coupling_steps)
    per_interval = needed(speed, seconds=6 * HOUR / coupling_steps)
    assert number == per_interval * coupling_steps
    keys = {"coupling_steps": coupling_steps}
    assert slowed_winds(settings(substeps=number, **keys).model, archive).fraction <= 0.01
    if per_interval > 1:
        fewer = settings(substeps=number - coupling_steps, **keys).model
        assert slowed_winds(fewer, archive).fraction > 0.01


def test_one_damaged_cell_does_not_set_the_number():
    archive = winds(33.0)
    archive.fields[3, 1, 4, 5] = 5000.0
    assert chosen(archive) == needed(33.0)


def test_the_limited_scheme_needs_more():
    assert chosen(winds(33.0), transport("t500", wind="prognostic:500", scheme="limited")) == needed(33.0, 0.4)


def test_the_fastest_wind_of_all_equations_counts():
    calm = transport("u500", wind="none")
    assert chosen(winds(33.0), calm + WIND) == needed(33.0)


def test_a_diffusivity_that_the_winds_would_not_allow():
    physics = transport("t500", wind="prognostic:500", diffusivity=2e6)
    number = chosen(winds(1.0), physics)
    solvers = [transport_solvers(BOX, settings(physics, substeps=n).model)[0] for n in (number, number - 1)]
    assert [solver.largest_diffusivity >= 2e6 for solver in solvers] == [True, False]


def test_no_wind_makes_training_endless():
    """Training says what is slowed then, and which number would do."""
    archive = winds(3000.0)
    number = chosen(archive)
    assert number == MOST_SUBSTEPS
    said = slowed_winds(settings(substeps=number).model, archive)
    assert said.matters
    assert said.substeps_needed == needed(3000.0)


@pytest.mark.parametrize("wind", ["none", "prognostic:500"])
def test_a_learned_wind_is_not_known_before_training(wind):
    assert chosen(winds(1.0), transport("t500", wind=wind, learned_wind=True)) == 4


def test_groups_of_cells_near_the_poles_count_as_one():
    """u dt / width of the group, so converging meridians do not make the number."""
    model = settings(substeps=1).model
    solver = transport_solvers(GLOBE, model)[0]
    excess = courant_excess(solver, winds(10.0, GLOBE, 2))
    assert excess is not None
    width = np.array(solver.groups) * GLOBE.zonal_spacing
    expected = np.broadcast_to((10.0 * 6 * HOUR / width / 0.9)[:, None], GLOBE.shape)
    assert max(solver.groups) > 1
    np.testing.assert_allclose(excess[0, 0], expected, rtol=1e-3)


def test_what_does_not_transport_needs_no_number():
    alone = settings("").model
    assert with_substeps(alone, winds(33.0)) == alone
    given = settings(substeps=7).model
    assert with_substeps(given, winds(33.0)) == given


def test_a_model_without_winds_to_choose_from_is_refused():
    with pytest.raises(ConfigError, match="give a number"):
        transport_solvers(BOX, settings().model)


def test_the_number_is_kept_with_the_model(tmp_path):
    """The user's config stays as it is; the same number serves when no winds are at hand."""
    archive, config = winds(33.0), settings()
    text = config_text(config.data.fields, grid="native", substeps='"auto"', physics=WIND, closure="enabled = false")
    trained = TrainedModel.initialise(config, archive, text)
    number = needed(33.0)
    assert trained.model.solver.substeps == number
    trained.save(tmp_path / "run")
    folder = tmp_path / "run" / "versions" / "0001"
    assert json.loads((folder / "manifest.json").read_text())["substeps"] == number
    assert (folder / "config.toml").read_text() == text
    loaded = TrainedModel.load(tmp_path / "run")
    assert loaded.model.solver.substeps == loaded.config.model.physics.substeps == number
    assert loaded.with_config(config).model.solver.substeps == number
    other = config.model_copy(update={"model": with_number(config.model, 9)})
    assert loaded.with_config(other).model.solver.substeps == 9

    automatic = replace(trained, config=config)  # as if no number had been chosen
    automatic.save_version(tmp_path / "version", {})
    with pytest.raises(CheckpointError, match="substeps"):
        TrainedModel.load(tmp_path / "version")


@pytest.mark.parametrize("value", ['"automatic"', "0", "1001", "2.5"])
def test_another_value_is_refused_once(value):
    with pytest.raises(ConfigError) as error:
        settings(substeps=value)
    assert str(error.value).count("model.physics.substeps") == 1
