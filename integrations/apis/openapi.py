"""OpenAPI 3 documents read as actions: each operation one, with the schema of its arguments.

References are replaced by what they lead to, up to where one leads back to a schema that it is part of, and within a
budget of values and bytes for each operation and for the document. Reading one takes as long as it is large: callers
do it in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import orjson

from integrations.apis.openapi_arguments import OperationArguments, accepted
from integrations.apis.operations import BASE, IDEMPOTENT, READING
from integrations.apis.yaml_documents import YamlError, read_yaml
from workflow.actions import Action
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.items import JsonObject
from workflow.schemas.bounds import check_json_shape
from workflow.schemas.foreign import Conversion
from workflow.schemas.references import found_in
from workflow.schemas.schema_parts import Budget

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
MOST_OPERATIONS = 2_000
MOST_VALUES = 1_000_000
"""In a document of JSON; GitHub's has some 500,000."""
OPERATION_VALUES, OPERATION_BYTES = 3_000, 96 << 10
DOCUMENT_VALUES, DOCUMENT_BYTES = 60_000, 3 << 20
"""In the schemas of all actions together. Each operation may have its share of what those before it have left."""
MOST_REFERENCES = 12
"""References one after the other, each to the next."""
MOST_DESCRIPTION = 2_000
LONGEST_TITLE = 200


