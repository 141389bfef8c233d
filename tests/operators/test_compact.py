"""Wind to vorticity and back keeps waves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values, integral
from scipy.special import lpmv

from pinnwx.grid import Grid
from pinnwx.operators.compact import compact_curl, compact_rotational_wind
from pinnwx.operators.poisson import inverse_laplacian

pytestmark = pytest.mark.usefixtures("double")


def wind_of_harmonic(degree: int, order: int, grid: Grid) -> np.ndarray:
    """(u, v) = (-dpsi/dlat, dpsi/dlon / cos(lat)) of psi = P(sin lat) cos(order lon).

    The derivative of P is -n sin(lat) P_n + (n + m) P_{n-1}, over cos(lat). A pole is approached within 0.01 degrees.
    """
    nearly_pole = np.deg2rad(89.99)

    def components(lon, lat):
        lat = np.clip(lat, -nearly_pole, nearly_pole)
        sine, cosine = np.sin(lat), np.cos(lat)
        value = lpmv(order, degree, sine)
        derivative = (-degree * sine * value + (degree + order) * lpmv(order, degree - 1, sine)) / cosine
        return -derivative * np.cos(order * lon), -order * value * np.sin(order * lon) / cosine

    wind = np.stack([centre_values(lambda lon, lat, k=k: components(lon, lat)[k], grid) for k in range(2)])
    return wind / np.abs(wind).max()


def returned(winds: np.ndarray, grid: Grid) -> np.ndarray:
    """The winds of the vorticity of `winds`, (wave, component, lat, lon)."""

    @jax.jit
    def back(u, v):
        # On a regional grid, psi is zero beyond the edge.
        beyond = None if grid.is_global else jnp.zeros(tuple(size + 2 for size in grid.shape))
        streamfunction = inverse_laplacian(compact_curl(u, v, grid), grid, beyond)
        return jnp.stack(compact_rotational_wind(streamfunction, grid), axis=1)

    return np.asarray(back(*np.moveaxis(winds, 1, 0)))


@pytest.mark.parametrize("name", ["5.625deg", "5.625deg+poles"])
def test_waves_of_five_cells_keep_their_amplitude(name):
    """Within 2 %, zonal wavenumbers 1 to 12, and waves in latitude of degree up to 12 of each order; and in place."""
    grid = Grid.parse(name)
    waves = [(max(order, 1), order) for order in range(13)] + [(12, order) for order in range(12)]
    winds = np.array([wind_of_harmonic(*wave, grid) for wave in waves])
    back = returned(winds, grid)
    power = integral(winds**2, grid).sum(axis=-1)
    np.testing.assert_allclose(integral(winds * back, grid).sum(axis=-1) / power, 1.0, atol=0.02)
    np.testing.assert_allclose(np.sqrt(integral((back - winds) ** 2, grid).sum(axis=-1) / power), 0.0, atol=0.02)


def test_a_wave_inside_a_box_keeps_its_amplitude():
    """A packet of waves of 5.3 cells in the middle, in longitude and in latitude."""
    grid = box(48, 48)
    row, column = np.mgrid[-23.5:24, -23.5:24]
    packet = np.exp(-(row**2 + column**2) / 50)
    cells = 2 * np.pi / 5.3
    winds = np.stack([np.stack([0 * packet, packet * np.cos(cells * column)])])
    winds = np.concatenate([winds, np.stack([packet * np.cos(cells * row), 0 * packet])[None]])
    # A packet is not quite non-divergent: the return keeps the rotational part, so a second return keeps everything.
    once = returned(winds, grid)
    power = integral(once**2, grid).sum(axis=-1)
    np.testing.assert_allclose(integral(once * returned(once, grid), grid).sum(axis=-1) / power, 1.0, atol=0.02)
    assert (power > 0.5 * integral(winds**2, grid).sum(axis=-1)).all()


@pytest.mark.parametrize("grid", [Grid.parse("11.25deg"), Grid.parse("11.25deg+poles"), box()], ids=str)
def test_single_precision_stays_and_the_integral_over_the_globe_is_zero(grid):
    wind = np.random.default_rng(0).normal(size=(2, 3, *grid.shape)).astype(np.float32)
    vorticity = compiled(compact_curl)(*wind, grid)
    components = jax.eval_shape(lambda psi: compact_rotational_wind(psi, grid), vorticity)
    assert {vorticity.dtype, *(part.dtype for part in components)} == {np.dtype("float32")}
    if grid.is_global:
        assert np.abs(integral(vorticity, grid)).max() < 1e-6 * np.abs(vorticity).max()
