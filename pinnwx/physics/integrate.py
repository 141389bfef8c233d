"""Time integration: the one place that imports diffrax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import diffrax
import jax
import numpy as np

from pinnwx.errors import ConfigError


class StrongStabilityPreserving3(diffrax.AbstractERK):
    """The three-stage third-order Runge-Kutta method of Shu and Osher (1988).

    A convex combination of forward Euler steps, so a bound that Euler keeps under a Courant limit is kept under
    the same limit.
    """

    tableau: ClassVar[diffrax.ButcherTableau | diffrax.MultiButcherTableau] = diffrax.ButcherTableau(
        c=np.array([1.0, 0.5]),
        b_sol=np.array([1 / 6, 1 / 6, 2 / 3]),
        b_error=np.array([1 / 6 - 0.5, 1 / 6 - 0.5, 2 / 3]),
        a_lower=(np.array([1.0]), np.array([0.25, 0.25])),
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms) -> int:  # noqa: ARG002
        return 3


# "bounded": the loop over stages is one of JAX, not equinox's own, which fails inside `jax.shard_map`.
SOLVERS: dict[str, Callable[[], diffrax.AbstractSolver]] = {
    "euler": diffrax.Euler,
    "heun": partial(diffrax.Heun, scan_kind="bounded"),  # strong stability preserving, second order
    "ssprk3": partial(StrongStabilityPreserving3, scan_kind="bounded"),
}


def integrate(
    tendency: Callable[[Any, Any], Any], state: Any, duration: float, steps: int, solver: str = "heun", args: Any = None
) -> Any:
    """The state after `duration` seconds of d(state)/dt = tendency(state, args), in `steps` equal explicit steps.

    All three solvers are strong stability preserving: what one forward Euler step of `duration / steps` keeps
    (bounds, sign), they keep. Linear invariants are kept to round-off. Differentiable in `state` and `args`.
    Whether the step is short enough is the caller's to ensure (`operators.stability`).

    Raises:
        ConfigError: no solver of that name.
    """
    if solver not in SOLVERS:
        raise ConfigError(f'solver "{solver}" is not one of {", ".join(SOLVERS)}')
    method, step = SOLVERS[solver](), duration / steps
    equation = diffrax.ODETerm(lambda _, y, a: tendency(y, a))

    # The solver's step in a loop of JAX: diffeqsolve's own, made for adaptive steps, takes twice as long to trace.
    # The tendency knows no time, so that every step may begin at 0.
    def advance(carry, _):
        y, memory = carry
        y, _, _, memory, _ = method.step(equation, 0.0, step, y, args, memory, made_jump=False)
        return (y, memory), None

    start = state, method.init(equation, 0.0, step, state, args)
    return jax.lax.scan(advance, start, length=steps)[0][0]
