"""The keys of a config for editors (`pinnwx config schema`) and for the documentation."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from pinnwx.config.experiment import Config
from pinnwx.config.keys import INLINE, Key, one_line, tables
from pinnwx.settings import Settings


def json_schema() -> str:
    """The JSON schema of a config, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def reference() -> str:
    """Every table and key with type, limits and default, as Markdown."""
    schema, lines = Config.model_json_schema(), []
    for table in tables():
        properties = _properties(schema, table.schema)
        lines += [f"## {f'`{table.heading}`' if table.path else 'The top of the file'}", "", table.description, ""]
        for key in table.keys:
            lines += [f"`{key.name}` *{_facts(key, properties[key.name])}*", ""]
            lines += [":" + textwrap.indent(key.description, "    ")[1:], ""]
    return "\n".join(lines)


def _properties(schema: dict[str, Any], table: type[Settings]) -> dict[str, Any]:
    return schema["properties"] if table is Config else schema["$defs"][table.__name__]["properties"]


def _facts(key: Key, schema: dict[str, Any]) -> str:
    """Type, limits and default of a key, from its JSON schema."""
    if key.field.is_required():
        default = "required"
    else:
        value = key.field.get_default(call_default_factory=True)
        default = "no default" if value in (None, "", (), {}) else f"default `{one_line(value)}`"
    return f"{_kind(schema)}, {default}"


def _kind(schema: dict[str, Any]) -> str:
    """The type and the limits that a JSON schema states, in words."""
    if "$ref" in schema:
        (table,) = (each for each in INLINE if schema["$ref"].endswith(f"/{each.__name__}"))
        return f"`{{ {', '.join(table.model_fields)} }}`"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "const" in schema:
        return f"`{one_line(schema['const'])}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{one_line(each)}`" for each in schema["enum"])
    kind = schema.get("type", "value")
    if kind == "array":
        inner = schema.get("items") or schema["prefixItems"][0]
        return f"list of {_kind(inner)}"
    if kind == "object":
        (inner,) = schema.get("patternProperties", {"": schema.get("additionalProperties")}).values()
        return f"table of {_kind(inner)}"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    stated = [f"{words} {schema[bound]:,}" for bound, words in bounds.items() if bound in schema]
    word = {"string": "text", "boolean": "true or false"}.get(kind, str(kind))
    return f"{word} {', '.join(stated)}".strip()
