"""``/webhooks/{path}``: the HTTP side of webhook triggers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.dispatch.local_executions import LocalExecution
from engine.executions.reader import ExecutionReader
from engine.executions.webhook_intake import MethodNotAllowedError, Options, Repeated, WebhookIntake, WebhookRequest
from engine.node_api.node_call import WebhookResponse
from server.http.json import json_response
from server.http.problems import internal_error, problem, problem_of
from server.http.shutdown import Shutdown
from workflow.errors import JobsprintError
from workflow.http.forms import url_encoded
from workflow.http.headers import joined
from workflow.webhook_paths import normal

logger = logging.getLogger(__name__)

PREFIX = "/webhooks/"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
WITHOUT_CONTENT = frozenset({204, 205, 304})
"""Statuses whose answers have no body (RFC 9110, 15.3.5, 15.3.6, 15.4.5); one would be taken for the next answer."""


@dataclass(slots=True, frozen=True)
class Webhooks:
    """Accepts requests, and answers with the workflow's own answer, or 202 where it has none.

    It speaks ASGI itself and stands in front of Starlette's application, whose middleware, routing and request would
    cost as much as a small workflow.
    """

    intake: WebhookIntake
    reader: ExecutionReader
    response_timeout_seconds: float
    leaving: Shutdown

    def routes(self) -> list[Route]:
        """The one route, for OpenAPI and for refusals; requests come by :meth:`in_front_of`."""
        return [Route(PREFIX + "{path}", self, methods=METHODS)]

    def in_front_of(self, app: ASGIApp) -> ASGIApp:
        """An application that accepts webhooks, and leaves everything else to ``app``."""

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith(PREFIX):
                await self(scope, receive, send)
            else:
                await app(scope, receive, send)

        return front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the workflow that listens; wait for its answer if it gives one."""
        try:
            response = await self._respond(await _request(scope, receive))
        except JobsprintError as error:
            response = problem_of(error)
        except ClientDisconnect:
            return
        except Exception:
            logger.exception("a webhook failed")
            response = internal_error()
        await response(scope, receive, send)

    async def _respond(self, request: WebhookRequest) -> Response:
        try:
            accepted = await self.intake.accept(request)
        except MethodNotAllowedError as error:
            allow = ", ".join(error.allowed)
            return problem(405, code=error.code, title=error.message, headers={"allow": allow}, fix=error.fix)
        if isinstance(accepted, Options):
            return Response(status_code=204, headers={"allow": ", ".join(accepted.allowed)})
        if isinstance(accepted, Repeated):
            return _repeated(accepted)
        local = accepted.local
        answer = await self._answer(local) if accepted.responds else None
        if answer is not None:
            return _response(answer)
        started = {"execution_id": local.execution.id, "status": "accepted"}
        if not accepted.responds or not local.finished.is_set():
            return json_response(started, 202)
        # It stopped without an answer: it failed, waits, or took a branch without a respond node.
        execution = await self.reader.get(local.execution.owner, local.execution.id)
        if execution.error is None:
            return json_response({**started, "status": execution.state.value}, 202)
        return problem(
            500,
            code="execution_failed",
            title="The workflow failed before it answered.",
            execution_id=execution.id,
            fix="Look at the execution to see which node failed, and why.",
        )

    async def _answer(self, local: LocalExecution) -> WebhookResponse | None:
        """The workflow's own answer, or ``None`` where there is none in time."""
        try:
            async with asyncio.timeout(self.response_timeout_seconds):
                with self.leaving.waiting(local.answered):
                    return await asyncio.shield(local.answered)
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if not local.answered.cancelled():
                raise  # the client went away; the execution goes on
            return None


async def _request(scope: Scope, receive: Receive) -> WebhookRequest:
    """The request in the engine's form.

    Raises:
        ClientDisconnect: the sender went away before it was there.
    """
    query, fields = scope["query_string"], scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    if len(headers) < len(fields):
        headers = joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
    return WebhookRequest(
        path=_path(scope),
        method=scope["method"],
        headers=headers,
        query=url_encoded(query) if query else (),
        body=await _body(receive),
    )


def _path(scope: Scope) -> str:
    """The path behind the prefix, with what is escaped in it: an escaped slash is part of a parameter."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%" not in raw:
        return str(scope["path"]).removeprefix(PREFIX)
    return normal(raw.decode("latin-1").removeprefix(PREFIX))


async def _body(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ClientDisconnect: the sender went away before it was there.
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _repeated(repeated: Repeated) -> Response:
    """What an earlier request got, as far as it is known: the workflow's own answer, or the execution."""
    first = repeated.first
    if first.answer is not None:
        return _response(WebhookResponse(**first.answer))
    return json_response({"execution_id": first.id, "status": first.state.value, "repeated": True}, 202)


def _response(answer: WebhookResponse) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if answer.body is None or answer.status in WITHOUT_CONTENT:
        return Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return Response(answer.body, status_code=answer.status, headers=headers)
    headers.setdefault("content-type", "application/json")
    return Response(orjson.dumps(answer.body), status_code=answer.status, headers=headers)
