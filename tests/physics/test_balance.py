"""The geopotential in balance, against flows whose balance is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values, integral, norms, slope

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian, zonal_distance
from pinnwx.operators.poisson import inverse_laplacian
from pinnwx.physics import balance

balanced_geopotential, linear_balance, inverse_geostrophic_balance = map(
    compiled, (balance.balanced_geopotential, balance.linear_balance, balance.inverse_geostrophic_balance)
)

ROWS = (12, 24, 36)
SPIN = 1e-6  # s-1
AMPLITUDE = 1e7  # m2 s-1


pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def solid_body(lon, lat):
    """psi = -a^2 w sin(lat), with u = a w cos(lat)."""
    return -(EARTH_RADIUS**2) * SPIN * np.sin(lat)


def balance_of_solid_body(lon, lat):
    """f u = -dPhi/dy, hence Phi = -Omega a^2 w sin^2(lat), less its area mean."""
    return -EARTH_ROTATION * EARTH_RADIUS**2 * SPIN * (np.sin(lat) ** 2 - 1 / 3)


def rossby_haurwitz(lon, lat):
    """psi = A cos^4(lat) sin(lat) cos(4 lon), a spherical harmonic of degree 5 and order 4."""
    return AMPLITUDE * np.cos(lat) ** 4 * np.sin(lat) * np.cos(4 * lon)


def balance_of_rossby_haurwitz(lon, lat):
    """Phi = 2 Omega A cos^4(lat) (5/6 sin^2(lat) + 1/30) cos(4 lon).

    With s = sin(lat) and Y = psi: div(f grad psi) = 2 Omega / a^2 (-30 s Y + (1 - s^2) dY/ds). The products are
    harmonics of degree 6 and 4: s Y = P + Q / 11 and (1 - s^2) dY/ds = -5 P + 6 Q / 11, with Q = cos^4(lat) cos(4 lon)
    and P = (s^2 - 1/11) Q. So the right-hand side is 2 Omega / a^2 (-35 P - 24 Q / 11). The eigenvalues of the
    Laplacian are -42 / a^2 and -20 / a^2, hence Phi = 2 Omega (5/6 P + 6/55 Q). It is the term linear in the wave of
    Williamson et al. (1992, J. Comput. Phys. 102), test 6.
    """
    wave = AMPLITUDE * np.cos(lat) ** 4 * np.cos(4 * lon)
    return 2 * EARTH_ROTATION * wave * (5 / 6 * np.sin(lat) ** 2 + 1 / 30)


FLOWS = {"solid body": (solid_body, balance_of_solid_body), "wave": (rossby_haurwitz, balance_of_rossby_haurwitz)}


@pytest.mark.parametrize("kind", ["deg", "deg+poles"])
@pytest.mark.parametrize("flow", FLOWS)
def test_linear_balance_is_second_order(flow, kind):
    streamfunction, exact = FLOWS[flow]

    def errors(rows):
        grid = Grid.parse(f"{180 / rows}{kind}")
        balanced = balanced_geopotential(centre_values(streamfunction, grid), grid)
        assert abs(integral(balanced, grid)) < 1e-13 * np.abs(balanced).max()
        return norms(balanced, centre_values(exact, grid), grid)

    by_rows = [errors(rows) for rows in ROWS]
    assert min(slope(norm, ROWS) for norm in zip(*by_rows, strict=True)) > 1.9, by_rows
    assert max(by_rows[-1]) < 0.02


BOXES = {"north": box(), "south": Grid(tuple((-box().latitude_radians[::-1] * 180 / np.pi).tolist()), box().longitude)}


@pytest.mark.parametrize("place", BOXES)
def test_on_a_box_the_geostrophic_wind_has_the_vorticity_of_the_streamfunction(place, random):
    """1/f dPhi, differenced at the faces, against the Laplacian of psi; both fields are zero beyond the edge."""
    grid = BOXES[place]
    streamfunction = random.normal(size=(2, *grid.shape))
    padded = np.pad(balanced_geopotential(streamfunction, grid), ((0, 0), (1, 1), (1, 1)))
    sine = [2 * EARTH_ROTATION * np.sin(angle)[:, None] for angle in (grid.latitude_radians, grid.latitude_edges)]
    east = np.diff(padded[:, 1:-1], axis=-1) / zonal_distance(grid)[:, None] / sine[0] * grid.east_face_length[:, None]
    north = np.diff(padded[:, :, 1:-1], axis=-2) / grid.meridional_spacing / sine[1] * grid.north_face_length[:, None]
    vorticity = (np.diff(east, axis=-1) + np.diff(north, axis=-2)) / grid.cell_area[:, None]
    beyond = np.zeros(tuple(size + 2 for size in grid.shape))
    expected = compiled(laplacian)(streamfunction, grid, beyond)
    np.testing.assert_allclose(vorticity, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("place", BOXES)
def test_the_balance_inverts_the_geostrophic_vorticity(place):
    """Waves of 2 to 6 cells that vanish at the edge come back unchanged."""
    grid = BOXES[place]
    rows, columns = (np.arange(size) for size in grid.shape)
    envelope = np.outer(np.hanning(grid.shape[0]) ** 2, np.hanning(grid.shape[1]) ** 2)
    geopotential = np.array([envelope * np.cos(rate * (rows[:, None] + columns)) for rate in (np.pi, 2, 1)])

    @jax.jit
    def returned(field):
        vorticity = balance.geostrophic_vorticity(field, grid)
        beyond = jnp.zeros(tuple(size + 2 for size in grid.shape))
        return balance.balanced_geopotential(inverse_laplacian(vorticity, grid, beyond), grid)

    np.testing.assert_allclose(returned(geopotential), geopotential, atol=1e-3)


def test_a_box_in_the_tropics_has_linear_balance(random):
    grid = Grid(tuple(np.linspace(-20, 20, 9).tolist()), tuple(np.linspace(0, 60, 13).tolist()))
    streamfunction = random.normal(size=grid.shape)
    balanced = balanced_geopotential(streamfunction, grid)
    np.testing.assert_array_equal(balanced, linear_balance(streamfunction, grid))
    assert np.abs(balanced).max() < 2 * EARTH_ROTATION * np.abs(streamfunction).max()


def test_balances_agree_where_the_coriolis_parameter_hardly_varies(random):
    """A box of 2 degrees: both are f psi there, up to the change of f across it."""
    latitude, longitude = 55 + np.linspace(-1, 1, 11), np.linspace(0, 2, 12)
    grid = Grid(tuple(latitude.tolist()), tuple(longitude.tolist()))
    streamfunction = random.normal(size=grid.shape)
    product = grid.coriolis * streamfunction
    for balanced in (linear_balance, inverse_geostrophic_balance):
        assert norms(balanced(streamfunction, grid), product, grid)[1] < 0.02
