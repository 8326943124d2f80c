"""Templates compiled to Python where that gives exactly what JavaScript would give.

Most expressions are paths into an item; going through them in Python is two orders of magnitude cheaper than a
call of the engine. Whatever is not certain falls through to JavaScript: while compiling (:class:`NotFastError`)
what the syntax does not cover, while running (:class:`FallThroughError`) values whose treatment differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.expressions.fast_syntax import (
    Binary,
    Call,
    Choice,
    Constant,
    Node,
    Not,
    NotFastError,
    Path,
    Undefined,
    parse,
)
from engine.expressions.scope import Scope
from engine.expressions.template import Template
from workflow.errors import ExpressionError

FastTemplate = Callable[[Any, Scope, int], Any]
"""``(json, scope, item_index)`` → the template's value for that item."""

LARGEST_EXACT = 2**53
"""Beyond it JavaScript's numbers are not exact, and Python's whole numbers are (ECMA-262, Number.MAX_SAFE_INTEGER)."""

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
"""What every JavaScript object has besides its own members (ECMA-262, Object.prototype)."""


class FallThroughError(Exception):
    """This value must be judged by JavaScript."""


class _UndefinedValue:
    """The type of :data:`UNDEFINED`."""


UNDEFINED: Any = _UndefinedValue()


def compile_fast(template: Template) -> FastTemplate | None:
    """The template as a Python function, or ``None`` where JavaScript has to do it."""
    try:
        trees = [parse(expression) for expression in template.expressions]
    except (NotFastError, RecursionError):
        return None
    return _Generator().function(template, trees)


class _Generator:
    """Writes the function's source. Values never enter the source, only the names of constants do."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._constants: dict[str, Any] = dict(_RUNTIME)
        self._count = 0

    def function(self, template: Template, trees: list[Node]) -> FastTemplate:
        names = [self._write(tree, 1) for tree in trees]
        if template.is_sole:
            result = f"None if {names[0]} is UNDEFINED else {names[0]}"
        else:
            parts = [self._constant(template.texts[0])]
            for name, text in zip(names, template.texts[1:], strict=True):
                parts += [f"to_text({name})", self._constant(text)]
            result = " + ".join(parts)
        source = "\n".join(["def compiled(json, scope, index):", *self._lines, f"    return {result}"])
        namespace = self._constants
        exec(compile(source, "<expression>", "exec"), namespace)  # noqa: S102 - the source is built from fixed parts
        compiled: FastTemplate = namespace["compiled"]
        return compiled

    def _constant(self, value: Any) -> str:
        name = f"K{len(self._constants)}"
        self._constants[name] = value
        return name

    def _variable(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _line(self, depth: int, text: str) -> None:
        self._lines.append("    " * depth + text)

    def _write(self, node: Node, depth: int) -> str:
        """Write what computes ``node``; the name of the variable that holds its value."""
        match node:
            case Constant(value):
                return self._constant(value)
            case Undefined():
                return "UNDEFINED"
            case Path():
                return self._write_path(node, depth)
            case Call(method, target):
                inner, name = self._write(target, depth), self._variable()
                self._line(depth, f"{name} = {_METHODS[method]}({inner})")
                return name
            case Not(operand):
                inner, name = self._write(operand, depth), self._variable()
                self._line(depth, f"{name} = not is_truthy({inner})")
                return name
            case Choice(condition, then, otherwise):
                return self._write_branches(f"is_truthy({self._write(condition, depth)})", then, otherwise, depth)
            case Binary(operator, left, right) if operator in _SHORT_CIRCUIT:
                first = self._write(left, depth)
                name = self._variable()
                self._line(depth, f"{name} = {first}")
                self._line(depth, f"if {_SHORT_CIRCUIT[operator].format(name)}:")
                self._line(depth + 1, f"{name} = {self._write(right, depth + 1)}")
                return name
            case Binary(operator, left, right):
                one, other, name = self._write(left, depth), self._write(right, depth), self._variable()
                self._line(depth, f"{name} = {_CALLS[operator].format(one, other)}")
                return name

    def _write_branches(self, condition: str, then: Node, otherwise: Node, depth: int) -> str:
        name = self._variable()
        self._line(depth, f"if {condition}:")
        self._line(depth + 1, f"{name} = {self._write(then, depth + 1)}")
        self._line(depth, "else:")
        self._line(depth + 1, f"{name} = {self._write(otherwise, depth + 1)}")
        return name

    def _write_path(self, path: Path, depth: int) -> str:
        name, root = self._variable(), _root(path, self._constant)
        steps = self._constant(path.steps)
        if path.steps and all(isinstance(key, str) for key, _ in path.steps):
            # Members that are there are found at once; everything else is walk's to judge.
            keys = "".join(f"[{self._constant(key)}]" for key, _ in path.steps)
            self._line(depth, "try:")
            self._line(depth + 1, f"{name} = {root}{keys}")
            self._line(depth, "except (KeyError, TypeError):")
            self._line(depth + 1, f"{name} = walk({root}, {steps})")
        else:
            self._line(depth, f"{name} = walk({root}, {steps})")
        return name


_ROOTS = {
    "$json": "json",
    "$itemIndex": "index",
    "$runIndex": "scope.run_index",
    "$execution": "scope.execution",
    "$workflow": "scope.workflow",
    "$vars": "scope.vars",
    "$prevNode": "scope.prev_node",
    "$parameter": "scope.parameters",
}


def _root(path: Path, constant: Callable[[Any], str]) -> str:
    if path.root in _ROOTS:
        return _ROOTS[path.root]
    return f"item_of(scope, {constant(path.node)}, {constant(path.root)}, index)"


_SHORT_CIRCUIT = {"&&": "is_truthy({0})", "||": "not is_truthy({0})", "??": "{0} is None or {0} is UNDEFINED"}
_CALLS = {
    "===": "is_same({}, {})",
    "!==": "not is_same({}, {})",
    "==": "is_loosely_same({}, {})",
    "!=": "not is_loosely_same({}, {})",
    "+": "plus({}, {})",
    "-": "minus({}, {})",
    "*": "times({}, {})",
    "/": "over({}, {})",
    "<": "is_less({}, {})",
    ">": "is_less({1}, {0})",
    "<=": "is_less_or_same({}, {})",
    ">=": "is_less_or_same({1}, {0})",
}


_METHODS = {"toUpperCase": "to_upper", "toLowerCase": "to_lower", "trim": "trimmed", "toString": "to_string"}


def _item_of(scope: Scope, node: str | None, which: str, index: int) -> Any:
    """The JSON of another node's item, or of the first or last of the input."""
    try:
        items = scope.items if node is None else scope.view(node).items
        place = {"first": 0, "last": len(items) - 1}[which] if which != "item" else _paired(scope, node, index)
    except ExpressionError as error:
        raise FallThroughError from error
    if not 0 <= place < len(items):
        raise FallThroughError
    return items[place]


