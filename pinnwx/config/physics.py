"""Settings of the equations together: what is transported, and the time integration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, WrapValidator

from pinnwx.config.limits import Option, Substeps
from pinnwx.config.transport import Transport, WindName
from pinnwx.errors import ConfigError
from pinnwx.settings import Settings, agreement

if TYPE_CHECKING:
    from pinnwx.physics.terms import AbstractTerm


def _are_terms(tables: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    if tables:
        from pinnwx.physics.terms import make_term

        for options in tables:
            make_term(options)
    return tables


def _number_or_auto(value: Any, _: Any) -> Any:
    """A union of both types would report each invalid value twice."""
    if value == "auto":
        return value
    if isinstance(value, str):
        raise ValueError(f'"{value[:100]}" is neither "auto" nor a whole number')
    return _SUBSTEPS.validate_python(value)


_SUBSTEPS = TypeAdapter(Substeps)
SUBSTEPS_WITHOUT_WIND = 4  # nothing is known about learned winds before training


# The examples of the template.
_TEMPERATURE = {"field": "t850", "wind": "prognostic:850", "layer": ["vo500", "vo850"]}
_VORTICITY = {"absolute_vorticity": True, "deformation_radius": 1.5e6}
_UPPER = {
    "field": "vo500", "wind": "prognostic:500", "balanced_field": "z500", "stretching": {"vo850": 1e6}, **_VORTICITY,
}  # fmt: skip
_LOWER = {"field": "vo850", "wind": "prognostic:850", "stretching": {"vo500": 6e5}, **_VORTICITY}


class PhysicsSettings(Settings):
    """The time integration of the equations.

    A step has `coupling_steps` coupling intervals, and each of these has `wind_updates` intervals of constant wind.
    """

    transport: tuple[Transport, ...] = Field(default=(), examples=[[_TEMPERATURE, _UPPER, _LOWER]])
    """Without such tables, only the network changes the fields. The examples are a quasi-geostrophic model of two
    levels. Without `stretching`, each level is a barotropic model. With `form = "flux"` it has the divergence of the
    wind instead, which explains more of one step, and makes forecasts of five days worse."""
    terms: Annotated[tuple[dict[str, Option], ...], AfterValidator(_are_terms)] = ()
    """User-defined terms of the equation of the transported fields: tables `[[model.physics.terms]]` with the `kind`
    under which an extension registers the term, and the options of its class."""
    method: Literal["eulerian", "semi_lagrangian"] = "eulerian"
    """Method of transport. `eulerian` computes fluxes between cells: exactly conservative, in sub-steps of about one
    cell. `semi_lagrangian` interpolates at the point from which the air came: its sub-steps may cross many cells,
    and near the poles no cells are merged. There `scheme = "upwind3"` is cubic interpolation and `limited` the
    quasi-monotone one; the others are refused."""
    substeps: Annotated[Literal["auto"] | Substeps, WrapValidator(_number_or_auto)] = "auto"
    """Sub-steps of the solver in one step of the model. More are more accurate and slower.

    - `auto`: the fewest with which the physical winds of the training time exceed `courant_limit` in at most 1 % of
      the cells, at most 100. A model with a learned wind has at least 4. The manifest of a version holds the number.
    """
    coupling_steps: Annotated[int, Field(ge=1, le=100)] = 1
    """Coupling intervals in one step of the model. In each, transport comes first and the network second. The
    sub-steps are divided among them."""
    wind_updates: Annotated[int, Field(ge=1, le=100)] = 1
    """Times that the wind is computed anew from the transported fields in one coupling interval. In between, the wind
    is constant. The sub-steps are divided among these intervals. The network is evaluated once, whatever this number.
    In a step of 24 h, one constant wind moves waves to wrong places."""
    wind_time: Literal["start", "midpoint"] = "start"
    """Time of the wind in each interval of constant wind. `start` is first order in the interval. `midpoint` is
    second order, and the equations take 1.5 times as long."""
    solver: Literal[
        "euler", "heun", "ssprk3", "diffrax:Midpoint", "diffrax:Ralston", "diffrax:Heun", "diffrax:Bosh3",
        "diffrax:Tsit5", "diffrax:Dopri5",
    ] = "heun"  # fmt: skip
    """Time integration. `euler` (order 1), `heun` (2) and `ssprk3` (3) are strong stability preserving. The
    methods of diffrax have the orders 2, 2, 2, 3, 5 and 5. They run in `diffrax.diffeqsolve`."""
    adjoint: Literal["recursive_checkpoint", "direct"] = "recursive_checkpoint"
    """Gradients through the solvers of diffrax. `direct` stores every sub-step and also supports forward mode."""
    courant_limit: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Maximum outflow Courant number of a sub-step. Faster winds are scaled down."""
    learned_diffusivity: bool = False
    """Learn a diffusivity for every transported field, in addition to the given one."""
    increment_use: Literal["both", "added", "shown"] = "both"
    """What becomes of the increment of transport and of the `equation_error`. `added`: they are added to the fields,
    and the network does not see them. `shown`: the network sees them, and they are not added. A comparison with `both`
    says what physics is worth."""
    equation_error: Literal["unused", "kept", "transported"] = "unused"
    """What becomes of the error that the equations made over the step before: the last change of a field without the
    increment of the equations. It needs `model.input_times` above 1 and one coupling interval in a step, and excludes
    learned winds.

    - `kept`: it is added to the next step too, times a gate, where it was.
    - `transported`: the wind of its field carries it first, over one step. Fields that no equation changes need
      `equation_error_winds`.
    """
    equation_error_winds: dict[str, WindName] = Field(default={})
    """Winds that carry the error of fields, by field; in place of the wind of the equation. The error of a field
    without a wind is not used."""
    backpropagate: bool = True
    """Pass gradients through the equations. `false` treats the increment of transport as a constant: training is
    cheaper. It excludes learned winds and learned diffusivities."""

    @property
    def wind_intervals(self) -> int:
        """Intervals of constant wind in one step of the model."""
        return self.coupling_steps * self.wind_updates

    @property
    def number_of_substeps(self) -> int:
        """`substeps` as a number.

        Raises:
            ConfigError: it is `auto` and has not been chosen yet (`pinnwx.training.substeps`).
        """
        if self.substeps != "auto":
            return self.substeps
        if self.transport:
            raise ConfigError(
                'model.physics.substeps = "auto" is chosen from the winds of a training time; give a number'
            )
        return SUBSTEPS_WITHOUT_WIND

    def made_terms(self) -> tuple[AbstractTerm, ...]:
        """The objects that `terms` describes."""
        if not self.terms:
            return ()
        from pinnwx.physics.terms import make_term

        return tuple(make_term(options) for options in self.terms)

    @agreement
    def _terms_have_fields(self) -> Iterator[str]:
        if self.terms and not self.transport:
            yield "terms act on transported fields; add a [[model.physics.transport]] table"

    @agreement
    def _levels_stretch_each_other(self) -> Iterator[str]:
        stretching = {one.field: one.stretching for one in self.transport}
        for field, others in stretching.items():
            for other in others:
                if other == field or field not in stretching.get(other, {}):
                    yield f"stretching of {field} by {other} needs a table of {other} with its stretching by {field}"

    @agreement
    def _followed_once(self) -> Iterator[str]:
        followed = [one.balanced_field for one in self.transport if one.balanced_field is not None]
        for name in dict.fromkeys(followed):
            if followed.count(name) > 1:
                yield f"balanced_field = {name} twice; it would follow the vorticity of two levels"
        winds = [one.wind for one in self.transport if one.stretching]
        if len(set(winds)) < len(winds):
            yield "levels with stretching have the same wind; each needs that of its level"

    @agreement
    def _layers_lie_between_transported_levels(self) -> Iterator[str]:
        fields = [one.field for one in self.transport]
        for one in self.transport:
            for name in one.layer or ():
                if name not in fields:
                    yield f'layer of {one.field} needs a table of "{name}"'

    @agreement
    def _adds_what_is_conserved(self) -> Iterator[str]:
        if self.increment_use == "shown":
            for one in self.transport:
                if one.conserved or not one.gated:
                    excluded = "it excludes conserved and gated = false"
                    yield f'{one.field}: increment_use = "shown" adds no increment; {excluded}'

    @agreement
    def _errors_are_carried(self) -> Iterator[str]:
        if self.equation_error_winds and self.equation_error != "transported":
            yield 'equation_error_winds are for equation_error = "transported"'
        if self.equation_error == "transported" and not (self.transport or self.equation_error_winds):
            yield 'equation_error = "transported" needs a [[model.physics.transport]] table or equation_error_winds'
        if self.equation_error == "unused":
            return
        if any(transport.learned_wind for transport in self.transport):
            yield "equation_error excludes learned_wind: that of the step before is not known"
        if self.coupling_steps > 1:
            yield "equation_error needs coupling_steps = 1; wind_updates may be larger"
        for transport in self.transport:
            if transport.conserved and transport.field in self.equation_error_winds:
                yield f"equation_error_winds of {transport.field}: conserved = true excludes it"

    @agreement
    def _interpolates(self) -> Iterator[str]:
        if self.method == "eulerian":
            return
        from pinnwx.physics.transport.semi_lagrangian import VARIANTS

        for one in self.transport:
            if one.scheme not in VARIANTS:
                schemes = " or ".join(f'"{name}"' for name in VARIANTS)
                yield f'scheme = "{one.scheme}" of {one.field} needs method = "eulerian"; use {schemes}'

    @agreement
    def _keeps_signs(self) -> Iterator[str]:
        if self.solver.startswith("diffrax:") and any(one.scheme == "limited" for one in self.transport):
            yield f'scheme = "limited" needs a solver that preserves signs: euler, heun or ssprk3, not {self.solver}'

    @agreement
    def _learns_by_gradients(self) -> Iterator[str]:
        if self.backpropagate:
            return
        if self.learned_diffusivity or any(transport.learned_wind for transport in self.transport):
            yield "backpropagate = false excludes learned_wind and learned_diffusivity, which need gradients"
