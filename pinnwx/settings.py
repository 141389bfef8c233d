"""Tables of a config: validation of single values, and checks that combine several values.

A check is a method marked by `agreement`; it yields problems. If some values of a table are invalid, the checks still
run on the valid values (`as_read`), so that all problems are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

DISAGREEMENT = "disagreement"  # the error type in pydantic of a failed check
_Check = TypeVar("_Check", bound=Callable[..., Iterator[str]])
_Table = TypeVar("_Table", bound="Settings")


class NotJudged(Exception):
    """A check needs a value that is invalid."""


def agreement(method: _Check) -> _Check:
    """Marks a method of `Settings` as a check that yields problems."""
    method.is_agreement = True  # type: ignore[attr-defined]
    return method


class Settings(BaseModel):
    """A table; unknown keys, invalid values and failed checks are errors.

    The string below a key is its description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    def disagreements(self) -> list[str]:
        """The problems that the checks of this table find; checks that need an invalid value are skipped."""
        problems = []
        for method in vars(type(self)).values():
            if getattr(method, "is_agreement", False):
                with suppress(NotJudged):
                    problems += list(method(self))
        return problems

    @model_validator(mode="after")
    def _agrees(self: _Table) -> _Table:
        if problems := self.disagreements():
            raise PydanticCustomError(DISAGREEMENT, "{problems}", {"problems": "; ".join(problems)})
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise NotJudged(name)
            return super().__getattr__(name)


def as_read(schema: type[_Table], raw: dict[str, Any]) -> _Table:
    """A table with only its valid values; access to any other value raises `NotJudged`."""
    unchecked = schema.model_construct()
    values: dict[str, Any] = vars(unchecked)  # the model is frozen, but not shared yet
    for name, field in schema.model_fields.items():
        key = field.alias or name
        if key in raw:
            values.pop(name, None)
            with suppress(NotJudged):
                values[name] = _value(field, raw[key])
    return unchecked


def all_disagreements(table: Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, problem) for the checks of a table and of all tables inside it."""
    yield from ((path, text) for text in table.disagreements())
    for name, field in type(table).model_fields.items():
        value, here = table.__dict__.get(name), (*path, field.alias or name)
        inner = {(): value}
        if isinstance(value, tuple):
            inner = {(str(number),): each for number, each in enumerate(value)}
        elif isinstance(value, dict):
            inner = {(key,): each for key, each in value.items()}
        for last, each in inner.items():
            if isinstance(each, Settings):
                yield from all_disagreements(each, (*here, *last))


def tables_in(annotation: Any) -> Iterator[type[Settings]]:
    """The table types in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for each in get_args(annotation):
        yield from tables_in(each)


def _value(field: FieldInfo, raw: Any) -> Any:
    schema, kind = next(tables_in(field.annotation), None), get_origin(field.annotation)
    if schema is None:
        own: Any = Annotated[field.annotation, field]
        try:
            return TypeAdapter(own, config=ConfigDict(allow_inf_nan=False)).validate_python(raw)
        except ValidationError:
            raise NotJudged from None
    if kind is tuple and isinstance(raw, list):
        return tuple(as_read(schema, each) for each in raw if isinstance(each, dict))
    if kind is tuple or not isinstance(raw, dict):
        raise NotJudged
    if kind is dict:
        return {key: as_read(schema, each) for key, each in raw.items() if isinstance(each, dict)}
    return as_read(schema, raw)