def _paired(scope: Scope, node: str | None, index: int) -> int:
    return index if node is None else scope.view(node).paired_index(index)


def _walk(value: Any, steps: tuple[tuple[str | int, bool], ...]) -> Any:
    """The member that ``steps`` lead to, with JavaScript's rules for what is missing."""
    for key, is_optional in steps:
        kind = type(value)
        if value is None or value is UNDEFINED:
            if is_optional:
                return UNDEFINED
            raise FallThroughError  # JavaScript words the error
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


def _is_truthy(value: Any) -> bool:
    if value is None or value is UNDEFINED:
        return False
    if isinstance(value, dict | list):
        return True
    return bool(value)


def _is_same(left: Any, right: Any) -> bool:
    """``===``."""
    if isinstance(left, dict | list) or isinstance(right, dict | list):
        raise FallThroughError  # identity, which copies do not have
    if type(left) in (int, float) and type(right) in (int, float):
        _check_order(left, right)
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def _is_loosely_same(left: Any, right: Any) -> bool:
    """``==``."""
    left_is_nothing, right_is_nothing = left is None or left is UNDEFINED, right is None or right is UNDEFINED
    if left_is_nothing or right_is_nothing:
        return left_is_nothing and right_is_nothing
    if type(left) is not type(right) and not (_is_number(left) and _is_number(right)):
        raise FallThroughError  # it converts one of them
    return _is_same(left, right)


def _check_order(left: Any, right: Any) -> None:
    """Numbers compare as in Python; so do ASCII strings, others by UTF-16 units, which Python does not have."""
    if _is_number(left) and _is_number(right):
        return
    if not (isinstance(left, str) and isinstance(right, str) and left.isascii() and right.isascii()):
        raise FallThroughError


def _is_less(left: Any, right: Any) -> bool:
    _check_order(left, right)
    return bool(left < right)


def _is_less_or_same(left: Any, right: Any) -> bool:
    _check_order(left, right)
    return bool(left <= right)


def _number(value: float) -> Any:
    """A result as JavaScript has it: 3 and 3.0 are one number there, and infinities are no JSON."""
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


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, str) or isinstance(right, str):
        # Beside text, null and undefined become words here, unlike between the texts of a template.
        if left is None or right is None or left is UNDEFINED or right is UNDEFINED:
            raise FallThroughError
        return _to_text(left) + _to_text(right)
    _check_numbers(left, right)
    return _number(left + right)


def _minus(left: Any, right: Any) -> Any:
    _check_numbers(left, right)
    return _number(left - right)


def _times(left: Any, right: Any) -> Any:
    _check_numbers(left, right)
    return _number(left * right)


def _over(left: Any, right: Any) -> Any:
    _check_numbers(left, right)
    if right == 0:
        raise FallThroughError
    return _number(float(left) / float(right))


def _ascii(value: Any) -> str:
    """Text whose letters and blanks mean the same in both languages."""
    if isinstance(value, str) and value.isascii():
        return value
    raise FallThroughError


def _to_upper(value: Any) -> str:
    return _ascii(value).upper()


def _to_lower(value: Any) -> str:
    return _ascii(value).lower()


def _trimmed(value: Any) -> str:
    return _ascii(value).strip(" \t\n\v\f\r")


def _to_string(value: Any) -> str:
    if value is None or value is UNDEFINED:
        raise FallThroughError
    return _to_text(value)


def _to_text(value: Any) -> str:
    """A value inside text. Floats and objects have their own spelling in JavaScript."""
    if isinstance(value, str):
        return value
    if value is None or value is UNDEFINED:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and _is_number(value):
        return str(value)
    raise FallThroughError


_RUNTIME: dict[str, Any] = {
    "__builtins__": {"KeyError": KeyError, "TypeError": TypeError},
    "UNDEFINED": UNDEFINED,
    "is_truthy": _is_truthy,
    "is_same": _is_same,
    "is_loosely_same": _is_loosely_same,
    "is_less": _is_less,
    "is_less_or_same": _is_less_or_same,
    "item_of": _item_of,
    "to_text": _to_text,
    "plus": _plus,
    "minus": _minus,
    "times": _times,
    "over": _over,
    "to_upper": _to_upper,
    "to_lower": _to_lower,
    "trimmed": _trimmed,
    "to_string": _to_string,
    "walk": _walk,
}
