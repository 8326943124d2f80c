"""Everything wrong with a definition is reported at once, with patches that mend it."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from engine.nodes.registry import NodeRegistry
from workflow.definitions.checks import check_definition, webhook_paths

VALID: dict[str, Any] = {
    "name": "valid",
    "nodes": {
        "start": {"type": "manual"},
        "check": {"type": "if", "parameters": {"condition": "={{ $json.ok }}"}},
        "join": {"type": "merge"},
    },
    "connections": [["start", "check"], ["check.true", "join.first"], ["check.false", "join.second"]],
}


def changed(**members: Any) -> dict[str, Any]:
    """The valid definition with other top members."""
    return {**VALID, **members}


def with_nodes(**nodes: Any) -> dict[str, Any]:
    """The valid definition with more nodes."""
    return changed(nodes={**VALID["nodes"], **nodes})


def apply(document: dict[str, Any], findings: Any) -> dict[str, Any]:
    """The document with every patch applied, in the order of the findings."""
    for finding in findings:
        document = jsonpatch.apply_patch(document, [operation.to_json() for operation in finding.patch])
    return document


def test_a_valid_definition_has_no_findings(registry: NodeRegistry) -> None:
    report = check_definition(VALID, registry)
    assert report.is_valid
    assert report.findings == ()


@pytest.mark.parametrize(
    ("document", "code", "pointer"),
    [
        (with_nodes(x={"type": "iff"}), "unknown_node_type", "/nodes/x/type"),
        (changed(connections=[["start", "chek"]]), "missing_node", "/connections/0/1"),
        (changed(connections=[["start", "check"], ["check.yes", "join.first"]]), "unknown_output", "/connections/1/0"),
        (changed(connections=[["start", "check.second"]]), "unknown_input", "/connections/0/1"),
        (changed(connections=[*VALID["connections"], ["join", "check"]]), "cycle", "/nodes/check"),
        (
            changed(connections=[*VALID["connections"], ["join", "start"]]),
            "connection_into_trigger",
            "/connections/3/1",
        ),
        (changed(connections=[*VALID["connections"], ["start", "check"]]), "duplicate_connection", "/connections/3"),
        (with_nodes(lost={"type": "no_op"}), "unreachable_node", "/nodes/lost"),
        (with_nodes(Start={"type": "manual"}), "duplicate_name", "/nodes/Start"),
        (changed(nodes={"check": VALID["nodes"]["check"]}, connections=[]), "no_trigger", "/nodes"),
        (
            with_nodes(x={"type": "limit", "parameters": {"max_items": 0}}),
            "bad_parameter",
            "/nodes/x/parameters/max_items",
        ),
        (with_nodes(x={"type": "split_out"}), "missing_parameter", "/nodes/x/parameters/field"),
        (
            with_nodes(x={"type": "set", "parameters": {"feilds": {}}}),
            "unknown_parameter",
            "/nodes/x/parameters/feilds",
        ),
        (changed(settings={"timezone": "Mars/Olympus"}), "bad_value", "/settings/timezone"),
        (changed(colour="red"), "unknown_field", "/colour"),
        ({"nodes": VALID["nodes"]}, "missing_field", "/name"),
        (with_nodes(x={"type": "no_op", "on_error": "contine"}), "bad_value", "/nodes/x/on_error"),
    ],
)
def test_each_mistake_is_found_where_it_is(
    registry: NodeRegistry, document: dict[str, Any], code: str, pointer: str
) -> None:
    found = {(finding.code, finding.pointer) for finding in check_definition(document, registry).findings}
    assert (code, pointer) in found


def test_two_triggers_on_one_webhook_path_are_found(registry: NodeRegistry) -> None:
    hook = {"type": "webhook", "parameters": {"path": "leads"}}
    document = {"name": "twice", "nodes": {"a": hook, "b": hook}}
    (finding,) = check_definition(document, registry).findings
    assert (finding.code, finding.pointer) == ("duplicate_webhook_path", "/nodes/b/parameters/path")


def test_an_unreachable_node_is_a_warning_that_does_not_stop_saving(registry: NodeRegistry) -> None:
    report = check_definition(with_nodes(lost={"type": "no_op"}), registry)
    assert report.is_valid
    assert [finding.severity for finding in report.findings] == ["warning"]


SIX_MISTAKES: dict[str, Any] = {
    "name": "six mistakes",
    "nodes": {
        "hook": {"type": "webhok", "parameters": {"path": "leads"}},
        "shape": {"type": "set", "parameters": {"feilds": {"a": 1}}},
        "check": {"type": "if", "parameters": {"condition": True}, "on_eror": "continue"},
        "done": {"type": "no_op"},
    },
    "connections": [["hook", "shap"], ["shape", "check"], ["check.ture", "done"], ["shape", "check"]],
}


def test_six_mistakes_get_six_findings_and_their_patches_leave_it_valid(registry: NodeRegistry) -> None:
    report = check_definition(SIX_MISTAKES, registry)
    assert [finding.code for finding in report.findings] == [
        "unknown_field",
        "unknown_node_type",
        "unknown_parameter",
        "missing_node",
        "unknown_output",
        "duplicate_connection",
    ]
    mended = apply(SIX_MISTAKES, report.findings)
    again = check_definition(mended, registry)
    assert again.is_valid
    assert again.findings == ()


def test_patches_that_remove_list_members_can_be_applied_in_order(registry: NodeRegistry) -> None:
    document = changed(connections=[["start", "check"], ["start", "check"], ["start", "check"], ["check.true", "join"]])
    mended = apply(document, check_definition(document, registry).findings)
    assert mended["connections"] == [["start", "check"], ["check.true", "join"]]


def test_an_expression_excuses_a_value_that_is_not_known_yet(registry: NodeRegistry) -> None:
    document = with_nodes(x={"type": "limit", "parameters": {"max_items": "={{ $json.n }}"}})
    assert all(finding.severity == "warning" for finding in check_definition(document, registry).findings)


@pytest.mark.parametrize("document", [None, [], "text", 7, {"nodes": 3}, {"nodes": {"a": None}, "connections": [3]}])
def test_what_is_no_definition_at_all_gets_findings_not_exceptions(registry: NodeRegistry, document: Any) -> None:
    assert not check_definition(document, registry).is_valid


def test_a_disabled_webhook_frees_its_path(registry: NodeRegistry) -> None:
    hook = {"type": "webhook", "parameters": {"path": "leads"}}
    document = {"name": "n", "nodes": {"a": {**hook, "disabled": True}, "b": hook}}
    report = check_definition(document, registry)
    assert report.definition is not None
    assert webhook_paths(report.definition, registry) == ["leads"]
