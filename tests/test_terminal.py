"""Tables of the terminal: no digit is cut, and words stay words."""

import io

import pytest

from pinnwx.terminal import Console, _print_table, _table

ROW = ("relative_vorticity850 [1e-5 s-1]", "240 h", "12,345", "123456.789", "12345.678 to 123456.789", "nothing to do")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_number_is_cut(width):
    console = Console(file=io.StringIO(), width=width)
    _print_table(console, _table(("variable", "lead", "n", "RMSE", "95 % bounds", "outcome"), [ROW]))
    text = console.file.getvalue()
    assert "…" not in text
    for cell in (*ROW[:4], "12345.678-123456.789", "nothing to do"):
        assert cell in text
