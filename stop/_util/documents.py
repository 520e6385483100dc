"""Results as JSON documents, and the schemas that describe them; both by pydantic.

A result is a frozen dataclass or a TypedDict. Its docstring says what each field means, its
annotations which type it has: the schema has both, and `docs/output.md` is made from schemas.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

T = TypeVar("T")


def to_document(result: Any) -> dict[str, Any]:
    """Returns a dataclass as plain data for JSON; fields that are marked `exclude` are left out."""
    kind: Any = type(result)
    document: dict[str, Any] = _adapter(kind).dump_python(result, mode="json", by_alias=True)
    return document


def extended(kind: type[T], result: Any, /, **more: Any) -> T:
    """Makes a dataclass that has the fields of another, and more."""
    return kind(**{field.name: getattr(result, field.name) for field in fields(result)} | more)


def schema(kind: Any) -> dict[str, Any]:
    """Returns the JSON schema of the documents of a class."""
    return _adapter(kind).json_schema(mode="serialization", schema_generator=_Described)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class _Described(GenerateJsonSchema):
    """Describes properties by the docstring of their class."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _described(super().dataclass_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _described(super().typed_dict_schema(schema), schema["cls"])


def _described(found: JsonSchemaValue, kind: type) -> JsonSchemaValue:
    found["description"] = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:")[0]
    for name, text in _attributes(kind).items():
        if name in found["properties"]:
            found["properties"][name]["description"] = text
    return found


def _attributes(kind: type) -> dict[str, str]:
    """Returns what the docstrings of a class, and of those that it extends, say of its fields."""
    found: dict[str, str] = {}
    for base in getattr(kind, "__orig_bases__", kind.__bases__):
        if isinstance(base, type) and base is not object:
            found |= _attributes(base)
    listed = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:\n")[2]
    for entry in re.split(r"\n    (?! )", "\n" + listed)[1:]:
        names, _, text = entry.partition(":")
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found
