"""What an event means to somebody who looks at our resources and lists."""

from __future__ import annotations

from urllib.parse import quote

from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from engine.announcements import WORKFLOW_CHANGES
from workflow.connections import CONNECTION_CHANGES
from workflow.messages import Event
from workflow.prompt_templates import PROMPT_CHANGES, PROMPT_DELETED

ARRIVALS = frozenset({"workflow.created", "workflow.deleted", "workflow.restored"})
"""Changes after which the list of resources is another."""


def resources_changed(event: Event) -> list[ServerEvent]:
    """The resources that have changed, under their URIs in our own spelling."""
    if event.event_type in CONNECTION_CHANGES:
        return []
    if event.event_type in PROMPT_CHANGES:
        return [ResourceUpdated(f"prompt://{quote(event.data['name'], safe='')}")]
    if event.event_type in WORKFLOW_CHANGES:
        return [ResourceUpdated(f"workflow://{quote(event.aggregate_id, safe='')}")]
    execution = f"execution://{quote(event.data['executionId'], safe='')}"
    if "node" not in event.data or "note" in event.data:
        return [ResourceUpdated(execution)]
    return [ResourceUpdated(execution), ResourceUpdated(f"{execution}/nodes/{quote(event.data['node'], safe='')}")]


def lists_changed(event: Event) -> list[ServerEvent]:
    """The lists that may have changed with a workflow: of resources by its coming and going, of tools and prompts by
    all but its creation, after which it is not published yet. A prompt template is a prompt in every version. What a
    connection has pinned is a tool."""
    if event.event_type in CONNECTION_CHANGES:
        return [ToolsListChanged()]
    if event.event_type in PROMPT_CHANGES:
        is_other = event.event_type == PROMPT_DELETED or event.data["version"] == 1
        return [PromptsListChanged(), *([ResourcesListChanged()] if is_other else [])]
    lists: list[ServerEvent] = [ResourcesListChanged()] if event.event_type in ARRIVALS else []
    if event.event_type != "workflow.created":
        lists += [ToolsListChanged(), PromptsListChanged()]
    return lists
