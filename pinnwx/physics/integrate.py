"""Time integration: the one place that imports diffrax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import numpy as np

from pinnwx.errors import ConfigError


class ShuOsher(diffrax.AbstractSolver):
    """A strong-stability-preserving Runge-Kutta method in the form of Shu and Osher (1988).

    Each stage is w y_0 + (1 - w) E(y) with a forward Euler step E from the stage before: a convex combination of Euler
    steps. So the method preserves, under the same Courant limit, all that an Euler step preserves: bounds, signs,
    linear invariants. The stages are unrolled. The Runge-Kutta methods of diffrax loop over them, and for cheap
    tendencies that loop takes half of the time.

    Attributes:
        weights: w of each stage.
    """

    weights: tuple[float, ...] = (0.0,)
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable] = diffrax.LocalLinearInterpolation

    def order(self, terms) -> int:  # noqa: ARG002
        return len(self.weights)

    def init(self, terms, t0, t1, y0, args) -> None:  # noqa: ARG002
        return None

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # noqa: ARG002
        control = terms.contr(t0, t1)
        t, y = t0, y0
        for weight in self.weights:
            change = terms.vf_prod(t, y, args, control)
            y = jax.tree.map(lambda y0, y, dy, w=weight: w * y0 + (1 - w) * (y + dy) if w else y + dy, y0, y, change)
            t = weight * t0 + (1 - weight) * (t + t1 - t0)
        return y, None, {"y0": y0, "y1": y}, None, diffrax.RESULTS.successful

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)


# Strong stability preserving.
SOLVERS: dict[str, diffrax.AbstractSolver] = {
    "euler": ShuOsher((0.0,)),
    "heun": ShuOsher((0.0, 1 / 2)),  # second order
    "ssprk3": ShuOsher((0.0, 3 / 4, 1 / 3)),  # third order
}


# Explicit Runge-Kutta methods of diffrax, run by its `diffeqsolve`.
DIFFRAX = "diffrax:"
SOLVERS_OF_DIFFRAX: dict[str, diffrax.AbstractERK] = {
    f"{DIFFRAX}{method.__name__}": method()
    for method in (diffrax.Midpoint, diffrax.Ralston, diffrax.Heun, diffrax.Bosh3, diffrax.Tsit5, diffrax.Dopri5)
}
ADJOINTS: dict[str, diffrax.AbstractAdjoint] = {
    "recursive_checkpoint": diffrax.RecursiveCheckpointAdjoint(),
    "direct": diffrax.DirectAdjoint(),
}


def integrate(
    tendency: Callable[[Any, Any], Any],
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
    for kind, name, known in (("solver", solver, SOLVERS | SOLVERS_OF_DIFFRAX), ("adjoint", adjoint, ADJOINTS)):
        if name not in known:
            raise ConfigError(f'{kind} "{name}" is not one of {", ".join(known)}')
    equation = diffrax.ODETerm(lambda _, y, a: tendency(y, a))
    if solver in SOLVERS_OF_DIFFRAX:
        times = np.linspace(0.0, duration, steps + 1)
        return _last(
            diffrax.diffeqsolve(
                equation, SOLVERS_OF_DIFFRAX[solver], 0.0, duration, None, state, args, max_steps=steps, throw=False,
                stepsize_controller=diffrax.StepTo(times), adjoint=ADJOINTS[adjoint],
            )
        )  # fmt: skip
    method, step = SOLVERS[solver], duration / steps

    # The solver's step in a loop of JAX, because `diffeqsolve` is for adaptive steps and takes twice as long to trace.
    # The tendency does not depend on time, so every step may begin at 0.
    def advance(carry, _):
        y, memory = carry
        y, _, _, memory, _ = method.step(equation, 0.0, step, y, args, memory, made_jump=False)
        return (y, memory), None

    start = state, method.init(equation, 0.0, step, state, args)
    return jax.lax.scan(advance, start, length=steps)[0][0]


def _last(solution: diffrax.Solution) -> Any:
    """The state at the only saved time of a solution."""
    return jax.tree.map(lambda values: values[0], solution.ys)
