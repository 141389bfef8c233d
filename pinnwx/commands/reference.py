"""The reference of the command line as Markdown, from the commands themselves.

python -m pinnwx.commands.reference README.md      writes the table of verbs in a page again
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from pinnwx.commands.app import app
from pinnwx.errors import UsageError
from pinnwx.files import write_text

BEGIN, END = "<!-- verbs -->", "<!-- end of verbs -->"
_HEADING = ("| verb | does |", "| --- | --- |")
_TYPES = {str: "text", int: "number", float: "number", Path: "path"}  # of options


def reference() -> str:
    """A table of all verbs, and a section with the arguments and options of each."""
    rows = [f"| [`{name}`](#pinnwx-{name.replace(' ', '-')}) | {_summary(verb)} |" for name, verb in verbs()]
    return "\n".join([*_HEADING, *rows, "", *(line for name, verb in verbs() for line in _section(name, verb))])


def table() -> str:
    """A table of all verbs, each with the first sentence of its help."""
    rows = [f"| `{name}` | {_summary(verb).partition('. ')[0].removesuffix('.')} |" for name, verb in verbs()]
    return "\n".join([*_HEADING, *rows])


def with_table(page: str) -> str:
    """The page with `table` between its two markers.

    Raises:
        UsageError: it has no markers.
    """
    pattern = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
    if not pattern.search(page):
        raise UsageError(f"the page has no place for the table of verbs; write {BEGIN} and {END}, a line each")
    return pattern.sub(lambda _: f"\n{table()}\n\n", page)


def verbs(group: typer.Typer = app, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """(name, function) of every verb, those of groups with the name of the group before."""
    for command in group.registered_commands:
        assert command.name is not None
        assert command.callback is not None
        yield prefix + command.name, command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from verbs(inner.typer_instance, f"{prefix}{inner.name} ")


def _summary(verb: Callable[..., Any]) -> str:
    return (inspect.getdoc(verb) or "").split("\n\n")[0].replace("\n", " ")


def _section(name: str, verb: Callable[..., Any]) -> Iterator[str]:
    """Usage, arguments and options of a verb."""
    hints, arguments, options = get_type_hints(verb, include_extras=True), [], []
    for parameter in inspect.signature(verb).parameters.values():
        kind, *extras = get_args(hints[parameter.name])
        info = next(each for each in extras if isinstance(each, ArgumentInfo | OptionInfo))
        spelling = _spelling(parameter.name, kind, info)
        if isinstance(info, ArgumentInfo) and parameter.default is not inspect.Parameter.empty:
            spelling = f"[{spelling}]"
        row = f"| `{spelling}` | {_default(parameter)} | {_as_text(info.help or '')} |"
        (arguments if isinstance(info, ArgumentInfo) else options).append(row)
    usage = ["pinnwx", name, *(row.split("`")[1] for row in arguments), *(["[OPTIONS]"] if options else [])]
    yield from (f"## pinnwx {name}", "", inspect.getdoc(verb) or "", "", "```sh", " ".join(usage), "```", "")
    if arguments or options:
        yield from ("| argument or option | default | meaning |", "| --- | --- | --- |", *arguments, *options, "")


def _spelling(name: str, kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """An argument as NAME, an option as --name <type>; dots where it may be repeated."""
    base = next((each for each in (kind, *get_args(kind)) if isinstance(each, type)), str)
    inner = next((each for each in get_args(kind) if get_origin(each) is list), kind)
    many = "..." if get_origin(inner) is list else ""
    if isinstance(info, ArgumentInfo):
        return (info.metavar or name.upper()) + many
    option = next(iter(info.param_decls or ()), f"--{name.replace('_', '-')}")
    return option if base is bool else f"{option} {info.metavar or f'<{_TYPES.get(base, base.__name__)}>'}"


def _as_text(text: str) -> str:
    """The text as a cell of a table: brackets make no link, and a bar ends no cell."""
    return re.sub(r"([\[\]|])", r"\\\1", text)


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    return "" if parameter.default in (None, False, (), "") else f"`{parameter.default}`"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        page = Path(argument)
        write_text(page, with_table(page.read_text(encoding="utf-8")))
