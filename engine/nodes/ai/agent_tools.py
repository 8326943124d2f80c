"""The tools of an ai_agent node: what a model may call, and what its arguments can and cannot change.

The definition has the tools, what each does, and whether a person has to agree. The model's arguments replace
``<<name>>`` in the definition and change nothing else: never a credential, a workflow's id, a method or the host of an
address. This is checked again at every call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_type import EffectNode
from engine.node_api.parameters import template_leaves
from engine.nodes.ai.model_parameters import schema_problems_at
from engine.nodes.ai.vector_store import VectorStoreNode
from engine.nodes.http_request import HttpRequestNode
from workflow.actions import Action
from workflow.chat import ToolSpec
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError
from workflow.items import JsonObject
from workflow.schemas.foreign import argument_findings, usable_schema
from workflow.schemas.provider_forms import ProviderForm
from workflow.schemas.provider_rules import root_members
from workflow.schemas.references import found_in
from workflow.schemas.schema_parts import in_place
from workflow.schemas.schemas import InputSchema

NODE_TOOLS: Mapping[str, EffectNode[Any]] = {kind.name: kind for kind in (HttpRequestNode(), VectorStoreNode())}
"""Node types that can be tools: they never wait."""
PLACE = re.compile(r"<<([A-Za-z_][A-Za-z0-9_]{0,63})>>")
FIXED = frozenset(
    {"credential", "method", "workflow_id", "follow_redirects", "operation", "collection", "model", "concurrency"}
)
"""Parameters that no argument may change."""
FIXED_OF_ACTION = frozenset({"connection", "action", "policy"})
MOST_TEXT = 2_000

Policy = Literal["allow", "ask", "deny"]
NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


class ToolParameters(BaseModel):
    """One tool: a workflow of the workspace, a node with its parameters, or an action of a connection, which brings its
    own description and schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$")
    description: str = Field(
        default="",
        max_length=4_000,
        description="For the model: what it does, and when. Default: the action's own.",
    )
    policy: Policy = Field(default="ask", description="allow, ask a person before each call, or deny.")
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: NO_ARGUMENTS,
        description="JSON Schema (type object) of the arguments. An action has its own.",
    )
    workflow_id: str | None = Field(default=None, min_length=1, description="Runs this workflow with the arguments.")
    node: Literal["http_request", "vector_store"] | None = None
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="The node's parameters. <<name>> is replaced by an argument; never in credential, method or host.",
    )

    connection: str | None = Field(default=None, min_length=1, description="With action: runs this of a connection.")
    action: str | None = Field(default=None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.connection is None) != (self.action is None):
            raise ValueError("an action is named by connection and action together")
        if [self.workflow_id, self.node, self.connection].count(None) != 2:
            raise ValueError(
                "a tool is one of a workflow (workflow_id), a node (node, parameters), an action (connection, action)"
            )
        if not self.description and self.connection is None:
            raise ValueError("a tool needs a description, for the model")
        return self

    def of_action(self, action: Action) -> ToolParameters:
        """The tool with the description and schema of its action."""
        return self.model_copy(
            update={"description": self.description or action.description, "input_schema": action.input_schema}
        )

    def spec(self) -> ToolSpec:
        """The tool in the form that models get, which every provider takes."""
        form = ProviderForm(usable_schema(self.input_schema))
        return ToolSpec(name=self.name, description=self.description, parameters=form.schema)


class ToolRefusedError(Exception):
    """A tool call is refused; the model gets the message."""


def checked_arguments(tool: ToolParameters, arguments: JsonObject | None) -> JsonObject:
    """The arguments, under the names that the tool's schema has: all that it allows but what is fixed.

    Fixed is, where the schema does not say that there may be other members than it names: what the definition says of
    a tool, and for a workflow or a node, whose schema is the definition's, everything else.

    Raises:
        ToolRefusedError: they do not fit the schema.
    """
    if arguments is None:
        raise ToolRefusedError("The arguments are not a JSON object.")
    schema = usable_schema(tool.input_schema)
    given = ProviderForm(schema).original(arguments)
    if tool.connection is None:
        findings = InputSchema(schema).findings(given)
    else:
        findings, _ = argument_findings(schema, given)
    if findings:
        found = "; ".join(f"{each.pointer or '/'}: {each.message}" for each in findings)
        raise ToolRefusedError(f"The arguments do not fit: {found[:MOST_TEXT]}")
    named, _ = root_members(schema)
    if not named or _is_open(schema):
        return given
    is_own = tool.connection is None
    return {name: value for name, value in given.items() if name in named or not (is_own or name in FIXED_OF_ACTION)}


def _is_open(schema: JsonObject) -> bool:
    """Whether the schema says that there may be members which it does not name."""
    referred = found_in(schema, schema["$ref"]) if isinstance(schema.get("$ref"), str) else None
    return any(
        bool(part.get("additionalProperties") or part.get("unevaluatedProperties"))
        or "patternProperties" in part
        or "propertyNames" in part
        for part in (*in_place(schema), *in_place(referred))
    )


def filled_in(tool: ToolParameters, raw: Any, arguments: JsonObject) -> Any:
    """The node's parameters with the arguments in place of ``<<name>>``, checked by the node's type.

    ``raw`` are the tool's parameters as the definition writes them: a ``<<name>>`` in the value of an expression is
    data, and is not replaced.

    Raises:
        ToolRefusedError: the arguments would lead to another address than the definition allows, or do not fit.
    """
    kind = NODE_TOOLS[tool.node or ""]
    values = {
        name: value if name in FIXED else _filled(value, _member(raw, name), arguments, is_address=name == "url")
        for name, value in tool.parameters.items()
    }
    values = {name: value for name, value in values.items() if value is not _GONE}
    if "url" in values:
        _check_address(str(tool.parameters["url"]), str(values["url"]))
    try:
        return kind.schema.build(values)
    except NodeError as error:
        raise ToolRefusedError(error.message) from error


