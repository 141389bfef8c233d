"""Tables of the terminal: no digit is cut, and words stay words."""

import io

import pytest

from pinnwx.terminal import Console, _print_table, _table
from pinnwx.text import three_digits

ROW = ("relative_vorticity850 [1e-5 s-1]", "240 h", "12,345", "123456.789", "12345.678 to 123456.789", "nothing to do")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_number_is_cut(width):
    console = Console(file=io.StringIO(), width=width)
    _print_table(console, _table(("variable", "lead", "n", "RMSE", "95 % bounds", "outcome"), [ROW]))
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
