"""An HTML page in one file with text, tables and figures; it loads nothing from the network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from pinnwx.reporting.style import write_png
from pinnwx.text import printable


@dataclass(frozen=True)
class Table:
    """Rows of text with headings; the columns after the first `words` columns contain numbers and are aligned."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure with an alternative text."""

    figure: Figure
    shows: str

    @property
    def source(self) -> str:
        """The PNG as a data URI."""
        buffer = io.BytesIO()
        write_png(self.figure, buffer)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Section:
    """A section of a page, in this order: paragraphs, facts, table, figures, preformatted text."""

    title: str
    paragraphs: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    table: Table | None = None
    pictures: Sequence[Picture] = ()
    listing: str = ""

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Renders the HTML; all text is escaped, including control characters and direction marks."""
    template = resources.files("pinnwx.reporting").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_harmless)
    return environment.from_string(template).render(
        title=title, summary=summary, sections=sections, newline=Markup("\n")
    )


def _harmless(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
