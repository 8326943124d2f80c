"""Actions that definitions name, checked before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definitions.action_checks import action_findings, named_actions
from engine.nodes.registry import NodeRegistry
from tests.support.actions import action
from workflow.findings import Finding

SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["to"],
    "additionalProperties": False,
}
SEND = action("mail", "send", input_schema=SCHEMA)
ACTIONS = [SEND, action("mail", "read")]


def found(registry: NodeRegistry, kind: str = "api_action", **parameters: Any) -> list[Finding]:
    """What is wrong with one node."""
    given = {"connection": "mail", "action": "send", "arguments": {"to": "ada"}, **parameters}
    document = {"nodes": {"n": {"type": kind, "parameters": given}}}
    return list(action_findings(named_actions(document, registry), ["mail", "other"], ACTIONS))


def test_what_fits_is_not_complained_of(registry: NodeRegistry) -> None:
    assert found(registry) == []
    assert found(registry, digest=SEND.digest) == []
    assert found(registry, arguments={"to": "={{ $json.to }}", "tags": ["={{ 1 }}"]}) == []
    assert found(registry, arguments="={{ $json }}") == []
    assert found(registry, connection="={{ $json.c }}") == []
    assert found(registry, connection="other") == [], "nobody knows yet what it can do"


@pytest.mark.parametrize(
    ("parameters", "code", "at", "value"),
    [
        ({"connection": "mial"}, "unknown_connection", "/nodes/n/parameters/connection", "mail"),
        ({"action": "sned"}, "unknown_action", "/nodes/n/parameters/action", "send"),
        ({"digest": "0" * 12}, "action_changed", "/nodes/n/parameters/digest", SEND.digest),
        ({"arguments": {}}, "missing_field", "/nodes/n/parameters/arguments/to", None),
        ({"arguments": {"to": 7}}, "bad_value", "/nodes/n/parameters/arguments/to", None),
        ({"arguments": {"to": "a", "cc": "={{ 1 }}"}}, "unknown_field", "/nodes/n/parameters/arguments/cc", None),
        (
            {"fallback": [{"connection": "mail", "action": "sent"}]},
            "unknown_action",
            "/nodes/n/parameters/fallback/0/action",
            "send",
        ),
        (
            {"fallback": [{"connection": "mail", "action": "send"}]},
            "missing_field",
            "/nodes/n/parameters/fallback/0/arguments/to",
            None,
        ),
    ],
)
def test_what_does_not_fit_is_told_where_and_mended_where_that_is_evident(
    registry: NodeRegistry, parameters: dict[str, Any], code: str, at: str, value: str | None
) -> None:
    (finding,) = found(registry, **parameters)
    assert (finding.code, finding.pointer) == (code, at)
    assert [each.value for each in finding.patch] == ([value] if value is not None else [])
    assert finding.severity == ("warning" if code == "unknown_connection" else "error")


def test_tools_of_agents_are_checked_too(registry: NodeRegistry) -> None:
    tools = [{"name": "t", "connection": "mail", "action": "sned"}]
    (finding,) = found(registry, "ai_agent", prompt="Go.", tools=tools)
    assert finding.pointer == "/nodes/n/parameters/tools/0/action"
