"""Exported models: the same forecast from jax alone, how much coarser weights cost, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import config_text, times, tiny_trained, transport, wave_archive

from pinnwx import run_exported
from pinnwx.errors import UsageError
from pinnwx.forecasting.export import PRECISIONS, encoded, export_model
from pinnwx.forecasting.predictor import Predictor
from pinnwx.model.step_context import StepContext
from pinnwx.time_features import TimeFeatures

SCRIPT = Path(run_exported.__file__)
ARCHIVE = wave_archive(60)
WHEN = ARCHIVE.times[[20]]
KINDS = {
    "network": {"model": "input_times = 2"},
    "deep ensemble and physics": {
        "model": "networks = 2\ninput_times = 2\nclimate = { bound_margin = 0.1 }",
        "physics": transport("t850", learned_wind=True),
        "closure": "width = 16\nblocks = 1\nhemispheric_symmetry = true",
    },
    "experts": {"closure": "width = 16\nblocks = 1\nexperts = 2"},
}


def exported(trained, folder, precision="float32") -> Path:
    path = folder / f"{precision}.npz"
    export_model(trained, path, precision, {"version": "0001"})
    return path


def one_step(path: Path, trained) -> np.ndarray:
    with np.load(path, allow_pickle=False) as model:
        about = json.loads(model["about"].tobytes())
        arrays = iter(sorted(name for name in model.files if name.isdigit()))
        parameters = [[model[next(arrays)] for _ in range(parts)] for parts in about["parts"]]
        assert next(arrays, None) is None
        program = jax.export.deserialize(bytearray(model["program"]))
    analyses = Predictor(trained, [6]).analyses(ARCHIVE, WHEN)[0]
    time = np.concatenate(TimeFeatures.of(WHEN + np.timedelta64(3, "h")))
    return np.asarray(program.call(parameters, analyses, time))


def in_roundings(difference, fields):
    """The largest difference, in units of the last place of the numbers."""
    return np.abs(difference / np.spacing(np.abs(fields).max(axis=(-2, -1), keepdims=True))).max()


def own_step(trained):
    """One step of the model, compiled by itself."""
    analyses = jnp.asarray(Predictor(trained, [6]).analyses(ARCHIVE, WHEN))
    context = StepContext(TimeFeatures.of(WHEN + np.timedelta64(3, "h")))
    graph, state = nnx.split(trained.model)

    @jax.jit
    def step(state, analyses, context):
        model = nnx.merge(graph, state)
        return model.to_fields(model.advance(model.start(analyses, context), context), context)[0]

    return np.asarray(step(state, analyses, context))


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_the_models_own(kind, tmp_path):
    trained = tiny_trained(config_text(**KINDS[kind]))
    made, expected = one_step(exported(trained, tmp_path), trained), own_step(trained)
    deviation = ARCHIVE.fields.std((0, 2, 3))[:, None, None]
    assert np.abs((expected - ARCHIVE.fields[20]) / deviation).max() > 0.01
    assert np.abs((made - expected) / deviation).max() < 1e-6
    forecast = Predictor(trained, [6]).from_archive(ARCHIVE, WHEN)[0, 0]
    assert in_roundings(made - forecast, forecast) <= 4


def test_the_script_runs_without_pinnwx_and_forecasts_the_same(tmp_path):
    trained = tiny_trained(config_text(**KINDS["deep ensemble and physics"]))
    path, predictor = exported(trained, tmp_path), Predictor(trained, [6, 12, 18])
    np.save(tmp_path / "analyses.npy", predictor.analyses(ARCHIVE, WHEN)[0])
    alone = f"""
import runpy, sys
class Alone:
    forbidden = ("pinnwx", "flax", "xarray", "diffrax", "optax")
    def find_spec(self, name, *_):
        assert name.partition(".")[0] not in self.forbidden, name
sys.meta_path.insert(0, Alone())
sys.argv = ["run_exported.py", {str(path)!r}, {str(tmp_path / "analyses.npy")!r}, "{WHEN[0]}", "3",
            {str(tmp_path / "file.npy")!r}]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
Alone.forbidden = Alone.forbidden[1:]
sys.argv[-1] = {str(tmp_path / "module.npy")!r}
runpy.run_module("pinnwx.run_exported", run_name="__main__")
"""
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tiny: 3 steps of msl, t850") == 2
    expected, forecast = predictor.from_archive(ARCHIVE, WHEN)[0], np.load(tmp_path / "file.npy")
    assert in_roundings(forecast - expected, expected) <= 16
    np.testing.assert_array_equal(np.load(tmp_path / "module.npy"), forecast)


def test_the_script_tells_the_time_as_the_model_was_told_it():
    features = run_exported.time_features
    moments = np.concatenate([times(400, 22), np.array(["2024-02-29T12", "1999-12-31T23", "2100-01-01T00"], "M8[ns]")])
    for moment in moments:
        np.testing.assert_allclose(
            features(moment.astype("M8[s]")), np.concatenate(TimeFeatures.of(moment[None])), atol=2e-7
        )


def test_coarser_weights_are_smaller_and_cost_little(tmp_path):
    trained = tiny_trained(config_text(closure="width = 64\nblocks = 2"))
    expected = own_step(trained)
    change = np.abs(expected - ARCHIVE.fields[20]).max((1, 2))[:, None, None]
    paths = {precision: exported(trained, tmp_path, precision) for precision in PRECISIONS}
    sizes = {precision: path.stat().st_size for precision, path in paths.items()}
    assert sizes["int8"] < 0.8 * sizes["bfloat16"] < 0.6 * sizes["float32"]
    errors = {name: np.abs((one_step(path, trained) - expected) / change).max() for name, path in paths.items()}
    assert errors["float32"] < 1e-5 < errors["bfloat16"] < 0.05
    assert errors["int8"] < 0.1


def test_eight_bits_are_within_half_a_step_of_each_outputs_largest():
    weights = np.random.default_rng(0).normal(size=(3, 3, 5, 7)).astype(np.float32)
    weights[..., 2] = 0
    stored, scale = encoded(weights, "int8")
    assert (stored.dtype, scale.shape) == (np.int8, (7,))
    steps = np.abs(weights).max((0, 1, 2)) / 127
    assert (np.abs(stored * scale - weights) <= 0.5001 * steps).all()
    assert np.abs(stored[..., [0, 1, 3, 4, 5, 6]]).max(axis=(0, 1, 2)).min() == 127
    (bias,) = encoded(weights[0, 0, 0], "int8")
    np.testing.assert_array_equal(bias, weights[0, 0, 0])


@pytest.mark.parametrize(
    ("options", "precision", "told"),
    [
        ({}, "int4", 'unknown precision "int4" of weights; choose one of float32, bfloat16, int8'),
        ({"model": 'kind = "second_order"'}, "float32", 'only a model of kind = "transport"'),
    ],
)
def test_what_cannot_be_exported_is_refused(options, precision, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        exported(tiny_trained(config_text(**options)), tmp_path, precision)
    assert not list(tmp_path.iterdir())
