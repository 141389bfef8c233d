"""Exports a model as one file that jax runs without pinnwx: a program and its parameters.

The file is a NumPy archive (.npz) of plain arrays, without pickles:

    program     one step as StableHLO, serialized by `jax.export` (which needs the package flatbuffers for reading and
                writing); its arguments are `parameters`, `analyses` and `time`
    about       a JSON text as bytes: fields, units, grid, step, provenance, format version
    0000, ...   the parameters in the order of the program: weights first, then scales and maps

`analyses` is (input, field, lat, lon): fields one step apart, in SI units, with ascending latitude. `time` has the five
features of `TimeFeatures`, in its order, at the middle of the step. The result is (field, lat, lon), the fields after
the step. Weights may be stored with lower precision: as bfloat16 (stored as uint16), or as int8 with a scale for each
output of a layer, w = scale q, |q| <= 127. The program converts them to float32 and computes in float32. Scales, biases
and maps are always float32.

The program is for CPUs. A program for several platforms selects the platform at run time; for that it is compiled
differently, and its rounding differs from that of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float32

from pinnwx.errors import UsageError
from pinnwx.files import replacing
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.step_context import StepContext
from pinnwx.time_features import TimeFeatures
from pinnwx.variables import describe
from pinnwx.version import __version__

PRECISIONS = ("float32", "bfloat16", "int8")
FORMAT = 1
PLATFORM = "cpu"
_MOST = 127  # of an int8
_LAYERS = (2, 4)  # axes of the weights of dense layers and convolutions


def export_model(trained: TrainedModel, path: str | Path, precision: str, notes: Mapping[str, Any]) -> None:
    """Writes the exported model; `notes` are added to `about`.

    Raises:
        UsageError: the precision is unknown, or the model needs other inputs than analyses and time.
        OutputError: the file cannot be written.
    """
    if precision not in PRECISIONS:
        raise UsageError(f'unknown precision "{precision}" of weights; choose one of {", ".join(PRECISIONS)}')
    if trained.config.model.kind != "transport" or trained.model.has_lateral_boundary:
        raise UsageError('only a model of kind = "transport" without a lateral boundary can be exported')
    graph, weights, fixed = nnx.split(trained.model, nnx.Param, ...)
    leaves, structure = jax.tree.flatten(weights)
    rest, rest_structure = jax.tree.flatten(fixed)
    stored = [encoded(np.asarray(leaf), precision) for leaf in leaves]

    def step(parameters: Sequence[Sequence[Array]], analyses: Array, time: Array) -> Array:
        decoded = [_decoded(parts, precision) for parts in parameters[: len(leaves)]]
        others = [part for parts in parameters[len(leaves) :] for part in parts]
        model = nnx.merge(graph, structure.unflatten(decoded), rest_structure.unflatten(others))
        context = StepContext(TimeFeatures(*time[:, None]))
        carry = model.start(analyses[None], context)
        return model.to_fields(model.advance(carry, context), context)[0]

    parameters = [*stored, *([np.asarray(leaf)] for leaf in rest)]
    shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), parameters)
    config, grid = trained.config, trained.grid
    analyses = jax.ShapeDtypeStruct((config.model.input_times, len(trained.names), *grid.shape), jnp.float32)
    time = jax.ShapeDtypeStruct((len(TimeFeatures._fields),), jnp.float32)
    program = jax.export.export(jax.jit(step), platforms=[PLATFORM])(shapes, analyses, time)
    table = config.variable_table()
    about = {
        "format": FORMAT,
        "name": config.name,
        "description": config.description,
        "fields": list(trained.names),
        "units": [describe(name, table).units for name in trained.names],
        "latitude": list(grid.latitude),
        "longitude": list(grid.longitude),
        "step_hours": config.model.step_hours,
        "input_times": config.model.input_times,
        "weights": precision,
        "parts": [len(parts) for parts in parameters],
        "pinnwx": __version__,
        "jax": jax.__version__,
        "calling_convention": program.calling_convention_version,
        **notes,
    }
    arrays: dict[str, Any] = {
        "program": np.frombuffer(program.serialize(), np.uint8),
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
    }
    arrays |= {f"{place:04d}": array for place, array in enumerate(array for parts in parameters for array in parts)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def encoded(weights: Float32[np.ndarray, "*shape"], precision: str) -> list[np.ndarray]:
    """An array of weights in its stored form; arrays other than layer weights are unchanged."""
    if precision == "float32" or weights.ndim not in _LAYERS:
        return [weights]
    if precision == "bfloat16":
        return [np.asarray(jnp.asarray(weights, jnp.bfloat16)).view(np.uint16)]
    largest = np.abs(weights).max(axis=tuple(range(weights.ndim - 1)))
    scale = np.where(largest > 0, largest / _MOST, 1.0).astype(np.float32)
    return [np.round(weights / scale).astype(np.int8), scale]


def as_stored(weights: Float32[np.ndarray, "*shape"], precision: str) -> Float32[np.ndarray, "*shape"]:
    """The weights with which an exported model of this precision computes."""
    return np.asarray(_decoded([jnp.asarray(part) for part in encoded(weights, precision)], precision))


def _decoded(parts: Sequence[Array], precision: str) -> Array:
    if len(parts) == 2:
        return parts[0].astype(jnp.float32) * parts[1]
    if precision == "bfloat16" and parts[0].dtype == jnp.uint16:
        return jax.lax.bitcast_convert_type(parts[0], jnp.bfloat16).astype(jnp.float32)
    return parts[0]
