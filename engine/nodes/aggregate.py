"""Groups items, and counts, sums or collects them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_traits import RunsWithoutItems
from engine.node_api.node_type import BatchNode
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from engine.nodes.keys import check_number, key_of, key_of_all, whole
from workflow.definitions.catalogue import MAIN, ParameterProblem
from workflow.errors import NodeError
from workflow.findings import pointer
from workflow.items import Item, JsonObject, Outputs, from_item

Operation = Literal["collect", "count", "count_unique", "sum", "average", "min", "max", "first", "last"]


class Summary(Parameters):
    """One value per group. Without ``field`` collect takes whole items and count counts them."""

    operation: Operation
    field: field_path.FieldPath | None = Field(default=None, min_length=1, description="Path of the field.")

    @model_validator(mode="after")
    def _has_field(self) -> Self:
        if self.field is None and self.operation not in ("collect", "count"):
            raise ValueError(f"{self.operation} needs a field")
        return self


class AggregateParameters(Parameters):
    """How to group, and the fields of each group's item."""

    group_by: list[field_path.FieldPath] = Field(default_factory=list, description="Paths; empty makes one group.")
    summaries: Annotated[dict[str, Summary], AfterValidator(field_path.checked_names)] = Field(
        default={"items": Summary(operation="collect")},
        min_length=1,
        description="Path → what it holds, for example {'total': {'operation': 'sum', 'field': 'amount'}}.",
    )
    when_empty: Literal["nothing", "zero"] = Field(
        default="nothing",
        description="When no items come. nothing: the node does not run. zero: it gives the summaries of no items, "
        "count 0, sum 0, an empty list, null; with group_by there is no group, and no item. Not an expression.",
    )


class Aggregate(BatchNode[AggregateParameters], RunsWithoutItems):
    """Makes one item per group of items, with sums, counts, lists and the like.

    Groups keep the order of their first items; items without a field of group_by are one group with those that have
    null in it. A summary leaves out items without its field. Numbers group by value: 3 and 3.0 are one.
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

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        if is_template(parameters.get("when_empty")):
            message = "when_empty must be nothing or zero, not an expression: without items there is nothing to read."
            problem = ParameterProblem(
                code="bad_parameter", path=("when_empty",), message=message, fix="Write the word itself."
            )
            return [problem]
        return super().problems_of(parameters)

    def runs_without_items(self, parameters: Mapping[str, Any]) -> bool:
        return parameters.get("when_empty") == "zero"

    def run(self, call: NodeCall[AggregateParameters]) -> Outputs:
        parameters = call.common
        made = []
        for members in _groups(call.items, parameters.group_by):
            json: JsonObject = {}
            for place, path in enumerate(parameters.group_by):
                first = call.items[members[0]].json
                value = _or_none(field_path.read(first, path))
                field_path.write_like(json, path, value, like=first, at=("group_by", place))
            for name, summary in parameters.summaries.items():
                value = _summarize(name, summary, call.items, members)
                field_path.write(json, name, value, at=("summaries", name))
            made.append(Item(json, tuple(from_item(index)[0] for index in members)))
        return {MAIN: made}


def _groups(items: Sequence[Item], group_by: Sequence[str]) -> Iterable[Sequence[int]]:
    """The indexes of the items of each group."""
    if not group_by:
        return [range(len(items))]
    groups: dict[bytes, list[int]] = {}
    for index, item in enumerate(items):
        key = key_of_all([_or_none(field_path.read(item.json, path)) for path in group_by])
        groups.setdefault(key, []).append(index)
    return groups.values()


def _or_none(value: Any) -> Any:
    return None if value is field_path.ABSENT else value


def _summarize(name: str, summary: Summary, items: Sequence[Item], members: Sequence[int]) -> Any:
    if summary.field is None:
        return len(members) if summary.operation == "count" else [items[index].json for index in members]
    values = []
    for index in members:
        value = field_path.read(items[index].json, summary.field)
        if value is None or value is field_path.ABSENT:
            continue
        if summary.operation in _NUMERIC and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise NodeError(
                f"Cannot take the {summary.operation} of {summary.field!r}: it holds {value!r:.60}.",
                code="not_a_number",
                item_index=index,
                pointer=pointer("parameters", "summaries", name),
                fix="Turn it into a number first, in a set node: ={{ Number($json.…) }}.",
            )
        values.append(value)
    result = _REDUCERS[summary.operation](values)
    if summary.operation in _NUMERIC and result is not None:
        check_number(
            result, f"The {summary.operation} of {summary.field!r:.60}", at=pointer("parameters", "summaries", name)
        )
    return result


def _sum(values: Sequence[int | float]) -> int | float:
    """The sum, exact where all numbers are whole; infinite where floats cannot hold it."""
    try:
        return whole(sum(values))
    except OverflowError:
        return math.inf


def _average(values: Sequence[int | float]) -> int | float | None:
    if not values:
        return None
    average = _sum(values) / len(values)
    return whole(average if math.isfinite(average) else math.fsum(value / len(values) for value in values))


_NUMERIC = frozenset({"sum", "average", "min", "max"})

_REDUCERS: Mapping[str, Callable[[list[Any]], Any]] = {
    "collect": lambda values: values,
    "count": len,
    "count_unique": lambda values: len(set(map(key_of, values))),
    "sum": _sum,
    "average": _average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
}
