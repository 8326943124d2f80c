"""Conditions of nodes: comparisons written as data, or one expression that gives true or false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.expressions.fast_values import fall_through
from engine.node_api.item_loops import LoopCode, Path
from engine.node_api.parameters import Parameters
from workflow.errors import NodeError

Operator = Literal[
    "equals",
    "not_equals",
    "greater",
    "greater_or_equal",
    "less",
    "less_or_equal",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "in",
    "not_in",
    "exists",
    "not_exists",
    "is_empty",
    "is_not_empty",
    "is_true",
    "is_false",
]

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "greater": operator.gt,
    "greater_or_equal": operator.ge,
    "less": operator.lt,
    "less_or_equal": operator.le,
}


class Comparison(Parameters):
    """One comparison. ``right`` is not used by exists, not_exists, is_empty, is_not_empty, is_true, is_false."""

    left: Any = Field(description='Usually an expression: "={{ $json.score }}"')
    operator: Operator = "equals"
    right: Any = None


class Condition(Parameters):
    """Either ``condition`` (an expression that gives true or false) or ``comparisons``."""

    trusts_free_values: ClassVar[bool] = True

    condition: bool | None = Field(
        default=None, description='An expression that gives true or false: "={{ $json.score > 0.8 }}"'
    )
    comparisons: list[Comparison] = Field(default_factory=list, description="Used in place of condition.")
    combine: Literal["all", "any"] = Field(default="all", description="How many comparisons must hold.")

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.condition is None) == (not self.comparisons):
            raise ValueError("give either condition or comparisons (it must give true or false, not null)")
        return self

    def holds(self) -> bool:
        """Whether the condition holds.

        Raises:
            NodeError: two values cannot be compared with this operator, code ``cannot_compare``.
        """
        if self.condition is not None:
            return self.condition
        quantifier = all if self.combine == "all" else any
        return quantifier(compare(each.left, each.operator, each.right) for each in self.comparisons)


def write_test(raw: Mapping[str, Any], path: Path, code: LoopCode) -> str | None:
    """A Python expression for the condition at ``path``; ``None`` where it cannot be written."""
    if not code.is_constant(*path, "combine"):
        return None
    if "condition" in raw:
        decided = code.named(code.value((*path, "condition"), raw["condition"]))
        code.line(f"if {decided} is not True and {decided} is not False:")
        code.line(f"    {code.constant(fall_through)}()")
        return decided
    tests = []
    for place, each in enumerate(raw["comparisons"]):
        at = (*path, "comparisons", place)
        if not code.is_constant(*at, "operator"):
            return None
        left = code.named(code.value((*at, "left"), each["left"]))
        right = code.named(code.value((*at, "right"), each.get("right")))
        tests.append(_test(left, each.get("operator", "equals"), right, code))
    return "(" + (" and " if raw.get("combine", "all") == "all" else " or ").join(tests) + ")"


def _test(left: str, operation: Operator, right: str, code: LoopCode) -> str:
    """A Python expression for one comparison; two numbers are compared without a call."""
    general = f"{code.constant(compare)}({left}, {code.constant(operation)}, {right})"
    sign = _SIGNS.get(operation)
    if sign is None:
        return general
    numbers, kind = code.constant(_NUMBERS), code.constant(type)
    return f"({left} {sign} {right} if {kind}({left}) in {numbers} and {kind}({right}) in {numbers} else {general})"


_NUMBERS = frozenset({int, float})
_SIGNS = {"greater": ">", "greater_or_equal": ">=", "less": "<", "less_or_equal": "<="}


def same(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, ``true`` is not ``1``."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def compare(left: Any, operation: Operator, right: Any) -> bool:
    """The result of ``left operation right``.

    Raises:
        NodeError: the operation is not defined on these types, code ``cannot_compare``.
    """
    if operation in _ORDER:
        if not (_is_number(left) and _is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
            raise _cannot(left, operation, right, "two numbers or two strings")
        return _ORDER[operation](left, right)
    negated = operation.removeprefix("not_").replace("is_not_empty", "is_empty").replace("is_false", "is_true")
    if negated != operation:
        return not compare(left, negated, right)  # type: ignore[arg-type]
    match operation:
        case "equals":
            return same(left, right)
        case "exists":
            return left is not None
        case "is_empty":
            return left is None or left in ("", [], {})
        case "is_true":
            if not isinstance(left, bool):
                raise _cannot(left, operation, None, "true or false")
            return left
        case "in":
            if not isinstance(right, list):
                raise _cannot(left, operation, right, "a list on the right")
            return any(same(left, member) for member in right)
        case "contains":
            if isinstance(left, list):
                return any(same(member, right) for member in left)
            if isinstance(left, dict) and isinstance(right, str):
                return right in left
    if not (isinstance(left, str) and isinstance(right, str)):
        needed = "two strings, or a list or object on the left" if operation == "contains" else "two strings"
        raise _cannot(left, operation, right, needed)
    if operation == "contains":
        return right in left
    return left.startswith(right) if operation == "starts_with" else left.endswith(right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cannot(left: Any, operation: str, right: Any, needed: str) -> NodeError:
    return NodeError(
        f"Cannot compare {left!r:.60} {operation} {right!r:.60}: it takes {needed}.",
        code="cannot_compare",
        fix="Convert one side in its expression, for example with Number(…) or String(…), or test exists first.",
    )
