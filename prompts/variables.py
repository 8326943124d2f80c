"""The values of a template's variables: checked, made fit where that loses nothing, completed by defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from prompts.wholeness import MOST_LEVELS, is_too_deep
from workflow.errors import InvalidArgumentsError
from workflow.findings import Finding, PatchOperation, did_you_mean, listed, nearest, pointer
from workflow.prompt_templates import TemplateVariable, VariableType

MAX_VALUES_BYTES = 4_000_000
"""Of all values together, as JSON."""
DOCUMENT_LEVELS = 3
"""Levels that a template's document has around a value: itself, variables, one of them."""

_KINDS: Mapping[VariableType, str] = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def checked_values(
    name: str, variables: Sequence[TemplateVariable], given: Mapping[str, Any], *, at: str = "/variables"
) -> dict[str, Any]:
    """A value for each variable of the template ``name``.

    A number or boolean stands for a text as JSON writes it. Texts stand for whatever else their JSON is, as MCP's
    prompts have no arguments but texts. A variable that is not required takes its default for ``null`` too.

    Raises:
        InvalidArgumentsError: variables are missing, unknown, of the wrong type or none of those allowed; all at once.
    """
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    known = {each.name: each for each in variables}
    for each in variables:
        value = given.get(each.name)
        if value is None:
            if each.required:
                findings.append(_missing(each, at))
            else:
                values[each.name] = each.default
            continue
        fitted = fitted_value(each, value)
        if isinstance(fitted, Finding):
            findings.append(fitted.model_copy(update={"pointer": at + fitted.pointer}))
        else:
            values[each.name] = fitted[0]
    absent = [each.name for each in variables if each.name not in given]
    findings += [_unknown(name, each, known, absent, at) for each in given if each not in known]
    if findings:
        raise InvalidArgumentsError.of(findings, call=f"Prompt template {name!r}")
    require_small(values, at=at)
    return values


def fitted_value(variable: TemplateVariable, value: Any) -> tuple[Any] | Finding:
    """The value as the variable's type has it, in a tuple; or what is wrong with it, with a pointer from the values'
    object."""
    try:
        fitted = _of_type(variable.type, value)
    except RecursionError:
        return Finding(
            code="bad_value",
            pointer=pointer(variable.name),
            message=f"The variable {variable.name!r} is nested deeper than {MOST_LEVELS} levels.",
            fix="Make it flatter.",
        )
    except ValueError:
        return Finding(
            code="bad_value",
            pointer=pointer(variable.name),
            message=f"The variable {variable.name!r} is {_KINDS[variable.type]}; given: {_short(value)}.",
            fix=f"Give {_KINDS[variable.type]}." + (f" {variable.description}" if variable.description else ""),
        )
    if variable.enum and not any(_is_same(fitted, each) for each in variable.enum):
        choices = [_short(each) for each in variable.enum]
        near = nearest(fitted, [each for each in variable.enum if isinstance(each, str)]) if _is_str(fitted) else None
        message = f"The variable {variable.name!r} is one of {listed(choices)}; given: {_short(fitted)}."
        patch = (PatchOperation(op="replace", path=pointer(variable.name), value=near),) if near is not None else ()
        return Finding(
            code="bad_value",
            pointer=pointer(variable.name),
            message=message + did_you_mean(near),
            patch=patch,
            fix="Take one of them.",
        )
    return (fitted,)


def require_small(values: Mapping[str, Any], *, at: str) -> None:
    """Let values pass that are JSON, and not more than a prompt can take.

    Raises:
        InvalidArgumentsError: they are not.
    """
    if is_too_deep(values, MOST_LEVELS + DOCUMENT_LEVELS):
        message = f"The values are nested deeper than {MOST_LEVELS} levels."
        raise InvalidArgumentsError.of(
            [Finding(code="bad_value", pointer=at, message=message, fix="Make them flatter.")]
        )
    try:
        size = len(orjson.dumps(values))
    except orjson.JSONEncodeError as error:
        raise InvalidArgumentsError(
            f"The values are not JSON: {error}.", pointer=at, fix="Give texts, numbers, booleans, lists and objects."
        ) from error
    if size > MAX_VALUES_BYTES:
        raise InvalidArgumentsError(
            f"The values take {size} bytes; {MAX_VALUES_BYTES} are the most.", pointer=at, fix="Give less text."
        )


def _of_type(kind: VariableType, value: Any) -> Any:
    """The value as the type has it.

    Raises:
        ValueError: it is none, nor a text that stands for one.
        RecursionError: it is nested too deeply.
    """
    if is_too_deep(value):
        raise RecursionError
    if kind == "string":
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        if isinstance(value, str):
            return value
        raise ValueError(kind)
    if isinstance(value, str):
        value = json.loads(value, parse_constant=_refuse)
        if is_too_deep(value):
            raise RecursionError
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer" and is_number and math.isfinite(value) and value == int(value):
        return int(value)
    if kind == "number" and is_number and math.isfinite(value):
        return value
    fits = {"boolean": bool, "array": list | tuple, "object": dict}.get(kind)
    if fits is not None and isinstance(value, fits):
        return list(value) if isinstance(value, tuple) else value
    raise ValueError(kind)


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _missing(variable: TemplateVariable, at: str) -> Finding:
    what = f" {variable.description}" if variable.description else ""
    return Finding(
        code="missing_field",
        pointer=at + pointer(variable.name),
        message=f"The variable {variable.name!r} is missing.",
        fix=f"Give {_KINDS[variable.type]}.{what}",
    )


def _unknown(template: str, name: str, known: Collection[str], absent: Sequence[str], at: str) -> Finding:
    near = nearest(name, absent or known)
    patch = (
        PatchOperation.model_validate({"op": "move", "from": at + pointer(name), "path": at + pointer(near)})
        if near is not None and near in absent
        else PatchOperation(op="remove", path=at + pointer(name))
    )
    hint = did_you_mean(near) or f" Its variables: {listed(known)}."
    message = f"The prompt template {template!r} has no variable {name!r:.80}.{hint}"
    return Finding(code="unknown_field", pointer=at + pointer(name), message=message, patch=(patch,))


def _is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON: ``true`` is not ``1``."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _short(value: Any) -> str:
    if is_too_deep(value):
        return "…"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"
