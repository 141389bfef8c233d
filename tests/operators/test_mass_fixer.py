"""The fixer restores the integral within the bounds, for any input."""

import numpy as np
import pytest
from exact.programs import compiled
from exact.sphere import integral

from pinnwx.operators.mass_fixer import clip_and_assured_sum

clip_and_assured_sum = compiled(clip_and_assured_sum)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_integral_and_bounds(dtype, globe, random, double):
    """Eight fields, some with too much and some with too little."""
    lower, upper = np.sort(random.normal(size=(2, 8, *globe.shape)), axis=0).astype(dtype)
    field = (random.normal(size=lower.shape) * 2).astype(dtype)
    reference = (lower + (upper - lower) * np.linspace(0.1, 0.9, 8)[:, None, None]).astype(dtype)
    fixed = clip_and_assured_sum(field, reference, lower, upper, globe)
    assert fixed.dtype == dtype
    tolerance = 4 * np.finfo(dtype).eps  # of means over values of order one
    np.testing.assert_allclose(integral(fixed, globe), integral(reference, globe), rtol=0, atol=tolerance)
    assert (fixed >= lower).all()
    assert (fixed <= upper).all()


def test_the_bounds_come_first(globe, double):
    """Where they do not allow the integral, every value is at its bound."""
    half, one = np.full(globe.shape, 0.5), np.ones(globe.shape)
    np.testing.assert_array_equal(clip_and_assured_sum(half, 2 * one, 0 * one, one, globe), one)
    np.testing.assert_array_equal(clip_and_assured_sum(half, -one, 0 * one, one, globe), 0 * one)


def test_what_has_no_room_stays(globe, random, double):
    """A tracer appears in no place where its surroundings have none."""
    field = random.uniform(size=globe.shape) * (random.uniform(size=globe.shape) < 0.3)
    fixed = clip_and_assured_sum(field, 1.2 * field, 0 * field, 2 * field, globe)
    np.testing.assert_allclose(fixed, 1.2 * field)  # room is proportional to the field here
    assert (fixed[field == 0] == 0).all()
