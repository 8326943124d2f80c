"""What a tool is, and how a call becomes an answer: arguments checked, secrets hidden, results within their budget,
failures that say what an agent can do.

The text of a result is its structured content as compact JSON, within the same budget. Hosts hand their model one
of the two, many only the text, so the text must say everything; it is short because the content is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import mcp_types as types
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from tools.protocol.arguments import read_json_texts, without_blanks
from tools.protocol.budget import fit, fitting, tokens, tokens_of_bytes
from tools.protocol.caller import Caller
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.findings import Finding
from workflow.identity import Scopes
from workflow.redaction import ShownLink, may_hold_secrets, redacted
from workflow.schemas.model_findings import model_findings

READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
DESTRUCTIVE = types.ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)

Toolset = Literal["authoring", "running"]
AUTHORING: frozenset[Toolset] = frozenset({"authoring"})
RUNNING: frozenset[Toolset] = frozenset({"running"})
BOTH: frozenset[Toolset] = AUTHORING | RUNNING

DEFAULT_BUDGET = 2_000
"""Tokens that an answer may take where neither the tool nor the caller says otherwise."""

FINDINGS_BUDGET = 2_000
"""Tokens for the findings of one answer. The first ones matter most, and mending them often mends the others."""

LARGE_BYTES = 256 << 10
"""Of a result in which secrets are looked for in a thread: in a smaller one it takes some milliseconds."""


class Arguments(BaseModel):
    """Root of every tool's arguments: unknown ones are errors that name the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Arguments)


@dataclass(slots=True, frozen=True)
class Answer:
    """A tool's result. ``links`` lead to what was left out of it, ``whole`` to all of it should it have to be cut.

    ``is_redacted`` says that the secrets in it are hidden already; looking for them twice costs time. ``meta`` is for
    programs, and costs a model nothing.
    """

    content: dict[str, Any]
    links: tuple[types.ResourceLink, ...] = ()
    whole: types.ResourceLink | None = None
    is_redacted: bool = False
    meta: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Pending:
    """A result that is still to come: the execution's, in the form that its ``answer_form`` names."""

    execution_id: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Tool(Generic[A]):
    """One tool. ``description`` is all that an agent knows of it: what it does, and when to use it.

    ``scopes`` are what its caller must have. ``toolsets`` are those that it belongs to, for clients that are shown one
    of them only. ``budget_tokens`` bounds its answer, unless the arguments have a ``max_tokens``.
    ``app_meta`` is for clients that can show its results with an app. ``is_quick`` promises that it only reads, and
    that a call without ``wait_seconds`` answers at once: it reports no progress, asks nothing and is never pending.
    """

    name: str
    title: str
    description: str
    arguments: type[A]
    annotations: types.ToolAnnotations
    output_schema: dict[str, Any]
    handler: Callable[[A, Caller], Awaitable[Answer | Pending]]
    scopes: Scopes
    toolsets: frozenset[Toolset] = BOTH
    budget_tokens: int = DEFAULT_BUDGET
    app_meta: dict[str, Any] | None = None
    is_quick: bool = False
    listed: types.Tool = field(init=False)
    listed_with_app: types.Tool = field(init=False)

    def __post_init__(self) -> None:
        listed = types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=compact_schema(self.arguments),
            output_schema=self.output_schema,
            annotations=_short(self.annotations),
        )
        object.__setattr__(self, "listed", listed)
        with_app = listed.model_copy(update={"meta": self.app_meta}) if self.app_meta is not None else listed
        object.__setattr__(self, "listed_with_app", with_app)

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """The tool as a client sees it that can show apps, or cannot."""
        return self.listed_with_app if has_apps else self.listed

    async def call(self, arguments: dict[str, Any], caller: Caller) -> types.CallToolResult | Pending:
        """The answer, or the failure as a result that says how to mend it."""
        try:
            caller.actor.require(self.scopes)
            parsed, notes = self._parse(arguments)
            answer = await self.handler(parsed, caller)
        except JobsprintError as error:
            return failure(error)
        if isinstance(answer, Pending):
            return answer
        if notes:
            answer = replace(answer, content={**answer.content, "notes": notes})
        budget: int = getattr(parsed, "max_tokens", self.budget_tokens)
        text = orjson.dumps(answer.content)
        if len(text) > LARGE_BYTES:
            return await asyncio.to_thread(_result, answer, text, budget_tokens=budget)
        return _result(answer, text, budget_tokens=budget)

    def _parse(self, arguments: dict[str, Any]) -> tuple[A, list[str]]:
        """The arguments, and what was done to them to make them fit."""
        arguments = without_blanks(self.arguments, arguments)
        try:
            return self.arguments.model_validate(arguments), []
        except ValidationError as error:
            mended, notes = read_json_texts(arguments, error)
            mended = without_blanks(self.arguments, mended)
        try:
            return self.arguments.model_validate(mended), notes
        except ValidationError:
            findings = model_findings(self.arguments, mended)
            raise InvalidArgumentsError.of(findings, call=self.name) from None


