"""What a tool is, and how a call becomes an answer: arguments checked, failures told so that an agent can act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import mcp_types as types
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from tools.caller import Caller
from workflow.errors import InvalidArgumentsError, InvalidDefinitionError, JobsprintError
from workflow.findings import Finding
from workflow.shape import model_findings

READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


class Arguments(BaseModel):
    """Root of every tool's arguments: unknown ones are errors that name the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Arguments)


@dataclass(slots=True, frozen=True)
class Answer:
    """A tool's result: ``content`` for programs, ``text`` short for readers, ``links`` to what did not fit."""

    content: dict[str, Any]
    text: str | None = None
    links: tuple[types.ResourceLink, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class Tool(Generic[A]):
    """One tool. ``description`` is all that an agent knows of it: what it does, and when to use it.

    ``app_meta`` is for clients that can show its results with an app.
    """

    name: str
    title: str
    description: str
    arguments: type[A]
    annotations: types.ToolAnnotations
    output_schema: dict[str, Any]
    handler: Callable[[A, Caller], Awaitable[Answer]]
    app_meta: dict[str, Any] | None = None
    listed: types.Tool = field(init=False)

    def __post_init__(self) -> None:
        listed = types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=compact_schema(self.arguments),
            output_schema=self.output_schema,
            annotations=self.annotations,
        )
        object.__setattr__(self, "listed", listed)

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """The tool as a client sees it that can show apps, or cannot."""
        if self.app_meta is None or not has_apps:
            return self.listed
        return self.listed.model_copy(update={"meta": self.app_meta})

    async def call(self, arguments: dict[str, Any], caller: Caller) -> types.CallToolResult:
        """The answer, or the failure as a result that says how to mend it."""
        try:
            answer = await self.handler(self._parse(arguments), caller)
        except JobsprintError as error:
            return failure(error)
        text = answer.text if answer.text is not None else orjson.dumps(answer.content).decode()
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text), *answer.links], structured_content=answer.content
        )

    def _parse(self, arguments: dict[str, Any]) -> A:
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError:
            findings = model_findings(self.arguments, arguments)
            raise ToolArgumentsError(self.name, findings) from None


class ToolArgumentsError(InvalidArgumentsError):
    """Arguments that do not fit the tool's schema, all problems at once."""

    def __init__(self, tool: str, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(
            f"{tool} cannot be called so: {first.message}{more}",
            pointer=first.pointer,
            fix="Correct the arguments as the findings say and call again; nothing was done.",
        )
        self.findings = tuple(findings)


def error_content(error: JobsprintError) -> dict[str, Any]:
    """A failure as JSON: ``code``, ``message``, and where known ``pointer``, ``fix``, ``findings``."""
    content: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.pointer is not None:
        content["pointer"] = error.pointer
    if error.fix is not None:
        content["fix"] = error.fix
    if isinstance(error, InvalidDefinitionError | ToolArgumentsError):
        content["findings"] = [finding.to_json() for finding in error.findings]
    return content


def failure(error: JobsprintError) -> types.CallToolResult:
    """A failure that the caller can mend, as a result. It has no structured content: that is the schema of
    success, and clients hold results against it."""
    text = orjson.dumps({"error": error_content(error)}).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def compact_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON Schema in few bytes: no titles, no ``null`` branches for optional members, no nulls
    as defaults, no class docstrings."""
    schema = _compact(model.model_json_schema())
    schema.pop("description", None)
    return dict(schema)


def _compact(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_compact(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _compact(member) for name, member in schema.items() if not _is_noise(name, member)}
    options = made.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        made.pop("anyOf")
        made = {**rest[0], **made} if len(rest) == 1 else {**made, "anyOf": rest}
    return made


def _is_noise(name: str, member: Any) -> bool:
    return (name == "title" and isinstance(member, str)) or (name == "default" and member is None)


def object_schema(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """A JSON Schema for an object result. Members map to a type's name or a schema; more may come later."""
    members = {
        name: {"type": member} if isinstance(member, str) else member for name, member in (required | optional).items()
    }
    return {"type": "object", "properties": members, "required": list(required)}
