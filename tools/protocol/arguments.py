"""Arguments in forms that clients send by mistake and that can mean one thing only, read as what they mean."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import orjson
from pydantic import BaseModel, ValidationError

from workflow.findings import pointer
from workflow.schemas.model_findings import existing_path

_STARTS = {"dict_type": "{", "model_type": "{", "model_attributes_type": "{", "list_type": "["}
"""Pydantic's complaints about what should have been an object or a list, and how JSON of that begins."""


def read_json_texts(arguments: dict[str, Any], error: ValidationError) -> tuple[dict[str, Any], list[str]]:
    """``arguments`` with JSON text read where an object or list is due, and a note for each place.

    Some clients send nested arguments as text. A text that is not JSON of the kind that is due stays as it is.
    """
    mended, notes = copy.deepcopy(arguments), []
    for detail in error.errors(include_url=False):
        start, text = _STARTS.get(detail["type"]), detail["input"]
        if start is None or not isinstance(text, str) or not text.lstrip().startswith(start):
            continue
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        *parents, last = existing_path(arguments, detail["loc"], missing=False)
        owner: Any = mended
        for part in parents:
            owner = owner[part]
        if owner[last] == text:
            owner[last] = value
            notes.append(f"{pointer(*parents, last)} came as text and was read as JSON; send it as JSON next time.")
    return mended, notes


def without_blanks(model: type[BaseModel], arguments: Any) -> Any:
    """``arguments`` without the optional ones that are ``null`` or ``""``: both mean that they are left out.

    Many clients send every argument that a schema has. Models within the model are treated the same; what users' own
    data is (an input, a definition) is left as it is.
    """
    if not isinstance(arguments, dict):
        return arguments
    optional, inner = _optional(model), _inner(model)
    kept = {
        name: without_blanks(inner[name], value) if name in inner else value
        for name, value in arguments.items()
        if not (name in optional and _is_blank(value))
    }
    return kept if kept != arguments else arguments


def without_unfit_blanks(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a tool whose schema is a user's or another server's: there a ``null`` or ``""`` that the schema
    takes is a value, and stays."""
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(properties, dict):
        return dict(arguments)
    needed = required if isinstance(required, list) else ()
    return {
        name: value
        for name, value in arguments.items()
        if not _is_blank(value) or name in needed or _takes(properties.get(name), value)
    }


def _takes(schema: Any, value: str | None) -> bool:
    """Whether a member's schema takes a blank value, as far as that can be seen without following references."""
    if not isinstance(schema, dict):
        return True
    kind = "null" if value is None else "string"
    if "type" in schema and kind not in (schema["type"] if isinstance(schema["type"], list) else [schema["type"]]):
        return False
    if ("const" in schema and schema["const"] != value) or (
        isinstance(schema.get("enum"), list) and value not in schema["enum"]
    ):
        return False
    if value is not None and (schema.get("minLength") or schema.get("format")):
        return False
    return all(
        any(_takes(each, value) for each in branches)
        for branches in (schema.get("anyOf"), schema.get("oneOf"))
        if isinstance(branches, list) and branches
    )


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


@cache
def _optional(model: type[BaseModel]) -> frozenset[str]:
    """The arguments that may be left out, by every name that they have."""
    fields = model.model_fields.items()
    return frozenset(
        spelling
        for name, field in fields
        if not field.is_required()
        for spelling in (name, field.alias, field.validation_alias)
        if isinstance(spelling, str)
    )


@cache
def _inner(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The arguments that are models themselves."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found
