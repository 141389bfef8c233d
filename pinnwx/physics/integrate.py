"""Explicit time integration: strong-stability-preserving methods here, others by diffrax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from pinnwx.errors import ConfigError

Tendency = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class ShuOsher:
    """A strong-stability-preserving Runge-Kutta method in the form of Shu and Osher (1988).

    Each stage is w y_0 + (1 - w) E(y) with a forward Euler step E from the stage before: a convex combination of Euler
    steps. So the method preserves, under the same Courant limit, all that an Euler step preserves: bounds, signs,
    linear invariants. The stages are unrolled: in a loop, as in diffrax, cheap tendencies take twice as long.

    Attributes:
        weights: w of each stage.
    """

    weights: tuple[float, ...]

    def step(self, tendency: Tendency, state: Any, step: float, args: Any) -> Any:
        """The state after one step of so many seconds."""
        after = state
        for weight in self.weights:
            change = jax.tree.map(lambda rate: step * rate, tendency(after, args))
            after = jax.tree.map(
                lambda y0, y, dy, w=weight: w * y0 + (1 - w) * (y + dy) if w else y + dy, state, after, change
            )
        return after


# Strong stability preserving.
SOLVERS: dict[str, ShuOsher] = {
    "euler": ShuOsher((0.0,)),
    "heun": ShuOsher((0.0, 1 / 2)),  # second order
    "ssprk3": ShuOsher((0.0, 3 / 4, 1 / 3)),  # third order
}
# Explicit Runge-Kutta methods of diffrax, run by its `diffeqsolve`.
DIFFRAX = "diffrax:"
SOLVERS_OF_DIFFRAX = tuple(
    f"{DIFFRAX}{method}" for method in ("Midpoint", "Ralston", "Heun", "Bosh3", "Tsit5", "Dopri5")
)
ADJOINTS = {"recursive_checkpoint": "RecursiveCheckpointAdjoint", "direct": "DirectAdjoint"}  # classes of diffrax


def integrate(
    tendency: Tendency,
    state: Any,
    duration: float,
    steps: int,
    solver: str = "heun",
    args: Any = None,
    adjoint: str = "recursive_checkpoint",
) -> Any:
    """The state after `duration` seconds of d(state)/dt = tendency(state, args), in `steps` equal explicit steps.

    The solvers of `SOLVERS` are strong stability preserving: they preserve the bounds and signs that a forward Euler
    step of `duration / steps` preserves. Those of `SOLVERS_OF_DIFFRAX` do not guarantee that. All preserve linear
    invariants to round-off and are differentiable in `state` and `args`. The caller ensures that the step is stable
    (`operators.stability`).

    Args:
        tendency: a function of the state and `args`, not of time.
        state: a pytree of arrays.
        duration: in seconds.
        steps: their number.
        solver: a name in `SOLVERS` or `SOLVERS_OF_DIFFRAX`.
        args: second argument of `tendency`.
        adjoint: of `diffeqsolve`, a name in `ADJOINTS`: "recursive_checkpoint" stores few states and has only reverse
            mode, "direct" stores all and has forward mode too. The solvers of `SOLVERS` have both modes and ignore it.

    Raises:
        ConfigError: there is no solver or adjoint of that name.
    """
    for kind, name, known in (("solver", solver, (*SOLVERS, *SOLVERS_OF_DIFFRAX)), ("adjoint", adjoint, ADJOINTS)):
        if name not in known:
            raise ConfigError(f'{kind} "{name}" is not one of {", ".join(known)}')
    if solver in SOLVERS_OF_DIFFRAX:
        from pinnwx.physics.diffrax_solvers import solve  # its import takes a second

        return solve(tendency, state, duration, steps, solver.removeprefix(DIFFRAX), args, ADJOINTS[adjoint])
    method, step = SOLVERS[solver], duration / steps
    # A loop of JAX, because `diffeqsolve` is for adaptive steps and takes twice as long to trace.
    return jax.lax.scan(lambda y, _: (method.step(tendency, y, step, args), None), state, length=steps)[0]
