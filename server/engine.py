"""What runs workflows, put together, with a worker at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.aftermath import Aftermath
from engine.announcements import Announcements
from engine.authoring import Authoring
from engine.children import Children
from engine.control import Control
from engine.effect_parts import AiPorts
from engine.executions import ExecutionService
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import Limits, WorkerPool
from engine.live import LiveExecutions
from engine.node_runner import NodeRunner
from engine.publishing import Publishing
from engine.recovery import Recovery
from engine.registry import load_registry
from engine.resume_links import ResumeLinks
from engine.retention import Retention
from engine.worker import Worker
from integrations.actions import ConnectedActions
from server.foundation import Foundation
from server.outgoing import Outgoing
from server.settings import Settings
from storage.blobs import BlobStore
from storage.executions import SqlExecutionStore
from storage.idempotency import SqlIdempotencyKeys
from storage.queue.embedded import EmbeddedQueue
from storage.workflow_cache import WorkflowCache
from storage.workflows import SqlWorkflowRepository

SHARED_CACHE_SECONDS = 1.0
"""How old a workflow may be that another process on the same database has changed."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Engine:
    """What the tools and edges call."""

    announcements: Announcements
    authoring: Authoring
    publishing: Publishing
    executions: ExecutionService
    control: Control
    runner: NodeRunner
    links: ResumeLinks


@asynccontextmanager
async def running_engine(
    settings: Settings,
    foundation: Foundation,
    *,
    outgoing: Outgoing,
    actions: ConnectedActions,
    ai: AiPorts,
    has_http: bool,
) -> AsyncIterator[Engine]:
    """The engine at work, until the context is left; it takes up what an earlier process left."""
    async with AsyncExitStack() as stack:
        clock, new_id, database, audit = foundation.clock, foundation.new_id, foundation.database, foundation.audit
        announcements = Announcements(bus=foundation.bus, clock=clock, new_id=new_id)
        workflows = WorkflowCache(
            SqlWorkflowRepository(database), seconds=None if database.is_sqlite else SHARED_CACHE_SECONDS
        )
        store = await stack.enter_async_context(_store(settings, foundation))
        queue = EmbeddedQueue(capacity=settings.queue_capacity)
        pool = await stack.enter_async_context(_pool(settings))
        evaluator = Evaluator(pool=pool)
        authoring = Authoring(
            registry=load_registry(),
            evaluator=evaluator,
            workflows=workflows,
            credentials=outgoing.vault,
            connections=actions,
            announcements=announcements,
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        service = ExecutionService(
            store=store,
            live=LiveExecutions(queue=queue, capacity=settings.queue_capacity),
            announcements=announcements,
            keys=SqlIdempotencyKeys(database),
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        links = ResumeLinks(base_url=settings.base_url, secret=foundation.secret)
        control = Control(authoring=authoring, service=service, audit=audit, clock=clock)
        recovery = Recovery(
            service=service,
            control=control,
            clock=clock,
            lease_seconds=settings.lease_seconds,
            is_alone=database.is_sqlite,
        )
        runner = NodeRunner(
            evaluator=evaluator,
            http=outgoing.sender,
            clock=clock,
            children=Children(authoring=authoring, service=service),
            resume_url=links.url if has_http else lambda execution_id: None,
            audit=audit,
            actions=actions,
            announcements=announcements,
            ai=ai,
        )
        worker = Worker(
            queue=queue,
            service=service,
            aftermath=Aftermath(authoring=authoring, service=service, control=control, on_waiting=recovery.look_again),
            runner=runner,
            evaluator=evaluator,
            clock=clock,
            concurrency=settings.worker_concurrency,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        )
        await stack.enter_async_context(recovery.watching())
        await stack.enter_async_context(_retention(settings, foundation, store, workflows).pruning())
        await stack.enter_async_context(worker.working())
        yield Engine(
            announcements=announcements,
            authoring=authoring,
            publishing=Publishing(authoring=authoring, announcements=announcements, audit=audit),
            executions=service,
            control=control,
            runner=runner,
            links=links,
        )


def _store(settings: Settings, foundation: Foundation) -> SqlExecutionStore:
    return SqlExecutionStore(
        foundation.database,
        blobs=BlobStore(settings.data_dir / "blobs"),
        owner=foundation.new_id(),
        lease_seconds=settings.lease_seconds,
    )


def _pool(settings: Settings) -> WorkerPool:
    limits = Limits(
        cpu_seconds=settings.expression_cpu_seconds,
        grace_seconds=settings.expression_grace_seconds,
        memory_bytes=settings.expression_memory_bytes,
    )
    return WorkerPool(size=settings.expression_workers, limits=limits)


def _retention(
    settings: Settings, foundation: Foundation, store: SqlExecutionStore, workflows: WorkflowCache
) -> Retention:
    return Retention(
        store=store,
        workflows=workflows,
        clock=foundation.clock,
        days=settings.retention_days,
        count=settings.retention_count,
        interval_seconds=settings.retention_interval_seconds,
        audit=foundation.audit,
        audit_days=settings.audit_retention_days,
    )
