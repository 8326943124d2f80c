"""HTTP requests of nodes: sent through the call's port, with failures in the form that retries understand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.node_api.node_call import NodeCall
from workflow.errors import NodeError, OutboundError
from workflow.http import headers as http_headers
from workflow.ports import HttpRequest, HttpResponse
from workflow.retry import is_transient


async def send(call: NodeCall[Any], request: HttpRequest) -> HttpResponse:
    """Send the request and return the response, whatever its status is.

    Raises:
        NodeError: no response came (timeout, refused, too large, forbidden address); ``transient`` where a retry may
            help.
    """
    try:
        return await call.http.send(request)
    except OutboundError as error:
        raise NodeError(
            error.message,
            code=error.outbound_code,
            transient=error.transient,
            fix=error.fix,
            retry_after_seconds=error.retry_after_seconds,
        ) from error


def status_error(response: HttpResponse, message: str, *, fix: str | None = None) -> NodeError:
    """The error to raise for a response whose status is a failure: code ``http_status``, ``transient`` and
    ``retry_after_seconds`` as status and headers say."""
    return NodeError(
        message,
        code="http_status",
        transient=is_transient(response.status),
        retry_after_seconds=retry_after_seconds(response),
        fix=fix,
    )


def retry_after_seconds(response: HttpResponse) -> float | None:
    """The seconds that the header Retry-After asks for, given as a number or as a date; ``None`` without one."""
    return http_headers.retry_after_seconds(response.headers, now=datetime.now(UTC))
