"""Reads requests: bodies of bounded size, and parameters that may stand once."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from server.oauth.errors import OAuthError

MAX_BYTES = 32 << 10
MAX_FIELDS = 50
REPEATABLE = ("resource", "scope_box")
"""Parameters that may be repeated: RFC 8707 allows several resources; the consent page's boxes share one name."""

Parameters = Mapping[str, list[str]]


async def bounded_body(request: Request, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The body.

    Raises:
        OAuthError: ``invalid_request``: it is too large.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise OAuthError("invalid_request", f"The body is larger than {max_bytes} bytes.")
    return bytes(body)


async def form_in(request: Request) -> Parameters:
    """The form in the body.

    Raises:
        OAuthError: ``invalid_request``: it is not a form, or repeats a parameter.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send a form: Content-Type: application/x-www-form-urlencoded.")
    return parameters(await bounded_body(request))


def parameters(encoded: bytes | str) -> Parameters:
    """The parameters of a form or query; empty ones count as omitted (RFC 6749, 3.1).

    Raises:
        OAuthError: ``invalid_request``: it cannot be read, or repeats a parameter.
    """
    try:
        text = encoded.decode("ascii") if isinstance(encoded, bytes) else encoded
        pairs = parse_qsl(text, keep_blank_values=False, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "The parameters cannot be read.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in REPEATABLE:
            raise OAuthError("invalid_request", f"The parameter {name!r:.60} is there twice.")
    return found


def one(given: Parameters, name: str) -> str | None:
    """The parameter, or ``None`` where it was omitted."""
    return given[name][0] if name in given else None


def needed(given: Parameters, name: str) -> str:
    """The parameter.

    Raises:
        OAuthError: ``invalid_request``: it was omitted.
    """
    value = one(given, name)
    if value is None:
        raise OAuthError("invalid_request", f"The parameter {name} is missing.")
    return value
