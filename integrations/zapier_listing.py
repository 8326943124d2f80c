"""What is enabled in Zapier's agentic mode, as actions.

The listing tool gives the apps; asked for an app it gives the app's actions; and asked for one action, what its
params are. Where it gives more at once, less is asked. What it and its arguments are called has changed before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.mcp.results import MOST_DESCRIPTION
from workflow.actions import Action, ActionError, Effect
from workflow.items import JsonObject
from workflow.schemas.foreign import usable_schema

Ask = Callable[[JsonObject], Awaitable[Any]]
"""What the listing tool answers, as JSON."""

AT_ONCE = 8
"""How many actions are asked for their params at the same time."""
MOST_APPS = 500
EXECUTING = re.compile(r"^execute_zapier_(read|write)_action$")
_ARGUMENTS = {
    "api": ("selected_api", "app", "api"),
    "action": ("action", "action_key", "action_name"),
    "params": ("params", "parameters", "inputs"),
}
"""What has been seen for each argument; the first where the tool does not say."""
_TYPES = {
    **dict.fromkeys(("string", "text", "datetime", "password", "file", "copy", "code"), "string"),
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("number", "float", "decimal"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list"), "array"),
    **dict.fromkeys(("object", "dict"), "object"),
}
"""The types of Zapier's fields as those of JSON Schema; what is not here may be anything."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Listing:
    """The listing ``tool`` of a connection, and the ``executing`` tools, by effect."""

    tool: Action
    executing: Mapping[str, Action]
    ask: Ask

    async def enabled(self) -> list[Action]:
        """Every enabled action that can be executed.

        Raises:
            ActionError: Zapier does not say.
        """
        answer = await self.ask({})
        apps = answer.get("apps") if isinstance(answer, dict) else None
        entries: list[JsonObject] = []
        if isinstance(apps, list):
            for app in [each for each in apps if isinstance(each, dict)][:MOST_APPS]:
                entries += [{**app, **each} for each in _entries(await self.ask(self._asking(app)))]
        else:
            entries = _entries(answer)
        made = [self._action(each) for each in await self._all_with_params(entries)]
        return list({each.name: each for each in made if each is not None}.values())

    async def _all_with_params(self, entries: Sequence[JsonObject]) -> list[JsonObject]:
        room = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._with_params(each, room)) for each in entries]
        except ExceptionGroup as errors:
            # One says enough: the others were ended, or say the same.
            raise errors.exceptions[0] from None
        return [each.result() for each in asked]

    async def _with_params(self, entry: JsonObject, room: asyncio.Semaphore) -> JsonObject:
        """The entry with its params, for which it is asked where the list does not have them."""
        if _schema(entry) is not None:
            return entry
        async with room:
            try:
                found = _entries(await self.ask(self._asking(entry)))
            except ActionError as error:
                if error.code != "action_refused":
                    raise
                # It does not say for this one; the others are none the worse for it.
                return entry
        name = entry.get("tool_name")
        same = [each for each in found if each.get("tool_name") == name] or found
        return {**entry, **same[0]} if same else entry

    def _asking(self, entry: JsonObject) -> JsonObject:
        """The arguments that ask for an app or, where the entry is of an action, for that one."""
        known = self.tool.input_schema.get("properties", {})
        given = {
            **({"selected_api": _api(entry)} if "selected_api" in known else {"app": entry.get("app")}),
            "action": _key(entry),
            "tool_name": entry.get("tool_name"),
        }
        return {name: value for name, value in given.items() if value is not None and name in known}

    def _action(self, entry: JsonObject) -> Action | None:
        """The action, or nothing where it cannot be executed."""
        api, key = _api(entry), _key(entry)
        said = _said_effect(entry)
        effect = said or "write"
        tool = self.executing.get(effect)
        if api is None or key is None or tool is None:
            return None
        known = tool.input_schema.get("properties", {})
        names = {role: _known(options, known) for role, options in _ARGUMENTS.items()}
        app = str(entry.get("app") or re.sub(r"(?:V\d+)?(?:CLI)?API$", "", api))
        name = str(entry.get("tool_name") or re.sub(r"\W+", "_", f"{app}_{key}").lower())
        return Action(
            connection=self.tool.connection,
            name=name,
            title=str(entry.get("name") or entry.get("title") or name),
            description=str(entry.get("description") or "")[:MOST_DESCRIPTION],
            input_schema=usable_schema(_schema(entry)),
            effect=effect,
            effect_source="said" if said is not None else "assumed",
            is_idempotent=effect == "read",
            group=app,
            details={
                "tool": tool.name,
                "arguments": {names["api"]: api, names["action"]: key},
                "params": names["params"],
                **({"tool_name": entry.get("tool_name") or key} if "tool_name" in known else {}),
            },
        )


def _entries(answer: Any) -> list[JsonObject]:
    """The actions in an answer: alone, in groups by app, or in an object; each with its group's app."""
    if isinstance(answer, dict):
        answer = [answer] if isinstance(answer.get("actions"), list) else answer.get("results")
    found: list[JsonObject] = []
    for each in answer if isinstance(answer, list) else []:
        if isinstance(each, dict) and isinstance(each.get("actions"), list):
            of_group = {name: each[name] for name in ("app", "selected_api") if name in each}
            found += [{**of_group, **inner} for inner in each["actions"] if isinstance(inner, dict)]
        elif isinstance(each, dict):
            found.append(each)
    return found


def _schema(entry: JsonObject) -> JsonObject | None:
    """The JSON Schema of the params, where the entry has them as one, or as a list of fields."""
    given = next((entry[name] for name in ("params", "params_schema", "input_schema") if name in entry), None)
    if isinstance(given, dict):
        return {"type": "object", **given}
    if not isinstance(given, list):
        return None
    fields = [each for each in given if isinstance(each, dict) and isinstance(each.get("key"), str)]
    return {
        "type": "object",
        "properties": {each["key"]: _field(each) for each in fields},
        "required": [each["key"] for each in fields if each.get("required") is True],
    }


def _field(field: JsonObject) -> JsonObject:
    """The JSON Schema of one param."""
    kind = _TYPES.get(str(field.get("type", "")).lower())
    said = {"type": kind, "title": field.get("label"), "description": field.get("help_text")}
    choices = field.get("choices")
    if isinstance(choices, list) and choices:
        said["enum"] = [each.get("value") if isinstance(each, dict) else each for each in choices]
    return {name: value for name, value in said.items() if value}


def _said_effect(entry: JsonObject) -> Effect | None:
    """What it says of its effect: by the tool that executes it, else by its type."""
    by_tool = EXECUTING.match(str(entry.get("tool", "")))
    kind = by_tool[1] if by_tool else entry.get("action_type") or entry.get("type")
    if kind is None:
        return None
    return "read" if str(kind).lower() in ("read", "search") else "write"


def _api(entry: JsonObject) -> str | None:
    return _text(entry, _ARGUMENTS["api"])


def _key(entry: JsonObject) -> str | None:
    return _text(entry, ("key", *_ARGUMENTS["action"]))


def _text(entry: JsonObject, names: Sequence[str]) -> str | None:
    return next((entry[name] for name in names if isinstance(entry.get(name), str)), None)


def _known(options: Sequence[str], properties: Mapping[str, Any]) -> str:
    """The name of an argument, of those that were seen, that the tool has."""
    return next((each for each in options if each in properties), options[0])
