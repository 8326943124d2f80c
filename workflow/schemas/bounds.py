"""How deep and how large JSON text is, found out before anything parses it: small bombs make large values."""

from __future__ import annotations

from typing import Any

from workflow.errors import ErrorKind, JobsprintError

MAX_DEPTH = 100
"""Objects and lists inside one another. Definitions need about 10; what walks through values recurses as deep."""

_OTHERS = bytes(set(range(256)) - set(b'"[]{},'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class JsonTooDeepError(JobsprintError):
    """JSON whose objects and lists lie inside one another too often."""

    code = "json_too_deep"
    kind = ErrorKind.INVALID

    def __init__(self, max_depth: int) -> None:
        super().__init__(
            f"Objects and lists lie inside one another more than {max_depth} times.",
            fix="Send it flatter, or the inner part as text.",
        )


class JsonTooManyMembersError(JobsprintError):
    """JSON with more values in it than are taken at once."""

    code = "json_too_many_members"
    kind = ErrorKind.TOO_LARGE

    def __init__(self, max_members: int) -> None:
        super().__init__(
            f"There are more than {max_members} values in it.",
            fix="Send less at once, or raise JOBSPRINT_REQUEST_MAX_MEMBERS.",
        )


def check_json_shape(text: bytes, *, max_members: int, max_depth: int = MAX_DEPTH) -> None:
    """Let pass what is small enough to be parsed; whether it is JSON is not asked.

    A few counts settle nearly everything: exact is only the look at what has many brackets or commas.

    Raises:
        JsonTooDeepError: objects and lists lie inside one another more than ``max_depth`` times.
        JsonTooManyMembersError: it has more than ``max_members`` values.
    """
    opening = text.count(b"[") + text.count(b"{")
    if opening <= max_depth and opening + text.count(b",") <= max_members:
        return
    structure = _structure(text)
    if structure.count(b"[") + structure.count(b"{") + structure.count(b",") > max_members:
        raise JsonTooManyMembersError(max_members)
    brackets = structure.translate(_ONE_KIND, b",")
    for _ in range(max_depth):
        rest = brackets.replace(b"[]", b"")  # the innermost ones
        if len(rest) == len(brackets):
            break  # nothing is left, or what no parser takes
        brackets = rest
    if b"[]" in brackets or brackets.count(b"[") > max_depth:
        raise JsonTooDeepError(max_depth)


def _structure(text: bytes) -> bytes:
    """The brackets and commas outside strings. No step looks at single characters in Python."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    # Where nothing stands between two quotes, a string is empty, or two have nothing between them that counts.
    text = text.translate(None, _OTHERS).replace(b'""', b"")
    return b"".join(text.split(b'"')[::2])


def check_depth(value: object, *, max_depth: int = MAX_DEPTH) -> None:
    """The same for a value that is there already.

    Raises:
        JsonTooDeepError: its objects and lists lie inside one another more than ``max_depth`` times.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(max_depth):
        if not level:
            return
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise JsonTooDeepError(max_depth)


LARGE_VALUES, LARGE_CHARACTERS = 1_000, 100_000
"""From about here on it takes milliseconds to look through a value."""


def is_large(value: Any) -> bool:
    """Whether a JSON value has so many members or so much text that work on it belongs beside the event loop.

    The look ends as soon as that is certain.
    """
    values, characters, ahead = 0, 0, [value]
    while ahead:
        each = ahead.pop()
        values += 1
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, dict):
            ahead.extend(each.values())
        elif isinstance(each, list):
            ahead.extend(each)
        if values + len(ahead) > LARGE_VALUES or characters > LARGE_CHARACTERS:
            return True
    return False
