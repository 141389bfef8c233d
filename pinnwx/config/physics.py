"""Settings of the equations: transported fields, winds, and time integration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, WrapValidator

from pinnwx.config.limits import Option, Substeps
from pinnwx.errors import ConfigError
from pinnwx.settings import Settings, agreement

if TYPE_CHECKING:
    from pinnwx.physics.terms import AbstractTerm
    from pinnwx.physics.winds import AbstractWind


def _is_wind(text: str) -> str:
    _wind(text)
    return text


def _are_terms(tables: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    if tables:
        from pinnwx.physics.terms import make_term

        for options in tables:
            make_term(options)
    return tables


def _wind(text: str) -> AbstractWind:
    from pinnwx.physics.winds import parse_wind  # imports JAX, which other settings do not need

    return parse_wind(text)


def _number_or_auto(value: Any, _: Any) -> Any:
    """A union of both types would report each invalid value twice."""
    if value == "auto":
        return value
    if isinstance(value, str):
        raise ValueError(f'"{value[:100]}" is neither "auto" nor a whole number')
    return _SUBSTEPS.validate_python(value)


_SUBSTEPS = TypeAdapter(Substeps)
SUBSTEPS_WITHOUT_WIND = 4  # nothing is known about learned winds before training


class Transport(Settings):
    """Transport of one field by a wind.

    Each field has its own wind, form and scheme. A field without such a table changes by the network alone.
    Vorticity may be transported although it is not in `data.fields`: then it is the vorticity of a prognostic or
    geostrophic wind, and its change is applied to the fields of that wind.
    """

    field: str = Field(examples=["t850"])
    """One of `data.fields`, or the vorticity of the wind below. `vo850` with `prognostic:850` changes u850 and
    v850; with `geostrophic:z500` it changes z500."""
    wind: Annotated[str, AfterValidator(_is_wind)] = Field(default="none", examples=["prognostic:850"])
    """Physical wind. Its fields must be in `data.fields`.

    - `prognostic:850`: u850 and v850; `prognostic:10m`: u10 and v10
    - `rotational:vo850`: the non-divergent wind with this vorticity (Poisson equation on the sphere)
    - `geostrophic:z500`: from the geopotential; `geostrophic:msl`: from the pressure
    - `none`: no physical wind
    """
    form: Literal["flux", "advective"] = "advective"
    """`advective`: -v . grad X, for temperature or vorticity. `flux`: -div(v X), which conserves the area integral,
    for the density of a tracer."""
    scheme: Literal["upwind1", "centred2", "upwind3", "limited"] = "upwind3"
    """`upwind1` is diffusive, `centred2` is dispersive, `upwind3` is the most accurate, `limited` creates no new
    extrema."""
    absolute_vorticity: bool = False
    """Transport vorticity plus planetary vorticity. For vorticity only."""
    balanced_field: str | None = Field(default=None, examples=["z500"])
    """Geopotential, or msl, that follows the change of vorticity by linear balance. For vorticity only."""
    deformation_radius: Annotated[float, Field(ge=1e5, le=1e8)] | None = Field(default=None, examples=[1.5e6])
    """Radius of deformation in m, with which wind and balanced field follow a change of vorticity: waves longer than
    it follow less. Without it, they follow in full. For vorticity only."""
    stretching: dict[str, Annotated[float, Field(ge=1e5, le=1e8)]] = Field(default={}, examples=[{"vo500": 1e6}])
    """Radii of deformation in m between this level and others, by their transported vorticity. Then
    quasi-geostrophic potential vorticity is transported, and wind and balanced fields of all levels follow its change
    together. For absolute vorticity on a global grid, each pair of levels in both tables."""
    layer: tuple[str, str] | None = Field(default=None, examples=[["vo500", "vo850"]])
    """Transported vorticity of the upper and of the lower level of a layer. Temperature then follows its own transport
    and the thickness of this layer, because vertical motion warms and cools towards hydrostatic balance. For
    temperature only."""
    hydrostatic_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Fraction of the change of temperature that follows the thickness of its `layer`."""
    learned_wind: bool = False
    """Add the wind of a network to the physical wind."""
    conserved: bool = False
    """Conserve the area integral and the sign of this field for any weights. It needs a global grid, `form = "flux"`
    and `scheme = "limited"`."""
    gated: bool = True
    """Scale the increment of transport by a gate, which the network computes for each place."""
    diffusivity: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    """Diffusivity in m2 s-1. Values that the sub-steps do not allow are refused."""

    @property
    def _is_of_vorticity(self) -> bool:
        return re.fullmatch(r"vo\d+", self.field) is not None

    @agreement
    def _conserved_by_its_scheme(self) -> Iterator[str]:
        if self.conserved and (self.form, self.scheme) != ("flux", "limited"):
            yield 'a conserved field needs form = "flux" and scheme = "limited"'

    @agreement
    def _conserved_without_source(self) -> Iterator[str]:
        if self.conserved and self.absolute_vorticity:
            yield "absolute_vorticity adds a source, so the field cannot be conserved"

    @agreement
    def _absolute_vorticity(self) -> Iterator[str]:
        if self.absolute_vorticity and not self._is_of_vorticity:
            yield f"absolute_vorticity = true is for vorticity (vo850 ...), not for {self.field}"

    @agreement
    def _balanced_vorticity(self) -> Iterator[str]:
        if self.balanced_field is not None and not (
            self._is_of_vorticity and re.fullmatch(r"z\d+|msl", self.balanced_field)
        ):
            pair = f'balanced_field = "{self.balanced_field}" of "{self.field}"'
            yield f"{pair}: only z500 (any level) or msl follow, and only vorticity"

    @agreement
    def _deformation_of_vorticity(self) -> Iterator[str]:
        if self.deformation_radius is not None and not self._is_of_vorticity:
            yield f"deformation_radius is for vorticity (vo850 ...), not for {self.field}"

    @agreement
    def _stretched_vorticity(self) -> Iterator[str]:
        if self.stretching and not self._is_of_vorticity:
            yield f"stretching is for vorticity (vo850 ...), not for {self.field}"
        if self.stretching and self.form != "advective":
            yield f'stretching of {self.field} needs form = "advective"; in flux form, divergence stretches it already'
        if self.stretching and not self.absolute_vorticity:
            yield f"stretching of {self.field} needs absolute_vorticity = true"

    @agreement
    def _layer_of_temperature(self) -> Iterator[str]:
        if self.layer is None:
            return
        own = re.fullmatch(r"t(\d+)", self.field)
        if not own or self.conserved:
            yield f"layer is for temperature (t850 ...) that is not conserved, not for {self.field}"
        levels = [re.fullmatch(r"vo(\d+)", name) for name in self.layer]
        pressures = [int(level.group(1)) for level in levels if level]
        if len(pressures) < len(levels) or pressures[0] >= pressures[1]:
            yield f"layer = {list(self.layer)} is not vorticity of an upper and of a lower level, as vo500 and vo850"
        elif own and not pressures[0] <= int(own.group(1)) <= pressures[1]:
            yield f"{self.field} does not lie in the layer from {pressures[0]} to {pressures[1]} hPa"

    def lacks(self, fields: Sequence[str]) -> Iterator[str]:
        """The problems of this transport with these forecast fields."""
        from pinnwx.physics.winds import AbstractVorticityWind

        wind = _wind(self.wind)
        of_the_wind = self.field.startswith("vo") and isinstance(wind, AbstractVorticityWind)
        level = wind.vorticity_level if isinstance(wind, AbstractVorticityWind) else None
        if of_the_wind and self.field not in fields and level not in (self.field.removeprefix("vo"), None):
            yield f': wind "{self.wind}" is of another level'
        if self.deformation_radius is not None and self.field in fields and self.balanced_field is None:
            yield " is a field of data.fields and nothing follows it; remove deformation_radius"
        if self.stretching and self.field in fields:
            yield " is a field of data.fields, which has no stretching; remove stretching"
        if self.layer is not None and (own := [name for name in self.layer if name in fields]):
            yield f": {own[0]} of its layer is a field of data.fields, which no geopotential follows; remove layer"
        own = () if of_the_wind else (self.field,)
        for name in (*own, *wind.inputs, *(() if self.balanced_field is None else (self.balanced_field,))):
            if name not in fields:
                yield f' needs "{name}", which is not in data.fields'


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
    """What becomes of the increment of transport. `added`: it is added to the fields, and the network does not see it.
    `shown`: the network sees it, and it is not added. A comparison with `both` says what physics is worth."""
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
