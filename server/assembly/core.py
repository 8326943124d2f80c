"""What servers and workers have in common: the engine, and everything that its nodes reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.dispatch.milestones import Milestones, NoMilestones
from engine.node_api.ports import AiPorts
from prompts.conversations import ContextManager
from prompts.guides import load_guides
from prompts.manager import PromptManager
from prompts.templates import load_templates
from server.assembly.conversations import running_conversations
from server.assembly.engine_parts import Engine, running_engine
from server.assembly.foundation import Foundation, running_foundation
from server.assembly.integration_parts import Integrations, running_integrations
from server.assembly.model_parts import AiServices, running_ai
from server.assembly.outgoing import Outgoing, running_outgoing
from server.settings.settings import Settings
from server.version import PROGRAM
from storage.models.prompts import SqlPrompts
from storage.models.vectors import SqlVectors


@dataclass(slots=True, frozen=True, kw_only=True)
class Core:
    """The parts."""

    foundation: Foundation
    outgoing: Outgoing
    integrations: Integrations
    ai: AiServices
    conversations: ContextManager
    prompts: PromptManager
    engine: Engine


@asynccontextmanager
async def running_core(
    settings: Settings, *, has_http: bool, concurrency: int, milestones: Milestones | None = None
) -> AsyncIterator[Core]:
    """The parts at work, until the context is left; ``concurrency`` executions run at once in this process.

    Without HTTP nothing would serve links to waiting executions, so no links are made. ``milestones`` is for tests.

    Raises:
        BadSettingsError: another process uses the data folder, or settings do not go together.
        VaultKeyError: the keys of the vault cannot be read or made.
        StorageError: the database or the broker cannot be used.
    """
    async with AsyncExitStack() as stack:
        foundation = await stack.enter_async_context(running_foundation(settings))
        clock, new_id, database = foundation.clock, foundation.new_id, foundation.database
        outgoing = await stack.enter_async_context(running_outgoing(settings, foundation))
        integrations = await stack.enter_async_context(
            running_integrations(settings, foundation, outgoing=outgoing, has_http=has_http)
        )
        ai = await stack.enter_async_context(
            running_ai(settings, database, clock=clock, new_id=new_id, user_agent=PROGRAM)
        )
        conversations = await stack.enter_async_context(
            running_conversations(settings, database, models=ai.models, bus=foundation.bus, clock=clock, new_id=new_id)
        )
        prompts = _prompts(foundation)
        vectors = SqlVectors(database)
        engine = await stack.enter_async_context(
            running_engine(
                settings,
                foundation,
                outgoing=outgoing,
                actions=integrations.actions,
                ai=AiPorts(models=ai.models, prompts=prompts, conversations=conversations, vectors=vectors),
                has_http=has_http,
                concurrency=concurrency,
                milestones=milestones or NoMilestones(),
            )
        )
        yield Core(
            foundation=foundation,
            outgoing=outgoing,
            integrations=integrations,
            ai=ai,
            conversations=conversations,
            prompts=prompts,
            engine=engine,
        )


def _prompts(foundation: Foundation) -> PromptManager:
    return PromptManager(
        repository=SqlPrompts(foundation.database),
        built_in=load_templates(),
        taken=[guide.name for guide in load_guides()],
        bus=foundation.bus,
        audit=foundation.audit,
        clock=foundation.clock,
        new_id=foundation.new_id,
    )
