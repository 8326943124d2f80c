"""JavaScript's operators on JSON values, in Python, for the values on which both languages agree.

For other values they raise :class:`FallThroughError`, and JavaScript evaluates the expression.
"""

from __future__ import annotations

import math
from typing import Any

from engine.expressions.scope import ExpressionScope
from workflow.errors import ExpressionError

LARGEST_EXACT = 2**53 - 1
"""Beyond it whole numbers are BigInts in JavaScript, since its numbers are not exact (Number.MAX_SAFE_INTEGER)."""

_OBJECT_MEMBERS = frozenset(
    {
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
    }
)
"""Members that every JavaScript object inherits (ECMA-262, Object.prototype)."""


class FallThroughError(Exception):
    """JavaScript must evaluate the expression: the languages may treat this value differently."""


def fall_through() -> None:
    """Raise :class:`FallThroughError`, in generated code that may contain only expressions."""
    raise FallThroughError


class _UndefinedValue:
    """The type of :data:`UNDEFINED`."""


UNDEFINED: Any = _UndefinedValue()


def item_of(scope: ExpressionScope, node: str | None, which: str, index: int) -> Any:
    """The JSON of another node's item, or of the first or last item of the input."""
    try:
        items = scope.items if node is None else scope.view(node).items
        place = {"first": 0, "last": len(items) - 1}[which] if which != "item" else _paired(scope, node, index)
    except ExpressionError as error:
        raise FallThroughError from error
    if not 0 <= place < len(items):
        raise FallThroughError
    return items[place]


def _paired(scope: ExpressionScope, node: str | None, index: int) -> int:
    return index if node is None else scope.view(node).paired_index(index)


def walk(value: Any, steps: tuple[tuple[str | int, bool], ...]) -> Any:
    """The member at ``steps``, with JavaScript's rules for members that are missing."""
    for key, is_optional in steps:
        kind = type(value)
        if value is None or value is UNDEFINED:
            if is_optional:
                return UNDEFINED
            raise FallThroughError  # JavaScript raises its own error, with the right message
        if kind is dict:
            name = str(key)
            if name in value:
                value = value[name]
            elif name in _OBJECT_MEMBERS:
                raise FallThroughError
            else:
                value = UNDEFINED
        elif kind is list and type(key) is int:
            value = value[key] if key < len(value) else UNDEFINED
        elif kind is list and key == "length":
            value = len(value)
        else:
            raise FallThroughError
    return value


def _is_number(value: Any) -> bool:
    kind = type(value)
    return kind is float or (kind is int and -LARGEST_EXACT <= value <= LARGEST_EXACT)


def is_truthy(value: Any) -> bool:
    """Whether the value is truthy in JavaScript."""
    if value is True or value is False:
        return value
    if value is None or value is UNDEFINED:
        return False
    if isinstance(value, dict | list):
        return True
    return bool(value)


def is_same(left: Any, right: Any) -> bool:
    """``===``."""
    if isinstance(left, dict | list) or isinstance(right, dict | list):
        raise FallThroughError  # JavaScript compares identity, and these are copies
    if type(left) in (int, float) and type(right) in (int, float):
        _check_order(left, right)
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def is_loosely_same(left: Any, right: Any) -> bool:
    """``==``."""
    left_is_nothing, right_is_nothing = left is None or left is UNDEFINED, right is None or right is UNDEFINED
    if left_is_nothing or right_is_nothing:
        return left_is_nothing and right_is_nothing
    if type(left) is not type(right) and not (_is_number(left) and _is_number(right)):
        raise FallThroughError  # JavaScript converts one of them
    return is_same(left, right)


def _check_order(left: Any, right: Any) -> None:
    """Numbers and ASCII strings compare as in Python; JavaScript compares other strings by UTF-16 code units."""
    if _is_number(left) and _is_number(right):
        return
    if not (isinstance(left, str) and isinstance(right, str) and left.isascii() and right.isascii()):
        raise FallThroughError


def is_less(left: Any, right: Any) -> bool:
    """``<``."""
    _check_order(left, right)
    return bool(left < right)


def is_less_or_same(left: Any, right: Any) -> bool:
    """``<=``."""
    _check_order(left, right)
    return bool(left <= right)


def _number(value: float) -> Any:
    """A result as in JavaScript, where 3 and 3.0 are one number; infinities are not JSON."""
    if isinstance(value, int):
        if -LARGEST_EXACT <= value <= LARGEST_EXACT:
            return value
        raise FallThroughError
    if not math.isfinite(value):
        raise FallThroughError
    return int(value) if value.is_integer() and abs(value) <= LARGEST_EXACT else value


def _check_numbers(left: Any, right: Any) -> None:
    if not (_is_number(left) and _is_number(right)):
        raise FallThroughError


def plus(left: Any, right: Any) -> Any:
    """``+``: of numbers, or of texts."""
    if isinstance(left, str) or isinstance(right, str):
        # With text, + makes words of null and undefined ("null"); between the texts of a template they are empty.
        if left is None or right is None or left is UNDEFINED or right is UNDEFINED:
            raise FallThroughError
        return to_text(left) + to_text(right)
    _check_numbers(left, right)
    return _number(left + right)


def minus(left: Any, right: Any) -> Any:
    """``-`` between two values."""
    _check_numbers(left, right)
    return _number(left - right)


def times(left: Any, right: Any) -> Any:
    """``*``."""
    if type(left) is int and type(right) is int:
        product = left * right
        if -LARGEST_EXACT <= product <= LARGEST_EXACT:
            return product
        raise FallThroughError
    _check_numbers(left, right)
    return _number(left * right)


def over(left: Any, right: Any) -> Any:
    """``/``."""
    _check_numbers(left, right)
    if right == 0:
        raise FallThroughError
    return _number(float(left) / float(right))


def _ascii(value: Any) -> str:
    """The value, if it is ASCII text: its letters and blanks are the same in both languages."""
    if isinstance(value, str) and value.isascii():
        return value
    raise FallThroughError


def to_upper(value: Any) -> str:
    """``.toUpperCase()``."""
    return _ascii(value).upper()


def to_lower(value: Any) -> str:
    """``.toLowerCase()``."""
    return _ascii(value).lower()


def trimmed(value: Any) -> str:
    """``.trim()``."""
    return _ascii(value).strip(" \t\n\v\f\r")


def to_string(value: Any) -> str:
    """``.toString()``."""
    if value is None or value is UNDEFINED:
        raise FallThroughError
    return to_text(value)


def to_text(value: Any) -> str:
    """A value inside text. JavaScript writes floats and objects differently, so these fall through."""
    kind = type(value)
    if kind is str or kind is int:
        return str(value)
    if value is None or value is UNDEFINED:
        return ""
    if kind is bool:
        return "true" if value else "false"
    raise FallThroughError
