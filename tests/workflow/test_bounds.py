"""No text and no definition takes longer to look through than it is large."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.definitions.expression_checks import _STRINGS, _has_expression
from engine.nodes.registry import NodeRegistry
from workflow.definitions.checks import check_definition
from workflow.findings import MOST_FINDINGS, nearest
from workflow.redaction import HIDDEN, redacted_text

LENGTH = 200_000
SECONDS = 1.0
"""Some times what it takes; with a square in it, it would be minutes."""


def timed(work: Callable[[], Any]) -> Any:
    started = time.process_time()
    result = work()
    assert time.process_time() - started < SECONDS
    return result


@pytest.mark.parametrize(
    "unit",
    ["eyJ-", "eyJa.", "bearer ", "://a:", "-----BEGIN ", "PRIVATE KEY", "?token", "ghp_", "sk-", "eyJ0123456789."],
)
def test_secrets_are_looked_for_in_linear_time(unit: str) -> None:
    timed(lambda: redacted_text(unit * (LENGTH // len(unit))))


def test_a_token_is_still_hidden_wherever_words_end() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fw"
    for text in (token, f"x {token}", f'"{token}"', f"t={token}&", f"({token})"):
        assert token not in redacted_text(text)
        assert HIDDEN in redacted_text(text)


@pytest.mark.parametrize(
    "text", ["{{" + "$a" * LENGTH, "{{$a" * LENGTH, "{{" * LENGTH, '\\"' * LENGTH, "'\\\"" * LENGTH]
)
def test_expressions_are_looked_for_in_linear_time(text: str) -> None:
    assert not timed(lambda: _has_expression(text))
    timed(lambda: _STRINGS.sub("", text))


def test_texts_that_hold_expressions_are_still_found() -> None:
    for text in ("{{ $json.a }}", "x {{ {} }} {{$('a').item}}", "{{{ $json.a }}}"):
        assert _has_expression(text)
    for text in ("{{ a }}", "{{ }} $json", "$json", "{ $json }"):
        assert not _has_expression(text)


def test_suggestions_are_looked_for_within_bounds() -> None:
    names = [f"{'node ' * 30}{number}" for number in range(2_000)]
    for _ in range(10):
        timed(lambda: nearest("node " * 30, names))
    timed(lambda: nearest("a" * LENGTH, names))
    assert nearest("strat", ["start", "stop"]) == "start"


def test_a_definition_that_is_wrong_everywhere_has_a_bounded_number_of_findings(registry: NodeRegistry) -> None:
    nodes: dict[str, Any] = {f"node {number}": {"type": "no_op", "surplus": 1} for number in range(2_000)}
    missing = [[f"node {number}x", f"nod {number}"] for number in range(10_000)]
    for document in (
        {"name": "n", "nodes": nodes, "connections": missing},
        {"name": "n", "nodes": {name: {"type": "no_opp"} for name in nodes}, "connections": []},
        {"name": "n", "nodes": {"a": {"type": "no_op"}}, **{f"field {number}": 1 for number in range(10_000)}},
    ):
        started = time.process_time()
        report = check_definition(document, registry)
        assert time.process_time() - started < 5
        assert 0 < len(report.findings) <= 3 * MOST_FINDINGS


def test_many_connections_are_checked_in_linear_time(registry: NodeRegistry) -> None:
    names = ["start", *(f"node {number}" for number in range(100))]
    nodes = {name: {"type": "no_op"} for name in names} | {"start": {"type": "manual"}}
    connections = [[a, b] for place, a in enumerate(names) for b in names[place + 1 :]]
    started = time.process_time()
    report = check_definition({"name": "n", "nodes": nodes, "connections": connections}, registry)
    assert time.process_time() - started < 3
    assert report.is_valid
