"""Makes untrusted text safe to print, as one line; all printed text passes through this module.

The author of a file chooses its units, titles, attributes, file names and manifest fields. Control characters can
control a terminal (ESC moves the cursor, sets titles, writes the clipboard), a line break can forge a message, and
direction marks can display a name backwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from unicodedata import category

LONGEST_MESSAGE = 4000  # characters
_MOST_DECIMALS = 5


def printable(text: str, most: int | None = None) -> str:
    r"""The text with every control character, line break, direction mark and lone surrogate as an escape sequence.

    `\x1b` stands for ESC, `\n` for a line break, `\u202e` for a right-to-left override. Letters of all scripts are
    unchanged. With `most`, the middle of a longer text is removed, so that about `most` characters remain.
    """
    if most is not None and len(text) > most:
        text = f"{text[: 3 * most // 4]} ... ({len(text):,} characters) ... {text[-(most // 4) :]}"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or category(each) == "Zs" else _escaped(each) for each in text)


def three_digits(value: float) -> str:
    """A number with three significant digits and its zeros: `0.500`, `1.20`, `-12.3`, `123`, `1230`, `1.20e-05`."""
    text = f"{value:#.3g}"
    if 1e3 <= abs(float(text)) < 1e6:
        return f"{float(text):.0f}"
    return text.removesuffix(".")


def decimals_for(values: Iterable[float | None]) -> int:
    """The common number of decimals of a column: the smallest nonzero number has three significant digits."""
    sizes = [abs(value) for value in values if value]
    return 2 if not sizes else max(2 - math.floor(math.log10(float(f"{min(sizes):.2e}"))), 0)


def with_decimals(value: float, decimals: int) -> str:
    """A number with this many decimals; with three significant digits if it would show only zeros or be too long."""
    text = f"{value + 0.0:.{decimals}f}"
    hidden = value != 0 and not any(digit in text for digit in "123456789")
    return three_digits(value) if hidden or decimals > _MOST_DECIMALS else text


def alike_merged(messages: Iterable[str]) -> list[str]:
    """Merges messages "folder/file: text" with the same text: their number, the first file, and the text.

    The order is that of the first message of each text.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for message in messages:
        file, _, text = message.partition(": ")
        of_a_file = "/" in file and bool(text)
        groups.setdefault((of_a_file, text if of_a_file else message), []).append(file)
    merged = []
    for (of_a_file, text), files in groups.items():
        place = files[0] if len(files) == 1 else f"{len(files)} files, the first {files[0]}"
        merged.append(f"{place}: {text}" if of_a_file else text)
    return merged


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
