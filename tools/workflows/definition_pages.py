"""Workflows too large for one answer: read node by node, in the order of their nodes."""

from __future__ import annotations

from typing import Any

import mcp_types as types

from tools.protocol.budget import ROOM_FOR_CURSOR, cursor_to, fit, fitting, shown, start_of, tokens
from tools.protocol.tool import Answer
from workflow.definitions import graph
from workflow.ports import StoredWorkflow


def view_answer(
    stored: StoredWorkflow, view: Any, *, name: str, header: dict[str, Any], budget: int, cursor: str | None
) -> Answer:
    """``header`` and the view under its name, where both fit into ``budget`` tokens.

    A definition or summary that does not fit comes in pages, as ``part``, lest somebody take one for the whole: some
    nodes, of a definition also the connections that leave them, and on the first page what is not nodes. Of a
    picture the beginning and the end are shown.

    Raises:
        InvalidArgumentsError: the cursor is not of this view of this version.
    """
    left = budget - tokens(header) - ROOM_FOR_CURSOR
    view = shown(view)
    if cursor is None and tokens(view) <= left:
        content = {**header, **view} if name == "summary" else {**header, name: view}
        return Answer(content, whole=workflow_link(stored))
    if isinstance(view, dict):
        return _page(stored, view, name=name, header=header, budget=budget, cursor=cursor)
    return Answer({**header, name: fit(view, left)[0], "is_cut": True}, links=(workflow_link(stored),))


def _page(
    stored: StoredWorkflow,
    view: dict[str, Any],
    *,
    name: str,
    header: dict[str, Any],
    budget: int,
    cursor: str | None,
) -> Answer:
    key = (f"{stored.id}/{stored.version}", name)
    start = start_of(cursor, *key)
    nodes: dict[str, Any] = view["nodes"]
    leaving = _leaving(view.get("connections", []), nodes)
    rest = {member: value for member, value in view.items() if member not in ("nodes", "connections")}
    first: dict[str, Any] = fit(rest, budget // 4)[0] if not start else {}
    left = max(1, budget - tokens(header) - tokens(first) - ROOM_FOR_CURSOR)
    names = list(nodes)
    count = max(1, fitting([{name: nodes[name], "": leaving.get(name, [])} for name in names[start:]], left))
    chosen = names[start : start + count]
    part: dict[str, Any] = {**first, "nodes": {each: nodes[each] for each in chosen}}
    if "connections" in view:
        part["connections"] = [pair for each in chosen for pair in leaving.get(each, [])]
    content = {**header, "part": part, "of": len(nodes), "is_cut": True}
    if start + count < len(names):
        content["next_cursor"] = cursor_to(start + count, *key)
    return Answer(content, links=(workflow_link(stored),))


def workflow_link(stored: StoredWorkflow) -> types.ResourceLink:
    """Where the whole of a version can be read."""
    return types.ResourceLink(
        type="resource_link",
        name=f"workflow {stored.definition.name}, version {stored.version}",
        uri=f"workflow://{stored.id}/versions/{stored.version}",
        description="The whole of what was cut here.",
        mime_type="application/json",
    )


def _leaving(connections: list[Any], nodes: dict[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for pair in connections:
        end = graph.parse_end(pair[0], nodes)
        if end is not None:
            found.setdefault(end.node, []).append(pair)
    return found
