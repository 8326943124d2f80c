"""How many items one run of a node may make."""

from __future__ import annotations

from workflow.errors import NodeError

MAX_ITEMS = 500_000
"""Items that one run of a node may make of others: half a million small ones take about 200 MB of memory."""


def check_items(count: int, *, item_index: int | None = None) -> None:
    """Let pass what a run may make, before it is made.

    Raises:
        NodeError: there are more than ``MAX_ITEMS``, code ``too_many_items``.
    """
    if count > MAX_ITEMS:
        raise NodeError(
            f"The node would make {count} items; a run makes at most {MAX_ITEMS}.",
            code="too_many_items",
            item_index=item_index,
            fix="Filter or group the items before this node, or work in parts: a loop, or for_each.",
        )
