"""The double itself: Zapier's tools in both modes, with a ledger of what has really happened."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import mcp_types as types
from mcp.server import Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tests.doubles.authorization_server import AuthorizationServer
from tests.doubles.zapier.answers import MALFORMED, failure, failure_in_text, malformed, success
from tests.doubles.zapier.catalogue import TEXT, Catalogue, ZapierAction
from tests.doubles.zapier.listing import Listing
from tests.doubles.zapier.meta_tools import FORMS, MetaTools

PATH = "/api/v1/connect"
TOKEN = "zapier-connection-token"
EXECUTORS = ("execute_zapier_read_action", "execute_zapier_write_action")

Mode = Literal["managed", "agentic"]
Trap = Literal[
    "401", "404", "429", "500", "502", "503", "hang", "slow success", "not json", "other json", "empty", "huge",
    "preview", "failure", "failure in text", "drop",
]  # fmt: skip
"""What goes wrong with one call of an action. It happens all the same with ``slow success``, ``drop`` and the answers
that are not what they should be."""


@dataclass(slots=True)
class ZapierDouble:
    """The double. ``ledger`` has every action that has really happened, ``traps`` what the next calls run into.

    ``traps_of`` has traps for one action, by the name that it has as a tool, or for one tool of agentic mode (statuses
    and ``drop`` only). ``attempts`` counts calls of actions, ``requests`` everything. What Zapier's names vary in is
    ``lister``, ``params_name``, ``has_tool_name``.
    """

    mode: Mode = "agentic"
    catalogue: Catalogue = field(default_factory=Catalogue)
    lister: str = "inspect_zapier_actions"
    gives_params: bool = False
    params_name: str = "params"
    has_tool_name: bool = True
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    tasks_left: int = 1_000
    url: str = ""
    guard: AuthorizationServer = field(default_factory=lambda: AuthorizationServer(path=PATH))
    meta: MetaTools = field(default_factory=MetaTools)
    traps: list[Trap] = field(default_factory=list)
    traps_of: dict[str, list[Trap]] = field(default_factory=dict)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    lists: int = 0
    attempts: int = 0
    retry_after: str = "7"
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)
    sessions: list[Any] = field(default_factory=list)

    @property
    def requests(self) -> Counter[str]:
        """How often each endpoint of OAuth, each kind of grant and each method of MCP was asked for."""
        return self.guard.requests

    @property
    def meta_calls(self) -> list[str]:
        """Every call of a tool that is about the server itself, and could widen what it does."""
        return self.meta.called

    @property
    def listing(self) -> Listing:
        """The tool that says what is enabled."""
        return Listing(self.lister, self.gives_params)

    async def list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        """A tool per action, or the tools of agentic mode."""
        self.lists += 1
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS and ctx.session not in self.sessions:
            self.sessions.append(ctx.session)
        if self.mode == "managed":
            tools = [
                types.Tool(name=each.tool, description=each.description, input_schema=each.schema())
                for each in self.catalogue.actions
            ]
            return types.ListToolsResult(tools=tools)
        tools = [types.Tool(name=name, description="Run an action.", input_schema=self.form()) for name in EXECUTORS]
        return types.ListToolsResult(tools=[self.listing.tool(), *tools, *self.meta.tools()])

    def form(self) -> dict[str, Any]:
        """The JSON Schema of what executes actions."""
        names = ["selected_api", "action", *(["tool_name"] if self.has_tool_name else [])]
        properties = {
            **dict.fromkeys([*names, "instructions", "output_hint"], TEXT),
            self.params_name: {"type": "object"},
        }
        return {"type": "object", "properties": properties, "required": [*names, "instructions"]}

    async def call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        """List, execute, or widen one's powers."""
        arguments = params.arguments or {}
        if self.mode == "agentic" and params.name == self.lister:
            return self.listing.call(arguments, self.catalogue)
        if self.mode == "agentic" and params.name in FORMS:
            return self.meta.call(params.name, arguments, self.catalogue)
        if self.mode == "agentic" and self.has_tool_name and "tool_name" not in arguments:
            return failure("tool_name is required")
        found = self.meant(params.name, arguments)
        if found is None:
            return failure("Action not found or not enabled.")
        own = ("instructions", "output_hint")
        given = {name: value for name, value in arguments.items() if name not in own}
        if self.mode == "agentic":
            given = arguments.get(self.params_name, {})
        return await self._executed(found, given, arguments.get("instructions", ""))

    def meant(self, tool: str, arguments: dict[str, Any]) -> ZapierAction | None:
        """The action that a call is of, if it is of an enabled one."""
        if self.mode == "managed":
            return next((each for each in self.catalogue.actions if each.tool == tool), None)
        if tool not in EXECUTORS:
            return None
        named = arguments.get("tool_name") if self.has_tool_name else None
        return self.catalogue.find(arguments.get("selected_api"), arguments.get("action"), tool=named, executor=tool)

    def trap(self, tool: str, *, is_action: bool = True, among: tuple[str, ...] | None = None) -> Trap | None:
        """What this call runs into, where it is ``among`` those; it is over with that."""
        for traps in (self.traps_of.get(tool, []), self.traps if is_action else []):
            if traps and (among is None or traps[0] in among):
                return traps.pop(0)
        return None

    async def _executed(self, action: ZapierAction, params: dict[str, Any], instructions: str) -> types.CallToolResult:
        trap = self.trap(action.tool)
        if trap == "hang":
            await asyncio.Event().wait()
        if trap == "failure":
            return failure("The app answered: no such record.")
        if trap == "failure in text":
            return failure_in_text("the app answered: no such record.")
        if any(name not in params for name in action.required) or set(params) - set(action.params):
            # It does not say which, nor what there is: names cannot be guessed.
            return failure("Required or unknown fields.")
        if trap == "preview":
            return success(action, params, instructions, number=next(self.numbers), is_preview=True)
        if self.tasks_left < 2:
            return failure("You have no tasks left: the task limit of your plan is reached.")
        self.tasks_left -= 2
        self.ledger.append({"action": action.tool, "params": params, "instructions": instructions})
        if trap == "slow success":
            await asyncio.Event().wait()
        if trap in MALFORMED:
            return malformed(trap)
        return success(action, params, instructions, number=next(self.numbers), is_preview=False)

    async def change_form(self, tool: str, **params: Any) -> None:
        """An action has these params too from now on, all of them required."""
        self.catalogue.actions = [
            replace(each, params={**each.params, **params}, required=(*each.required, *params))
            if each.tool == tool
            else each
            for each in self.catalogue.actions
        ]
        await self.tell_changed()

    async def rename(self, tool: str, title: str) -> None:
        """An action is called otherwise from now on."""
        self.catalogue.actions = [
            replace(each, title=title) if each.tool == tool else each for each in self.catalogue.actions
        ]
        await self.tell_changed()

    async def remove(self, tool: str) -> None:
        """An action is no more."""
        self.catalogue.actions = [each for each in self.catalogue.actions if each.tool != tool]
        await self.tell_changed()

    async def tell_changed(self) -> None:
        """Tell every client that the list has changed, in the way of its era."""
        await self.bus.publish(ToolsListChanged())
        for session in self.sessions:
            await session.send_tool_list_changed()

    def server(self) -> ZapierServer:
        """The SDK's server that does this."""
        return ZapierServer(
            "zapier",
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_subscriptions_listen=ListenHandler(self.bus),
        )


class ZapierServer(Server[Any]):
    """The SDK's server, which tells clients of the legacy era too that lists can change."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *others: Any
    ) -> InitializationOptions:
        """What ``initialize`` answers with."""
        options = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(options, *others)
