"""The context manager put together from the settings, and conversations that end because nobody goes on with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from prompts.conversations import ContextManager
from prompts.summaries import Summariser
from prompts.tails import MemoryTails
from server.settings.settings import Settings
from storage.database.database import Database
from storage.models.conversations import SqlConversations
from storage.redis.tails import RedisTails
from workflow.chat import Models
from workflow.conversations import ConversationStore
from workflow.errors import StorageError
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
