"""The tables and keys of a config, from the settings."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from pinnwx.config.data import Period
from pinnwx.config.experiment import Config
from pinnwx.config.training import Stage
from pinnwx.settings import Settings, tables_in

INLINE = (Period, Stage)  # tables that are written on one line


@dataclass(frozen=True)
class Key:
    """One key of a table, from its field."""

    name: str
    field: FieldInfo

    @property
    def mark(self) -> str:
        """The mark of a value in the template that is not a default."""
        return "(required) " if self.field.is_required() else "(example) " if self.field.examples else ""

    @property
    def value(self) -> Any:
        """An example, or the default."""
        if self.field.examples:
            return self.field.examples[0]
        return self.field.get_default(call_default_factory=True)

    @property
    def description(self) -> str:
        return self.field.description or ""


@dataclass(frozen=True)
class Table:
    """One table with its keys; the tables inside it are separate entries."""

    path: str
    schema: type[Settings]
    field: FieldInfo | None  # of the table that it is in

    @property
    def is_array(self) -> bool:
        return self.field is not None and get_origin(self.field.annotation) is tuple

    @property
    def heading(self) -> str:
        """The heading in TOML; empty at the top of the file."""
        return f"[[{self.path}]]" if self.is_array else self.path and f"[{self.path}]"

    @property
    def examples(self) -> list[dict[str, Any]]:
        """For an array, the entries in the template; for another table, one empty entry."""
        return self.field.examples[0] if self.is_array and self.field and self.field.examples else [{}]

    @property
    def keys(self) -> list[Key]:
        return [Key(f.alias or name, f) for name, f in self.schema.model_fields.items() if not _own_table(f)]

    @property
    def description(self) -> str:
        """The descriptions of the schema and of the key in the outer table."""
        return "\n\n".join(filter(None, (_docstring(self.schema), self.field and self.field.description)))


def tables(path: str = "", schema: type[Settings] = Config, field: FieldInfo | None = None) -> Iterator[Table]:
    """Every table of a config, outer tables first. A table with names chosen by the user has an example name."""
    yield Table(path, schema, field)
    for name, inner in schema.model_fields.items():
        if not _own_table(inner):
            continue
        parts = [path, inner.alias or name]
        if get_origin(inner.annotation) is dict:
            parts.append(next(iter(inner.examples[0])) if inner.examples else "NAME")
        yield from tables(".".join(filter(None, parts)), next(tables_in(inner.annotation)), inner)


def one_line(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, Settings):
        value = value.model_dump(by_alias=True)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {one_line(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(one_line, value)) + "]"
    return json.dumps(value)


def _own_table(field: FieldInfo) -> bool:
    """Whether the values of a field are separate tables, not inline tables."""
    inner = next(tables_in(field.annotation), None)
    return inner is not None and inner not in INLINE


def _docstring(schema: type[Settings]) -> str:
    return inspect.getdoc(schema) or ""
