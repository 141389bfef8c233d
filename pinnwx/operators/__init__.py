"""Discrete operators on the sphere: pure, differentiable functions of arrays in float32 or float64, for use in jit.

Fields are `(*batch, lat, lon)`. A `Grid` is a static argument. On a regional grid, every operator takes the same
`boundary`: an array with the padded shape, of which only the frame is used. Without it, the normal gradient at the edge
is zero.

`pinnwx.operators.NAME` is imported at its first use.
"""

from __future__ import annotations

from pinnwx.lazy import lazy_attributes

_MODULES = {
    "advection": (
        "FaceVelocity",
        "advective_tendency",
        "face_velocity",
        "flux_divergence",
    ),
    "calculus": (
        "curl",
        "divergence",
        "face_divergence",
        "gradient",
        "laplacian",
    ),
    "departure": ("departure_points",),
    "diffusion": (
        "diffusive_tendency",
        "exact_diffusion",
        "hyperdiffusion",
        "implicit_diffusion",
    ),
    "interpolation": (
        "Interpolated",
        "Points",
        "interpolate",
    ),
    "mass_fixer": ("clip_and_assured_sum",),
    "poisson": (
        "function_of_laplacian",
        "inverse_laplacian",
        "solve_helmholtz",
    ),
    "polar": (
        "polar_filter",
        "zonal_group_mean",
        "zonal_groups",
    ),
    "semi_lagrangian": ("semi_lagrangian_step",),
    "spectrum": ("band_power",),
    "stability": (
        "SafeStep",
        "check_courant",
        "courant_number",
        "diffusion_number",
        "largest_safe_step",
        "limit_outflow",
    ),
}
_HOMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [*_HOMES]
__getattr__ = lazy_attributes(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
