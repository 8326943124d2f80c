"""Templates: strings that start with ``=`` and hold JavaScript expressions between ``{{`` and ``}}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeGuard

from workflow.errors import ExpressionError

OPEN, CLOSE = "{{", "}}"
MAX_EXPRESSION_LENGTH = 20_000
"""Characters; longer programs belong in a code node."""
MAX_EXPRESSIONS = 1_000
"""Expressions of one template; each becomes code of its own."""
MAX_TEMPLATE_LENGTH = 1_000_000
"""Characters, text and expressions together."""
MAX_READ = 100_000
"""Characters that are read to find where a template's expressions end, also in vain: a tenth of a second."""

NODE_REFERENCE = re.compile(
    r"\$(?:\(|items\(|node\[)\s*(?P<quote>['\"`])(?P<name>(?:(?!(?P=quote))[^\\])+)(?P=quote)\s*[)\],]"
)
"""A node that an expression names: ``$('name')``, ``$items("name")``, ``$node["name"]``."""

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(
    r"""
      (?P<space>[^'"`()\[\]{}/\w$]++)
    | (?P<word>[\w$]++)
    | (?P<string>'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")
    | (?P<comment>//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)
    | (?P<mark>[`()\[\]{}])
    | (?P<slash>/(?![/*]))
    """,
    re.VERBOSE | re.DOTALL,
)
"""The parts of an expression, as far as they tell where it ends. What does not match is not closed."""
_REGULAR_EXPRESSION = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/[a-z]*+")
_LITERAL_TEXT = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*+(?P<end>`|\$\{)", re.DOTALL)
"""The text of a template literal, up to its end or to the next expression in it."""
_OPERAND_WORDS = frozenset({"return", "typeof", "case", "in", "of", "delete", "void", "instanceof", "new", "throw"})
"""Words behind which a slash begins a regular expression; behind other words it divides."""


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
        ExpressionError: braces are not closed, empty, too many, or hold too many characters, code ``bad_template``.
    """
    if len(source) > MAX_TEMPLATE_LENGTH:
        raise ExpressionError(
            f"The template has {len(source)} characters, and at most {MAX_TEMPLATE_LENGTH} are taken.",
            code="bad_template",
            fix="Make the text in a code node.",
        )
    texts: list[str] = []
    expressions: list[str] = []
    position = 1
    left = MAX_READ
    while True:
        start = source.find(OPEN, position)
        if start < 0:
            texts.append(source[position:])
            return Template(tuple(texts), tuple(expressions))
        if len(expressions) == MAX_EXPRESSIONS:
            raise ExpressionError(
                f"The template has more than {MAX_EXPRESSIONS} expressions.",
                code="bad_template",
                fix="Make the text in a code node.",
            )
        texts.append(source[position:start])
        limit = min(len(source), start + MAX_EXPRESSION_LENGTH + min(left, MAX_EXPRESSION_LENGTH))
        end, read_to = _end_of_expression(source, start + len(OPEN), limit)
        left -= read_to - start
        if end < 0:
            # Code that cannot be divided into strings and brackets ends at the first closing braces.
            end = source.find(CLOSE, start + len(OPEN))
        if end < 0 or left < 0:
            raise ExpressionError(
                f"The {OPEN} at character {start} is never closed, or what comes before its end is too long.",
                code="bad_template",
                fix=f"Close it with {CLOSE}, and every bracket and quote in it; compute what is long in a code node.",
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


def _end_of_expression(source: str, start: int, limit: int) -> tuple[int, int]:
    """The index of an expression's closing braces, or -1 where its brackets and quotes do not fit; how far it was read.

    Braces of objects, and those in strings, regular expressions, template literals and comments, do not count. Nothing
    is read behind ``limit``.
    """
    expected: list[str] = []
    position = start
    before = ""  # the latest token that is no blank and no comment
    while position < limit:
        if not expected and source.startswith(CLOSE, position):
            return position, position
        found = _TOKEN.match(source, position, limit)
        if found is None:
            return -1, _end_of_line(source, position, limit) if source[position] in "'\"" else limit
        kind, text = found.lastgroup, found[0]
        position = found.end()
        if kind == "slash" and _begins_operand(before):
            literal = _REGULAR_EXPRESSION.match(source, position - 1, limit)
            if literal is None:
                return -1, _end_of_line(source, position, limit)
            position, text = literal.end(), ")"  # behind it as behind a value
        elif text == "`" or (text == "}" and expected and expected[-1] == "`}"):
            if text == "}":
                expected.pop()
            piece = _LITERAL_TEXT.match(source, position, limit)
            if piece is None:
                return -1, limit
            position = piece.end()
            if piece["end"] != "`":
                expected.append("`}")
                text = "("
        elif text in _BRACKETS:
            expected.append(_BRACKETS[text])
        elif kind == "mark" and (not expected or expected.pop() != text):
            return -1, position
        if kind != "comment" and not text.isspace():
            before = text
    return -1, limit


def _end_of_line(source: str, start: int, limit: int) -> int:
    """Up to where a string or regular expression was read in vain: neither goes on in the next line."""
    end = source.find("\n", start, limit)
    return end if end >= 0 else limit


def _begins_operand(before: str) -> bool:
    """Whether a value begins behind this token, so that a slash begins a regular expression."""
    last = before.rstrip()[-1:]
    if last.isalnum() or last in ("_", "$"):
        return before in _OPERAND_WORDS
    return last not in (")", "]", "}", "'", '"', "`")
