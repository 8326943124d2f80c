"""What runs workflows, put together, with a worker at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from engine.dispatch.signals import SignalListener
from engine.executions.child_executions import ChildExecutions
from engine.executions.claims import ExecutionClaims
from engine.executions.control import Control
from engine.executions.duties import Duties, Duty
from engine.executions.follow_up import FollowUp
from engine.executions.recovery import Recovery
from engine.executions.resume_links import ResumeLinks
from engine.executions.retention import Retention
from engine.executions.service import ExecutionService
from engine.executions.worker import Worker
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import SandboxLimits, WorkerPool
from engine.node_api.ports import AiPorts
from engine.nodes.registry import load_registry
from engine.runs.node_call import NodeServices
from engine.runs.node_runner import NodeRunner
from integrations.actions import ConnectedActions
from server.assembly.foundation import Foundation
from server.assembly.outgoing import Outgoing
from server.assembly.shared_work import shared_work
from server.settings.settings import Settings
from storage.executions.idempotency import SqlIdempotencyKeys
from storage.executions.store import SqlExecutionStore
from storage.workflows.cache import WorkflowCache
from storage.workflows.repository import SqlWorkflowRepository

UNTOLD_CACHE_SECONDS = 1.0
"""How old a workflow may be that another process has changed, where no events tell of it."""
TOLD_CACHE_SECONDS = 30.0
"""The same where they do: an event may be lost."""


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
    concurrency: int,
) -> AsyncIterator[Engine]:
    """The engine at work, until the context is left; it takes up what an earlier process left.

    It runs ``concurrency`` executions at once, and none at all where a broker brings them to others.
    """
    async with AsyncExitStack() as stack:
        clock, new_id, database, audit = foundation.clock, foundation.new_id, foundation.database, foundation.audit
        announcements = Announcements(bus=foundation.bus, clock=clock, new_id=new_id)
        work = await stack.enter_async_context(
            shared_work(settings, foundation, announcements, concurrency=concurrency)
        )
        workflows = await stack.enter_async_context(_workflows(settings, foundation, announcements))
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
            store=work.store,
            local=work.local,
            dispatch=work.dispatch,
            remote=work.remote,
            announcements=announcements,
            keys=SqlIdempotencyKeys(database),
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        links = ResumeLinks(base_url=settings.base_url, secret=foundation.secret)
        claims = ExecutionClaims(authoring=authoring, service=service, leases=work.leases, clock=clock)
        control = Control(
            authoring=authoring, service=service, claims=claims, leases=work.leases, audit=audit, clock=clock
        )
        signals = SignalListener(local=work.local, leases=work.leases, announcements=announcements, holder=work.holder)
        recovery = Recovery(
            service=service,
            control=control,
            leases=work.leases,
            clock=clock,
            lease_seconds=settings.lease_seconds,
            process_pending=signals.process_pending,
            is_alone=database.is_sqlite,
        )
        runner = NodeRunner(
            NodeServices(
                evaluator=evaluator,
                http=outgoing.sender,
                clock=clock,
                children=ChildExecutions(authoring=authoring, service=service),
                resume_url=links.url if has_http else lambda execution_id: None,
                audit=audit,
                actions=actions,
                announcements=announcements,
                ai=ai,
            )
        )
        worker = Worker(
            queue=work.queue,
            take=claims.take if work.is_brokered else claims.queued_here,
            service=service,
            aftermath=FollowUp(
                authoring=authoring,
                service=service,
                control=control,
                leases=work.leases,
                on_waiting=recovery.look_again,
            ),
            runner=runner,
            evaluator=evaluator,
            clock=clock,
            concurrency=concurrency,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        )
        retention = _retention(settings, foundation, work.store, workflows)
        duties = [Duty("retention", settings.retention_interval_seconds, retention.tidy), *work.duties]
        await stack.enter_async_context(signals.listening())
        await stack.enter_async_context(recovery.watching())
        await stack.enter_async_context(Duties(leadership=work.leadership, clock=clock, duties=duties).at_work())
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


@asynccontextmanager
async def _workflows(
    settings: Settings, foundation: Foundation, announcements: Announcements
) -> AsyncIterator[WorkflowCache]:
    """Workflows, kept in memory as long as this process can know that they are the newest."""
    repository = SqlWorkflowRepository(foundation.database)
    if foundation.database.is_sqlite or settings.redis_url is None:
        yield WorkflowCache(repository, seconds=None if foundation.database.is_sqlite else UNTOLD_CACHE_SECONDS)
        return
    workflows = WorkflowCache(repository, seconds=TOLD_CACHE_SECONDS)
    foundation.bus.on_gap(lambda: workflows.forget(None))

    async def forget() -> None:
        async with announcements.listen_to_changes() as events:
            async for event in events:
                workflows.forget(event.aggregate_id)

    task = asyncio.create_task(forget(), name="forgetting-workflows")
    try:
        yield workflows
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _pool(settings: Settings) -> WorkerPool:
    limits = SandboxLimits(
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
        audit=foundation.audit,
        audit_days=settings.audit_retention_days,
    )
