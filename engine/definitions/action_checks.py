"""Checks the actions that a definition names against those that the workspace's connections offer now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonpointer

from engine.expressions.template import is_template
from engine.node_api.parameters import template_leaves
from engine.nodes.actions.action_node import ActionNode
from engine.nodes.registry import NodeRegistry
from workflow.actions import Action
from workflow.findings import Finding, PatchOperation, did_you_mean, nearest, pointer
from workflow.schemas.foreign import argument_findings

Path = tuple[str | int, ...]

MOST_STEPS = 8_000
"""Keywords of schemas looked at for one definition: some 0.2 s. Arguments beyond them are checked before their call."""


@dataclass(slots=True, frozen=True, kw_only=True)
class NamedAction:
    """An action as a definition names it. The paths lead from the document to each part."""

    connection: str
    action: str
    arguments: Any
    digest: str | None
    connection_at: Path
    action_at: Path
    arguments_at: Path
    digest_at: Path


def named_actions(document: Any, registry: NodeRegistry) -> list[NamedAction]:
    """Every action that a definition names without an expression; the rest of ``document`` may be wrong."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    found: list[NamedAction] = []
    for name, node in (nodes if isinstance(nodes, dict) else {}).items():
        parameters = node.get("parameters") if isinstance(node, dict) else None
        kind = registry.get(node["type"]) if isinstance(node, dict) and isinstance(node.get("type"), str) else None
        if kind is None or not isinstance(parameters, dict):
            continue
        at: Path = ("nodes", str(name), "parameters")
        if isinstance(kind, ActionNode):
            found += _in_node(kind, parameters, at)
        found += _in_tools(parameters.get("tools"), (*at, "tools"))
    return found


def action_findings(
    named: Sequence[NamedAction], connections: Sequence[str], actions: Sequence[Action]
) -> Iterator[Finding]:
    """What is wrong with them. A missing connection is a warning: it may be made before the workflow runs."""
    by_connection: dict[str, dict[str, Action]] = {}
    for action in actions:
        by_connection.setdefault(action.connection, {})[action.name] = action
    steps_left = MOST_STEPS
    for each in named:
        if each.connection not in connections:
            yield _unknown_connection(each, connections)
        elif each.connection in by_connection:
            found = by_connection[each.connection].get(each.action)
            yield from _of_action(each, found, by_connection[each.connection])
            if found is not None and isinstance(each.arguments, dict) and steps_left > 0:
                findings, steps_left = argument_findings(
                    found.input_schema, each.arguments, at=pointer(*each.arguments_at), most_steps=steps_left
                )
                yield from _of_arguments(each, findings)


def _in_node(kind: ActionNode[Any], parameters: Mapping[str, Any], at: Path) -> Iterator[NamedAction]:
    connection, action = kind.named(parameters)
    if _is_name(connection) and _is_name(action):
        yield NamedAction(
            connection=connection,
            action=action,
            arguments=parameters.get(kind.arguments_name, {}),
            digest=parameters.get("digest"),
            connection_at=(*at, "connection"),
            action_at=(*at, kind.action_name),
            arguments_at=(*at, kind.arguments_name),
            digest_at=(*at, "digest"),
        )
    fallback = parameters.get("fallback")
    for place, other in enumerate(fallback if isinstance(fallback, list) else []):
        if isinstance(other, dict) and _is_name(other.get("connection")) and _is_name(other.get("action")):
            yield _plain(other, (*at, "fallback", place), arguments=other.get("arguments", {}))


def _in_tools(tools: Any, at: Path) -> Iterator[NamedAction]:
    """Actions that are tools of an agent: the model gives the arguments."""
    for place, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict) and _is_name(tool.get("connection")) and _is_name(tool.get("action")):
            yield _plain(tool, (*at, place), arguments=None)


def _plain(named: Mapping[str, Any], at: Path, *, arguments: Any) -> NamedAction:
    return NamedAction(
        connection=named["connection"],
        action=named["action"],
        arguments=arguments,
        digest=named.get("digest"),
        connection_at=(*at, "connection"),
        action_at=(*at, "action"),
        arguments_at=(*at, "arguments"),
        digest_at=(*at, "digest"),
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not is_template(value)


def _unknown_connection(named: NamedAction, connections: Sequence[str]) -> Finding:
    near = nearest(named.connection, connections)
    at = pointer(*named.connection_at)
    return Finding(
        code="unknown_connection",
        severity="warning",
        pointer=at,
        message=f"The workspace has no connection {named.connection!r:.100}.{did_you_mean(near)}",
        patch=(PatchOperation(op="replace", path=at, value=near),) if near is not None else (),
        fix=None if near is not None else "Make it with connect_integration before this runs.",
    )


def _of_action(named: NamedAction, action: Action | None, actions: Mapping[str, Action]) -> Iterator[Finding]:
    if action is None:
        near = nearest(named.action, list(actions))
        at = pointer(*named.action_at)
        yield Finding(
            code="unknown_action",
            pointer=at,
            message=f"The connection {named.connection!r} has no action {named.action!r:.100}, or does not allow it."
            f"{did_you_mean(near)}",
            patch=(PatchOperation(op="replace", path=at, value=near),) if near is not None else (),
            fix=None if near is not None else "Look for it with find_actions.",
        )
        return
    if named.digest is not None and named.digest != action.digest:
        at = pointer(*named.digest_at)
        yield Finding(
            code="action_changed",
            pointer=at,
            message=f"{named.connection}/{named.action} takes other arguments now than when its digest was pinned.",
            patch=(PatchOperation(op="replace", path=at, value=action.digest),),
            fix="Read its schema with find_actions and correct the arguments; then write the new digest.",
        )


def _of_arguments(named: NamedAction, findings: Sequence[Finding]) -> Iterator[Finding]:
    """What is wrong with the arguments as written; values of expressions are checked before the call."""
    at = pointer(*named.arguments_at)
    for finding in findings:
        here = finding.pointer.removeprefix(at)
        if finding.code == "bad_value" and _holds_template(named.arguments, here):
            continue
        yield Finding(
            code=finding.code,
            pointer=finding.pointer,
            message=f"{named.connection}/{named.action}: {finding.message}",
            fix=finding.fix,
        )


def _holds_template(arguments: Any, here: str) -> bool:
    try:
        value = jsonpointer.resolve_pointer(arguments, here)
    except jsonpointer.JsonPointerException:
        return False
    return bool(template_leaves(value))
