"""From a pydantic model's complaints to findings: one wording and one set of patches for all JSON we read."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from workflow.findings import Finding, PatchOperation, did_you_mean, nearest, pointer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

_CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field"}


def model_findings(model: type[BaseModel], document: Any) -> list[Finding]:
    """Everything that ``model`` has against ``document``; empty where it fits."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [_finding(model, document, detail) for detail in error.errors(include_url=False)]
    return []


def _finding(model: type[BaseModel], document: Any, detail: ErrorDetails) -> Finding:
    path = existing_path(document, detail["loc"], missing=detail["type"] == "missing")
    at = pointer(*path)
    code = _CODES.get(detail["type"], "bad_value")
    if code == "missing_field":
        return Finding(code=code, pointer=at, message=f"The field {path[-1]!r} is missing.")
    if code == "unknown_field":
        return _unknown_field(model, document, path)
    expected = _literal_choices(detail)
    if expected and isinstance(detail["input"], str):
        near = nearest(detail["input"], expected)
        patch = (PatchOperation(op="replace", path=at, value=near),) if near else ()
        message = f"{detail['input']!r} is not one of {', '.join(expected)}.{did_you_mean(near)}"
        return Finding(code=code, pointer=at, message=message, patch=patch)
    message = detail["msg"].removeprefix("Value error, ")
    return Finding(code=code, pointer=at, message=f"{message}; given: {_shown(detail['input'])}.")


def _unknown_field(model: type[BaseModel], document: Any, path: Sequence[str | int]) -> Finding:
    at, name = pointer(*path), str(path[-1])
    owner: Any = document
    for part in path[:-1]:
        owner = owner[part]
    known = [field for field in fields_at(model, path[:-1]) if field not in owner]
    near = nearest(name, known)
    if near is not None:
        patch = PatchOperation.model_validate(
            {"op": "move", "from": at, "path": pointer(*path[:-1], near)},
        )
    else:
        patch = PatchOperation(op="remove", path=at)
    all_known = ", ".join(fields_at(model, path[:-1]))
    hint = did_you_mean(near) or (f" Known here: {all_known}." if all_known else "")
    return Finding(code="unknown_field", pointer=at, message=f"There is no field {name!r} here.{hint}", patch=(patch,))


def existing_path(document: Any, location: Sequence[str | int], *, missing: bool) -> tuple[str | int, ...]:
    """Pydantic's location without the parts that name a union's branch and are not in the document.

    With ``missing`` the last part is the absent field's name and is kept.
    """
    path: list[str | int] = []
    here = document
    last = len(location) - 1
    for index, part in enumerate(location):
        if isinstance(here, dict) and (part in here or (missing and index == last)):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
    return tuple(path)


def fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The names of the fields that an object at ``path`` may have; empty where any or none may be."""
    kind: Any = model
    for part in path:
        kind = _step(kind, part)
    found = _model_in(kind)
    return list(found.model_fields) if found is not None else []


def _step(kind: Any, part: str | int) -> Any:
    model = _model_in(kind)
    if model is not None and isinstance(part, str):
        field = model.model_fields.get(part)
        return field.annotation if field is not None else None
    for option in _options(kind):
        arguments = get_args(option)
        if get_origin(option) is dict:
            return arguments[1]
        if get_origin(option) is list:
            return arguments[0]
    return None


def _model_in(kind: Any) -> type[BaseModel] | None:
    for option in _options(kind):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _options(kind: Any) -> Sequence[Any]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _literal_choices(detail: ErrorDetails) -> list[str]:
    if detail["type"] != "literal_error":
        return []
    context: Mapping[str, Any] = detail.get("ctx", {})
    return [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
