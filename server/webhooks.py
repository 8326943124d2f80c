"""``/webhooks/{path}``: the HTTP side of webhook triggers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.executions import ExecutionService
from engine.live import LiveExecution
from engine.node_type import WebhookResponse
from engine.webhook_intake import MethodNotAllowedError, WebhookIntake, WebhookRequest
from server.problems import problem
from server.rest import json_response

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True, frozen=True)
class Webhooks:
    """Takes requests in and gives the workflow's own answer, or 202 where it has none."""

    intake: WebhookIntake
    service: ExecutionService
    response_timeout_seconds: float

    def routes(self) -> list[Route]:
        """The one route."""
        return [Route("/webhooks/{path}", self.receive, methods=METHODS)]

    async def receive(self, request: Request) -> Response:
        """Start the workflow that listens; wait for its answer where it gives one."""
        try:
            accepted = await self.intake.accept(
                WebhookRequest(
                    path=request.path_params["path"],
                    method="GET" if request.method == "HEAD" else request.method,
                    headers=dict(request.headers),
                    query=request.query_params.multi_items(),
                    body=await request.body(),
                )
            )
        except MethodNotAllowedError as error:
            return problem(405, code=error.code, title=error.message, headers={"allow": ", ".join(error.allowed)})
        live = accepted.live
        answer = await self._answer(live) if accepted.responds else None
        # What leaves must not promise more than is on the disk.
        await self.service.accepted(live)
        if answer is not None:
            return _response(answer)
        started = {"execution_id": live.execution.id, "status": "accepted"}
        if not accepted.responds or not live.finished.is_set():
            return json_response(started, 202)
        # It came to an end without an answer: it failed, waits, or took a way without a respond node.
        execution = await self.service.get(live.execution.id)
        if execution.error is None:
            return json_response({**started, "status": execution.state.value}, 202)
        return problem(
            500, code="execution_failed", title="The workflow failed before it answered.", execution_id=execution.id
        )

    async def _answer(self, live: LiveExecution) -> WebhookResponse | None:
        """The workflow's own answer, or ``None`` where there is none (in time)."""
        try:
            async with asyncio.timeout(self.response_timeout_seconds):
                return await asyncio.shield(live.answered)
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if not live.answered.cancelled():
                raise  # the client went away; the execution goes on
            return None


def _response(answer: WebhookResponse) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return Response(answer.body, status_code=answer.status, headers=headers)
    headers.setdefault("content-type", "application/json")
    return Response(orjson.dumps(answer.body), status_code=answer.status, headers=headers)
