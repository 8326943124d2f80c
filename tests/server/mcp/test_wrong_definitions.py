"""Definitions that agents send and should not: each gets findings that can be acted on, and none is half saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.mcp_caller import McpCaller
from tests.support.wrong_calls import (
    GOOD,
    START,
    World,
    WrongDefinition,
    assert_can_be_acted_on,
    good,
    patched,
    with_node,
)

N8N = {
    "name": "n8n",
    "nodes": [
        {"id": "1", "name": "Start", "type": "n8n-nodes-base.manualTrigger", "typeVersion": 1, "position": [0, 0]},
        {"id": "2", "name": "Set", "type": "n8n-nodes-base.set", "typeVersion": 3, "position": [200, 0]},
    ],
    "connections": {"Start": {"main": [[{"node": "Set", "type": "main", "index": 0}]]}},
}
N8N_CONNECTIONS = {
    "start": {"main": [[{"node": "shape", "type": "main", "index": 0}]]},
    "shape": {"main": [[{"node": "check", "type": "main", "index": 0}]]},
    "check": {"main": [[{"node": "big", "type": "main", "index": 0}], [{"node": "small", "type": "main", "index": 0}]]},
}


def fields(**values: Any) -> dict[str, Any]:
    """A set node."""
    return {"type": "set", "parameters": {"fields": values}}


def without(name: str) -> dict[str, Any]:
    """A good definition without a member."""
    return {member: value for member, value in GOOD.items() if member != name}


SHAPES = [
    WrongDefinition(
        what="n8n's own JSON",
        source="n8n-mcp 255 and 405: agents know n8n's format by heart",
        definition=N8N,
        code="n8n_definition",
        at="",
        is_mended=False,
    ),
    WrongDefinition(
        what="nodes as a list",
        source="n8n's own form: nodes are a list there",
        definition=good(nodes=[{"name": name, "id": name, **node} for name, node in GOOD["nodes"].items()]),
        code="wrong_form",
        at="/nodes",
    ),
    WrongDefinition(
        what="connections as n8n writes them",
        source="n8n-mcp 360: main arrays by output index",
        definition=good(connections=N8N_CONNECTIONS),
        code="wrong_form",
        at="/connections",
    ),
    WrongDefinition(
        what="connections as objects with a source and a target",
        source="n8n-mcp 249: sourceNodeId, sourceOutput, targetNodeId",
        definition=good(
            connections=[
                {"from": "start", "to": "shape"},
                {"source": "shape", "target": "check"},
                {"source": "check", "sourceOutput": "true", "target": "big"},
                {"source": "check", "branch": "false", "target": "small"},
            ]
        ),
        code="wrong_form",
        at="/connections/3",
    ),
    WrongDefinition(
        what="a connection as text with an arrow",
        source="diagrams in prompts: agents copy the notation",
        definition=good(connections=["start -> shape", *GOOD["connections"][1:]]),
        code="wrong_form",
        at="/connections/0",
    ),
    WrongDefinition(
        what="nodes as JSON in a text",
        source="n8n-mcp 727: VS Code sends nested arrays and objects as strings",
        definition=good(nodes=json.dumps(GOOD["nodes"])),
        code="wrong_form",
        at="/nodes",
    ),
    WrongDefinition(
        what="parameters as JSON in a text",
        source="n8n-mcp 814: nested values mis-serialized by HTTP clients",
        definition=with_node("more", {"type": "set", "parameters": '{"fields": {"a": 1}}'}),
        code="wrong_form",
        at="/nodes/more/parameters",
    ),
    WrongDefinition(
        what="an object that became [object Object]",
        source="n8n-mcp 642: patch objects reach the code node as [object Object]",
        definition=with_node("more", fields(user="[object Object]")),
        code="object_as_text",
        at="/nodes/more/parameters/fields/user",
        is_mended=False,
    ),
    WrongDefinition(
        what="parameters that became [object Object]",
        source="oh-my-openagent 729: an object argument becomes a string on the way",
        definition=with_node("more", {"type": "set", "parameters": "[object Object]"}),
        code="bad_value",
        at="/nodes/more/parameters",
        is_mended=False,
    ),
    WrongDefinition(
        what="no name",
        source="n8n-mcp 30: an error, or a success, that does not say what is missing",
        definition=without("name"),
        code="missing_field",
        at="/name",
        is_mended=False,
    ),
    WrongDefinition(
        what="another word for a field",
        source="n8n-mcp 392: changes for updates; the one missing and the one too many are the same",
        definition={**without("name"), "title": "good"},
        code="unknown_field",
        at="/title",
    ),
    WrongDefinition(
        what="camelCase settings",
        source="n8n 19800: settings must NOT have additional properties, and no word which",
        definition=good(settings={"timeoutSeconds": 60}),
        code="unknown_field",
        at="/settings/timeoutSeconds",
    ),
    WrongDefinition(
        what="camelCase members of a node",
        source="n8n-mcp 292: onError and continueOnFail",
        definition=with_node("more", {"type": "no_op", "onError": "continue"}),
        code="unknown_field",
        at="/nodes/more/onError",
    ),
    WrongDefinition(
        what="a wrong choice",
        source="n8n-mcp 491: values of onError",
        definition=with_node("more", {"type": "no_op", "on_error": "contineu"}),
        code="bad_value",
        at="/nodes/more/on_error",
    ),
    WrongDefinition(
        what="a number in words",
        source="n8n-mcp 814: typeVersion and limits as strings",
        definition=good(settings={"timeout_seconds": "five minutes"}),
        code="bad_value",
        at="/settings/timeout_seconds",
        is_mended=False,
    ),
    WrongDefinition(
        what="a number beyond its bound",
        source="any limit that is found by trying",
        definition=good(settings={"timeout_seconds": 1_000_000}),
        code="bad_value",
        at="/settings/timeout_seconds",
    ),
    WrongDefinition(
        what="a time zone that is none",
        source="zones typed from memory",
        definition=good(settings={"timezone": "Europe/Pari"}),
        code="bad_value",
        at="/settings/timezone",
    ),
]
NODES_AND_GRAPHS = [
    WrongDefinition(
        what="a type with a typo",
        source="n8n-mcp 255: near misses of node types",
        definition=with_node("more", {"type": "noop"}),
        code="unknown_node_type",
        at="/nodes/more/type",
    ),
    WrongDefinition(
        what="n8n's name for a type",
        source="n8n-mcp 405: n8n-nodes-base.httpRequest",
        definition=with_node("more", {"type": "n8n-nodes-base.httpRequest", "parameters": {"url": "https://e.com"}}),
        code="unknown_node_type",
        at="/nodes/more/type",
    ),
    WrongDefinition(
        what="an invented type",
        source="agents guess what must surely exist",
        definition=with_node("more", {"type": "blockchain_oracle"}),
        code="unknown_node_type",
        at="/nodes/more/type",
        is_mended=False,
    ),
    WrongDefinition(
        what="an unknown parameter",
        source="n8n-mcp 431: must NOT have additional properties, and no word which",
        definition=with_node("more", {"type": "limit", "parameters": {"max_itms": 3}}),
        code="unknown_parameter",
        at="/nodes/more/parameters/max_itms",
    ),
    WrongDefinition(
        what="a missing parameter",
        source="n8n-mcp 204: required members left out",
        definition=with_node("more", {"type": "http_request", "parameters": {}}),
        code="missing_parameter",
        at="/nodes/more/parameters/url",
        is_mended=False,
    ),
    WrongDefinition(
        what="a member of the node among its parameters",
        source="n8n-mcp 491: onError and retryOnFail inside parameters",
        definition=with_node("more", {"type": "limit", "parameters": {"max_items": 3, "on_error": "continue"}}),
        code="unknown_parameter",
        at="/nodes/more/parameters/on_error",
    ),
    WrongDefinition(
        what="a dotted name in place of a nested object",
        source="n8n-mcp 45: changes such as parameters.html",
        definition=with_node("more", {"type": "limit", "parameters": {}, "parameters.max_items": 3}),
        code="unknown_field",
        at="/nodes/more/parameters.max_items",
    ),
    WrongDefinition(
        what="a parameter of the wrong type",
        source="n8n-mcp 814: one value where a list of objects is due",
        definition=with_node("more", {"type": "sort", "parameters": {"by": "total"}}),
        code="bad_parameter",
        at="/nodes/more/parameters/by",
        is_mended=False,
    ),
    WrongDefinition(
        what="an output that is not there",
        source="n8n-mcp 537: made-up outputs are stored and drawn, and no data flows",
        definition=good(connections=[*GOOD["connections"][:3], ["check.flase", "small"]]),
        code="unknown_output",
        at="/connections/3/0",
    ),
    WrongDefinition(
        what="an output by its number",
        source="n8n-mcp 659: sourceOutput 0",
        definition=good(connections=[*GOOD["connections"][:3], ["check.1", "small"]]),
        code="unknown_output",
        at="/connections/3/0",
    ),
    WrongDefinition(
        what="an error output that was not asked for",
        source="n8n PR 31247: connections from an error pin that does not exist at run time",
        definition=with_node("after", {"type": "no_op"})
        | {"connections": [*GOOD["connections"], ["shape.error", "after"]]},
        code="unknown_output",
        at="/connections/4/0",
    ),
    WrongDefinition(
        what="the branches of an if merged into one output",
        source="n8n-mcp 360: everything ends in main[0], so both paths run",
        definition=good(connections=[*GOOD["connections"][:2], ["check", "big"], ["check", "small"]]),
        code="merged_branches",
        at="/connections/3/0",
        is_warning=True,
    ),
    WrongDefinition(
        what="the outputs of a loop confused",
        source="n8n-mcp 128: what follows the loop is connected to its body",
        definition={
            "name": "loop",
            "nodes": {"start": START, "loop": {"type": "loop"}, "body": {"type": "no_op"}, "end": {"type": "no_op"}},
            "connections": [["start", "loop"], ["loop", "body"], ["body", "loop"], ["loop", "end"]],
        },
        code="merged_branches",
        at="/connections/3/0",
        is_warning=True,
    ),
    WrongDefinition(
        what="a connection to a node that is not there",
        source="n8n-mcp 353: renamed nodes leave their connections behind",
        definition=good(connections=[["start", "shap"], *GOOD["connections"][1:]]),
        code="missing_node",
        at="/connections/0/1",
    ),
    WrongDefinition(
        what="the same connection twice",
        source="n8n-mcp 738: connections that exist already, seen from the other side",
        definition=good(connections=[*GOOD["connections"], ["start", "shape"]]),
        code="duplicate_connection",
        at="/connections/4",
    ),
    WrongDefinition(
        what="a circle",
        source="n8n-mcp 725: a circle without a loop node",
        definition=good(connections=[*GOOD["connections"], ["small", "shape"]]),
        code="cycle",
        at="/nodes/shape",
        is_mended=False,
    ),
    WrongDefinition(
        what="no trigger",
        source="a fragment taken for a workflow",
        definition={"name": "n", "nodes": {"a": fields(x=1), "b": {"type": "no_op"}}, "connections": [["a", "b"]]},
        code="no_trigger",
        at="/nodes",
    ),
    WrongDefinition(
        what="a connection into a trigger",
        source="a trigger that is put in the middle",
        definition=good(connections=[*GOOD["connections"], ["big", "start"]]),
        code="connection_into_trigger",
        at="/connections/4/1",
    ),
    WrongDefinition(
        what="names that differ by case only",
        source="n8n-mcp 270: names that connections cannot tell apart",
        definition=with_node("Big", {"type": "no_op"}),
        code="duplicate_name",
        at="/nodes/Big",
        is_mended=False,
    ),
    WrongDefinition(
        what="a node that nothing leads to",
        source="n8n-mcp 353: disconnected nodes after a partial update",
        definition=good(nodes={**GOOD["nodes"], "lost": {"type": "no_op"}}),
        code="unreachable_node",
        at="/nodes/lost",
        is_warning=True,
        is_mended=False,
    ),
]
EXPRESSIONS = [
    WrongDefinition(
        what="an expression without its equals sign",
        source="n8n's rule that an expression starts with an equals sign, forgotten",
        definition=with_node("more", fields(x="{{ $json.n }}")),
        code="expression_without_equals",
        at="/nodes/more/parameters/fields/x",
        is_warning=True,
    ),
    WrongDefinition(
        what="a space behind an expression, which makes a list a text",
        source="n8n-io/n8n 15828 and 16597: [object Object], and a false that counts as true",
        definition=with_node("more", fields(x="={{ [$json.n] }}\n")),
        code="space_around_expression",
        at="/nodes/more/parameters/fields/x",
        is_warning=True,
    ),
    WrongDefinition(
        what="a variable without braces",
        source="formulas as spreadsheets write them",
        definition=with_node("more", fields(x="=$json.n", y="$json.n")),
        code="expression_without_braces",
        at="/nodes/more/parameters/fields/y",
        is_warning=True,
    ),
    WrongDefinition(
        what="a variable with a typo",
        source="near misses that fail at run time only",
        definition=with_node("more", fields(x="={{ $jsno.n }}")),
        code="unknown_variable",
        at="/nodes/more/parameters/fields/x",
        is_warning=True,
    ),
    WrongDefinition(
        what="another node's name with a typo",
        source="n8n-mcp 353: expressions keep the old name",
        definition=with_node("more", fields(x="={{ $node['shpe'].json.n }}")),
        code="unknown_node_reference",
        at="/nodes/more/parameters/fields/x",
    ),
    WrongDefinition(
        what="a node that is nowhere",
        source="n8n-mcp 353: expressions about nodes of another workflow",
        definition=with_node("more", fields(x="={{ $('Webhook Trigger').item.json.n }}")),
        code="unknown_node_reference",
        at="/nodes/more/parameters/fields/x",
        is_mended=False,
    ),
    WrongDefinition(
        what="braces that are not closed",
        source="n8n-mcp 725: brackets of expressions",
        definition=with_node("more", fields(x="={{ $json.n")),
        code="bad_expression",
        at="/nodes/more/parameters/fields/x",
        is_mended=False,
    ),
    WrongDefinition(
        what="JavaScript that does not parse",
        source="n8n-mcp 480: the agent never sees why the code fails",
        definition=with_node("more", fields(x="={{ if ($json.n) 1 }}")),
        code="bad_expression",
        at="/nodes/more/parameters/fields/x",
        is_mended=False,
    ),
    WrongDefinition(
        what="a secret in a header",
        source="n8n-mcp 664 and n8n 34740: credentials pasted into parameters",
        definition=with_node(
            "more",
            {"type": "http_request", "parameters": {"url": "https://e.com", "headers": {"Authorization": "Bearer x1"}}},
        ),
        code="secret_in_parameters",
        at="/nodes/more/parameters/headers/Authorization",
        is_warning=True,
        is_mended=False,
    ),
]
DEFINITIONS = [*SHAPES, *NODES_AND_GRAPHS, *EXPRESSIONS]


@pytest.mark.parametrize("wrong", DEFINITIONS, ids=lambda wrong: wrong.what)
async def test_a_wrong_definition_gets_findings_and_is_not_saved(mcp_http: McpCaller, wrong: WrongDefinition) -> None:
    world = World(mcp_http)
    before = await world.state()
    report = await mcp_http.call("validate_workflow", definition=wrong.definition)
    found = {(each["code"], each["pointer"]): each for each in report["findings"]}
    assert (wrong.code, wrong.at) in found
    assert (found[wrong.code, wrong.at]["severity"] == "warning") is wrong.is_warning
    assert report["valid"] is wrong.is_warning
    if not wrong.is_warning:
        error = await mcp_http.fail("create_workflow", definition=wrong.definition)
        assert_can_be_acted_on(error)
        assert error["findings"] == report["findings"]
    assert_can_be_acted_on({"code": "-", "message": "-", "fix": "-", "findings": report["findings"]})
    assert await world.state() == before
    if wrong.is_mended:
        mended = patched(wrong.definition, report["findings"])
        assert await mcp_http.call("validate_workflow", definition=mended) == {"valid": True, "findings": []}


@pytest.mark.parametrize(
    "definition",
    [json.dumps(good()), json.dumps(good(), indent=2)],
    ids=["a definition as JSON text", "a definition as indented JSON text"],
)
async def test_a_definition_as_text_is_read(mcp_http: McpCaller, definition: str) -> None:
    assert await mcp_http.call("validate_workflow", definition=definition) == {"valid": True, "findings": []}


def test_there_are_enough_of_them() -> None:
    assert len(DEFINITIONS) >= 40
    assert len({wrong.what for wrong in DEFINITIONS}) == len(DEFINITIONS)
