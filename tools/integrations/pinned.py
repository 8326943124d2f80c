"""Pinned actions as tools of their own: what a workspace uses often needs no searching."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import mcp_types as types

from integrations.actions import ConnectedActions
from tools.protocol.arguments import without_unfit_blanks
from tools.protocol.caller import Caller
from tools.protocol.tool import RUNNING, Pending, Tool, Toolset
from workflow.actions import Action
from workflow.connections import Connection
from workflow.identity import RUNS, Scopes
from workflow.schemas.foreign import usable_schema
from workflow.schemas.provider_forms import ProviderForm

MOST_PINNED = 50
"""Of a workspace: each costs every client the tokens of its schema."""
LONGEST_NAME = 60
"""Some clients drop tools with longer names."""
DESCRIPTION_CHARACTERS = 1_000


@dataclass(slots=True, frozen=True, kw_only=True)
class PinnedTool:
    """An action as a tool: a call does it, and is answered as ``run_action`` does."""

    listed: types.Tool
    action: Action
    form: ProviderForm
    run: Tool[Any]
    toolsets: frozenset[Toolset] = RUNNING
    scopes: Scopes = RUNS

    @property
    def name(self) -> str:
        """The tool's name, unique among its workspace's."""
        return self.listed.name

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """The tool as every client sees it."""
        return self.listed

    async def call(self, arguments: dict[str, Any], caller: Caller) -> types.CallToolResult | Pending:
        """The action's answer, or the failure as a result that says how to mend it."""
        arguments = without_unfit_blanks(self.action.input_schema, self.form.original(arguments))
        named = {"connection": self.action.connection, "action": self.action.name, "arguments": arguments}
        return await self.run.call(named, caller)


class PinnedTools:
    """A :class:`tools.protocol.offering.OfferSource` of what the workspace's connections have pinned."""

    def __init__(self, *, actions: ConnectedActions, run: Tool[Any]) -> None:
        self._actions = actions
        self._run = run

    async def all(self, owner: str) -> Sequence[PinnedTool]:
        """The workspace's tools, in the order of their connections and names."""
        pinning = {each.name: each for each in await self._actions.connections(owner) if each.settings.get("pinned")}
        if not pinning:
            return []
        pinned = [
            each
            for each in await self._actions.actions(owner)
            if each.connection in pinning and _is_pinned(pinning[each.connection], each)
        ]
        found: dict[str, PinnedTool] = {}
        for action in pinned[:MOST_PINNED]:
            tool = self._tool(action)
            found.setdefault(tool.name, tool)
        return list(found.values())

    def _tool(self, action: Action) -> PinnedTool:
        form = ProviderForm(usable_schema(action.input_schema))
        listed = types.Tool(
            name=_name(action),
            title=action.title,
            description=f"{action.description[:DESCRIPTION_CHARACTERS]} ({action.connection})".strip(),
            input_schema=form.schema,
            annotations=types.ToolAnnotations(
                read_only_hint=action.effect == "read",
                destructive_hint=action.is_destructive,
                idempotent_hint=action.is_repeatable,
                open_world_hint=True,
            ),
        )
        return PinnedTool(listed=listed, action=action, form=form, run=self._run)


def _is_pinned(connection: Connection, action: Action) -> bool:
    return any(fnmatchcase(action.name, pattern) for pattern in connection.settings["pinned"])


def _name(action: Action) -> str:
    """The connection's name and the action's, in characters that every client takes."""
    name = action.name if action.name.startswith(f"{action.connection}_") else f"{action.connection}_{action.name}"
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST_NAME]
