"""Failures as ``application/problem+json`` (RFC 9457), mapped from the domain's errors in this one place."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from tools.tool import error_content
from workflow.errors import ErrorKind, JobsprintError

STATUS_BY_KIND = {
    ErrorKind.INVALID: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.OVERLOADED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.FAILED: 500,
}


def problem(status: int, *, code: str, title: str, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """A problem document; ``members`` that are ``None`` are left out."""
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
        # RFC 9110 (15.5.2) wants one with every 401.
        headers["www-authenticate"] = "Bearer"
    return problem(status, title=content.pop("message"), headers=headers, **content)


async def handle_expected(request: Request, error: Exception) -> Response:
    """Starlette's handler for every :class:`JobsprintError` that a route lets through."""
    if not isinstance(error, JobsprintError):
        raise error
    return problem_of(error)


async def handle_unexpected(request: Request, error: Exception) -> Response:
    """Starlette's handler for faults of ours: nothing of them is shown, the log has them."""
    return internal_error()


def internal_error() -> Response:
    """The problem document of a fault of ours."""
    return problem(
        500,
        code="internal_error",
        title="The server failed on this request; its log has the details.",
        fix="Report it with what the log says; the request itself may be right.",
    )
