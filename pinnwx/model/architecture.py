"""The parts of a model as its manifest lists them. Code that lacks one of them refuses the model.

Settings, and the names and shapes of weights, do not show every part: a term that always belongs to the equations, or
another use of the same weights, is in neither.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flax import nnx

from pinnwx.config import ModelSettings
from pinnwx.extensions import origin
from pinnwx.model.closures import Closure
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster
from pinnwx.model.weights import named_weights
from pinnwx.physics.winds import WINDS

FORMAT = 1  # raised when the same settings and weights give another forecast than before


def architecture(model: Forecaster, settings: ModelSettings) -> dict[str, Any]:
    """The parts of a model as JSON values: kind, terms of its equations, winds, closure, normalisation and weights."""
    first, closure = networks_of(model)[0], settings.closure.resolved_kind if settings.closure.enabled else "none"
    shapes = {name: [list(leaf.shape), str(leaf.dtype)] for name, leaf in named_weights(model).items()}
    parts: dict[str, Any] = {
        "format": FORMAT,
        "kind": settings.kind,
        "terms": _terms(first),
        "winds": _winds(first),
        "closure": closure,
        "normalisation": "mean and standard deviation",
        "weights": hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest(),
    }
    if extensions := _extensions(first):
        parts["extensions"] = extensions
    return parts


def differences(declared: Any, own: dict[str, Any]) -> list[str]:
    """The differences between the declared parts of a model and its `own`, as texts; empty if there are none."""
    if not isinstance(declared, dict):
        return ["what it is made of is no table"]
    texts = [f"it declares {key} = {json.dumps(declared[key])[:200]}" for key in sorted(declared.keys() - own.keys())]
    for key, value in own.items():
        if key in declared and declared[key] != value and key != "weights":
            texts.append(f"its {key}: {_in_words(declared[key])}, here {_in_words(value)}")
    if not texts and declared.get("weights") != own["weights"]:
        texts.append("its weights have other names or shapes")
    return texts + [f"it does not tell its {key}" for key in own if key not in declared]


def _terms(model: Any) -> list[str]:
    if not isinstance(model, TransportForecaster) or not model.solver.equations:
        return []
    return sorted(model.solver.right_hand_side.names)


def _winds(model: Any) -> list[str]:
    if not isinstance(model, TransportForecaster):
        return []
    return sorted({WINDS.kind_of(equation.wind) for equation in model.solver.equations})


def _extensions(model: Any) -> list[str]:
    """The parts that are not the package's own, each as module.Class."""
    parts: list[Any] = [module for _, module in nnx.iter_modules(model) if isinstance(module, Closure)]
    if isinstance(model, TransportForecaster):
        parts += [*(one.wind for one in model.solver.equations), *model.solver.right_hand_side.terms]
    return sorted({where for part in parts if (where := origin(part))})


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)[:200]
