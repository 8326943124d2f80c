"""The context manager put together from the settings; conversations that nobody continues are forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from engine.executions.duties import Duty
from prompts.conversations import ContextManager
from prompts.summaries import Summariser
from prompts.tails import MemoryTails
from server.assembly.duties import FORGETTING_SECONDS, duties_at_work
from server.settings.settings import Settings
from storage.database.database import Database
from storage.models.conversations import SqlConversations
from workflow.chat import Models
from workflow.conversations import ConversationStore
from workflow.ports import Clock, EventBus, NewId

CHUNK = 100


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
            from storage.redis.tails import RedisTails

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
            old = Duty("idle conversations", FORGETTING_SECONDS, idle.forget)
            await stack.enter_async_context(duties_at_work(old, database=database, clock=clock, new_id=new_id))
        yield memory


@dataclass(slots=True, frozen=True, kw_only=True)
class IdleConversations:
    """Conversations that nothing was added to for the time that they are ``kept``."""

    store: ConversationStore
    clock: Clock
    kept: timedelta

    async def forget(self) -> None:
        """Forget what is due.

        Raises:
            StorageError: not all of it is forgotten.
        """
        while await self.store.prune(idle_before=self.clock.now() - self.kept, limit=CHUNK):
            pass
