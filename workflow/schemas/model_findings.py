"""From a pydantic model's complaints to findings: one wording and one set of patches for all JSON we read."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from workflow.findings import MOST_FINDINGS, Finding, PatchOperation, did_you_mean, nearest, pointer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

_CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field"}
_BOUNDS = {"greater_than_equal": "ge", "less_than_equal": "le"}


def model_findings(model: type[BaseModel], document: Any) -> list[Finding]:
    """Everything that ``model`` has against ``document``; empty where it fits."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return _with_misnamed([_finding(model, document, detail) for detail in details[:MOST_FINDINGS]])
    return []


def _finding(model: type[BaseModel], document: Any, detail: ErrorDetails) -> Finding:
    path = existing_path(document, detail["loc"], missing=detail["type"] == "missing")
    at = pointer(*path)
    code = _CODES.get(detail["type"], "bad_value")
    if code == "missing_field":
        what = description_at(model, path)
        return Finding(
            code=code,
            pointer=at,
            message=f"The field {path[-1]!r} is missing.",
            fix=f"Add it. {what}".rstrip() if what else f"Add {path[-1]!r}.",
        )
    if code == "unknown_field":
        return _unknown_field(model, document, path)
    expected = _literal_choices(detail)
    if expected and isinstance(detail["input"], str) and not _holds_secret(model):
        near = nearest(detail["input"], expected)
        message = f"{detail['input']!r:.200} is not one of {', '.join(expected)}.{did_you_mean(near)}"
        return _bad_value(at, message, near, "Take one of them.")
    message = detail["msg"].removeprefix("Value error, ")
    context: Mapping[str, Any] = detail.get("ctx", {})
    better = context.get("suggestion", context.get(_BOUNDS.get(detail["type"], "")))
    what = description_at(model, path)
    fix = f"Change it accordingly. {what}".rstrip() if what else "Change it accordingly."
    given = "" if _holds_secret(model) else f"; given: {_shown(detail['input'])}"
    return _bad_value(at, f"{message}{given}.", better, fix)


def _bad_value(at: str, message: str, better: Any, fix: str) -> Finding:
    if better is None:
        return Finding(code="bad_value", pointer=at, message=message, fix=fix)
    patch = PatchOperation(op="replace", path=at, value=better)
    return Finding(code="bad_value", pointer=at, message=message, patch=(patch,))


def _with_misnamed(findings: list[Finding]) -> list[Finding]:
    """One field too many and one too few in the same object: most likely the one was meant to be the other."""
    by_object: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.code in ("missing_field", "unknown_field"):
            by_object.setdefault(finding.pointer.rpartition("/")[0], []).append(finding)
    for found in by_object.values():
        missing = [each for each in found if each.code == "missing_field"]
        unknown = [each for each in found if each.code == "unknown_field" and not each.patch]
        if len(missing) == len(unknown) == 1:
            patch = PatchOperation.model_validate(
                {"op": "move", "from": unknown[0].pointer, "path": missing[0].pointer}
            )
            findings[findings.index(unknown[0])] = unknown[0].model_copy(update={"patch": (patch,), "fix": None})
    return findings


def _unknown_field(model: type[BaseModel], document: Any, path: Sequence[str | int]) -> Finding:
    at, name = pointer(*path), str(path[-1])
    owner: Any = document
    for part in path[:-1]:
        owner = owner[part]
    known = [field for field in fields_at(model, path[:-1]) if field not in owner]
    near = nearest(name, known)
    head, dot, _ = name.partition(".")
    if dot and isinstance(owner.get(head), dict):
        target = pointer(*path[:-1], *name.split("."))
        return Finding(
            code="unknown_field",
            pointer=at,
            message=f"There is no field {name!r:.200} here; what lies deeper is written nested, not with dots.",
            patch=(PatchOperation.model_validate({"op": "move", "from": at, "path": target}),),
        )
    message = f"There is no field {name!r:.200} here."
    if near is not None:
        patch = PatchOperation.model_validate({"op": "move", "from": at, "path": pointer(*path[:-1], near)})
        return Finding(code="unknown_field", pointer=at, message=message + did_you_mean(near), patch=(patch,))
    # Nobody knows what it was meant to do: a patch that removes it would lose that.
    all_known = ", ".join(fields_at(model, path[:-1]))
    fix = (
        f"Write what it is meant to do with one of these, or leave it out: {all_known}."
        if all_known
        else "Leave it out."
    )
    return Finding(code="unknown_field", pointer=at, message=message, fix=fix)


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
    """The names of the fields that an object at ``path`` may have, as they are written; empty where any may be."""
    kind: Any = model
    for part in path:
        kind = _step(kind, part)
    found = _model_in(kind)
    return [field.alias or name for name, field in found.model_fields.items()] if found is not None else []


def description_at(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What the model says about the field at ``path``; empty where it says nothing or the path leads to none."""
    kind: Any = model
    for part in path[:-1]:
        kind = _step(kind, part)
    found = _model_in(kind)
    field = found.model_fields.get(str(path[-1])) if found is not None and path else None
    return (field.description or "") if field is not None else ""


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
    if detail["type"] not in ("literal_error", "enum"):
        return []
    context: Mapping[str, Any] = detail.get("ctx", {})
    return [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _holds_secret(model: type[BaseModel]) -> bool:
    """Whether some field of it is a secret: then nothing that was given for any of them is repeated."""
    return any(SecretStr in _options(field.annotation) for field in model.model_fields.values())
