"""Zapier over MCP: each enabled action is one of ours, in whichever of its two modes the server is set up.

In managed mode there is a tool per action. In agentic mode there are tools that list actions and execute them, and
others that change what is enabled or connected: those are never called, since they would let whoever can call them
widen what they may do. What the tools are called and what their arguments are called is read from the server: it
varies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import mcp_types as types
import orjson
from pydantic import AfterValidator, Field

from integrations.mcp.results import MOST_DESCRIPTION, MOST_REFUSAL
from integrations.mcp.sessions import Sessions
from integrations.mcp.source import McpSource
from integrations.settings import ConnectionSettings, settings_of
from workflow.actions import Action, ActionCall, ActionError, ActionResult, Effect, ResourceContent
from workflow.connections import Connection
from workflow.credential_forms import https_address
from workflow.items import JsonObject

ENDPOINT = "https://mcp.zapier.com/api/v1/connect"
TASKS_PER_SUCCESS = 2
"""What Zapier charges for a call that succeeds; failures are free."""
AS_GIVEN = "Use the given values as they are."
"""What is told where nobody says in words what is to be done."""

LISTING = re.compile(r"^(?:inspect|list_enabled)_zapier_actions?$")
EXECUTING = re.compile(r"^execute_zapier_(read|write)_action$")
META = re.compile(
    r"^(?:(?:discover|inspect|list|list_enabled|enable|disable)_zapier_actions?|execute_zapier_\w+"
    r"|(?:list|manage)_zapier_connections|auto_provision_mcp|write_code_action|get_configuration_url|send_feedback"
    r"|(?:create|get|list|update|delete|run)_(?:zapier_)?skills?)$"
)
_ARGUMENTS = {
    "api": ("selected_api", "app", "api"),
    "action": ("action", "action_key", "action_name"),
    "params": ("params", "parameters", "inputs"),
}
_QUOTA = re.compile(r"quota|task limit|out of tasks|tasks? (?:remaining|left)|usage limit", re.IGNORECASE)


class ZapierSettings(ConnectionSettings):
    """Settings of kind ``zapier``."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)] = Field(
        default=ENDPOINT, description="The endpoint, where it is not the usual one."
    )


