"""The order of the advection schemes on smooth problems: fitted slopes of l1 and l2 over three resolutions."""

from functools import lru_cache

import numpy as np
import pytest
from exact.flows import DAY, Deformation, Poleward, SolidBody, gaussian_hill
from exact.sphere import cell_mean, norms, safe_steps, slope, ssprk3

from pinnwx.grid import Grid
from pinnwx.operators.advection import SCHEMES, advective_tendency, flux_divergence

pytestmark = pytest.mark.usefixtures("double")
RESOLUTIONS = (24, 36, 54)
UNLIMITED = [name for name, scheme in SCHEMES.items() if name != "limited"]
HILL = gaussian_hill(0.3, 0.4, sharpness=1.0, base=0.2)
CASES = {
    "zonal": (SolidBody(tilt=0.0), HILL),
    "over the poles": (SolidBody(tilt=np.pi / 2), gaussian_hill(-np.pi / 2 + 0.2, 1.3, sharpness=1.0)),
    "poleward": (Poleward(rate=0.4 / DAY), HILL),  # divergent
}


@lru_cache
def error(case: str, scheme: str, kind: str, rows: int) -> tuple[float, float]:
    """l1 and l2 after one day, with cell means on both sides."""
    flow, initial = CASES[case]
    grid = Grid.parse(f"{180 / rows}{kind}")
    velocity = flow.velocity(grid)
    steps = safe_steps(DAY, velocity, grid, 0.5)
    start = cell_mean(initial, grid)
    end = ssprk3(lambda q, _: flux_divergence(q, velocity, grid, scheme), start, DAY, steps)
    return norms(end, cell_mean(flow.solution(initial, DAY), grid), grid)[:2]


@pytest.mark.parametrize("scheme", UNLIMITED)
@pytest.mark.parametrize("case", ["zonal", "poleward", pytest.param("over the poles", marks=pytest.mark.slow)])
def test_design_order(case, scheme, kind, record_property):
    slopes = [slope(norm, RESOLUTIONS) for norm in np.transpose([error(case, scheme, kind, n) for n in RESOLUTIONS])]
    record_property("slopes of l1 and l2", slopes)
    assert min(slopes) >= SCHEMES[scheme].order - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_limited_scheme_is_second_order_in_l1(case):
    """A limiter flattens smooth extrema, but on an area that shrinks with the spacing."""
    l1 = [error(case, "limited", "deg", n)[0] for n in RESOLUTIONS]
    assert slope(l1, RESOLUTIONS) > 1.9


def test_advective_form_is_second_order_in_divergent_wind_and_conserves_values(kind):
    """q div(v) is a product of cell means, which is second order; in non-divergent wind it vanishes."""
    flow, initial = CASES["poleward"]
    errors = []
    for rows in RESOLUTIONS:
        grid = Grid.parse(f"{180 / rows}{kind}")
        velocity = flow.velocity(grid)
        steps = safe_steps(DAY, velocity, grid, 0.5)
        start = cell_mean(initial, grid)
        end = ssprk3(lambda q, _: advective_tendency(q, velocity, grid, "upwind3"), start, DAY, steps)  # noqa: B023
        errors.append(norms(end, cell_mean(flow.solution(initial, DAY, conserved=False), grid), grid)[:2])
    for norm in np.transpose(errors):
        assert slope(norm, RESOLUTIONS) >= 1.9


@pytest.mark.slow
def test_third_order_in_unsteady_deformation(record_property):
    """Wind and field vary along the faces, which a scheme of one dimension at a time takes for second order."""
    flow = Deformation(period=2 * DAY, strength=0.2)
    initial = gaussian_hill(2.0, 0.3, sharpness=0.5)
    errors = []
    for rows in RESOLUTIONS:
        grid = Grid.parse(f"{180 / rows}deg")
        steps = safe_steps(flow.period, flow.velocity(grid, 0.0), grid, 0.5)
        start = cell_mean(initial, grid)
        end = ssprk3(
            lambda q, t: flux_divergence(q, flow.velocity(grid, t), grid, "upwind3"),  # noqa: B023
            start,
            flow.period,
            steps,
        )
        errors.append(norms(end, start, grid)[:2])
    slopes = [slope(norm, RESOLUTIONS) for norm in np.transpose(errors)]
    record_property("slopes of l1 and l2", slopes)
    assert min(slopes) >= 2.9
