"""Settings of one transported field: `[[model.physics.transport]]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from pinnwx.settings import Settings, agreement

if TYPE_CHECKING:
    from pinnwx.physics.winds import AbstractWind


def _is_wind(text: str) -> str:
    _wind(text)
    return text


def _wind(text: str) -> AbstractWind:
    from pinnwx.physics.winds import parse_wind  # imports JAX, which other settings do not need

    return parse_wind(text)


WindName = Annotated[str, AfterValidator(_is_wind)]


class Transport(Settings):
    """Transport of one field by a wind.

    Each field has its own wind, form and scheme. A field without such a table changes by the network alone.
    Vorticity may be transported although it is not in `data.fields`: then it is the vorticity of a prognostic or
    geostrophic wind, and its change is applied to the fields of that wind.
    """

    field: str = Field(examples=["t850"])
    """One of `data.fields`, or the vorticity of the wind below. `vo850` with `prognostic:850` changes u850 and
    v850; with `geostrophic:z500` it changes z500."""
    wind: WindName = Field(default="none", examples=["prognostic:850"])
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


def inputs_of_wind(name: WindName) -> tuple[str, ...]:
    """The fields that a wind is computed from."""
    return _wind(name).inputs
