"""Templates: strings that start with ``=`` and hold JavaScript expressions between ``{{`` and ``}}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeGuard

from workflow.errors import ExpressionError

OPEN, CLOSE = "{{", "}}"
MAX_EXPRESSION_LENGTH = 20_000
"""Characters; longer programs belong in a code node."""

NODE_REFERENCE = re.compile(
    r"\$(?:\(|items\(|node\[)\s*(?P<quote>['\"`])(?P<name>(?:(?!(?P=quote))[^\\])+)(?P=quote)\s*[)\],]"
)
"""A node that an expression names: ``$('name')``, ``$items("name")``, ``$node["name"]``."""

_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@dataclass(slots=True, frozen=True)
class Template:
    """A parsed template.

    ``texts`` and ``expressions`` alternate: the first text, the first expression, the second text, and so on; there is
    one text more than expressions.
    """

    texts: tuple[str, ...]
    expressions: tuple[str, ...]

    @property
    def is_sole(self) -> bool:
        """Whether it is one expression without text: then its value keeps its type."""
        return len(self.expressions) == 1 and not any(self.texts)


def is_template(value: Any) -> TypeGuard[str]:
    """Whether a parameter's value is a template."""
    return isinstance(value, str) and value.startswith("=")


def parse_template(source: str) -> Template:
    """Parse a template; ``source`` begins with ``=``.

    Raises:
        ExpressionError: braces are not closed, empty, or hold too many characters, code ``bad_template``.
    """
    texts: list[str] = []
    expressions: list[str] = []
    position = 1
    while True:
        start = source.find(OPEN, position)
        if start < 0:
            texts.append(source[position:])
            return Template(tuple(texts), tuple(expressions))
        texts.append(source[position:start])
        end = _end_of_expression(source, start + len(OPEN))
        if end < 0:
            raise ExpressionError(
                f"The {OPEN} at character {start} is never closed.",
                code="bad_template",
                fix=f"Close it with {CLOSE}.",
            )
        expression = source[start + len(OPEN) : end].strip().rstrip(";").rstrip()
        if not expression:
            raise ExpressionError(
                f"There is nothing between the braces at character {start}.",
                code="bad_template",
                fix="Write an expression, such as $json.name, or take the braces away.",
            )
        if len(expression) > MAX_EXPRESSION_LENGTH:
            raise ExpressionError(
                f"The expression at character {start} is longer than {MAX_EXPRESSION_LENGTH} characters.",
                code="bad_template",
                fix="Compute it in a code node.",
            )
        expressions.append(expression)
        position = end + len(CLOSE)


def _end_of_expression(source: str, start: int) -> int:
    """The index of an expression's closing braces, or -1.

    Braces of object literals and in strings do not count. If no end is found so, for example because of a quote in a
    regular expression, the first closing braces are the end.
    """
    expected: list[str] = []
    position = start
    while position < len(source):
        here = source[position]
        if not expected and source.startswith(CLOSE, position):
            return position
        if here in "'\"`":
            position = _end_of_string(source, position)
            if position < 0:
                break
        elif here in _BRACKETS:
            expected.append(_BRACKETS[here])
        elif expected and here == expected[-1]:
            expected.pop()
        position += 1
    return source.find(CLOSE, start)


def _end_of_string(source: str, start: int) -> int:
    """The index of the quote that ends the string that starts at ``start``, or -1."""
    position = start + 1
    while position < len(source):
        if source[position] == "\\":
            position += 1
        elif source[position] == source[start]:
            return position
        position += 1
    return -1
