"""Definitions that are wrong, and definitions that fail when they run: an example for each of their codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

START = {"type": "manual"}


def one(node: dict[str, Any], *, name: str = "example", **members: Any) -> dict[str, Any]:
    """A manual trigger and one node behind it."""
    return {"name": name, "nodes": {"start": START, "node": node}, "connections": [["start", "node"]], **members}


def behind(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """A manual trigger and two nodes behind it."""
    nodes = {"start": START, "first": first, "node": second}
    return {"name": "example", "nodes": nodes, "connections": [["start", "first"], ["first", "node"]]}


def fields(**values: Any) -> dict[str, Any]:
    """A set node."""
    return {"type": "set", "parameters": {"fields": values}}


def code(javascript: str) -> dict[str, Any]:
    """A code node."""
    return {"type": "code", "parameters": {"javascript": javascript}}


def request(url: str, **parameters: Any) -> dict[str, Any]:
    """A request that is tried once."""
    return {"type": "http_request", "parameters": {"url": url, **parameters}, "retry": {"max_attempts": 1}}


def branch(*connections: tuple[str, str]) -> dict[str, Any]:
    """An if node with two nodes behind it."""
    nodes = {
        "start": START,
        "check": {"type": "if", "parameters": {"condition": True}},
        "a": {"type": "no_op"},
        "b": {"type": "no_op"},
    }
    return {"name": "example", "nodes": nodes, "connections": [["start", "check"], *map(list, connections)]}


SPLIT = (("check.true", "a"), ("check.false", "b"))
HOOK = {"type": "webhook", "parameters": {"path": "taken"}}
NO_OP = {"type": "no_op"}

DEFINITIONS: dict[str, Any] = {
    "missing_field": {"nodes": {"start": START}},
    "unknown_field": one({"type": "no_op", "onError": "continue"}),
    "bad_value": one({"type": "no_op", "on_error": "contine"}),
    "missing_parameter": one({"type": "http_request"}),
    "unknown_parameter": one({"type": "limit", "parameters": {"max_itms": 3}}),
    "bad_parameter": one({"type": "limit", "parameters": {"max_items": "many"}}),
    "wrong_form": {**one(NO_OP), "connections": [{"from": "start", "to": "node"}]},
    "n8n_definition": {"name": "n", "nodes": [{"name": "S", "type": "n8n-nodes-base.set", "typeVersion": 3}]},
    "unknown_node_type": one({"type": "n8n-nodes-base.httpRequest", "parameters": {"url": "https://example.com"}}),
    "missing_node": branch(("check.true", "aa"), ("check.false", "b")),
    "unknown_output": branch(("check.yes", "a"), ("check.false", "b")),
    "unknown_input": branch(("check.true", "a.first"), ("check.false", "b")),
    "duplicate_connection": branch(*SPLIT, SPLIT[0]),
    "connection_into_trigger": branch(*SPLIT, ("a", "start")),
    "merged_branches": branch(("check", "a"), ("check", "b")),
    "no_trigger": {"name": "example", "nodes": {"a": NO_OP}},
    "cycle": branch(*SPLIT, ("b", "check")),
    "unreachable_node": {"name": "example", "nodes": {"start": START, "lost": NO_OP}},
    "duplicate_name": {"name": "example", "nodes": {"start": START, "Start": START}},
    "duplicate_webhook_path": {"name": "example", "nodes": {"a": HOOK, "b": HOOK}},
    "bad_schema": {"name": "example", "nodes": {"start": {**START, "parameters": {"input_schema": {"type": "array"}}}}},
    "object_as_text": one(fields(user="[object Object]")),
    "hidden_value": one(fields(password="[hidden]")),  # noqa: S106 - the mark itself
    "secret_in_parameters": one(request("https://example.com", headers={"X-Api-Key": "k-123"})),
    "unknown_credential": one(request("https://example.com", credential="cmr")),
    "bad_expression": one(fields(x="={{ $json. }}")),
    "unknown_node_reference": one(fields(x="={{ $('strat').item.json.x }}")),
    "unknown_variable": one(fields(x="={{ $jsn.x }}")),
    "expression_without_equals": one(fields(x="{{ $json.x }}")),
    "space_around_expression": one(fields(x="={{ $json.x > 1 }} ")),
    "expression_without_braces": one(fields(x="$json.x")),
}

ASKS = {"type": "object", "properties": {"n": {"type": "string"}}}

RUNS: dict[str, Callable[[str], dict[str, Any]]] = {
    "expression_failed": lambda url: one(fields(x="={{ $json.user.name }}")),
    "expression_timeout": lambda url: one(code("while (true) {}")),
    "expression_memory": lambda url: one(code("const x = []; while (true) x.push('y'.repeat(1e6) + x.length);")),
    "expression_stack": lambda url: one(code("const f = () => f() + 1; return [{x: f()}];")),
    "object_in_text": lambda url: one(fields(x="=Dear {{ $json }}")),
    "promise_result": lambda url: one(fields(x="={{ (async () => 1)() }}")),
    "bad_text": lambda url: one(fields(x="={{ 'a\\ud800'.slice(0, 2) + $json.n }}")),
    "node_has_not_run": lambda url: (
        branch(SPLIT[0], SPLIT[1]) | {"nodes": {**branch()["nodes"], "a": fields(x="={{ $('b').first().json.n }}")}}
    ),
    "unknown_node": lambda url: one(code("return [{n: $('strat').first().json.n}];")),
    "pairing_unavailable": lambda url: {
        "name": "example",
        "nodes": {
            "start": START,
            "make": code("return [{}, {}, {}];"),
            "read": fields(x="={{ $('start').item.json.n }}"),
        },
        "connections": [["start", "make"], ["make", "read"]],
    },
    "multiple_matches": lambda url: {
        "name": "example",
        "nodes": {
            "start": START,
            "all": {"type": "aggregate"},
            "read": fields(x="={{ $('start').item.json.n }}"),
        },
        "connections": [["start", "all"], ["all", "read"]],
    },
    "stopped": lambda url: one({"type": "stop_and_error", "parameters": {"message": "=No customer {{ $json.n }}"}}),
    "cannot_compare": lambda url: one(
        {"type": "if", "parameters": {"comparisons": [{"left": "={{ $json.n }}", "operator": "less", "right": "9"}]}}
    ),
    "not_a_list": lambda url: one({"type": "split_out", "parameters": {"field": "n"}}),
    "not_a_number": lambda url: one(
        {"type": "aggregate", "parameters": {"summaries": {"sum": {"operation": "sum", "field": "text"}}}}
    ),
    "number_too_large": lambda url: behind(
        code("return [{ n: 1e308 }, { n: 1e308 }];"),
        {"type": "aggregate", "parameters": {"summaries": {"sum": {"operation": "sum", "field": "n"}}}},
    ),
    "path_blocked": lambda url: one({"type": "set", "parameters": {"fields": {"text.length": 3}}}),
    "too_many_items": lambda url: {
        "name": "example",
        "nodes": {
            "start": START,
            "many": code("return Array(1000).fill({ country: 'NO' });"),
            "join": {"type": "merge", "parameters": {"mode": "by_field", "match_on": ["country"]}},
        },
        "connections": [["start", "many"], ["many", "join.first"], ["many", "join.second"]],
    },
    "bad_code_result": lambda url: one(code("return [1];")),
    "sub_workflow_failed": lambda url: one(
        {"type": "execute_workflow", "parameters": {"workflow_id": "<stops>"}}, name="parent"
    ),
    "input_does_not_fit": lambda url: {
        "name": "example",
        "nodes": {"start": {**START, "parameters": {"input_schema": ASKS}}},
    },
    "node_timeout": lambda url: one({**request(f"{url}/slow"), "timeout_seconds": 0.05}),
    "execution_timeout": lambda url: one(request(f"{url}/slow"), settings={"timeout_seconds": 0.2}),
    "http_status": lambda url: one(request(f"{url}/absent")),
    "response_not_json": lambda url: one(request(f"{url}/text", response="json")),
    "response_too_large": lambda url: one(request(f"{url}/large")),
    "timeout": lambda url: one(request(f"{url}/slow", timeout_seconds=0.05)),
    "too_many_redirects": lambda url: one(request(f"{url}/circle")),
    "bad_response": lambda url: one(request(f"{url}/broken")),
    "address_not_allowed": lambda url: one(request("http://192.168.1.1/admin")),
    "invalid_request": lambda url: one(request("example.com/leads")),
    "credential_not_found": lambda url: one(request(f"{url}/text", credential="cmr")),
    "credential_not_usable": lambda url: one(request(f"{url}/text", credential="leads-db")),
    "credential_host_not_allowed": lambda url: one(request("https://example.com/leads", credential="crm")),
    "token_refused": lambda url: one(request(f"{url}/text", credential="crm")),
    "bad_vector": lambda url: one(
        {"type": "vector_store", "parameters": {"operation": "query", "collection": "handbook", "vector": [0, 0]}}
    ),
    "model_input_too_large": lambda url: one(
        {"type": "ai_chat", "parameters": {"prompt": "Summarise.", "input": "={{ 'x'.repeat(1100000) }}"}}
    ),
    "connection_failed": lambda url: one(request("http://127.0.0.1:1/")),
}
"""Run in this order with two items; the last one is repeated until its target is left alone."""
