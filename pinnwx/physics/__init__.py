"""The equation: terms, winds, time integration. Fields and a `Grid` in, tendencies and winds out.

`pinnwx.physics.NAME` is loaded when it is first used; `physics.equation` is the page to begin with.
"""

from __future__ import annotations

from pinnwx.lazy import lazy_attributes

_MODULES = {
    "balance": ("balanced_geopotential", "inverse_geostrophic_balance", "layer_temperature", "linear_balance"),
    "diagnostics": (
        "divergent_wind",
        "geostrophic_wind",
        "geostrophic_wind_from_pressure",
        "helmholtz_decomposition",
        "face_velocity_from_streamfunction",
        "rotational_face_velocity",
        "rotational_wind",
        "streamfunction_from_potential_vorticity",
        "streamfunction_from_vorticity",
        "velocity_potential_from_divergence",
        "vorticity_and_divergence",
        "wind_from_streamfunction",
        "wind_from_velocity_potential",
    ),
    "equation": ("Equation",),
    "potential_vorticity": ("CoupledLevels", "VerticalModes"),
    "terms": (
        "AbstractTerm",
        "Advection",
        "Diffusion",
        "PlanetaryVorticity",
        "TermContext",
    ),
    "transport": ("AbstractTransport", "EulerianTransport", "SemiLagrangianTransport"),
    "transported_field": ("TransportedField",),
    "winds": (
        "AbstractVorticityWind",
        "AbstractWind",
        "GeostrophicWind",
        "LearnedWind",
        "NoWind",
        "PrognosticWind",
        "RotationalWind",
        "parse_wind",
    ),
}
_HOMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [*_HOMES]
__getattr__ = lazy_attributes(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
