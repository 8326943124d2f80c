"""REST routes that list, show and delete conversations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prompts.conversations import ContextManager
from server.http.access import GuardedRoute, actor_of
from server.http.json import PageQuery, json_response, query_in
from workflow.audit import AuditLog
from workflow.conversations import Head, Turn
from workflow.identity import READS_EXECUTIONS, RUNS
from workflow.message_forms import message_to_json


class TurnsQuery(BaseModel):
    """Query of ``GET /api/conversations/{key}``; ``before`` is a position, ``next_before`` of the page before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=100)
    before: int | None = Field(default=None, ge=1, le=2**31 - 1)


@dataclass(slots=True, frozen=True, kw_only=True)
class ConversationRoutes:
    """Routes under ``/api/conversations``."""

    memory: ContextManager
    audit: AuditLog

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        # Keys may contain slashes.
        one = "/api/conversations/{key:path}"
        return [
            GuardedRoute("/api/conversations", self.list_conversations, methods=["GET"], scopes=READS_EXECUTIONS),
            GuardedRoute(one, self.get_conversation, methods=["GET"], scopes=READS_EXECUTIONS),
            GuardedRoute(one, self.delete_conversation, methods=["DELETE"], scopes=RUNS),
        ]

    async def list_conversations(self, request: Request) -> Response:
        """A page of the workspace's conversations, the one last added to first."""
        query = query_in(request, PageQuery)
        page = await self.memory.page(
            actor_of(request).workspace_id, text=query.text, limit=query.limit, cursor=query.cursor
        )
        return json_response({"conversations": list(map(_head, page.items)), "next_cursor": page.next_cursor})

    async def get_conversation(self, request: Request) -> Response:
        """A conversation with a page of its turns, the latest first."""
        query = query_in(request, TurnsQuery)
        head, turns = await self.memory.read(
            actor_of(request).workspace_id, request.path_params["key"], before=query.before, limit=query.limit
        )
        next_before = turns[-1].position if len(turns) == query.limit and turns[-1].position > 1 else None
        return json_response({**_head(head), "turns": list(map(_turn, turns)), "next_before": next_before})

    async def delete_conversation(self, request: Request) -> Response:
        """204 when it is deleted."""
        actor, key = actor_of(request), request.path_params["key"]
        await self.memory.delete(actor.workspace_id, key)
        self.audit.note(actor, "conversation.deleted", f"conversation:{key}")
        await self.audit.written()
        return Response(status_code=204)


def _head(head: Head) -> dict[str, Any]:
    return {
        "key": head.key,
        "turns_in_all": head.last_position,
        "tokens": head.tokens,
        "created_at": head.created_at.isoformat(),
        "updated_at": head.updated_at.isoformat(),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    message = message_to_json(turn.message)
    for call in message.get("tool_calls", ()):
        if call["arguments"] is not None:
            # Secrets are redacted by their members' names in parsed JSON; in its text they could not be found.
            del call["raw_arguments"]
    return {
        "position": turn.position,
        **message,
        "tokens": turn.tokens,
        "is_estimate": turn.is_estimate,
        "is_pinned": turn.is_pinned,
        "at": turn.at.isoformat(),
    }
