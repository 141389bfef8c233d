"""Parses TOML within size limits, and reports all problems of a config at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pinnwx.errors import ConfigError
from pinnwx.settings import DISAGREEMENT, Settings, all_disagreements, as_read, tables_in

LARGEST = 2**18  # bytes; the time of the parser grows with the square of the size
_MOST_DOTS = 100  # in a line, for the same reason: a key with many parts
_MOST_PROBLEMS = 20  # in a message


def toml_table(text: str, source: str) -> dict[str, Any]:
    """Parses a TOML text.

    Raises:
        ConfigError: the text is not valid TOML, or exceeds a size limit.
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
    except ValueError as error:  # tomllib, and Python for dates and numbers with thousands of digits
        raise ConfigError(f"{source}: not valid TOML: {error}") from None


def problems_of(error: ValidationError, schema: type[Settings], raw: dict[str, Any]) -> str:
    """The problems of a table with this schema, each with its path.

    Invalid values come first, then the failed checks of the valid values.
    """
    known = list(_paths(schema))
    wrong = [each for each in error.errors(include_url=False, include_input=False) if each["type"] != DISAGREEMENT]
    problems = [_problem_text(each, known) for each in wrong[:_MOST_PROBLEMS]]
    problems += [
        ": ".join(filter(None, (".".join(path), text))) for path, text in all_disagreements(as_read(schema, raw))
    ]
    more = len(wrong[_MOST_PROBLEMS:]) + len(problems[_MOST_PROBLEMS:])
    return "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more else "")


def _problem_text(problem: Any, known: list[tuple[str, ...]]) -> str:
    path = tuple(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message += _suggestion(path, known)
    return f"{'.'.join(path) or 'config'}: {message}"


def _suggestion(path: tuple[str, ...], known: list[tuple[str, ...]]) -> str:
    """A hint at a similar key, in the same table or in another one; empty if there is none."""
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
    """The path of every key of a schema."""
    for name, field in schema.model_fields.items():
        path = (*start, field.alias or name)
        yield path
        for inner in tables_in(field.annotation):
            yield from _paths(inner, path)
