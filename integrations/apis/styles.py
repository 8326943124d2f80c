"""How values are written into addresses, headers and forms: the styles of OpenAPI, which are those of RFC 6570."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import orjson
from pydantic import BaseModel, ConfigDict

Style = Literal["form", "spaceDelimited", "pipeDelimited", "deepObject", "simple", "label", "matrix"]
DELIMITERS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "|"}
STAY = ":/?@!$'()*,;"
"""What ``allowReserved`` leaves as it is: the reserved characters that do not end a value in a query."""
COOKIE_OCTETS = "!#$&'()*+-./:<=>?@[]^_`{|}~"  # RFC 6265, 4.1.1, without the percent sign
MOST_NESTING = 20


class Writing(BaseModel):
    """How a parameter or a member of a form is written. With a ``media_type`` it is one text of that type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Style = "form"
    explode: bool = True
    allow_reserved: bool = False
    media_type: str | None = None


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def in_query(name: str, value: Any, how: Writing) -> list[str]:
    """The parts ``name=value`` of a query or a form; none for ``null`` and for lists and objects without values."""

    def written(each: Any) -> str:
        return quote_plus(text_of(each), safe=STAY if how.allow_reserved else "")

    there = quote_plus(name, safe="[]")
    if value is None:
        return []
    if how.media_type is not None or not isinstance(value, list | dict):
        return [f"{there}={written(value)}"]
    if how.style == "deepObject":
        return [f"{quote_plus(path, safe='[]')}={written(each)}" for path, each in _deep(name, value, 0)]
    if isinstance(value, list):
        given = [written(each) for each in value if each is not None]
        if how.explode:
            return [f"{there}={each}" for each in given]
    else:
        members = [(member, each) for member, each in value.items() if each is not None]
        if how.explode:
            return [f"{quote_plus(member, safe='[]')}={written(each)}" for member, each in members]
        given = [written(part) for pair in members for part in pair]
    return [f"{there}={DELIMITERS.get(how.style, ',').join(given)}"] if given else []


def in_path(name: str, value: Any, how: Writing) -> str:
    """What stands in a path for the value."""

    def written(each: Any) -> str:
        return quote(text_of(each), safe=STAY.replace("/", "").replace("?", "") if how.allow_reserved else "")

    if how.media_type is not None or not isinstance(value, list | dict):
        content = written(value)
        if how.style == "matrix":
            return f";{quote(name)}={content}" if content else f";{quote(name)}"
        return f".{content}" if how.style == "label" else content
    given = _parts(value, how, written)
    match how.style:
        case "label":
            return "".join(f".{each}" for each in given) if how.explode else f".{','.join(given)}"
        case "matrix":
            if how.explode:
                prefix = f"{quote(name)}=" if isinstance(value, list) else ""
                return "".join(f";{prefix}{each}" for each in given)
            return f";{quote(name)}={','.join(given)}"
    return ",".join(given)


def in_header(value: Any, how: Writing) -> str:
    """The value of a header."""
    if how.media_type is not None or not isinstance(value, list | dict):
        return text_of(value)
    return ",".join(_parts(value, how, text_of))


def in_cookie(name: str, value: Any, how: Writing) -> list[str]:
    """The cookies ``name=value``."""

    def written(each: Any) -> str:
        return quote(text_of(each), safe=COOKIE_OCTETS)

    if value is None:
        return []
    if how.media_type is not None or not isinstance(value, list | dict):
        return [f"{name}={written(value)}"]
    if how.explode:
        if isinstance(value, list):
            return [f"{name}={written(each)}" for each in value]
        return [f"{member}={written(each)}" for member, each in value.items()]
    parts = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
    return [f"{name}={'%2C'.join(written(each) for each in parts)}"]


def _parts(value: list[Any] | dict[str, Any], how: Writing, written: Any) -> Sequence[str]:
    if isinstance(value, list):
        return [written(each) for each in value if each is not None]
    members = [(member, each) for member, each in value.items() if each is not None]
    if how.explode:
        return [f"{written(member)}={written(each)}" for member, each in members]
    return [written(part) for pair in members for part in pair]


def _deep(path: str, value: Any, depth: int) -> list[tuple[str, Any]]:
    """``filter[a][b]`` for each value inside; the elements of a list have one name."""
    if isinstance(value, dict) and depth < MOST_NESTING:
        return [pair for name, each in value.items() for pair in _deep(f"{path}[{name}]", each, depth + 1)]
    if isinstance(value, list):
        return [(path, each) for each in value if each is not None]
    return [(path, value)] if value is not None else []
