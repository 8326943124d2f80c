"""Conversations at the edge: the context manager put together from the settings, and the routes that show and forget
what it keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prompts.conversations import ContextManager
from prompts.summaries import Summariser
from prompts.tails import MemoryTails
from server.auth.access import GuardedRoute, actor_of
from server.rest import PageQuery, json_response, query_in
from server.settings import Settings
from storage.conversations import SqlConversations
from storage.database import Database
from storage.redis_tails import RedisTails
from workflow.audit import AuditLog
from workflow.chat import Models
from workflow.conversations import ConversationStore, Head, Turn
from workflow.errors import StorageError
from workflow.identity import READS_EXECUTIONS, RUNS
from workflow.message_forms import message_to_json
from workflow.ports import Clock, EventBus, NewId

logger = logging.getLogger(__name__)

CHUNK = 100
INTERVAL_SECONDS = 3_600


@asynccontextmanager
async def running_conversations(
    settings: Settings, database: Database, *, models: Models | None, bus: EventBus, clock: Clock, new_id: NewId
) -> AsyncIterator[ContextManager]:
    """The context manager, until the context is left. Without ``models`` nothing is summarised.

    Raises:
        StorageError: the address of Redis is none.
    """
    async with AsyncExitStack() as stack:
        shared = None
        if settings.redis_url is not None:
            shared = await stack.enter_async_context(
                RedisTails(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix)
            )
        store = SqlConversations(database, new_id=new_id)
        memory = ContextManager(
            store=store,
            tails=MemoryTails(max_bytes=settings.conversation_cache_bytes, shared=shared),
            bus=bus,
            clock=clock,
            new_id=new_id,
            summariser=None if models is None else Summariser(models=models),
        )
        await stack.enter_async_context(memory.listening())
        if settings.conversation_days is not None:
            idle = IdleConversations(store=store, clock=clock, kept=timedelta(days=settings.conversation_days))
            await stack.enter_async_context(idle.forgetting())
        yield memory


@dataclass(slots=True, frozen=True, kw_only=True)
class IdleConversations:
    """Conversations that nothing was added to for a long time, and are forgotten."""

    store: ConversationStore
    clock: Clock
    kept: timedelta

    async def forget(self) -> int:
        """Forget what is due; how many conversations that was."""
        total = 0
        while gone := await self.store.prune(idle_before=self.clock.now() - self.kept, limit=CHUNK):
            total += gone
        return total

    @asynccontextmanager
    async def forgetting(self) -> AsyncIterator[None]:
        """Forget now and every hour until the context is left."""
        task = asyncio.create_task(self._forever(), name="idle conversations")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            try:
                await self.forget()
            except StorageError as error:
                logger.warning("idle conversations could not be forgotten: %s", error.message)
            await asyncio.sleep(INTERVAL_SECONDS)


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
        """Every route; ``server.openapi`` describes the same ones."""
        # Keys may have slashes in them.
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
        """204 when it is forgotten."""
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
            # Secrets in what was read as JSON are hidden by their names; in the text of it they would not be.
            del call["raw_arguments"]
    return {
        "position": turn.position,
        **message,
        "tokens": turn.tokens,
        "is_estimate": turn.is_estimate,
        "is_pinned": turn.is_pinned,
        "at": turn.at.isoformat(),
    }