class OpenApiDocument:
    """A document, which may be JSON or YAML 1.2.

    Raises:
        InvalidArgumentsError: it is no OpenAPI 3 document, or too large.
    """

    def __init__(self, content: bytes | str | Mapping[str, Any], *, pointer: str = "/settings/document") -> None:
        self._pointer = pointer
        self._targets: dict[str, Any] = {}
        self._document = content if isinstance(content, Mapping) else self._parsed(content)
        if not str(self._document.get("openapi", "")).startswith("3."):
            raise self._wrong("It is no OpenAPI 3 document: its member openapi does not begin with 3.")
        if not isinstance(self._document.get("paths"), Mapping) or not self._document["paths"]:
            raise self._wrong("It has no paths, so there is nothing to do.")

    @property
    def title(self) -> str:
        """What the API calls itself."""
        info = self._document.get("info")
        return str(info.get("title", ""))[:LONGEST_TITLE] if isinstance(info, Mapping) else ""

    def server_url(self, *, document_url: str | None) -> str | None:
        """The address of the API that it names first, if that is a whole one together with its own."""
        return _server(self._document, document_url) or _whole("/", document_url)

    def actions(self, connection: str, *, base_url: str | None = None) -> list[Action]:
        """Its operations; of two with one name the second gets a number.

        With ``base_url`` each says where it is: there, or where its path or the operation itself names a server.
        """
        found: dict[str, Action] = {}
        numbers: dict[str, int] = {}
        operations = list(self._operations())
        values, size = DOCUMENT_VALUES, DOCUMENT_BYTES
        for place, (path, method, shared, operation) in enumerate(operations):
            name = wanted = _name(operation.get("operationId") or f"{method}_{path}")
            while name in found:
                numbers[wanted] = numbers.get(wanted, 1) + 1
                name = f"{wanted}_{numbers[wanted]}"
            left = len(operations) - place
            given = (min(OPERATION_VALUES, values // left), min(OPERATION_BYTES, size // left))
            budget = Budget(*given)
            action = self._action(connection, name, path, method, shared, operation, budget)
            values -= given[0] - budget.values
            size -= given[1] - budget.bytes
            if base_url is not None:
                there = _server(operation, base_url) or _server(shared, base_url) or base_url
                action.details[BASE] = there
            found[name] = action
        return list(found.values())

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        """Path, method, path item and operation of each."""
        left = MOST_OPERATIONS
        for path, item in self._document["paths"].items():
            shared = self._resolved(item)
            if not isinstance(shared, Mapping):
                continue
            for method in METHODS:
                operation = shared.get(method)
                if isinstance(operation, Mapping):
                    if left == 0:
                        return
                    left -= 1
                    yield str(path), method, shared, operation

    def _action(
        self,
        connection: str,
        name: str,
        path: str,
        method: str,
        shared: Mapping[str, Any],
        operation: Mapping[str, Any],
        budget: Budget,
    ) -> Action:
        arguments = OperationArguments(
            method.upper(),
            path,
            conversion=Conversion(self._document, budget=budget, keeps=False, find=self._found, drops_read_only=True),
            resolve=self._resolved,
        )
        arguments.add_parameters([*_list(shared.get("parameters")), *_list(operation.get("parameters"))])
        arguments.add_body(operation.get("requestBody"))
        made = arguments.operation(accept=accepted(operation.get("responses"), self._resolved))
        tags = _list(operation.get("tags"))
        summary = operation.get("summary") or shared.get("summary")
        return Action(
            connection=connection,
            name=name,
            title=str(summary or name)[:LONGEST_TITLE],
            description=str(operation.get("description") or summary or "")[:MOST_DESCRIPTION],
            input_schema=arguments.schema(),
            effect="read" if made.method in READING else "write",
            is_idempotent=made.method in IDEMPOTENT,
            is_destructive=made.method == "DELETE",
            group=str(tags[0])[:LONGEST_TITLE] if tags else None,
            details=made.model_dump(mode="json", exclude_defaults=True),
        )

    def _found(self, reference: str) -> Any:
        """What a reference leads to; nothing outside the document is fetched."""
        if reference not in self._targets:
            self._targets[reference] = found_in(self._document, reference)
        return self._targets[reference]

    def _resolved(self, value: Any) -> Any:
        """What a reference inside the document leads to."""
        for _ in range(MOST_REFERENCES):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value
            value = self._found(value["$ref"])
        return None

    def _parsed(self, content: bytes | str) -> Mapping[str, Any]:
        text = content.encode(errors="replace") if isinstance(content, str) else content
        text = text.removeprefix(b"\xef\xbb\xbf")
        try:
            if text.lstrip()[:1] == b"{":
                check_json_shape(text, max_members=MOST_VALUES)
            document: Any = orjson.loads(text)
        except JobsprintError as error:
            raise self._wrong(error.message) from error
        except orjson.JSONDecodeError:
            try:
                document = read_yaml(text)
            except YamlError as error:
                raise self._wrong(f"It is neither JSON nor YAML: {error}") from error
        if not isinstance(document, Mapping):
            raise self._wrong("It is no object.")
        return document

    def _wrong(self, why: str) -> InvalidArgumentsError:
        return InvalidArgumentsError(
            f"The OpenAPI document cannot be used. {why}",
            pointer=self._pointer,
            fix="Give a document of OpenAPI 3.0 or 3.1 with paths, as JSON or YAML, or its address.",
        )


def _server(named_in: Mapping[str, Any], base: str | None) -> str | None:
    """The address of the first server that is named there, relative to ``base``, if that is a whole one."""
    first = next(iter(_list(named_in.get("servers"))), None)
    if not isinstance(first, Mapping) or not isinstance(first.get("url"), str):
        return None
    url = first["url"]
    variables: JsonObject = first["variables"] if isinstance(first.get("variables"), dict) else {}
    for name, variable in variables.items():
        default = variable.get("default", "") if isinstance(variable, Mapping) else ""
        url = url.replace(f"{{{name}}}", str(default))
    return _whole(url, base)


def _whole(url: str, base: str | None) -> str | None:
    try:
        whole = urljoin(base, url) if base is not None else url
    except ValueError:
        return None
    whole = whole.partition("#")[0].partition("?")[0]
    return whole.rstrip("/") if whole.startswith(("https://", "http://")) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(text: Any) -> str:
    """A name for an action, of the characters that every client takes."""
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_-]", "_", str(text)[:500])).strip("_")[:100] or "operation"
