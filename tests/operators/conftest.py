"""Grids of every kind."""

import numpy as np
import pytest
from exact.grids import box

from pinnwx.grid import Grid

GLOBAL = {"without pole rows": "deg", "with pole rows": "deg+poles"}


@pytest.fixture(params=GLOBAL.values(), ids=GLOBAL.keys())
def kind(request) -> str:
    """What follows the spacing in the name of a global grid."""
    return request.param


@pytest.fixture
def globe(kind) -> Grid:
    return Grid.parse(f"11.25{kind}")


@pytest.fixture(params=["deg", "deg+poles", "box"])
def any_grid(request) -> Grid:
    return box() if request.param == "box" else Grid.parse(f"11.25{request.param}")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20240607)
