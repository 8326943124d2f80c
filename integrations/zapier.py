"""Zapier over MCP: each enabled action is one of ours, in whichever of its two modes the server is set up.

In managed mode there is a tool per action. In agentic mode there are tools that list actions and execute them, and
others that change what is enabled or connected: those are never called, since they would let their callers widen what
they may do. What the tools are called and what their arguments are called is read from the server: it
varies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from integrations.mcp.sessions import McpSessions
from integrations.mcp.source import McpSource
from integrations.settings import ConnectionSettings, settings_of
from integrations.zapier_answers import content, result
from integrations.zapier_listing import EXECUTING, Listing
from workflow.actions import Action, ActionCall, ActionResult, ResourceContent
from workflow.connections import Connection
from workflow.credential_forms import https_address
from workflow.items import JsonObject

ENDPOINT = "https://mcp.zapier.com/api/v1/connect"
AS_GIVEN = "Use the given values as they are."
"""The instructions to Zapier where the caller gives none."""

LISTING = re.compile(r"^(?:inspect|list_enabled)_zapier_actions?$")
META = re.compile(
    r"^(?:(?:discover|inspect|list|list_enabled|enable|disable)_zapier_actions?|execute_zapier_\w+"
    r"|(?:list|manage)_zapier_connections|list_dynamic_enum_values|auto_provision_mcp|write_code_action"
    r"|get_configuration_url|send_feedback"
    r"|(?:create|get|list|update|delete|run)_(?:zapier_)?skills?)$"
)


class ZapierSettings(ConnectionSettings):
    """Settings of kind ``zapier``."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)] = Field(
        default=ENDPOINT, description="The endpoint, where it is not the usual one."
    )


class Zapier:
    """Kind ``zapier``. Implements :class:`integrations.sources.ActionSource`."""

    def __init__(self, sessions: McpSessions) -> None:
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
        """Run an action; see the port."""
        wanted = _tool_call(action, call)
        tool = replace(action, name=wanted.action)
        return result(action, await self._server.result(connection, tool, wanted))

    async def read(self, connection: Connection, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource of the server; see the port."""
        return await self._server.read(connection, uri, timeout_seconds=timeout_seconds)

    async def forget(self, connection: Connection) -> None:
        """Close its session; see the port."""
        await self._server.forget(connection)

    async def _enabled(self, connection: Connection, listing: Action, executing: Mapping[str, Action]) -> list[Action]:
        """What is enabled in agentic mode."""
        # It only lists, whatever it says of itself.
        reading = replace(listing, effect="read")

        async def ask(arguments: JsonObject) -> Any:
            call = ActionCall(
                owner=connection.owner, connection=connection.name, action=listing.name, arguments=arguments
            )
            return content(reading, await self._server.result(connection, reading, call))

        return await Listing(tool=reading, executing=executing, ask=ask).enabled()


def _managed(tool: Action) -> Action:
    """A tool of managed mode: what is to be done in words is no argument of ours."""
    app = tool.name.partition("_")[0]
    schema = _without(tool.input_schema, "instructions")
    return replace(tool, input_schema=schema, group=app, details={"tool": tool.name})


def _tool_call(action: Action, call: ActionCall) -> ActionCall:
    """The call of the tool that does the action."""
    instructions = call.instructions or AS_GIVEN
    details = action.details
    if "arguments" not in details:
        return replace(call, action=details["tool"], arguments={**call.arguments, "instructions": instructions})
    arguments = {**details["arguments"], details["params"]: call.arguments, "instructions": instructions}
    if "tool_name" in details:
        arguments["tool_name"] = details["tool_name"]
    return replace(call, action=details["tool"], arguments=arguments)


def _without(schema: Mapping[str, Any], name: str) -> JsonObject:
    """The schema of an object that has no such member."""
    properties = {key: value for key, value in schema.get("properties", {}).items() if key != name}
    rest = {**schema, "properties": properties}
    if "required" in schema:
        rest["required"] = [each for each in schema["required"] if each != name]
    return rest
