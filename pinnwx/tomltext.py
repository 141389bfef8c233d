"""TOML that somebody wrote: read within bounds, and all that is wrong with it said at once, in words."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pinnwx.errors import ConfigError
from pinnwx.settings import DISAGREEMENT, Settings, all_disagreements, as_read, tables_in

LARGEST = 2**18  # bytes; the reader takes time in their square
_MOST_DOTS = 100  # on a line, for the same reason: a key of many parts
_MOST_TOLD = 20  # problems


def toml_table(text: str, source: str) -> dict[str, Any]:
    """The table in a TOML text.

    Raises:
        ConfigError: it is none, or larger, deeper or longer than any config has to be.
    """
    if len(text) > LARGEST:
        raise ConfigError(f"{source}: {len(text)} characters are more than the {LARGEST} a config may have")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MOST_DOTS:
            raise ConfigError(
                f"{source}: line {number} has {line.count('.')} dots, more than {_MOST_DOTS}; write long lists on "
                "several lines, and keys in tables"
            )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source}: not valid TOML: it is nested too deeply") from None
    except ValueError as error:  # beside its own, what Python says of dates and of numbers of thousands of digits
        raise ConfigError(f"{source}: not valid TOML: {error}") from None


def problems_of(error: ValidationError, schema: type[Settings], raw: dict[str, Any]) -> str:
    """What is wrong with a table that should be of this schema, each problem by its path.

    First come the values that are wrong by themselves, then what does not agree, as far as it can be judged.
    """
    known = list(_paths(schema))
    wrong = [each for each in error.errors(include_url=False, include_input=False) if each["type"] != DISAGREEMENT]
    problems = [_told(each, known) for each in wrong[:_MOST_TOLD]]
    problems += [
        ": ".join(filter(None, (".".join(path), text))) for path, text in all_disagreements(as_read(schema, raw))
    ]
    more = len(wrong[_MOST_TOLD:]) + len(problems[_MOST_TOLD:])
    return "; ".join(problems[:_MOST_TOLD]) + (f"; and {more} more" if more else "")


def _told(problem: Any, known: list[tuple[str, ...]]) -> str:
    path = tuple(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message += _meant(path, known)
    return f"{'.'.join(path) or 'config'}: {message}"


def _meant(path: tuple[str, ...], known: list[tuple[str, ...]]) -> str:
    """The key that was meant, of the same table or of that name elsewhere; empty where none is like it."""
    table, name = tuple(part for part in path[:-1] if not part.isdigit()), path[-1][:100]
    beside = {each[-1]: each for each in known if each[:-1] == table}
    elsewhere = [each for each in known if each[-1] == name]
    close = difflib.get_close_matches(name, beside, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if elsewhere:
        return f'; did you mean "{".".join(elsewhere[0])}"?'
    anywhere = difflib.get_close_matches(name, {each[-1]: each for each in known}, n=1, cutoff=0.75)
    full = next((each for each in known if each[-1:] == tuple(anywhere)), None)
    return "" if full is None else f'; did you mean "{".".join(full)}"?'


def _paths(schema: type[Settings], start: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a schema, with the tables it is in."""
    for name, field in schema.model_fields.items():
        path = (*start, field.alias or name)
        yield path
        for inner in tables_in(field.annotation):
            yield from _paths(inner, path)
