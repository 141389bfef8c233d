"""What the tests of the jobs share."""

from pathlib import Path

import pytest
from synthetic import wave_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "waves.nc"
    wave_dataset(80).to_netcdf(path)
    return path
