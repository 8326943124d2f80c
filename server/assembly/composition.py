"""The composition root: every part is made here, given what it needs, and ended in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from engine.dispatch.milestones import Milestones
from engine.executions.control import Control
from engine.executions.deliveries import Deliveries
from engine.executions.intake import ExecutionRequests
from engine.executions.reader import ExecutionReader
from engine.executions.resume_links import ResumeLinks
from engine.executions.tries import Tries
from engine.executions.webhook_intake import WebhookIntake
from engine.schedules.schedules import Schedules
from integrations.credentials import Credentials
from prompts.conversations import ContextManager
from prompts.manager import PromptManager
from server.assembly.core import running_core
from server.assembly.grace import Grace
from server.assembly.identity import IdentityParts, running_identity
from server.assembly.integration_parts import Integrations
from server.assembly.mcp_surface import running_surface
from server.assembly.model_parts import AiServices
from server.http.shutdown import Shutdown
from server.mcp.endpoint import McpServer
from server.mcp.offers import Offers
from server.mcp.subscriptions import Subscriptions
from server.settings.settings import Settings
from storage.database.database import Database
from storage.executions.idempotency import SqlIdempotencyKeys
from storage.people.audit import SqlAuditLog
from workflow.ports import Clock


@dataclass(slots=True, frozen=True, kw_only=True)
class Services:
    """What the edges call; ``identity`` where they are reached over HTTP."""

    clock: Clock
    database: Database
    audit: SqlAuditLog
    identity: IdentityParts | None
    authoring: Authoring
    publishing: Publishing
    announcements: Announcements
    requests: ExecutionRequests
    reader: ExecutionReader
    control: Control
    prompts: PromptManager
    links: ResumeLinks
    schedules: Schedules
    tries: Tries
    credentials: Credentials
    integrations: Integrations
    ai: AiServices
    webhooks: WebhookIntake
    conversations: ContextManager
    mcp: McpServer
    offers: Offers
    subscriptions: Subscriptions
    leaving: Shutdown
    grace: Grace


@asynccontextmanager
async def running_services(
    settings: Settings, *, has_http: bool, milestones: Milestones | None = None
) -> AsyncIterator[Services]:
    """All of Jobsprint except its edges, with a running worker, until the context is left.

    Without HTTP nothing would serve links to waiting executions, so no links are made. ``milestones`` is for tests.

    Raises:
        BadSettingsError: another process uses the data folder; or other machines can reach the server, and it
            has no way to authenticate them.
        VaultKeyError: the keys of the vault cannot be read or made.
        StorageError: the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(
            running_core(settings, has_http=has_http, concurrency=_concurrency(settings), milestones=milestones)
        )
        foundation, outgoing, engine, ai = core.foundation, core.outgoing, core.engine, core.ai
        clock, new_id, database, audit = foundation.clock, foundation.new_id, foundation.database, foundation.audit
        integrations, conversations, prompts = core.integrations, core.conversations, core.prompts
        identity = None
        if has_http:
            identity = await stack.enter_async_context(
                running_identity(
                    settings,
                    database,
                    secret=foundation.secret,
                    http=outgoing.wire,
                    audit=audit,
                    clock=clock,
                    new_id=new_id,
                )
            )
        surface = await stack.enter_async_context(
            running_surface(
                settings, foundation, engine=engine, outgoing=outgoing, integrations=integrations, prompts=prompts
            )
        )
        yield Services(
            clock=clock,
            database=database,
            audit=audit,
            identity=identity,
            authoring=engine.authoring,
            publishing=engine.publishing,
            announcements=engine.announcements,
            requests=engine.requests,
            reader=engine.reader,
            control=engine.control,
            prompts=prompts,
            links=engine.links,
            schedules=engine.schedules,
            tries=engine.tries,
            credentials=integrations.credentials,
            integrations=integrations,
            ai=ai,
            webhooks=WebhookIntake(
                authoring=engine.authoring,
                intake=engine.intake,
                vault=outgoing.vault,
                secrets={name: secret.get_secret_value() for name, secret in settings.webhook_secrets.items()},
                deliveries=Deliveries(
                    keys=SqlIdempotencyKeys(database), reader=engine.reader, clock=clock, new_id=new_id
                ),
            ),
            conversations=conversations,
            mcp=surface.mcp,
            offers=surface.offers,
            subscriptions=surface.subscriptions,
            leaving=Shutdown(grace_seconds=settings.shutdown_grace_seconds, at_once=surface.subscriptions.close),
            grace=foundation.grace,
        )


def _concurrency(settings: Settings) -> int:
    """How many executions a serving process runs at once: none where a broker brings executions to workers."""
    return settings.worker_concurrency if settings.broker_url is None else 0
