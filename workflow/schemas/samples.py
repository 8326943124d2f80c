"""Values that fit a JSON Schema, for where nothing may be asked: the same each time, and as small as may be."""

from __future__ import annotations

from typing import Any

import jsonpointer

DEEPEST = 20
FORMATS = {
    "date": "2024-01-06",
    "date-time": "2024-01-06T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample_of(schema: Any) -> Any:
    """A value of the schema's shape. Patterns, and what keywords say together, may be missed."""
    return _sample(schema, schema, 0)


def _sample(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("enum", "examples"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return schema[keyword][0]
    if isinstance(schema.get("$ref"), str):
        return _sample(_referred(root, schema["$ref"]), root, depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            parts = schema[keyword] if keyword == "allOf" else schema[keyword][:1]
            rest = {name: member for name, member in schema.items() if name != keyword}
            return _sample(_joined([rest, *parts]), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _of_type(kind[0] if isinstance(kind, list) and kind else kind, schema, root, depth)


def _of_type(kind: Any, schema: dict[str, Any], root: Any, depth: int) -> Any:
    match kind:
        case "object":
            members = schema.get("properties", {})
            return {name: _sample(member, root, depth + 1) for name, member in members.items()}
        case "array":
            return [_sample(schema.get("items", {}), root, depth + 1)] * max(1, _whole(schema.get("minItems")))
        case "integer" | "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            return min(max(0, least), schema.get("maximum", max(0, least)))
        case "boolean":
            return False
        case "null":
            return None
    text = FORMATS.get(schema.get("format", ""), "text")
    return (text.ljust(_whole(schema.get("minLength")), "."))[: schema.get("maxLength")]


def _whole(value: Any) -> int:
    return min(value, 1_000) if isinstance(value, int) else 0


def _referred(root: Any, reference: str) -> Any:
    try:
        return jsonpointer.resolve_pointer(root, reference[1:])
    except jsonpointer.JsonPointerException:
        return {}


def _joined(parts: list[Any]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, dict):
            members = {**joined.get("properties", {}), **part.get("properties", {})}
            joined = {**joined, **part, **({"properties": members} if members else {})}
    return joined
