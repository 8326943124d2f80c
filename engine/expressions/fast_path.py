"""Compiles templates to Python where the result is exactly that of JavaScript.

Most expressions are paths into an item; in Python they cost a hundredth of a call of QuickJS. Everything else is left
to JavaScript: syntax that the fast path does not cover at compile time (:class:`.NotFastError`), values that the two
languages treat differently at run time (:class:`.FallThroughError`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.expressions import fast_values
from engine.expressions.fast_syntax import (
    Binary,
    Choice,
    Constant,
    FunctionCall,
    Node,
    Not,
    NotFastError,
    Path,
    Undefined,
    parse,
)
from engine.expressions.fast_values import UNDEFINED
from engine.expressions.scope import ExpressionScope
from engine.expressions.template import Template

FastTemplate = Callable[[Any, ExpressionScope, int], Any]
"""``(json, scope, item_index)`` → the template's value for that item."""


@dataclass(slots=True, frozen=True)
class FastForm:
    """A template that Python can evaluate: the syntax trees of its expressions, and the compiled function."""

    template: Template
    trees: tuple[Node, ...]
    function: FastTemplate


MAX_CHARACTERS = 4_000
"""Characters of expressions in one template: longer ones would take more than some milliseconds to compile."""
MAX_DEPTH = 50
"""Choices inside one another. Python takes 100 levels of indentation; a loop over items has some of its own."""


def compile_fast(template: Template) -> FastForm | None:
    """The template's Python form, or ``None`` where it needs JavaScript."""
    if sum(map(len, template.expressions)) > MAX_CHARACTERS:
        return None
    code = FastCode()
    try:
        trees = tuple(parse(expression) for expression in template.expressions)
        result = code.template(template, trees, 1)
        if code.depth > MAX_DEPTH:
            return None
        return FastForm(template, trees, code.function("json, scope, index", result))
    except (NotFastError, RecursionError):
        return None


class FastCode:
    """Writes the source of one Python function. The source has names of constants only, never a user's values.

    ``reads_scope`` and ``reads_index``: whether the source uses the scope and the item's index. ``depth`` is the
    largest indentation.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._namespace: dict[str, Any] = dict(_RUNTIME)
        self._variables = 0
        self.depth = 0
        self.reads_scope = False
        self.reads_index = False

    def function(self, arguments: str, result: str, *, opening: Sequence[str] = ()) -> Callable[..., Any]:
        """Compile the function: it runs ``opening``, then the lines written so far, and returns ``result``."""
        source = "\n".join([f"def compiled({arguments}):", *opening, *self._lines, f"    return {result}"])
        exec(compile(source, "<expression>", "exec"), self._namespace)  # noqa: S102 - built from fixed parts  # nosec B102
        function: Callable[..., Any] = self._namespace["compiled"]
        return function

    def constant(self, value: Any) -> str:
        """A name for ``value``."""
        name = f"K{len(self._namespace)}"
        self._namespace[name] = value
        return name

    def variable(self) -> str:
        """A new name."""
        self._variables += 1
        return f"v{self._variables}"

    def line(self, depth: int, text: str) -> None:
        """Add a line, indented by ``depth`` levels."""
        self.depth = max(self.depth, depth)
        self._lines.append("    " * depth + text)

    def template(self, template: Template, trees: tuple[Node, ...], depth: int) -> str:
        """Write the lines that compute a template; an expression for its value, where ``undefined`` became ``None``."""
        names = [self._write(tree, depth) for tree in trees]
        if template.is_sole:
            name = self.variable()
            self.line(depth, f"{name} = None if {names[0]} is UNDEFINED else {names[0]}")
            return name
        parts = [self.constant(template.texts[0])] if template.texts[0] or not names else []
        for name, text in zip(names, template.texts[1:], strict=True):
            parts.append(f"({name} if type({name}) is str else to_text({name}))")
            if text:
                parts.append(self.constant(text))
        return " + ".join(parts)

    def _write(self, node: Node, depth: int) -> str:
        """Write the lines that compute ``node``; the name that holds its value."""
        match node:
            case Constant(value):
                return self.constant(value)
            case Undefined():
                return "UNDEFINED"
            case Path():
                return self._write_path(node, depth)
            case FunctionCall(method, target):
                inner, name = self._write(target, depth), self.variable()
                self.line(depth, f"{name} = {_METHODS[method]}({inner})")
                return name
            case Not(operand):
                inner, name = self._write(operand, depth), self.variable()
                self.line(depth, f"{name} = not is_truthy({inner})")
                return name
            case Choice(condition, then, otherwise):
                return self._write_branches(f"is_truthy({self._write(condition, depth)})", then, otherwise, depth)
            case Binary(operator, left, right) if operator in _SHORT_CIRCUIT:
                first = self._write(left, depth)
                name = self.variable()
                self.line(depth, f"{name} = {first}")
                self.line(depth, f"if {_SHORT_CIRCUIT[operator].format(name)}:")
                self.line(depth + 1, f"{name} = {self._write(right, depth + 1)}")
                return name
            case Binary(operator, left, right):
                one, other, name = self._write(left, depth), self._write(right, depth), self.variable()
                self.line(depth, f"{name} = {_CALLS[operator].format(one, other)}")
                return name

    def _write_branches(self, condition: str, then: Node, otherwise: Node, depth: int) -> str:
        name = self.variable()
        self.line(depth, f"if {condition}:")
        self.line(depth + 1, f"{name} = {self._write(then, depth + 1)}")
        self.line(depth, "else:")
        self.line(depth + 1, f"{name} = {self._write(otherwise, depth + 1)}")
        return name

    def _write_path(self, path: Path, depth: int) -> str:
        name, root = self.variable(), self._root(path)
        steps = self.constant(path.steps)
        if path.steps and all(isinstance(key, str) for key, _ in path.steps):
            # The usual case, all members exist, takes plain lookups; walk() knows the rules for all others.
            keys = "".join(f"[{self.constant(key)}]" for key, _ in path.steps)
            self.line(depth, "try:")
            self.line(depth + 1, f"{name} = {root}{keys}")
            self.line(depth, "except (KeyError, TypeError):")
            self.line(depth + 1, f"{name} = walk({root}, {steps})")
        else:
            self.line(depth, f"{name} = walk({root}, {steps})")
        return name

    def _root(self, path: Path) -> str:
        if path.root == "$json":
            return "json"
        if path.root == "$itemIndex":
            self.reads_index = True
            return "index"
        self.reads_scope = True
        if path.root in _SCOPE_MEMBERS:
            return f"scope.{_SCOPE_MEMBERS[path.root]}"
        self.reads_index = True
        return f"item_of(scope, {self.constant(path.node)}, {self.constant(path.root)}, index)"


_SCOPE_MEMBERS = {
    "$runIndex": "run_index",
    "$execution": "execution",
    "$workflow": "workflow",
    "$vars": "vars",
    "$prevNode": "prev_node",
    "$parameter": "parameters",
}
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

_RUNTIME: dict[str, Any] = {
    "__builtins__": {"KeyError": KeyError, "TypeError": TypeError, "str": str, "type": type},
    "UNDEFINED": UNDEFINED,
    **{
        name: getattr(fast_values, name)
        for name in (
            "is_truthy",
            "is_same",
            "is_loosely_same",
            "is_less",
            "is_less_or_same",
            "item_of",
            "to_text",
            "plus",
            "minus",
            "times",
            "over",
            "to_upper",
            "to_lower",
            "trimmed",
            "to_string",
            "walk",
        )
    },
}
