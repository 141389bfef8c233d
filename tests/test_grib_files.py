"""The writer of GRIB messages puts every value where ecCodes finds it again."""

import numpy as np
import pytest
from grib_files import LATITUDE, SCANNING_MODES, example_field, iterated, message

eccodes = pytest.importorskip("eccodes")


@pytest.mark.parametrize("mode", SCANNING_MODES, ids=str)
@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("first", [0.0, 170.0, -10.0])
def test_values_stand_where_the_iterator_finds_them(mode, edition, first):
    east = first + 2.5 * np.arange(8)
    field = example_field(LATITUDE.size, east.size)
    latitude, longitude, values = iterated(message(field, LATITUDE, east, edition=edition, scanning=mode))
    rows = np.rint((latitude - LATITUDE[0]) / 2.5).astype(int)
    columns = np.rint((longitude - first) % 360 / 2.5).astype(int)
    assert set(zip(rows, columns, strict=True)) == {(row, column) for row in range(9) for column in range(8)}
    np.testing.assert_allclose(values, field[rows, columns], atol=1e-4)
