"""Time integration: the one place that imports diffrax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
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


SOLVERS: dict[str, Callable[[], diffrax.AbstractSolver]] = {
    "euler": diffrax.Euler,
    "heun": diffrax.Heun,  # strong stability preserving, second order
    "ssprk3": StrongStabilityPreserving3,
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
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda _, y, a: tendency(y, a)),
        SOLVERS[solver](),
        t0=0.0,
        t1=duration,
        dt0=None,
        y0=state,
        args=args,
        stepsize_controller=diffrax.StepTo(jnp.linspace(0.0, duration, steps + 1)),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=steps,
        adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=steps),
        throw=False,  # a run-time assertion would stall the device; finiteness is checked on the result
    )
    return jax.tree.map(lambda leaf: leaf[0], solution.ys)
