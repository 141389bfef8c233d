"""A term and a wind from a user's own file: used where the user lists the file, and imported by nothing else."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import config, forecaster, forecasts, states, step_features, transport

from pinnwx.errors import ConfigError
from pinnwx.extensions import PINNWX_EXTENSIONS
from pinnwx.model.architecture import architecture

MODULE = """
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from pinnwx.physics import terms, winds

@terms.register("cooling")
@dataclass(frozen=True)
class Cooling(terms.AbstractTerm):
    days: float

    name: ClassVar[str] = "cooling"
    inputs: ClassVar[tuple[str, ...]] = ("msl",)

    def tendency(self, fields, context):
        season = context.time.sin_year[:, None, None, None]
        return (context.inputs["msl"][:, None] / 1e3 + 0 * season - fields) / (86400 * self.days)

    def stability_rate(self, context):
        return jnp.full((), 1 / (86400 * self.days))

@winds.register("zonal")
@dataclass(frozen=True)
class ZonalWind(winds.AbstractWind):
    speed: float

    syntax: ClassVar[str] = "zonal:SPEED"
    inputs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_source(cls, source):
        return cls(float(source))

    def __call__(self, fields, grid):
        calm = jnp.zeros_like(next(iter(fields.values())))
        return calm + self.speed, calm
"""
TERM = '[[model.physics.terms]]\nkind = "cooling"\ndays = 0.5\n'
SETTINGS = {
    "physics": transport("t850", wind="zonal:0.0") + TERM,
    "closure": "enabled = false",
    "extra": 'extensions = ["own_physics"]',
    "substeps": 16,
}


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "own_physics.py"
    path.write_text(MODULE)
    return path


def test_settings_import_no_module_that_the_user_does_not_list(module, monkeypatch):
    monkeypatch.syspath_prepend(module.parent)
    with pytest.raises(ConfigError, match=f'extensions: "own_physics" is not listed in {PINNWX_EXTENSIONS}') as caught:
        config(**SETTINGS)
    assert "own_physics" not in sys.modules
    assert "\n" not in str(caught.value)


def test_a_term_and_a_wind_of_the_user(module, monkeypatch):
    monkeypatch.setenv(PINNWX_EXTENSIONS, str(module))
    settings = config(**SETTINGS)
    model = forecaster(settings)
    made_of = architecture(model, settings.model)
    assert made_of["terms"] == ["advection", "cooling"]
    assert made_of["winds"] == ["zonal"]
    assert made_of["extensions"] == ["own_physics.Cooling", "own_physics.ZonalWind"]
    start = jnp.asarray(states(settings.data.fields, model.inputs.grid, 1))[:, None]
    after = forecasts(model, start, step_features(1, 1))[0]
    target = np.asarray(start[0, -1, 0]) / 1e3
    expected = target + np.exp(-0.5) * (np.asarray(start[0, -1, 1]) - target)
    inside = slice(2, -2)  # near the poles, groups of cells hold their mean
    np.testing.assert_allclose(after[0, 1, inside], expected[inside], rtol=1e-4)
    with pytest.raises(ConfigError, match=r'term "cooling": .*weeks'):
        config(**SETTINGS | {"physics": transport("t850") + TERM + "weeks = 1"})
    with pytest.raises(ConfigError, match='"cooling" needs "msl", which is not in data'):
        config(("t850",), **SETTINGS)
