"""How agentic mode says what is enabled, by what users' programs read of it: apps, then actions, then their params.

Without arguments it gives the apps and how many actions each has; for an app its actions; for one action of it (by
its key, or by the name that it has as a tool) also the params, and for a param whose values are the app's own, those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mcp_types as types

from tests.doubles.zapier.answers import as_json, failure
from tests.doubles.zapier.catalogue import TEXT, Catalogue, ZapierAction

HINT = "Nothing is enabled yet: use discover_zapier_actions, or auto_provision_mcp."


@dataclass(slots=True)
class Listing:
    """The tool. It has had another name and other arguments; ``gives_params`` is whether apps' actions have params."""

    name: str = "inspect_zapier_actions"
    gives_params: bool = False

    @property
    def is_old(self) -> bool:
        """Whether it is what it was formerly, which knew apps by what they are called."""
        return self.name == "list_enabled_zapier_actions"

    def tool(self) -> types.Tool:
        """As it is listed."""
        now = ("selected_api", "action", "tool_name", "enum_property", "enum_search")
        names = ("app", "action") if self.is_old else now
        schema = {"type": "object", "properties": dict.fromkeys(names, TEXT)}
        description = "The enabled apps and actions, and what each needs to run. Call it first."
        return types.Tool(name=self.name, description=description, input_schema=schema)

    def call(self, arguments: dict[str, Any], catalogue: Catalogue) -> types.CallToolResult:
        """Say it."""
        app, key, tool = arguments.get("app" if self.is_old else "selected_api"), arguments.get("action"), None
        if not self.is_old:
            tool = arguments.get("tool_name")
        if not app and not tool:
            return as_json(self._apps(catalogue))
        found = [
            each
            for each in catalogue.actions
            if (not app or app.lower() in (each.app.lower(), each.api.lower()))
            and key in (None, each.key)
            and tool in (None, each.tool)
        ]
        if not found:
            return failure("No such app or action is enabled.")
        if "enum_property" in arguments:
            return as_json({"values": _values(arguments)})
        has_params = self.gives_params or bool(key or tool)
        groups: dict[str, list[dict[str, Any]]] = {}
        for each in found:
            groups.setdefault(each.app, []).append(_entry(each, has_params=has_params))
        return as_json([{"app": name, "actions": actions} for name, actions in groups.items()])

    def _apps(self, catalogue: Catalogue) -> dict[str, Any]:
        apps: dict[str, dict[str, Any]] = {}
        for each in catalogue.actions:
            entry = apps.setdefault(each.app, {"app": each.app, "selected_api": each.api, "action_count": 0})
            entry["action_count"] += 1
        return {"apps": list(apps.values()), **({} if apps else {"hint": HINT})}


def _entry(action: ZapierAction, *, has_params: bool) -> dict[str, Any]:
    return {
        "key": action.key,
        "name": action.title,
        "description": action.description,
        "action_type": action.type,
        "tool": action.executor,
        "tool_name": action.tool,
        **({"params": action.fields()} if has_params else {}),
    }


def _values(arguments: dict[str, Any]) -> list[dict[str, str]]:
    values = [{"value": f"C{number}", "label": f"#{name}"} for number, name in enumerate(("general", "random"))]
    return [each for each in values if arguments.get("enum_search", "").lower() in each["label"]]
