"""OpenAPI 3 documents read as actions: each operation one, with the schema of its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import orjson
import yaml

from integrations.apis.operations import IDEMPOTENT, READING, HttpOperation
from workflow.actions import Action
from workflow.errors import InvalidArgumentsError

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
MOST_OPERATIONS = 2_000
MOST_DEPTH = 12
"""How deep references are followed: what refers to itself is anything from there on."""
MOST_DESCRIPTION = 2_000
_KEPT = frozenset(
    {
        "type", "format", "enum", "const", "default", "description", "properties", "required", "items", "minimum",
        "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems",
        "uniqueItems", "additionalProperties", "oneOf", "anyOf", "allOf", "not", "multipleOf", "minProperties",
        "maxProperties", "title",
    }
)  # fmt: skip
"""Keywords of JSON Schema that arguments are held against. ``example``, ``xml`` and the like say nothing of values."""


class OpenApiDocument:
    """A document, which may be JSON or YAML.

    Raises:
        InvalidArgumentsError: it is no OpenAPI 3 document.
    """

    def __init__(self, content: bytes | str | Mapping[str, Any], *, pointer: str = "/settings/document") -> None:
        self._pointer = pointer
        self._document = content if isinstance(content, Mapping) else self._parsed(content)
        if not str(self._document.get("openapi", "")).startswith("3."):
            raise self._wrong("It is no OpenAPI 3 document: its member openapi does not begin with 3.")
        if not isinstance(self._document.get("paths"), Mapping) or not self._document["paths"]:
            raise self._wrong("It has no paths, so there is nothing to do.")

    @property
    def title(self) -> str:
        """What the API calls itself."""
        info = self._document.get("info")
        return str(info.get("title", "")) if isinstance(info, Mapping) else ""

    def server_url(self, *, document_url: str | None) -> str | None:
        """The address of the API that it names first, if that is a whole one together with its own."""
        servers = self._document.get("servers") or [{"url": "/"}]
        first = servers[0] if isinstance(servers, list) and isinstance(servers[0], Mapping) else {}
        url = str(first.get("url", "/"))
        for name, variable in (first.get("variables") or {}).items():
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
        whole = urljoin(document_url, url) if document_url is not None else url
        return whole.rstrip("/") if whole.startswith(("https://", "http://")) else None

    def actions(self, connection: str) -> list[Action]:
        """Its operations; of two with one name the second gets a number."""
        found: dict[str, Action] = {}
        for path, method, operation in self._operations():
            if len(found) >= MOST_OPERATIONS:
                break
            name = _name(operation.get("operationId") or f"{method}_{path}")
            number = 2
            while name in found:
                name = f"{_name(operation.get('operationId') or f'{method}_{path}')}_{number}"
                number += 1
            found[name] = self._action(connection, name, path, method, operation)
        return list(found.values())

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, item in self._document["paths"].items():
            resolved = self._resolved(item)
            if not isinstance(resolved, Mapping):
                continue
            shared = resolved.get("parameters") or []
            for method in METHODS:
                operation = resolved.get(method)
                if isinstance(operation, Mapping):
                    own = operation.get("parameters") or []
                    yield str(path), method, {**operation, "parameters": [*shared, *own]}

    def _action(self, connection: str, name: str, path: str, method: str, operation: Mapping[str, Any]) -> Action:
        properties: dict[str, Any] = {}
        required: list[str] = []
        places: dict[str, Any] = {}
        for given in operation["parameters"]:
            parameter = self._resolved(given)
            if not isinstance(parameter, Mapping) or parameter.get("in") not in ("path", "query", "header"):
                continue
            there = str(parameter.get("name"))
            schema = self._schema(parameter.get("schema", {}))
            if parameter.get("description") and "description" not in schema:
                schema["description"] = parameter["description"]
            properties[there] = schema
            places[there] = (parameter["in"], there)
            if parameter.get("required") is True or parameter["in"] == "path":
                required.append(there)
        whole, body_type = self._add_body(operation, properties, required)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = list(dict.fromkeys(required))
        made = HttpOperation(
            method=method.upper(), path=path, places=places, whole_body=whole, body_type="form" if body_type else "json"
        )
        tags = operation.get("tags") or []
        return Action(
            connection=connection,
            name=name,
            title=str(operation.get("summary") or name),
            description=str(operation.get("description") or operation.get("summary") or "")[:MOST_DESCRIPTION],
            input_schema=schema,
            effect="read" if made.method in READING else "write",
            is_idempotent=made.method in IDEMPOTENT,
            is_destructive=made.method == "DELETE",
            group=str(tags[0]) if tags else None,
            details=made.model_dump(mode="json", exclude_defaults=True),
        )

    def _add_body(
        self, operation: Mapping[str, Any], properties: dict[str, Any], required: list[str]
    ) -> tuple[str | None, bool]:
        """Add the body's members, or the body as a whole; its name in that case, and whether it is a form."""
        body = self._resolved(operation.get("requestBody") or {})
        content = body.get("content") if isinstance(body, Mapping) else None
        if not isinstance(content, Mapping):
            return None, False
        media = next((each for each in content if "json" in each), None)
        form = next((each for each in content if each == "application/x-www-form-urlencoded"), None)
        chosen = media or form
        if chosen is None:
            return None, False
        schema = self._schema((content[chosen] or {}).get("schema", {}))
        is_required = body.get("required") is True
        members = schema.get("properties")
        if not isinstance(members, Mapping) or set(members) & set(properties):
            properties["body"] = schema
            if is_required:
                required.append("body")
            return "body", media is None
        properties |= members
        if is_required:
            required += schema.get("required", [])
        return None, media is None

    def _schema(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """A schema that is whole in itself, in the words of JSON Schema."""
        resolved = self._resolved(schema)
        if not isinstance(resolved, Mapping) or depth > MOST_DEPTH:
            return {}
        made: dict[str, Any] = {}
        for keyword, value in resolved.items():
            if keyword not in _KEPT or (keyword.startswith("exclusive") and isinstance(value, bool)):
                continue
            if keyword == "properties" and isinstance(value, Mapping):
                made[keyword] = {
                    name: self._schema(member, depth + 1)
                    for name, member in value.items()
                    if not (isinstance(member, Mapping) and member.get("readOnly") is True)
                }
            elif keyword in ("items", "not", "additionalProperties") and isinstance(value, Mapping):
                made[keyword] = self._schema(value, depth + 1)
            elif keyword in ("oneOf", "anyOf", "allOf") and isinstance(value, list):
                made[keyword] = [self._schema(each, depth + 1) for each in value]
            else:
                made[keyword] = value
        if "required" in made and "properties" in made:
            made["required"] = [each for each in made["required"] if each in made["properties"]]
        if resolved.get("nullable") is True and isinstance(made.get("type"), str):  # OpenAPI 3.0
            made["type"] = [made["type"], "null"]
        return made

    def _resolved(self, value: Any) -> Any:
        """What a reference inside the document leads to."""
        for _ in range(MOST_DEPTH):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value
            target: Any = self._document
            for part in value["$ref"].removeprefix("#/").split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                target = target.get(key) if isinstance(target, Mapping) else None
            value = target
        return None

    def _parsed(self, content: bytes | str) -> Mapping[str, Any]:
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            try:
                document = yaml.safe_load(content)
            except yaml.YAMLError as error:
                raise self._wrong(f"It is neither JSON nor YAML: {str(error)[:200]}") from error
        if not isinstance(document, Mapping):
            raise self._wrong("It is no object.")
        return document

    def _wrong(self, why: str) -> InvalidArgumentsError:
        return InvalidArgumentsError(
            f"The OpenAPI document cannot be used. {why}",
            pointer=self._pointer,
            fix="Give a document of OpenAPI 3.0 or 3.1 with paths, as JSON or YAML, or its address.",
        )


def operation_of(action: Action) -> HttpOperation:
    """The operation that an action of such a document stands for."""
    return HttpOperation.model_validate(action.details)


def _name(text: str) -> str:
    """A name for an action, of the characters that every client takes."""
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_-]", "_", text)).strip("_")[:100] or "operation"
