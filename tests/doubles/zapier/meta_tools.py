"""The tools of agentic mode that are about the server itself: what is enabled, connected, kept as a skill.

A client that may call others than the listing one can widen what the server does; ``called`` has every such call. The
names and arguments are those that Zapier's documentation and users' own programs show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types

from tests.doubles.zapier.answers import as_json, failure
from tests.doubles.zapier.catalogue import TEXT, Catalogue, ZapierAction

SETTINGS_URL = "https://mcp.zapier.com/mcp/servers/server-1/config"
FORMS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "discover_zapier_actions": ("Search apps and actions that could be enabled.", ("app", "query"), ()),
    "enable_zapier_action": ("Add an action to this server.", ("selected_api", "action"), ("selected_api", "action")),
    "disable_zapier_action": ("Remove an action.", ("selected_api", "action"), ("selected_api", "action")),
    "auto_provision_mcp": ("Enable actions for all apps that are connected at Zapier.", (), ()),
    "list_zapier_connections": ("The user's connections for an app.", ("selected_api",), ("selected_api",)),
    "manage_zapier_connections": (
        "A sign-in URL for a new connection, or another default one.",
        ("selected_api", "operation", "connection_id"),
        ("selected_api", "operation"),
    ),
    "list_zapier_skills": ("Saved instructions.", (), ()),
    "get_zapier_skill": ("One of them.", ("name",), ("name",)),
    "create_zapier_skill": ("Save instructions.", ("name", "content"), ("name", "content")),
    "update_zapier_skill": ("Change them.", ("name", "content"), ("name", "content")),
    "delete_zapier_skill": ("Forget them.", ("name",), ("name",)),
    "write_code_action": ("Make an action of code.", ("name", "code"), ("name", "code")),
    "get_configuration_url": ("The settings page of this server.", (), ()),
    "send_feedback": ("Tell Zapier something.", ("feedback",), ("feedback",)),
}
"""What each is for, its arguments, and which of them are required."""


@dataclass(slots=True)
class MetaTools:
    """Their state. ``connections`` are those of each app, ``skills`` texts by name."""

    called: list[str] = field(default_factory=list)
    connections: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skills: dict[str, str] = field(default_factory=dict)

    def tools(self) -> list[types.Tool]:
        """All of them, as they are listed."""
        return [
            types.Tool(
                name=name,
                description=description,
                input_schema={
                    "type": "object",
                    "properties": dict.fromkeys(arguments, TEXT),
                    "required": list(required),
                },
            )
            for name, (description, arguments, required) in FORMS.items()
        ]

    def call(self, name: str, arguments: dict[str, Any], catalogue: Catalogue) -> types.CallToolResult:
        """Do it."""
        self.called.append(name)
        missing = [each for each in FORMS[name][2] if each not in arguments]
        if missing:
            return failure(f"Missing arguments: {', '.join(missing)}")
        if name.endswith(("_skill", "_skills")):
            return self._skill(name, arguments)
        api, key = arguments.get("selected_api"), arguments.get("action")
        match name:
            case "discover_zapier_actions":
                return as_json(_discovered(catalogue, f"{arguments.get('app', '')} {arguments.get('query', '')}"))
            case "enable_zapier_action" | "disable_zapier_action":
                change = catalogue.enable if name.startswith("enable") else catalogue.disable
                found = change(api, key)
                return failure("Action not found.") if found is None else as_json({"action": _described(found)})
            case "auto_provision_mcp":
                enabled = [each for each in catalogue.others if each.api in self.connections]
                for each in enabled:
                    catalogue.enable(each.api, each.key)
                return as_json({"enabled": len(enabled)})
            case "list_zapier_connections":
                return as_json({"connections": self.of(str(api))})
            case "manage_zapier_connections":
                return self._connection(str(api), arguments)
            case "write_code_action":
                made = ZapierAction("Code", "CodeCLIAPI", f"code_{arguments['name']}", arguments["name"], "write", {})
                catalogue.actions.append(made)
                return as_json({"action": _described(made)})
            case "get_configuration_url":
                return as_json({"url": SETTINGS_URL})
        return as_json({"ok": True})

    def of(self, api: str) -> list[dict[str, Any]]:
        """The connections of an app; there is one at first."""
        return self.connections.setdefault(api, [{"id": f"{api}-1", "title": "ada@example.com", "is_default": True}])

    def reauthorize(self, api: str) -> dict[str, Any]:
        """The user signs in again: it adds a connection, and the default one stays what it was, as users tell."""
        known = self.of(api)
        made = {"id": f"{api}-{len(known) + 1}", "title": "ada@example.com", "is_default": False}
        known.append(made)
        return made

    def _connection(self, api: str, arguments: dict[str, Any]) -> types.CallToolResult:
        if arguments["operation"] == "create":
            return as_json({"url": f"{SETTINGS_URL}?app={api}"})
        known = self.of(api)
        if arguments.get("connection_id") not in [each["id"] for each in known]:
            return failure("Connection not found.")
        for each in known:
            each["is_default"] = each["id"] == arguments["connection_id"]
        return as_json({"connections": known})

    def _skill(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        if name == "list_zapier_skills":
            return as_json({"skills": sorted(self.skills)})
        skill = arguments["name"]
        if name != "create_zapier_skill" and skill not in self.skills:
            return failure("Skill not found.")
        if name == "delete_zapier_skill":
            return as_json({"deleted": self.skills.pop(skill)})
        if name != "get_zapier_skill":
            self.skills[skill] = arguments["content"]
        return as_json({"name": skill, "content": self.skills[skill]})


def _described(action: ZapierAction) -> dict[str, Any]:
    return {"selected_api": action.api, "action": action.key, "name": action.title, "tool_name": action.tool}


def _discovered(catalogue: Catalogue, query: str, most: int = 20) -> dict[str, Any]:
    words = query.lower().split()
    found: Sequence[ZapierAction] = [
        each for each in catalogue.others if all(word in each.tool.replace("_", " ") for word in words)
    ]
    return {"actions": [_described(each) for each in found[:most]], "total": len(found)}
