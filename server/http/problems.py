"""Failures as ``application/problem+json`` (RFC 9457): the one place that maps the domain's errors to HTTP."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from tools.protocol.tool import error_content
from workflow.errors import ErrorKind, JobsprintError

MCP_PATH = "/mcp"
INVALID_REQUEST = -32_600
"""JSON-RPC 2.0, 5.1."""

STATUS_BY_KIND = {
    ErrorKind.INVALID: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_SLOW: 408,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.OVERLOADED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.FAILED: 500,
}


def problem(status: int, *, code: str, title: str, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """A problem document; ``members`` that are ``None`` are omitted."""
    content = {"type": "about:blank", "title": title, "status": status, "code": code}
    content |= {name: member for name, member in members.items() if member is not None}
    return Response(orjson.dumps(content), status_code=status, media_type="application/problem+json", headers=headers)


def problem_of(error: JobsprintError) -> Response:
    """The problem document of an expected failure."""
    content = error_content(error)
    headers = {}
    if error.kind is ErrorKind.OVERLOADED:
        headers["retry-after"] = str(getattr(error, "retry_after_seconds", 1))
    status = STATUS_BY_KIND[error.kind]
    if status == 401:
        # RFC 9110 (15.5.2) requires one with every 401.
        headers["www-authenticate"] = "Bearer"
    return problem(status, title=content.pop("message"), headers=headers, **content)


def refusal(scope: Scope, error: JobsprintError) -> Response:
    """The answer to a request that is refused before its route: a problem document, and for MCP a JSON-RPC error.

    The JSON-RPC ``id`` is null, since the request's body was not read.
    """
    if scope["path"] != MCP_PATH or scope["method"] != "POST":
        return problem_of(error)
    answer = problem_of(error)
    data = {"code": error.code, **({"fix": error.fix} if error.fix is not None else {})}
    content = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": error.message, "data": data}}
    headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
    return Response(
        orjson.dumps(content), status_code=answer.status_code, media_type="application/json", headers=headers
    )


async def handle_expected(request: Request, error: Exception) -> Response:
    """Starlette's handler for every :class:`JobsprintError` that a route lets through."""
    if not isinstance(error, JobsprintError):
        raise error
    return problem_of(error)


async def handle_unexpected(request: Request, error: Exception) -> Response:
    """Starlette's handler for bugs of ours: the answer shows no detail, the log has them."""
    return internal_error()


def internal_error() -> Response:
    """The problem document of a bug of ours."""
    return problem(
        500,
        code="internal_error",
        title="The server failed on this request; its log has the details.",
        fix="Report it with what the log says; the request itself may be right.",
    )
