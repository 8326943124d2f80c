"""A prompt manager over a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompts.documents import template_of
from prompts.manager import PromptManager
from prompts.templates import load_templates
from storage.clock import SystemClock
from storage.events.in_process import InProcessEventBus
from storage.ids import UuidFactory
from storage.models.prompts import SqlPrompts
from storage.people.audit import AuditFilter, SqlAuditLog
from tests.support.databases import database_of
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.prompt_templates import PromptTemplate


@dataclass(slots=True, frozen=True)
class PromptHouse:
    """The manager and what is around it."""

    manager: PromptManager
    bus: InProcessEventBus
    audit: SqlAuditLog

    async def put(self, name: str, **document: Any) -> PromptTemplate:
        """Save a template whatever its version; a title need not be given, nor more of the messages than a text."""
        saved = await self.manager.save(LOCAL_ACTOR, draft(name, **document), expected_version=None)
        return saved.template

    async def text(self, name: str, /, **variables: Any) -> str:
        """The one message that a template comes to."""
        (message,) = await self.manager.render(LOCAL_ID, name, variables)
        return message.content

    async def audited(self) -> list[tuple[str, str, Any]]:
        """Actions, subjects and details of the audit log, the oldest first."""
        page = await self.audit.page(LOCAL_ID, AuditFilter(), limit=100, cursor=None)
        return [(each.action, each.subject, each.details) for each in reversed(page.items)]


def draft(name: str, *, text: str | None = None, **document: Any) -> PromptTemplate:
    """A template that is not saved; ``text`` is its one message."""
    if text is not None:
        document["messages"] = [{"role": "user", "content": text}]
    return template_of(name, {"title": name, **document})


@asynccontextmanager
async def prompt_house(folder: Path) -> AsyncIterator[PromptHouse]:
    """The whole of it, over SQLite."""
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    async with database_of("sqlite", folder) as database, SqlAuditLog(database, clock=clock, new_id=new_id) as audit:
        bus = InProcessEventBus()
        manager = PromptManager(
            repository=SqlPrompts(database),
            built_in=load_templates(),
            taken=["build_workflow"],
            bus=bus,
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        yield PromptHouse(manager, bus, audit)
