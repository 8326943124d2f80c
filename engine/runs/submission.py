"""What callers submit for execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflow.errors import InvalidArgumentsError
from workflow.executions import Mode, Parent, Priority, Record, Trigger
from workflow.identity import Initiator
from workflow.items import Item, Items, JsonObject


@dataclass(slots=True, frozen=True, kw_only=True)
class Submission:
    """What to execute. ``data`` is the input: nothing, an object, or a list of objects.

    ``execution_id`` is for callers that choose the id; the journal starts with ``recorded``, which counts as done.
    """

    trigger: Trigger
    initiator: Initiator
    start_node: str | None = None
    data: Any = None
    mode: Mode = "live"
    pins: dict[str, list[JsonObject]] | None = None
    priority: Priority | None = None
    parent: Parent | None = None
    root: str | None = None
    depth: int = 0
    execution_id: str | None = None
    rerun_of: str | None = None
    recorded: Sequence[Record] = ()
    answer_form: str | None = None


def input_items(data: Any) -> Items:
    """An execution's input as items: nothing is one empty item, an object one item, a list one item each.

    Raises:
        InvalidArgumentsError: the input is neither an object nor a list of objects.
    """
    if data is None:
        return [Item({})]
    if isinstance(data, dict):
        return [Item(data)]
    if isinstance(data, list) and all(isinstance(each, dict) for each in data):
        return [Item(each) for each in data]
    raise InvalidArgumentsError(
        "The input is neither an object nor a list of objects.",
        pointer="/input",
        fix='Wrap it, for example {"value": …}.',
    )