def result_of(answer: Answer, *, budget_tokens: int = DEFAULT_BUDGET) -> types.CallToolResult:
    """The answer as it may be seen, in both its forms."""
    return _result(answer, orjson.dumps(answer.content), budget_tokens=budget_tokens)


def _result(answer: Answer, text: bytes, *, budget_tokens: int) -> types.CallToolResult:
    content, links = answer.content, answer.links
    if not answer.is_redacted and may_hold_secrets(text):
        content = redacted(content)
        text = orjson.dumps(content)
    if tokens_of_bytes(len(text)) > budget_tokens:
        cut, _ = fit(content, budget_tokens - tokens('"is_cut":true,'))
        content = {**cut, "is_cut": True}
        text = orjson.dumps(content)
        links = links if answer.whole is None or answer.whole in links else (*links, answer.whole)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text.decode()), *links],
        structured_content=content,
        _meta=answer.meta,
    )


def error_content(error: JobsprintError) -> dict[str, Any]:
    """A failure as JSON: ``code``, ``message``, and where known ``pointer``, ``fix``, ``next``, ``findings``."""
    content: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.pointer is not None:
        content["pointer"] = error.pointer
    if error.fix is not None:
        content["fix"] = error.fix
    if error.next is not None:
        content["next"] = error.next.to_json()
    if error.findings:
        content |= findings_content(error.findings)
    if error.secret_url is not None:
        content["secret_url"] = ShownLink(error.secret_url)
        content["fix"] = "Give the user secret_url: there they enter the secret, never here. Then call this again."
    return dict(_whole_text(redacted(content)))


def _whole_text(value: Any) -> Any:
    """``value`` with half a surrogate pair, which errors may repeat from their caller's arguments, replaced: it has no
    UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_whole_text(name): _whole_text(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole_text(member) for member in value]
    return value


def findings_content(findings: Sequence[Finding]) -> dict[str, Any]:
    """``findings`` in their order, and in ``findings_left_out`` how many more there are than fit."""
    listed = [_whole_text(finding.to_json()) for finding in findings]
    count = max(1, fitting(listed, FINDINGS_BUDGET))
    shown = [each if tokens(each) <= FINDINGS_BUDGET else _without_patch(each) for each in listed[:count]]
    return {"findings": shown, **({"findings_left_out": len(listed) - count} if len(listed) > count else {})}


def _without_patch(finding: dict[str, Any]) -> dict[str, Any]:
    """A finding whose patch is too large to be shown: half a patch would do harm."""
    kept = {name: member for name, member in finding.items() if name != "patch"}
    return dict(fit(kept, FINDINGS_BUDGET)[0])


def failure(error: JobsprintError) -> types.CallToolResult:
    """A failure that the caller can mend, as a result. It has no structured content: clients validate that against the
    output schema, which describes success."""
    text = orjson.dumps({"error": fit(error_content(error), 2 * DEFAULT_BUDGET)[0]}).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _short(hints: types.ToolAnnotations) -> types.ToolAnnotations:
    """The hints without those that say what holds anyway: a tool that only reads destroys nothing and can be called
    again, and no other can where it does not say so (MCP, ToolAnnotations)."""
    if hints.read_only_hint:
        return hints.model_copy(update={"idempotent_hint": None, "destructive_hint": None})
    return hints.model_copy(update={"idempotent_hint": hints.idempotent_hint or None})


@cache
def compact_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON Schema in few bytes: no titles, no ``null`` branches for optional members, no empty
    defaults, nothing that holds anyway, no class docstrings; what is defined for one use stands where it is used.
    Every provider of models takes it (``workflow/schemas/provider_rules.py``)."""
    schema = _compact(model.model_json_schema())
    definitions = schema.pop("$defs", {})
    for described in (schema, *definitions.values()):
        described.pop("description", None)
    return dict(_inlined(schema, definitions))


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with definitions in the place of references to them. None of ours contains itself."""
    if isinstance(schema, list):
        return [_inlined(member, definitions) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**definitions[name], **{key: member for key, member in schema.items() if key != "$ref"}}
    return {name: _inlined(member, definitions) for name, member in schema.items()}


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
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if isinstance(made.get("exclusiveMinimum"), int | float):
        made["minimum"] = made.pop("exclusiveMinimum")  # checked all the same
    if made.get("type") == "object" and "additionalProperties" not in made:
        made.setdefault("properties", {})
    return made


def _is_noise(name: str, member: Any) -> bool:
    return (
        (name == "title" and isinstance(member, str))
        or (name == "default" and (member is None or member is False or member == {}))
        or (name == "additionalProperties" and member is True)
    )


def object_schema(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """A JSON Schema for an object result. Members map to a type's name or a schema; more may come later."""
    members = {
        name: {"type": member} if isinstance(member, str) else member for name, member in (required | optional).items()
    }
    schema = {"type": "object", "properties": members, "required": list(required)}
    return {name: member for name, member in schema.items() if member}
