"""The same weights on a finer grid: what is interpolated, and what the settings of the finer grid are."""

import numpy as np
from synthetic import config

from experiments.studies.finer_grid import SPACING, of_finer_grid, refined, table
from pinnwx.grid import Grid

PHYSICS = '[[model.physics.transport]]\nfield = "t850"\nwind = "none"\nlearned_wind = true'


def wave(grid: Grid) -> np.ndarray:
    return np.cos(grid.latitude_radians[:, None]) * np.cos(2 * grid.longitude_radians) + np.sin(
        grid.latitude_radians[:, None]
    )


def test_a_smooth_field_is_itself_on_the_finer_grid():
    coarse, fine = Grid.parse("11.25deg"), Grid.parse("5.625deg")
    fields = np.stack([wave(coarse), 3.0 * wave(coarse)]).astype(np.float32)
    finer = refined(fields, coarse, fine)
    away = slice(2, -2)  # from the poles, where this wave is not smooth
    np.testing.assert_allclose(finer[0, away], wave(fine)[away], atol=0.01)
    np.testing.assert_allclose(finer[1], 3.0 * finer[0], rtol=1e-4, atol=1e-5)


def test_the_same_wind_has_twice_as_many_substeps_where_there_are_equations():
    hybrid, network = config(physics=PHYSICS, substeps=4), config()
    assert of_finer_grid(hybrid).model.physics.substeps == 8
    assert of_finer_grid(network).model.physics == network.model.physics
    assert of_finer_grid(hybrid).data.grid == SPACING


def test_each_forecast_is_compared_with_persistence_of_its_grid():
    """Errors of persistence are four times as large on the coarse grid as on the finer one."""

    def scores(error):
        return {"scores": [{"field": "msl", "lead": 6, "daily": {"error": [error] * 12}}]}

    figures = {
        "persistence": scores(1.0),
        "neural, same weights": scores(0.25),
        "hybrid, same weights": scores(0.0625),
        "equations alone, 5.625deg": scores(1.0),
        "persistence, 5.625deg": scores(4.0),
    }
    rows = [line for line in table(figures).splitlines() if line.startswith("| ")]
    values = {line.split(" | ")[0].strip("| "): line.split(" | ")[1].split()[0] for line in rows}
    assert values["neural, same weights"] == "0.500"
    assert values["equations alone, 5.625deg"] == "0.500"
    assert values["hybrid over neural, same weights"] == "0.500"
    assert "persistence, 5.625deg" not in values