def tool_problems(tools: Any) -> list[ParameterProblem]:
    """The problems of the tools as written."""
    if not isinstance(tools, list):
        return []
    found: list[ParameterProblem] = []
    names = [each.get("name") for each in tools if isinstance(each, dict)]
    for place, tool in enumerate(tools):
        if isinstance(tool, dict):
            found += _problems(("tools", place), tool)
            if names.count(tool.get("name")) > 1:
                found.append(_problem(("tools", place, "name"), "Two tools have this name.", "Name them differently."))
    return found


_GONE = object()


def _problems(at: tuple[str | int, ...], tool: Mapping[str, Any]) -> list[ParameterProblem]:
    found = [
        _problem((*at, name), f"{name} cannot be an expression.", "Write the value itself.")
        for name in ("name", "policy", "node", "workflow_id", "connection", "action", "input_schema")
        if template_leaves(tool.get(name))
    ]
    schema = tool.get("input_schema", NO_ARGUMENTS)
    if not template_leaves(schema):
        found += schema_problems_at((*at, "input_schema"), schema)
    parameters = tool.get("parameters", {})
    kind = NODE_TOOLS.get(str(tool.get("node")))
    if kind is None or not isinstance(parameters, dict):
        return found
    known, _ = root_members(usable_schema(schema))
    for name, value in parameters.items():
        where = (*at, "parameters", name)
        if name in FIXED and (_places(value) or is_template(value)):
            found.append(
                _problem(
                    where,
                    f"{name} is fixed: no argument or expression can set it.",
                    "Write the value itself.",
                )
            )
        if name == "url" and isinstance(value, str) and _places(value[: _host_end(value)]):
            found.append(_problem(where, "The host of an address is fixed.", "Put arguments after the host."))
        found += [
            _problem(where, f"<<{each}>> is no argument of the tool.", f"Its arguments: {', '.join(known) or 'none'}.")
            for each in sorted(_places(value) - set(known))
        ]
    # Arguments come later, as values of expressions do.
    later = _as_expressions(parameters)
    return found + [
        ParameterProblem(code=each.code, path=(*at, "parameters", *each.path), message=each.message, fix=each.fix)
        for each in kind.problems_of(later)
    ]


def _problem(path: tuple[str | int, ...], message: str, fix: str) -> ParameterProblem:
    return ParameterProblem(code="bad_parameter", path=path, message=message, fix=fix)


def _as_expressions(value: Any) -> Any:
    if isinstance(value, str):
        return f"={{{{ {value!r} }}}}" if _places(value) and not is_template(value) else value
    if isinstance(value, dict):
        return {name: _as_expressions(member) for name, member in value.items()}
    return [_as_expressions(member) for member in value] if isinstance(value, list) else value


def _places(value: Any) -> set[str]:
    """The names of the arguments in a value."""
    if isinstance(value, str):
        return set() if is_template(value) else set(PLACE.findall(value))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_places, inner))


def _member(raw: Any, key: Any) -> Any:
    if isinstance(raw, Mapping):
        return raw.get(key)
    if isinstance(raw, Sequence) and not isinstance(raw, str) and isinstance(key, int) and key < len(raw):
        return raw[key]
    return None


def _filled(value: Any, raw: Any, arguments: JsonObject, *, is_address: bool) -> Any:
    if isinstance(value, dict):
        filled = {
            name: _filled(member, _member(raw, name), arguments, is_address=False) for name, member in value.items()
        }
        return {name: member for name, member in filled.items() if member is not _GONE}
    if isinstance(value, list):
        members = [
            _filled(member, _member(raw, place), arguments, is_address=False) for place, member in enumerate(value)
        ]
        return [member for member in members if member is not _GONE]
    if not isinstance(value, str) or not isinstance(raw, str) or is_template(raw):
        return value
    whole = PLACE.fullmatch(value)
    if whole is not None and not is_address:
        return arguments.get(whole[1], _GONE)

    def text(match: re.Match[str]) -> str:
        given = arguments.get(match[1], "")
        written = given if isinstance(given, str) else orjson.dumps(given).decode()
        if is_address and not written:
            raise ToolRefusedError(f"The argument {match[1]} is part of an address and must not be empty.")
        return quote(written, safe="") if is_address else written

    return PLACE.sub(text, value)


def _host_end(url: str) -> int:
    """The index where the host ends: at the first slash, question mark or hash after the scheme."""
    _, slashes, rest = url.partition("://")
    if not slashes:
        return len(url)
    ends = [rest.index(sign) for sign in "/?#" if sign in rest]
    return len(url) - len(rest) + (min(ends) if ends else len(rest))


def _check_address(written: str, made: str) -> None:
    """Check an address against the one in the definition.

    Raises:
        ToolRefusedError: it has another host, or leaves the path.
    """
    before, after = urlsplit(PLACE.sub("x", written)), urlsplit(made)
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        raise ToolRefusedError("The arguments would lead to another host.")
    if before.path.count("/") != after.path.count("/") or any(
        part in (".", "..") and part != own
        for part, own in zip(after.path.split("/"), before.path.split("/"), strict=True)
    ):
        raise ToolRefusedError("The arguments would lead to another path.")
