"""Quasi-geostrophic potential vorticity of coupled levels: inversion, vertical modes, and instability of shear."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact.programs import compiled
from exact.sphere import integral
from synthetic import config, forecaster, forecasts, smooth_noise, step_features, transport

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian
from pinnwx.physics.balance import layer_temperature
from pinnwx.physics.potential_vorticity import CoupledLevels

laplacian = compiled(laplacian)
GLOBE, BOX = Grid.parse("11.25deg"), Grid.from_coordinates(np.arange(30, 60, 1.5), np.arange(0, 45, 1.5))
UPPER, LOWER = 1.0e6, 6e5  # m
LID = CoupledLevels((None, None), ((0, 1, UPPER), (1, 0, LOWER)))
SURFACE = CoupledLevels((1.5e6, 2e6), ((0, 1, UPPER), (1, 0, LOWER)))
THREE = CoupledLevels((None, None, 2e6), ((0, 1, 7e5), (1, 0, 7e5), (1, 2, 5e5), (2, 1, 5e5)))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("levels", [LID, SURFACE, THREE])
def test_inversion_and_potential_vorticity_are_inverse(levels):
    psi = np.stack([smooth_noise(GLOBE, 1, seed)[0] for seed in range(len(levels.surface))]) * 1e7
    psi -= integral(psi, GLOBE)[:, None, None] / integral(np.ones(GLOBE.shape), GLOBE)
    potential = np.array(laplacian(psi, GLOBE))
    for level, radius in enumerate(levels.surface):
        potential[level] -= 0 if radius is None else psi[level] / radius**2
    for level, other, radius in levels.between:
        potential[level] -= (psi[level] - psi[other]) / radius**2
    inverted = compiled(lambda fields: levels.streamfunctions(list(fields), GLOBE))(potential)
    np.testing.assert_allclose(np.stack(inverted), psi, rtol=0, atol=1e-9 * np.abs(psi).max())


def test_the_modes_of_two_levels_below_a_lid():
    """Barotropic, which a lid does not hold, and baroclinic, with 1/L^2 = 1/L_12^2 + 1/L_21^2."""
    radii = sorted(LID.modes.radii, key=lambda radius: radius is None)
    assert radii[1] is None
    assert radii[0] == pytest.approx((UPPER**-2 + LOWER**-2) ** -0.5)
    barotropic = LID.modes.levels[:, LID.modes.radii.index(None)]
    assert barotropic[0] == pytest.approx(barotropic[1])


def test_levels_that_differ_are_stretched():
    vorticity = [smooth_noise(GLOBE, 1, seed)[0] * 1e-5 for seed in (1, 2)]
    stretched = compiled(lambda fields: LID.stretched(list(fields), GLOBE))(np.float32(vorticity))
    same = compiled(lambda field: LID.stretched([field, field], GLOBE))(np.float32(vorticity[0]))
    assert all(np.asarray(one) == pytest.approx(vorticity[0], abs=1e-10) for one in same)
    change = [np.asarray(after) - before for after, before in zip(stretched, vorticity, strict=True)]
    assert np.abs(change[0]).max() > 1e-6
    np.testing.assert_allclose(change[0] * UPPER**2, -change[1] * LOWER**2, rtol=0, atol=1e-4 * UPPER**2 * 1e-5)


def test_levels_without_stretching_are_inverted_alone():
    alone, both = CoupledLevels((1.5e6,)), CoupledLevels((1.5e6, None))
    vorticity = np.float32([smooth_noise(GLOBE, 1, seed)[0] for seed in (1, 2)])
    first, second = compiled(lambda fields: both.streamfunctions(list(fields), GLOBE))(vorticity)
    (only,) = compiled(lambda field: alone.streamfunctions([field], GLOBE))(vorticity[0])
    np.testing.assert_array_equal(first, only)
    assert np.asarray(laplacian(second, GLOBE)) == pytest.approx(
        vorticity[1] - integral(vorticity[1], GLOBE) / integral(np.ones(GLOBE.shape), GLOBE), abs=1e-3
    )


def test_equal_radii_have_real_modes():
    """Eigenvalues that occur twice have round-off in their imaginary parts."""
    for count, radius, surface in ((5, 7e5, None), (6, 1.3e6, 1.5e6)):
        pairs = tuple((i, j, radius) for i in range(count) for j in range(count) if i != j)
        levels = CoupledLevels((surface,) * count, pairs)
        np.testing.assert_allclose(levels.modes.levels @ levels.modes.amplitudes, np.eye(count), atol=1e-9)


def test_a_box_has_no_stretching():
    table = {"absolute_vorticity": True}
    physics = transport("vo500", wind="prognostic:500", **table, **{"stretching.vo850": 1e6})
    physics += "\n" + transport("vo850", wind="prognostic:850", **table, **{"stretching.vo500": 6e5})
    settings = config(("u500", "v500", "u850", "v850"), physics=physics)
    with pytest.raises(ConfigError, match="vo500: stretching needs a global grid"):
        forecaster(settings, BOX)


def test_levels_without_real_modes_are_refused():
    with pytest.raises(ConfigError, match="no real vertical modes; give each pair of levels one radius"):
        CoupledLevels(
            (None, None, None), ((0, 1, 3e5), (1, 2, 3e5), (2, 0, 3e5), (1, 0, 3e6), (2, 1, 3e6), (0, 2, 3e6))
        )


def test_the_temperature_of_the_standard_atmosphere():
    """500 and 850 hPa lie at 5574 and 1457 m, and the mean temperature between them is 265.1 K (1976)."""
    thickness = jnp.full((1, 1), (5574 - 1457) * 9.80665)
    assert float(layer_temperature(thickness, 500, 850)[0, 0]) == pytest.approx(265.1, abs=0.2)


def growth_of_shear(degree: int, spins: np.ndarray, surface: float) -> tuple[complex, np.ndarray]:
    """The complex rate [s-1] of the fastest growing wave on levels in solid-body rotation, and its amplitudes.

    The basic flow psi_i = -a^2 w_i sin(lat) has the gradient G = 2 (Omega + w) + a^2 S w of potential vorticity by
    sin(lat). For a wave psi cos(lat)^n exp(i n lon), a harmonic of degree n, exactly

        (d/dt + i n w_i) q_i + i n G_i psi_i / a^2 = 0,    q = -(n (n + 1) / a^2 + S) psi.

    It is the problem of Phillips (1954, Tellus 6) on the sphere. `surface` is the radius below a free surface.
    """
    coupling = np.array(
        [[surface**-2 + UPPER**-2, -(UPPER**-2)], [-(LOWER**-2), surface**-2 + LOWER**-2]], dtype=np.float64
    )
    inverse = -np.linalg.inv(degree * (degree + 1) / EARTH_RADIUS**2 * np.eye(2) + coupling)
    gradient = 2 * (EARTH_ROTATION + spins) + EARTH_RADIUS**2 * coupling @ spins
    rates = -1j * degree * (np.diag(spins) + np.diag(gradient) @ inverse / EARTH_RADIUS**2)
    values, vectors = np.linalg.eig(rates)
    fastest = values.real.argmax()
    return values[fastest], inverse @ vectors[:, fastest]


@pytest.mark.slow
@pytest.mark.parametrize("surface", [None, 1.5e6])
def test_shear_is_as_unstable_as_it_should_be(surface):
    """Growth and drift of the wave in one day of the forecaster, against the exact rate: baroclinic instability."""
    grid, degree, spins = Grid.parse("2.8125deg"), 7, np.array([40.0, 5.0]) / EARTH_RADIUS
    rate, amplitudes = growth_of_shear(degree, spins, np.inf if surface is None else surface)
    assert rate.real * 86400 > 0.5, "the wave grows"
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    wave = np.cos(latitude) ** (degree - 1) * np.exp(1j * degree * longitude) / np.abs(amplitudes).max()
    fields = []
    for spin, amplitude in zip(spins, amplitudes, strict=True):
        fields.append(EARTH_RADIUS * spin * np.cos(latitude) + (amplitude * wave * np.sin(latitude)).real)
        fields.append((1j * amplitude * wave).real)  # (u, v) = (-dpsi/dlat, dpsi/dlon / cos(lat)) / a, 1 m s-1 at most
    physics = 'wind_updates = 8\nwind_time = "midpoint"\n'
    for own, other, radius in (("500", "850", UPPER), ("850", "500", LOWER)):
        options = {"absolute_vorticity": True, f"stretching.vo{other}": radius}
        options |= {} if surface is None else {"deformation_radius": surface}
        physics += "\n" + transport(f"vo{own}", wind=f"prognostic:{own}", **options)
    names = ("u500", "v500", "u850", "v850")
    model = forecaster(config(names, physics=physics, closure="enabled = false", substeps=16), grid)
    after = forecasts(model, np.float32(fields)[None, None], step_features(4, 1))[-1, 0]
    row = grid.shape[0] // 2
    northward = np.fft.rfft(np.stack([np.asarray(fields)[[1, 3], row], after[[1, 3], row]]))[..., degree]
    measured = np.log(northward[1] / northward[0]) / 86400
    assert measured.real * 86400 == pytest.approx([rate.real * 86400] * 2, rel=0.03)
    assert measured.imag * 86400 == pytest.approx([rate.imag * 86400] * 2, rel=0.03)
