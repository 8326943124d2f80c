"""Real examples of the codes of prompt templates: calls of a server in this process."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
from mcp.client.client import Client

Example = dict[str, Any]


def template(text: str, *variables: dict[str, Any], role: str = "user", **members: Any) -> dict[str, Any]:
    """A template of one message."""
    return {
        "title": "Example",
        "messages": [{"role": role, "content": text}],
        "variables": list(variables),
        **members,
    }


FINDINGS: dict[str, dict[str, Any]] = {
    "bad_prompt": template("Dear {{ name.upper() }}", {"name": "name"}),
    "undeclared_variable": template("Dear {{ name }}"),
    "missing_partial": template('{% include "plain_stile" %}'),
    "partial_cycle": template('{% include "example" %}', is_partial=True),
}
WARNINGS: dict[str, dict[str, Any]] = {
    "unused_variable": template("Dear all", {"name": "name", "default": ""}),
    "outside_in_system": template("{{ mail }}", {"name": "mail", "from_outside": True}, role="system"),
}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "prompt_not_found": ("render_prompt", {"name": "letter"}),
    "prompt_failed": ("render_prompt", {"template": template("{{ 1 // 0 }}")}),
    "invalid_prompt": ("save_prompt", {"name": "letter", "template": template("Dear {{ name }}")}),
    "prompt_name_taken": ("save_prompt", {"name": "build_workflow", "template": template("Build it.")}),
}


async def prompt_examples(client: Client) -> dict[str, Example]:
    """An example of each code, as the caller sees it."""
    found: dict[str, Example] = {}
    for code, document in FINDINGS.items():
        error = (await _answer(client, "save_prompt", {"name": "example", "template": document}))["error"]
        found[code] = next(each for each in error["findings"] if each["code"] == code)
    for code, document in WARNINGS.items():
        values = {each["name"]: "x" for each in document["variables"]}
        tried = await _answer(client, "render_prompt", {"template": document, "variables": values})
        found[code] = next(each for each in tried["warnings"] if each["code"] == code)
    for code, (tool, arguments) in CALLS.items():
        found[code] = (await _answer(client, tool, arguments))["error"]
    return found


async def _answer(client: Client, tool: str, arguments: dict[str, Any]) -> Any:
    result = await client.call_tool(tool, arguments)
    text = result.content[0]
    assert isinstance(text, types.TextContent)  # noqa: S101
    return json.loads(text.text)