class Zapier:
    """Kind ``zapier``. Implements :class:`integrations.sources.ActionSource`."""

    def __init__(self, sessions: Sessions) -> None:
        self._server = McpSource(sessions)

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings as they are kept; see the port."""
        return settings_of(ZapierSettings, document)

    def host(self, settings: Mapping[str, Any]) -> str | None:
        """The host of the endpoint; see the port."""
        return self._server.host(settings)

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """The enabled actions; see the port."""
        tools = {each.name: each for each in await self._server.actions(connection)}
        listing = next((each for name, each in tools.items() if LISTING.match(name)), None)
        managed = [_managed(each) for name, each in tools.items() if not META.match(name)]
        if listing is None:
            return managed
        executing = {match[1]: tools[name] for name in tools if (match := EXECUTING.match(name))}
        return [*managed, *await self._enabled(connection, listing, executing)]

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Do it; see the port."""
        wanted = _tool_call(action, call)
        tool = replace(action, name=wanted.action)
        return _result(action, await self._server.result(connection, tool, wanted))

    async def read(self, connection: Connection, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource of the server; see the port."""
        return await self._server.read(connection, uri, timeout_seconds=timeout_seconds)

    async def forget(self, connection: Connection) -> None:
        """Close its session; see the port."""
        await self._server.forget(connection)

    async def _enabled(self, connection: Connection, listing: Action, executing: Mapping[str, Action]) -> list[Action]:
        """What the tool that lists actions lists, page by page."""
        found: dict[str, Action] = {}
        arguments: JsonObject = {}
        for _ in range(100):
            call = ActionCall(
                owner=connection.owner, connection=connection.name, action=listing.name, arguments=arguments
            )
            # It only lists, whatever it says of itself.
            reading = replace(listing, effect="read")
            content = _content(reading, await self._server.result(connection, reading, call))
            for entry in content.get("actions") or content.get("results") or []:
                made = _agentic(connection, entry, executing)
                if made is not None:
                    found[made.name] = made
            if not content.get("next_cursor"):
                break
            arguments = {"cursor": content["next_cursor"]}
        return list(found.values())


def _managed(tool: Action) -> Action:
    """A tool of managed mode: what is to be done in words is no argument of ours."""
    app = tool.name.partition("_")[0]
    schema = _without(tool.input_schema, "instructions")
    return replace(tool, input_schema=schema, group=app, details={"tool": tool.name})


def _agentic(connection: Connection, entry: Any, executing: Mapping[str, Action]) -> Action | None:
    """An action of agentic mode, or nothing where it cannot be executed."""
    if not isinstance(entry, dict):
        return None
    api, key = _first(entry, _ARGUMENTS["api"]), _first(entry, _ARGUMENTS["action"])
    effect: Effect = "read" if str(entry.get("type", "write")).lower() in ("read", "search") else "write"
    tool = executing.get(effect)
    if not isinstance(api, str) or not isinstance(key, str) or tool is None:
        return None
    properties = tool.input_schema.get("properties", {})
    names = {role: _known(options, properties) for role, options in _ARGUMENTS.items()}
    app = re.sub(r"(?:V\d+)?(?:CLI)?API$", "", api)
    schema = entry.get("params_schema") or entry.get("input_schema") or {"type": "object"}
    name = entry.get("tool_name") or f"{app}_{key}".lower()
    return Action(
        connection=connection.name,
        name=str(name),
        title=str(entry.get("title") or entry.get("name") or name),
        description=str(entry.get("description") or "")[:MOST_DESCRIPTION],
        input_schema=_without(schema, "instructions"),
        effect=effect,
        is_idempotent=effect == "read",
        group=app,
        details={
            "tool": tool.name,
            "arguments": {names["api"]: api, names["action"]: key},
            "params": names["params"],
            **({"tool_name": entry.get("tool_name") or key} if "tool_name" in properties else {}),
        },
    )


def _tool_call(action: Action, call: ActionCall) -> ActionCall:
    """The call of the tool that does the action."""
    instructions = call.instructions or AS_GIVEN
    details = action.details
    if "arguments" not in details:
        return replace(call, action=details["tool"], arguments={"instructions": instructions, **call.arguments})
    arguments = {**details["arguments"], details["params"]: call.arguments, "instructions": instructions}
    if "tool_name" in details:
        arguments["tool_name"] = details["tool_name"]
    return replace(call, action=details["tool"], arguments=arguments)


def _result(action: Action, answer: types.CallToolResult) -> ActionResult:
    """What Zapier says came of it.

    Raises:
        ActionError: it says that it failed, or nobody can tell what it says.
    """
    content = _content(action, answer)
    execution = content.get("execution")
    if not isinstance(content.get("results"), list) or not isinstance(execution, dict):
        raise _unreadable(action, "it has no results")
    status = str(execution.get("status", "SUCCESS")).upper()
    if status != "SUCCESS":
        raise _refused(action, str(content.get("error") or f"its status is {status}"))
    is_preview = content.get("isPreview") is True
    details = {
        "execution_id": execution.get("id"),
        "feedback_url": content.get("feedbackUrl"),
        "resolved_params": execution.get("resolvedParams"),
    }
    return ActionResult(
        data=content["results"],
        is_preview=is_preview,
        quota=0 if is_preview else TASKS_PER_SUCCESS,
        details={name: value for name, value in details.items() if value is not None},
    )


def _content(action: Action, answer: types.CallToolResult) -> JsonObject:
    """The object that the answer's text is."""
    text = next((each.text for each in answer.content if isinstance(each, types.TextContent)), "")
    content: Any = answer.structured_content
    if content is None:
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            content = None
    if answer.is_error:
        said = content.get("error") if isinstance(content, dict) else None
        raise _refused(action, str(said or text or "it does not say why"))
    if not isinstance(content, dict):
        raise _unreadable(action, f"it begins with {text[:60]!r}" if text else "it is empty")
    return content


def _refused(action: Action, why: str) -> ActionError:
    if _QUOTA.search(why):
        return ActionError(
            f"Zapier's quota for {action.connection} is spent: {why[:MOST_REFUSAL]}",
            code="quota_spent",
            is_unavailable=True,
            fix="Wait for the next period of the plan, or raise it at Zapier; each success costs two tasks.",
        )
    return ActionError(
        f"{action.connection}/{action.name} refused: {why[:MOST_REFUSAL]}",
        code="action_refused",
        fix="Mend the params as it says; find_actions with the action's name shows their schema.",
    )


def _unreadable(action: Action, why: str) -> ActionError:
    return ActionError(
        f"{action.connection}/{action.name} gave an answer that cannot be read: {why}.",
        code="action_result",
        may_have_happened=not action.is_repeatable,
        fix="It has most likely happened; see in the app before it is done again.",
    )


def _without(schema: Mapping[str, Any], name: str) -> JsonObject:
    """The schema of an object that has no such member."""
    properties = {key: value for key, value in schema.get("properties", {}).items() if key != name}
    rest = {**schema, "properties": properties}
    if "required" in schema:
        rest["required"] = [each for each in schema["required"] if each != name]
    return rest


def _known(options: Sequence[str], properties: Mapping[str, Any]) -> str:
    """The name of an argument, of those that were seen, that the tool has."""
    return next((each for each in options if each in properties), options[0])


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)
