"""Common style of the figures: typeset units, colours for colour-blind readers, and saving."""

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
_WIDEST_TITLE, _BROKEN_TITLE = 0.98, 0.88  # fractions of the figure width: of a title, and of the lines of a broken one
LONGEST_TEXT = 200  # characters of a title or a label
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pretty_units(units: str) -> str:
    """`"m2 s-2"` -> `"m² s⁻²"`, `"degC"` -> `"°C"`, `"1e-5 s-1"` -> `"10⁻⁵ s⁻¹"`."""
    units = re.sub(r"\b1e(-?\d+)", lambda match: "10" + match[1].translate(_SUPERSCRIPT), units)
    units = re.sub(r"(?<=[A-Za-z)])-?\d+", lambda match: match[0].translate(_SUPERSCRIPT), units)
    return units.replace("degC", "°C")


def describe_or_guess(name: str, attributes: Mapping[str, str] | None = None) -> Variable:
    """The entry of the variable table; for a user-defined variable, an entry from its CF attributes."""
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
    """The name of the model in the attributes of a file; empty if absent."""
    return str(attributes.get("model", "")).strip()


def shown_units(variable: Variable, *, difference: bool = False) -> str:
    """Typeset display units; a difference of degrees Celsius is in kelvin."""
    return pretty_units(variable.units if difference and variable.display_offset else variable.shown_units)


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a PNG atomically and returns its path.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        write_png(figure, temporary)
    return Path(path)


def write_png(figure: Figure, file: str | Path | io.BytesIO) -> None:
    """Draws a figure into a file; texts are plain (a dollar sign starts no formula) and one short line.

    A title that is wider than the figure is broken into lines.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    of_ticks = {
        label for tick in figure.findobj(Tick) for label in tick.findobj(Text)
    }  # tick labels of matplotlib use formulas
    for each in set(figure.findobj(Text)) - of_ticks:
        assert isinstance(each, Text)
        each.set_parse_math(False)
        each.set_text(printable(each.get_text(), LONGEST_TEXT))
    for title in figure.texts:
        fraction = title.get_window_extent(renderer).width / figure.bbox.width
        if fraction > _WIDEST_TITLE:
            title.set_text(textwrap.fill(title.get_text(), int(_BROKEN_TITLE * len(title.get_text()) / fraction)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # missing glyphs, and labels without room
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
