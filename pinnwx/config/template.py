"""A config with every key, its description and a value: `pinnwx config template`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from pinnwx.config.keys import Table, one_line, tables

_WIDTH = 120
_HEADER = """\
Every key of a pinnwx configuration. Copy this file and keep the keys that you need:

    pinnwx train my_experiment.toml --data my_data --out my_run --minutes 10

A "(required)" key has no default. An "(example)" key shows an example; without the key there is no value, or the value
in the comment. Every other key shows its default and may be left out.

An unknown key, a wrong type or an impossible combination is refused. All problems are listed at once.
`pinnwx config template` writes this file."""


def template() -> str:
    """A config with every key and its description: TOML that `parse_config` accepts."""
    return "\n".join([*_comment(_HEADER), "", *(line for table in tables() for line in _shown(table))])


def _shown(table: Table) -> Iterator[str]:
    """A table of the template. For an array, the first example shows every key that does not only occur later."""
    if table.path:
        yield from ("", *_comment(table.description), table.heading)
    first, *later = table.examples
    shown = [key for key in table.keys if not later or key.name in first or not key.field.examples]
    for key in shown:
        yield from (*_comment(key.mark + key.description), f"{key.name} = {one_line(first.get(key.name, key.value))}")
    for example in later:
        yield from ("", table.heading)
        for key in table.keys:
            if key.name in example:
                yield from () if key in shown else _comment(key.mark + key.description)
                yield f"{key.name} = {one_line(example[key.name])}"
        shown += [key for key in table.keys if key.name in example]
    yield ""


def _comment(text: str) -> Iterator[str]:
    """The paragraphs of a text, list items included, as comment lines; indented lines are unchanged."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number and not paragraph.startswith("- "):
            yield "#"
        if paragraph.startswith(" "):
            yield from (f"# {line}" for line in paragraph.splitlines())
            continue
        for item in re.split(r"\n(?=- )", paragraph):
            indent = "#   " if item.startswith("- ") else "# "
            yield from textwrap.wrap(
                " ".join(item.split()), _WIDTH, initial_indent="# ", subsequent_indent=indent, break_on_hyphens=False
            )
