"""Good definitions get no finding at all: checking must not send agents round in circles (n8n-mcp 70 and 255)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import shapes
from engine.definitions.authoring import Authoring
from engine.nodes.registry import NodeRegistry
from tests.support.engine import EngineHarness, NamedConnections, NoCredentials
from tests.support.wrong_calls import good
from workflow.identity import LOCAL_ID

ROOT = Path(__file__).parents[3]
START = {"type": "manual"}


def from_examples() -> Iterator[tuple[str, Any]]:
    """The workflows under examples/."""
    for path in sorted((ROOT / "examples").glob("*/workflow.json")):
        yield str(path.relative_to(ROOT)), json.loads(path.read_text())


def from_benchmarks() -> Iterator[tuple[str, Any]]:
    """The workflows that benchmarks run."""
    for name, make in inspect.getmembers(shapes, inspect.isfunction):
        if name.startswith("case_"):
            yield name, make()


def with_texts(node_type: str = "set", **fields: Any) -> dict[str, Any]:
    """A definition with these fields in a set node."""
    node = {"type": node_type, "parameters": {"fields": fields}}
    return {"name": "texts", "nodes": {"start": START, "node": node}, "connections": [["start", "node"]]}


def with_code(javascript: str) -> dict[str, Any]:
    """A definition with this program in a code node."""
    node = {"type": "code", "parameters": {"javascript": javascript}}
    return {"name": "code", "nodes": {"start": START, "node": node}, "connections": [["start", "node"]]}


DOUBTFUL = {
    "braces of other template languages": with_texts(
        mail="Dear {{name}}, {{#if vip}}hello{{/if}}", jinja="{{ user.name }}"
    ),
    "a price with a dollar": with_texts(
        price="$12.50", range="$5 (or more)", command="echo $HOME", equals="=$5 a month"
    ),
    "an equals sign that is text": with_texts(formula="=2+2", sign="="),
    "words about secrets": with_texts(
        note="Basic authentication, bearer of news, the token ring", token="={{ $json.t }}"
    ),
    "names of its own in an expression": with_texts(x="={{ $json.list.map($item => $item.n) }}"),
    "dollars in strings of an expression": with_texts(x="={{ 'cost: $usd' + `${$json.n} $eur` }}"),
    "braces in a program": with_code("const f = () => {{ return {a: {b: '$json {{ x }}'}}; }}; return [f()];"),
    "a program about objects as text": with_code("return items.filter(i => String(i) !== '[object Object]');"),
    "a name in a signature": {
        "name": "signed",
        "nodes": {"hook": {"type": "webhook", "parameters": {"path": "p", "signature": {"secret": "github"}}}},
    },
    "items copied to several nodes": {
        "name": "fan-out",
        "nodes": {"start": START, **{name: {"type": "filter", "parameters": {"condition": True}} for name in "abc"}},
        "connections": [["start", "a"], ["a", "b"], ["a", "c"]],
    },
    "both ways of an if to the same node": {
        "name": "join",
        "nodes": good()["nodes"],
        "connections": [
            ["start", "shape"],
            ["shape", "check"],
            ["check.true", "big"],
            ["check.false", "big"],
            ["big", "small"],
        ],
    },
    "one way of an if, the first by default": {
        "name": "one way",
        "nodes": {name: node for name, node in good()["nodes"].items() if name != "small"},
        "connections": [["start", "shape"], ["shape", "check"], ["check", "big"]],
    },
    "true to two nodes, as is written": {
        "name": "twice true",
        "nodes": good()["nodes"],
        "connections": [["start", "shape"], ["shape", "check"], ["check.true", "big"], ["check.true", "small"]],
    },
}
GOOD_DEFINITIONS = {**dict(from_examples()), **dict(from_benchmarks()), **DOUBTFUL, "good": good()}


@pytest.fixture
def authoring(harness: EngineHarness) -> Authoring:
    """Checks need no store."""
    parts: dict[str, Any] = {
        "workflows": None,
        "credentials": NoCredentials(),
        "connections": NamedConnections(["time", "zapier", "github"]),
        "announcements": None,
        "clock": harness.clock,
        "new_id": lambda: "id",
    }
    return Authoring(registry=harness.registry, evaluator=harness.evaluator, audit=harness.audit, **parts)


@pytest.mark.parametrize("name", GOOD_DEFINITIONS)
async def test_a_good_definition_gets_no_finding(authoring: Authoring, name: str) -> None:
    report = await authoring.check(LOCAL_ID, GOOD_DEFINITIONS[name])
    assert [finding.to_json() for finding in report.findings] == []


async def test_the_example_of_every_node_type_gets_no_finding(authoring: Authoring, registry: NodeRegistry) -> None:
    for kind in registry:
        node = {"type": kind.name, "parameters": dict(kind.example)}
        nodes = {"start": START, "node": node} if kind.inputs_of(kind.example) else {"node": node}
        connections = [["start", "node"]] if "start" in nodes else []
        report = await authoring.check(LOCAL_ID, {"name": kind.name, "nodes": nodes, "connections": connections})
        assert [finding.to_json() for finding in report.findings] == [], kind.name


async def test_what_is_shown_can_be_sent_back(authoring: Authoring) -> None:
    for definition in GOOD_DEFINITIONS.values():
        report = await authoring.check(LOCAL_ID, definition)
        assert report.definition is not None
        again = await authoring.check(LOCAL_ID, report.definition.to_json())
        assert (again.definition, again.findings) == (report.definition, ())
