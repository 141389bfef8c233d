"""The picture of a long forecast: a row for each field, means beside climatology, spectra beside the analyses'."""

import numpy as np
import pytest

from pinnwx.errors import OutputError
from pinnwx.reporting.drift import drift_figure
from pinnwx.reporting.style import save
from pinnwx.verification.drift import Drift

DAYS = np.arange(1.0, 31.0)
CLIMATOLOGY = np.stack([288 + 0 * DAYS, 5.5e4 + 0 * DAYS], axis=1)
POWER = np.arange(1, 34) ** -3.0 * np.ones((2, 1))
DRIFT = Drift(
    names=("t2m", "z500"),
    days=DAYS,
    area_mean=CLIMATOLOGY + np.stack([0.5 * np.sin(DAYS), 100 * np.cos(DAYS)], axis=1),
    climatology_mean=CLIMATOLOGY,
    sigma=np.array([0.2, 50.0]),
    power=POWER,
    analysis_power=POWER,
    bias=np.zeros(2),
)


def test_a_row_a_field_in_display_units():
    figure = drift_figure(DRIFT)
    assert len(figure.axes) == 2 * len(DRIFT.names)
    left = figure.axes[0]
    assert "°C" in left.get_ylabel()
    curves = {line.get_label(): line.get_ydata() for line in left.get_lines()}
    assert curves["model"] == pytest.approx(288 - 273.15 + 0.5 * np.sin(DAYS))
    band = left.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(14.85 - 0.6)
    assert band.max() == pytest.approx(14.85 + 0.6)


def test_spectra_leave_out_the_zonal_mean():
    right = drift_figure(DRIFT).axes[1]
    for line in right.get_lines():
        assert list(line.get_xdata()) == list(range(1, 33))
        assert line.get_ydata()[0] == pytest.approx(2.0**-3)


def test_it_is_written_whole_or_not_at_all(tmp_path):
    path = save(drift_figure(DRIFT), tmp_path / "year.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError):
        save(drift_figure(DRIFT), tmp_path / "nowhere" / "year.png")
