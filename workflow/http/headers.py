"""Values of HTTP headers: parameters, repeated fields, Retry-After, and the headers that belong to the transport."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TRANSPORT_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say where a request ends, to which host it goes, or what the connection does (RFC 9110, 7.2, 7.6.1, 8.6,
10.1.1). The client that sends the request writes them: a definition that sets one could make one request into two, or
bring a credential to another host."""

_OF_THE_BODY = frozenset({"digest", "last-modified", "repr-digest", "transfer-encoding"})

COOKIES = "set-cookie"
COOKIE_SEPARATOR = "\n"
"""Between cookies, which have commas in them (RFC 9110, 5.3). No header value can hold a line break."""

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"?|[^;]*)')
_ESCAPED = re.compile(r'\\(["\\])')
"""What has to be escaped between quotes. Another backslash is one of a file's path, as old browsers send it."""
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?")


def transport_headers(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that only the sending client may set, as they are written."""
    return [name for name in names if name.strip().lower() in TRANSPORT_HEADERS]


def describes_body(name: str) -> bool:
    """Whether the header says something of a request's body, so that it goes where that goes (RFC 9110, 15.4)."""
    lower = name.lower()
    return lower.startswith("content-") or lower in _OF_THE_BODY


def with_parameters(value: str) -> tuple[str, dict[str, str]]:
    """A value of the form ``type; name=value`` as its first part and its parameters.

    The first part and the names are lower case. Blanks around ``=`` and either kind of quotes are allowed; of a
    repeated name the first one counts.
    """
    found: dict[str, str] = {}
    first, _, _ = value.partition(";")
    for match in _PARAMETER.finditer(value):
        name, given = match[1].lower(), match[2].strip()
        if given.startswith('"'):
            given = _ESCAPED.sub(r"\1", given[1:].removesuffix('"'))
        found.setdefault(name, given.strip("'"))
    return first.strip().lower(), found


def joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header fields by lower-case names. Repeated ones are joined by ``, `` (RFC 9110, 5.3), cookies by line breaks."""
    made: dict[str, str] = {}
    for written, value in fields:
        name = written.lower()
        if name not in made:
            made[name] = value
        else:
            made[name] += (COOKIE_SEPARATOR if name == COOKIES else ", ") + value
    return made


def shown(headers: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Joined headers as a workflow sees them: ``set-cookie`` is a list, everything else text."""
    made: dict[str, str | list[str]] = dict(headers)
    if COOKIES in headers:
        made[COOKIES] = headers[COOKIES].split(COOKIE_SEPARATOR)
    return made


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """What the header ``retry-after`` asks for: seconds, also as ``4.0``, or a date (RFC 9110, 10.2.3).

    A date is held against the answer's own ``date`` where it has one, since clocks differ, else against ``now``. One
    that is past is 0; ``None`` where there is nothing that can be read.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _moment(value)
    if until is None:
        return None
    return max(0.0, (until - (_moment(headers.get("date", "")) or now)).total_seconds())


def _moment(value: str) -> datetime | None:
    """An HTTP date in any of its three forms (RFC 9110, 5.6.7)."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value[:60])
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
