"""What runs workflows, put together, with a worker at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from engine.dispatch.milestones import Milestones
from engine.executions.child_executions import CallBounds, ChildExecutions
from engine.executions.control import Control
from engine.executions.duties import Duties, Duty
from engine.executions.intake import ExecutionRequests, Intake
from engine.executions.reader import ExecutionReader
from engine.executions.resume_links import ResumeLinks
from engine.executions.retention import Retention
from engine.executions.tries import Tries
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import SandboxLimits, WorkerPool
from engine.node_api.ports import AiPorts
from engine.nodes.registry import load_registry
from engine.runs.node_call import NodeServices
from engine.runs.node_runner import NodeRunner
from engine.schedules.firing import ScheduleFiring
from engine.schedules.schedules import Schedules
from engine.schedules.watchdog import ScheduleWatchdog
from integrations.actions import ConnectedActions
from server.assembly.execution_parts import execution_parts, working_parts
from server.assembly.foundation import Foundation
from server.assembly.outgoing import Outgoing
from server.assembly.shared_work import shared_work
from server.settings.settings import Settings
from storage.executions.store import SqlExecutionStore
from storage.workflows.cache import WorkflowCache
from storage.workflows.repository import SqlWorkflowRepository
from storage.workflows.schedules import SqlSchedules

SCHEDULES_SECONDS = 5.0
"""How often schedules are looked at that other processes changed; what is due is fired when it is due."""
WATCHDOG_SECONDS = 30.0
ORPHANS_SECONDS = 60.0
"""How often children are looked for that a killed process did not cancel with their parent."""
CACHE_SECONDS_WITHOUT_EVENTS = 1.0
"""How old a cached workflow may be where no events say that another process changed it."""
CACHE_SECONDS_WITH_EVENTS = 30.0
"""The same where events do: one may be lost."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Engine:
    """What the tools and edges call."""

    announcements: Announcements
    authoring: Authoring
    publishing: Publishing
    requests: ExecutionRequests
    intake: Intake
    reader: ExecutionReader
    control: Control
    runner: NodeRunner
    links: ResumeLinks
    schedules: Schedules
    tries: Tries


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
    milestones: Milestones,
) -> AsyncIterator[Engine]:
    """The engine at work, until the context is left; it goes on with what an earlier process left.

    It runs ``concurrency`` executions at once, and none at all where a broker brings them to others.
    """
    async with AsyncExitStack() as stack:
        clock, new_id, audit = foundation.clock, foundation.new_id, foundation.audit
        announcements = Announcements(bus=foundation.bus, clock=clock, new_id=new_id)
        work = await stack.enter_async_context(
            shared_work(settings, foundation, announcements, concurrency=concurrency, milestones=milestones)
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
        parts = execution_parts(
            foundation, work, authoring=authoring, announcements=announcements, milestones=milestones
        )
        links = ResumeLinks(base_url=settings.base_url, secret=foundation.secret)
        runner = NodeRunner(
            NodeServices(
                evaluator=evaluator,
                http=outgoing.sender,
                clock=clock,
                children=ChildExecutions(
                    authoring=authoring,
                    store=work.store,
                    reader=parts.reader,
                    intake=parts.intake,
                    bounds=CallBounds(depth=settings.sub_workflow_depth, calls=settings.sub_workflow_calls),
                ),
                resume_url=links.url if has_http else lambda execution_id, subject: None,
                audit=audit,
                actions=actions,
                announcements=announcements,
                ai=ai,
            )
        )
        working = working_parts(
            settings,
            foundation,
            work,
            parts,
            authoring=authoring,
            announcements=announcements,
            runner=runner,
            evaluator=evaluator,
            concurrency=concurrency,
            milestones=milestones,
        )
        retention = _retention(settings, foundation, work.store, workflows)
        duties = [Duty("retention", settings.retention_interval_seconds, retention.tidy), *work.duties]
        duties.append(Duty("orphans", ORPHANS_SECONDS, parts.canceller.sweep))
        schedule_store = SqlSchedules(foundation.database)
        firing = ScheduleFiring(
            store=schedule_store,
            authoring=authoring,
            intake=parts.intake,
            canceller=parts.canceller,
            announcements=announcements,
            clock=clock,
        )
        watchdog = ScheduleWatchdog(store=schedule_store, announcements=announcements, clock=clock)
        duties.append(Duty("schedules", SCHEDULES_SECONDS, firing.fire_due, firing.wait))
        duties.append(Duty("schedule watchdog", WATCHDOG_SECONDS, watchdog.look))
        await stack.enter_async_context(working.signals.listening())
        await stack.enter_async_context(working.recovery.watching())
        await stack.enter_async_context(firing.listening())
        await stack.enter_async_context(Duties(leadership=work.leadership, clock=clock, duties=duties).at_work())
        await stack.enter_async_context(working.worker.working())
        yield Engine(
            announcements=announcements,
            authoring=authoring,
            publishing=Publishing(authoring=authoring, announcements=announcements, audit=audit),
            requests=parts.requests,
            intake=parts.intake,
            reader=parts.reader,
            control=parts.control,
            runner=runner,
            links=links,
            tries=Tries(authoring=authoring, runner=runner, audit=audit, clock=clock, new_id=new_id),
            schedules=Schedules(store=schedule_store, firing=firing, audit=audit, clock=clock),
        )


@asynccontextmanager
async def _workflows(
    settings: Settings, foundation: Foundation, announcements: Announcements
) -> AsyncIterator[WorkflowCache]:
    """Workflows, kept in memory as long as this process can know that they are the newest."""
    repository = SqlWorkflowRepository(foundation.database)
    if foundation.database.is_sqlite or settings.redis_url is None:
        yield WorkflowCache(repository, seconds=None if foundation.database.is_sqlite else CACHE_SECONDS_WITHOUT_EVENTS)
        return
    workflows = WorkflowCache(repository, seconds=CACHE_SECONDS_WITH_EVENTS)
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
        schedules=SqlSchedules(foundation.database),
        clock=foundation.clock,
        days=settings.retention_days,
        count=settings.retention_count,
        audit=foundation.audit,
        audit_days=settings.audit_retention_days,
    )
