"""Groups items, and counts, sums or collects them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from workflow.definitions.catalogue import MAIN
from workflow.errors import NodeError
from workflow.items import Item, JsonObject, Outputs, from_item

Operation = Literal["collect", "count", "count_unique", "sum", "average", "min", "max", "first", "last"]


class Summary(Parameters):
    """One value per group. Without ``field`` collect takes whole items and count counts them."""

    operation: Operation
    field: str | None = Field(default=None, min_length=1, description="Dotted path into the item.")

    @model_validator(mode="after")
    def _has_field(self) -> Self:
        if self.field is None and self.operation not in ("collect", "count"):
            raise ValueError(f"{self.operation} needs a field")
        return self


class AggregateParameters(Parameters):
    """How to group, and the fields of each group's item."""

    group_by: list[str] = Field(default_factory=list, description="Dotted paths; empty makes one group.")
    summaries: dict[str, Summary] = Field(
        default={"items": Summary(operation="collect")},
        min_length=1,
        description="New field → what it holds, for example {'total': {'operation': 'sum', 'field': 'amount'}}.",
    )


class Aggregate(BatchNode[AggregateParameters]):
    """Makes one item per group of items, with sums, counts, lists and the like.

    Groups keep the order of their first items. A summary leaves out items without its field.
    """

    name = "aggregate"
    title = "Aggregate"
    group = "data"
    keywords = ("group", "sum", "count", "average", "collect", "summarize", "reduce", "statistics")
    example = {
        "group_by": ["country"],
        "summaries": {
            "orders": {"operation": "count"},
            "revenue": {"operation": "sum", "field": "amount"},
        },
    }
    parameter_model = AggregateParameters

    def run(self, call: NodeCall[AggregateParameters]) -> Outputs:
        parameters = call.common
        made = []
        for members in _groups(call.items, parameters.group_by):
            json: JsonObject = {}
            for path in parameters.group_by:
                field_path.write(json, path, _or_none(field_path.read(call.items[members[0]].json, path)))
            for name, summary in parameters.summaries.items():
                field_path.write(json, name, _summarize(summary, [call.items[index] for index in members]))
            made.append(Item(json, tuple(from_item(index)[0] for index in members)))
        return {MAIN: made}


def _groups(items: Sequence[Item], group_by: Sequence[str]) -> Iterable[Sequence[int]]:
    """The indexes of the items of each group."""
    if not group_by:
        return [range(len(items))] if items else []
    groups: dict[bytes, list[int]] = {}
    for index, item in enumerate(items):
        key = [_or_none(field_path.read(item.json, path)) for path in group_by]
        groups.setdefault(orjson.dumps(key, option=orjson.OPT_SORT_KEYS), []).append(index)
    return groups.values()


def _or_none(value: Any) -> Any:
    return None if value is field_path.ABSENT else value


def _summarize(summary: Summary, items: Sequence[Item]) -> Any:
    if summary.field is None:
        return len(items) if summary.operation == "count" else [item.json for item in items]
    values = [
        value
        for item in items
        if (value := field_path.read(item.json, summary.field)) is not field_path.ABSENT and value is not None
    ]
    if summary.operation in _NUMERIC:
        for value in values:
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise NodeError(
                    f"Cannot take the {summary.operation} of {summary.field!r}: it holds {value!r:.60}.",
                    code="not_a_number",
                    fix="Turn it into a number first, in a set node: ={{ Number($json.…) }}.",
                )
    return _REDUCERS[summary.operation](values)


_NUMERIC = frozenset({"sum", "average", "min", "max"})

_REDUCERS: Mapping[str, Callable[[list[Any]], Any]] = {
    "collect": lambda values: values,
    "count": len,
    "count_unique": lambda values: len({orjson.dumps(v, option=orjson.OPT_SORT_KEYS) for v in values}),
    "sum": sum,
    "average": lambda values: sum(values) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
}
