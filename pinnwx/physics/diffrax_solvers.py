"""Time integration by diffrax, in a module of its own: diffrax is slow to import, and few models need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import numpy as np


def solve(
    tendency: Callable[[Any, Any], Any], state: Any, duration: float, steps: int, solver: str, args: Any, adjoint: str
) -> Any:
    """The state after `duration` seconds, in equal steps; `solver` and `adjoint` name classes of diffrax."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda _, y, a: tendency(y, a)), getattr(diffrax, solver)(), 0.0, duration, None, state, args,
        max_steps=steps, throw=False, stepsize_controller=diffrax.StepTo(np.linspace(0.0, duration, steps + 1)),
        adjoint=getattr(diffrax, adjoint)(),
    )  # fmt: skip
    return jax.tree.map(lambda values: values[0], solution.ys)  # the only saved time
