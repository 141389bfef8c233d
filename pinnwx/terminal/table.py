"""A console that prints text as text, and tables that fit 80 columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import rich.console
from rich.table import Table
from rich.text import Text

from pinnwx.text import printable

_WIDEST = 1000  # columns of a table
_RANGE = re.compile(r"(?<=\d) to (?=[-\d])")  # is written with a dash in a table


class Console(rich.console.Console):
    """Prints text as text, in tables too: what looks like markup is none, and control characters are escaped."""

    def render_str(self, text: str, **options: Any) -> Text:
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text), **options)


def print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table with whole cells: on a narrow terminal its lines wrap, and no digit is cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_RANGE.sub("-", cell) for cell in row))
    needed = table.__rich_measure__(console, console.options.update(max_width=_WIDEST)).maximum
    (console if needed <= console.width else Console(file=console.file, width=needed)).print(table)
