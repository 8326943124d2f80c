"""How processes share the work: what stores executions, and how they come to workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from engine.announcements import Announcements
from engine.dispatch.brokered import BrokeredDispatch
from engine.dispatch.local import Dispatch, LocalDispatch
from engine.dispatch.local_executions import LocalExecutions
from engine.dispatch.milestones import Milestones
from engine.dispatch.remote import RemoteExecutions
from engine.executions.duties import Duty, Sole
from server.assembly.foundation import Foundation
from server.settings.settings import BadSettingsError, Settings
from storage.executions.blobs import BlobStore
from storage.executions.leadership import SqlLeadership
from storage.executions.lease import Lease
from storage.executions.leases import SqlLeases
from storage.executions.outbox import Outbox
from storage.executions.store import SqlExecutionStore
from storage.queue.embedded import EmbeddedQueue
from storage.queue.topology import Topology
from workflow.sharing import JobQueue, Leadership, Leases

if TYPE_CHECKING:
    from storage.queue.rabbitmq import RabbitQueue

SWEEP_SECONDS, SWEPT_AT_ONCE = 5.0, 2_000
LEFT_BEHIND = timedelta(seconds=10)
"""A letter that is older was not sent by the process that wrote it."""
RELEASE_SECONDS = 30.0
SIFT_SECONDS, SIFTED_AT_ONCE = 60.0, 1_000


@dataclass(slots=True, frozen=True, kw_only=True)
class Work:
    """The parts. ``remote`` is there where other processes may run what this one accepts."""

    holder: str
    store: SqlExecutionStore
    leases: Leases
    local: LocalExecutions
    queue: JobQueue
    dispatch: Dispatch
    remote: RemoteExecutions | None
    leadership: Leadership
    duties: Sequence[Duty] = field(default_factory=tuple)
    is_brokered: bool = False


@asynccontextmanager
async def shared_work(
    settings: Settings,
    foundation: Foundation,
    announcements: Announcements,
    *,
    concurrency: int,
    milestones: Milestones,
) -> AsyncIterator[Work]:
    """The parts as the settings say, until the context is left. A process without ``concurrency`` gets no jobs.

    Raises:
        BadSettingsError: a broker is set, and the database is one that other processes cannot use.
        StorageError: the broker cannot serve.
    """
    database = foundation.database
    if settings.broker_url is not None and database.is_sqlite:
        raise BadSettingsError(
            "JOBSPRINT_BROKER_URL shares the work among processes, and the database is of this one alone.",
            fix="Set JOBSPRINT_DATABASE_URL to postgresql://…, or leave the broker out.",
        )
    lease = Lease(owner=foundation.new_id(), seconds=settings.lease_seconds)
    leadership: Leadership = Sole() if database.is_sqlite else SqlLeadership(database, holder=lease.owner)
    if settings.broker_url is None:
        async with _alone(settings, foundation, announcements, lease, leadership, milestones) as work:
            yield work
        return
    # It takes a tenth of a second to load, which those who have no broker need not wait for.
    from storage.queue.rabbitmq import RabbitQueue

    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(
            RabbitQueue(
                settings.broker_url.get_secret_value(),
                prefetch=concurrency,
                new_id=foundation.new_id,
                clock=foundation.clock,
                topology=Topology(settings.namespace),
            )
        )
        outbox = await stack.enter_async_context(
            Outbox(database, broker=queue, clock=foundation.clock, new_id=foundation.new_id)
        )
        store = await stack.enter_async_context(SqlExecutionStore(database, lease=lease, blobs=None, outbox=outbox))
        leases = SqlLeases(database, lease=lease, store=store, outbox=outbox)
        remote = await stack.enter_async_context(
            RemoteExecutions(announcements=announcements, store=store, milestones=milestones)
        )
        dispatch = BrokeredDispatch(leases=leases, remote=remote, depth=queue.depth, capacity=settings.queue_capacity)
        await stack.enter_async_context(dispatch.watching())
        yield Work(
            holder=lease.owner,
            store=store,
            leases=leases,
            local=LocalExecutions(),
            queue=queue,
            dispatch=dispatch,
            remote=remote,
            leadership=leadership,
            duties=_duties(foundation, queue, outbox, leases),
            is_brokered=True,
        )


@asynccontextmanager
async def _alone(
    settings: Settings,
    foundation: Foundation,
    announcements: Announcements,
    lease: Lease,
    leadership: Leadership,
    milestones: Milestones,
) -> AsyncIterator[Work]:
    """The process that accepts an execution runs it."""
    database = foundation.database
    blobs = BlobStore(settings.data_dir / "blobs") if database.is_sqlite else None
    local, queue = LocalExecutions(), EmbeddedQueue(capacity=settings.queue_capacity)
    async with AsyncExitStack() as stack:
        audit = foundation.audit if database.is_sqlite else None
        store = await stack.enter_async_context(SqlExecutionStore(database, lease=lease, blobs=blobs, audit=audit))
        remote = None
        if not database.is_sqlite:
            remote = await stack.enter_async_context(
                RemoteExecutions(announcements=announcements, store=store, milestones=milestones)
            )
        yield Work(
            holder=lease.owner,
            store=store,
            leases=SqlLeases(database, lease=lease, store=store),
            local=local,
            queue=queue,
            dispatch=LocalDispatch(local=local, queue=queue, capacity=settings.queue_capacity),
            remote=remote,
            leadership=leadership,
        )


def _duties(foundation: Foundation, queue: RabbitQueue, outbox: Outbox, leases: Leases) -> Sequence[Duty]:
    """What is done for all processes that a broker serves."""

    async def sweep() -> None:
        await outbox.sweep(before=foundation.clock.now() - LEFT_BEHIND, limit=SWEPT_AT_ONCE)

    async def release_deferred() -> None:
        for workflow_id in await leases.deferred_workflows(limit=SWEPT_AT_ONCE):
            await leases.release_deferred(workflow_id, limit=1)

    async def is_dead(execution_ids: Sequence[str]) -> Collection[str]:
        return await leases.dead(execution_ids)

    async def sift() -> None:
        await queue.sift(is_dead, limit=SIFTED_AT_ONCE)

    return (
        Duty("outbox", SWEEP_SECONDS, sweep),
        Duty("deferred executions", RELEASE_SECONDS, release_deferred),
        Duty("dead letters", SIFT_SECONDS, sift),
    )
