"""What the pictures have in common: units as people write them, colours that the colour-blind tell apart, saving."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pinnwx.errors import DataError
from pinnwx.files import replacing
from pinnwx.text import printable
from pinnwx.variables import Variable, describe

# Okabe & Ito (2008), "Color universal design".
MODEL_COLOUR, PERSISTENCE_COLOUR, CLIMATOLOGY_COLOUR = "#0072B2", "#D55E00", "#009E73"
PART_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#999999")

DOTS_PER_INCH = 110
_WIDEST_TITLE, _BROKEN_TITLE = 0.98, 0.88  # of the width of a figure; lines of a broken one hold letters of any width
LONGEST_TEXT = 200  # characters of a title or a label
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pretty_units(units: str) -> str:
    """`"m2 s-2"` -> `"m² s⁻²"`, `"degC"` -> `"°C"`, `"1e-5 s-1"` -> `"10⁻⁵ s⁻¹"`."""
    units = re.sub(r"\b1e(-?\d+)", lambda match: "10" + match[1].translate(_SUPERSCRIPT), units)
    units = re.sub(r"(?<=[A-Za-z)])-?\d+", lambda match: match[0].translate(_SUPERSCRIPT), units)
    return units.replace("degC", "°C")


def describe_or_guess(name: str, attributes: Mapping[str, str] | None = None) -> Variable:
    """The table's entry; a variable of the user's own is described by its CF attributes."""
    try:
        return describe(name)
    except DataError:
        known = attributes or {}
        return Variable(
            name=name,
            standard_name=known.get("standard_name", ""),
            long_name=known.get("long_name", name),
            units=known.get("units", ""),
            minimum=float("-inf"),
            maximum=float("inf"),
        )


def model_name(attributes: Mapping[str, object]) -> str:
    """The model that a file is of, as its attributes tell; empty where they do not."""
    return str(attributes.get("model", "")).strip()


def shown_units(variable: Variable, *, difference: bool = False) -> str:
    """Display units as people write them; a difference of degrees Celsius is in kelvin."""
    return pretty_units(variable.units if difference and variable.display_offset else variable.shown_units)


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a PNG atomically and returns its path.

    Raises:
        OutputError: the place cannot be written.
    """
    with replacing(path) as temporary:
        write_png(figure, temporary)
    return Path(path)


def write_png(figure: Figure, file: str | Path | io.BytesIO) -> None:
    """Draws a figure into a file. Its texts are text: a dollar begins no formula, and each is one short line.

    A title wider than the figure is broken into lines.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    of_ticks = {label for tick in figure.findobj(Tick) for label in tick.findobj(Text)}  # matplotlib's own, in formulae
    for each in set(figure.findobj(Text)) - of_ticks:
        assert isinstance(each, Text)
        each.set_parse_math(False)
        each.set_text(printable(each.get_text(), LONGEST_TEXT))
    for title in figure.texts:
        share = title.get_window_extent(renderer).width / figure.bbox.width
        if share > _WIDEST_TITLE:
            title.set_text(textwrap.fill(title.get_text(), int(_BROKEN_TITLE * len(title.get_text()) / share)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the font lacks, and labels that leave no room
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
