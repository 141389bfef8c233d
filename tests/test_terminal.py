"""Tables of the terminal: no digit is cut, and words stay words."""

import io

import numpy as np
import pytest
import xarray as xr

from pinnwx.terminal.explanations import attribution_lines
from pinnwx.terminal.table import Console, print_table
from pinnwx.text import three_digits
from pinnwx.verification.results import COLUMNS, Scores

ROW = ("relative_vorticity850 [1e-5 s-1]", "240 h", "12,345", "123456.789", "12345.678 to 123456.789", "nothing to do")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_number_is_cut(width):
    console = Console(file=io.StringIO(), width=width)
    print_table(console, ("variable", "lead", "n", "RMSE", "95 % bounds", "outcome"), [ROW])
    text = console.file.getvalue()
    assert "…" not in text
    for cell in (*ROW[:4], "12345.678-123456.789", "nothing to do"):
        assert cell in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"), (1.2, "1.20"), (-12.34, "-12.3"), (123.4, "123"), (999.6, "1000"), (1234.0, "1230"),
        (0.0, "0.00"), (1.2e-5, "1.20e-05"), (99.95, "100"), (2.5e7, "2.50e+07"),
    ],
)  # fmt: skip
def test_three_digits_keep_their_zeros(value, text):
    assert three_digits(value) == text


def scored(name: str, lead: int, rmse: float, **others) -> dict:
    return {"variable": name, "lead_hours": lead, "n": 9, "rmse": rmse, **others}


def test_the_errors_of_a_variable_have_the_same_decimals():
    """Points stand one below the other, where sizes differ too; shares always have three decimals."""
    entries = (
        scored("msl", 24, 506.4, rmse_low=447, rmse_high=1098.6, persistence_rmse=721, acc=0.0123),
        scored("msl", 72, 1049.9, climatology_rmse=1180.2, persistence_ratio=1.0, acc=-0.2),
        scored("vo850", 24, 1.234e-6), scored("q850", 24, 2e-9), scored("t2m", 24, 0.0),
    )  # fmt: skip
    rows = Scores(entries).table()
    assert COLUMNS[3:] == ("RMSE", "95 % bounds", "persistence", "climatology", "ratio", "ACC")
    assert rows[0][3:] == ("5.06", "4.47 to 10.99", "7.21", "-", "-", "0.012")
    assert rows[1][3:] == ("10.50", "-", "-", "11.80", "1.000", "-0.200")
    assert [row[3] for row in rows[2:]] == ["0.123", "2.00e-06", "0.00"]


def test_a_number_is_explained_in_the_units_that_pictures_have(capsys):
    where = ("time", "latitude", "longitude")
    parts = {
        "msl_attribution": (where, np.float32([[[-1319.0]], [[107.0]]])),
        "z500_attribution": (where, [[[0.0]], [[300.4]]]),
    }
    told = {
        "target": "msl at 51 N, 0 E after 48 h", "target_units": "Pa", "target_forecast": 99686.7,
        "target_ordinary": 100609.7, "completeness_gap": -11.4,
    }  # fmt: skip
    attribution_lines(xr.Dataset(parts, {"forecast_period": ("time", [-24.0, 0.0])}, told))
    said = capsys.readouterr().out
    assert "msl at 51 N, 0 E after 48 h: 996.87 hPa\n" in said
    assert "-9.23 hPa" in said
    assert [line.split()[-2] for line in said.splitlines()[3:]] == ["-13.19", "+1.07", "+0.00", "+3.00", "-0.11"]
    assert "Pa" not in said.replace("hPa", "")
