"""Text that somebody else wrote, as one harmless line: the one place that all that is printed passes through.

Units, titles, attributes, names of files and fields of a manifest are chosen by whoever made a file. A terminal obeys
control characters (ESC moves the cursor, sets titles, writes the clipboard), a line break forges a message of its own,
and marks of direction show a name backwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from unicodedata import category

LONGEST_MESSAGE = 4000  # characters
_MOST_DECIMALS = 5


def printable(text: str, most: int | None = None) -> str:
    r"""The text with every control character, line break, mark of direction and lone surrogate written as an escape.

    `\x1b` stands for ESC, `\n` for a line break, `\u202e` for a right-to-left override. Letters of all scripts stay as
    they are. With `most`, a longer text is cut in its middle to about so many characters.
    """
    if most is not None and len(text) > most:
        text = f"{text[: 3 * most // 4]} ... ({len(text):,} characters) ... {text[-(most // 4) :]}"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or category(each) == "Zs" else _escaped(each) for each in text)


def three_digits(value: float) -> str:
    """A number to three significant digits, its zeros kept: `0.500`, `1.20`, `-12.3`, `123`, `1230`, `1.20e-05`."""
    text = f"{value:#.3g}"
    if 1e3 <= abs(float(text)) < 1e6:
        return f"{float(text):.0f}"
    return text.removesuffix(".")


def decimals_for(values: Iterable[float | None]) -> int:
    """Decimals with which numbers stand one below the other: the smallest of them, zeros aside, has three digits."""
    sizes = [abs(value) for value in values if value]
    return 2 if not sizes else max(2 - math.floor(math.log10(float(f"{min(sizes):.2e}"))), 0)


def with_decimals(value: float, decimals: int) -> str:
    """A number with so many decimals; to three significant digits where that would be all zeros, or too long."""
    text = f"{value + 0.0:.{decimals}f}"
    hidden = value != 0 and not any(digit in text for digit in "123456789")
    return three_digits(value) if hidden or decimals > _MOST_DECIMALS else text


def alike_merged(messages: Iterable[str]) -> list[str]:
    """One message for all that differ in the file alone ("folder/file: what"): their number, the first file, and what.

    The order is that of the first of each kind.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for message in messages:
        file, _, what = message.partition(": ")
        of_a_file = "/" in file and bool(what)
        groups.setdefault((of_a_file, what if of_a_file else message), []).append(file)
    merged = []
    for (of_a_file, what), files in groups.items():
        place = files[0] if len(files) == 1 else f"{len(files)} files, the first {files[0]}"
        merged.append(f"{place}: {what}" if of_a_file else what)
    return merged


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
