"""Parses the part of JavaScript that the fast path covers: paths, literals, comparisons, arithmetic and logic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?![\w.$]))
      | (?P<string>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<mark>===|!==|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|[<>!?:.()\[\]]|\+(?![+=])|-(?![-=])|\*(?![*=])|/(?![=/*]))
    )""",
    re.VERBOSE,
)

FORBIDDEN_NAMES = frozenset({"__proto__", "constructor", "prototype"})
"""Names with a meaning of their own in JavaScript, which must evaluate them."""

_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_SCOPE_ROOTS = frozenset({"$execution", "$workflow", "$vars", "$prevNode", "$parameter"})
_COUNTERS = frozenset({"$itemIndex", "$runIndex"})
_BINARY = (("||", "??"), ("&&",), ("===", "!==", "==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/"))
"""Operators by precedence, the lowest first."""


class NotFastError(Exception):
    """The fast path does not cover the expression; it needs JavaScript."""


@dataclass(slots=True, frozen=True)
class Constant:
    """A literal."""

    value: Any


@dataclass(slots=True, frozen=True)
class Undefined:
    """The literal ``undefined``."""


@dataclass(slots=True, frozen=True)
class Path:
    """A chain of members of a root; a step is a name or index, and whether it follows ``?.``.

    ``root`` is ``$json``, a member of the scope such as ``$execution``, a counter, or ``first``, ``last`` or ``item``
    of the node named ``node``.
    """

    root: str
    steps: tuple[tuple[str | int, bool], ...]
    node: str | None = None


METHODS = frozenset({"toUpperCase", "toLowerCase", "trim", "toString"})
"""Methods without arguments that the fast path covers at the end of a path."""


@dataclass(slots=True, frozen=True)
class FunctionCall:
    """A method without arguments, called on the value of a path."""

    method: str
    target: Path


@dataclass(slots=True, frozen=True)
class Not:
    """Logical negation."""

    operand: Node


@dataclass(slots=True, frozen=True)
class Binary:
    """An operator with two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(slots=True, frozen=True)
class Choice:
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


Node = Constant | Undefined | Path | FunctionCall | Not | Binary | Choice


def parse(source: str) -> Node:
    """The expression's syntax tree.

    Raises:
        NotFastError: the fast path does not cover it.
    """
    parser = _Parser(_tokens(source))
    tree = parser.choice()
    if parser.peek() is not None:
        raise NotFastError
    return tree


def _tokens(source: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(source.rstrip())
    while position < end:
        found = _TOKEN.match(source, position)
        if found is None or found.lastgroup is None:
            raise NotFastError
        tokens.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def peek(self) -> str | None:
        """The next token's text if it is a mark or a name, its kind otherwise; ``None`` at the end."""
        if self._position >= len(self._tokens):
            return None
        kind, text = self._tokens[self._position]
        return text if kind in ("mark", "name") else kind

    def choice(self) -> Node:
        condition = self._binary(0)
        if not self._take("?"):
            return condition
        then = self.choice()
        self._expect(":")
        return Choice(condition, then, self.choice())

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        first = self.peek()
        while (operator := self.peek()) in _BINARY[level] and operator is not None:
            if level == 0 and operator != first:
                raise NotFastError  # || and ?? without parentheses are a syntax error in JavaScript
            self._position += 1
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        if self._take("!"):
            return Not(self._unary())
        if self._take("("):
            inner = self.choice()
            self._expect(")")
            if self.peek() in (".", "?.", "[", "("):
                raise NotFastError
            return inner
        return self._primary()

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "string":
            return Constant(text[1:-1])
        if kind == "number":
            return Constant(float(text) if "." in text else int(text))
        if kind != "name":
            raise NotFastError
        if text in _LITERALS:
            return Constant(_LITERALS[text])
        if text == "undefined":
            return Undefined()
        if text in _COUNTERS:
            return Path(text, ())
        if text == "$json" or text in _SCOPE_ROOTS:
            return self._called(Path(text, self._steps()))
        if text == "$input":
            return self._called(self._node_path(None))
        if text == "$" and self._take("("):
            node = self._string()
            self._expect(")")
            return self._called(self._node_path(node))
        raise NotFastError

    def _called(self, path: Path) -> Node:
        """The path, or the call of a method at its end."""
        if not self._take("("):
            return path
        self._expect(")")
        *before, (method, is_optional) = path.steps
        if method not in METHODS or is_optional or self.peek() in (".", "?.", "[", "("):
            raise NotFastError
        return FunctionCall(str(method), Path(path.root, tuple(before), path.node))

    def _node_path(self, node: str | None) -> Path:
        """``.item.json…``, ``.first().json…`` or ``.last().json…`` of a node, or of the input where it is ``None``."""
        self._expect(".")
        which = self._name()
        if which in ("first", "last"):
            self._expect("(")
            self._expect(")")
        elif which != "item":
            raise NotFastError
        self._expect(".")
        if self._name() != "json":
            raise NotFastError
        if node is None and which == "item":
            return Path("$json", self._steps())
        return Path(which, self._steps(), node)

    def _steps(self) -> tuple[tuple[str | int, bool], ...]:
        steps: list[tuple[str | int, bool]] = []
        while True:
            optional = False
            if self._take("?."):
                optional = True
                if self.peek() != "[":
                    steps.append((self._name(), True))
                    continue
            elif self._take("."):
                steps.append((self._name(), False))
                continue
            if not self._take("["):
                if self.peek() == "(" and not steps:
                    raise NotFastError
                return tuple(steps)
            kind, text = self._next()
            if kind == "number" and text.isdecimal():
                steps.append((int(text), optional))
            elif kind == "string" and text[1:-1] not in FORBIDDEN_NAMES:
                steps.append((text[1:-1], optional))
            else:
                raise NotFastError
            self._expect("]")

    def _next(self) -> tuple[str, str]:
        if self._position >= len(self._tokens):
            raise NotFastError
        self._position += 1
        return self._tokens[self._position - 1]

    def _take(self, mark: str) -> bool:
        if self.peek() != mark:
            return False
        self._position += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise NotFastError

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name" or text in FORBIDDEN_NAMES:
            raise NotFastError
        return text

    def _string(self) -> str:
        kind, text = self._next()
        if kind != "string":
            raise NotFastError
        return text[1:-1]
