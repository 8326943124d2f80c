"""The room of executions, put together: accepted, run, controlled, recovered."""

from __future__ import annotations

from dataclasses import dataclass

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.dispatch.milestones import Milestones
from engine.dispatch.signals import SignalListener
from engine.executions.cancelling import Canceller
from engine.executions.claims import ExecutionClaims
from engine.executions.control import Control
from engine.executions.follow_up import FollowUp
from engine.executions.intake import ExecutionRequests, Intake
from engine.executions.local_runs import LocalRuns
from engine.executions.reader import ExecutionReader
from engine.executions.recovery import Recovery
from engine.executions.transitions import Transitions
from engine.executions.wakeups import Wakeups
from engine.executions.worker import Worker
from engine.expressions.evaluator import Evaluator
from engine.runs.node_runner import NodeRunner
from server.assembly.foundation import Foundation
from server.assembly.shared_work import Work
from server.settings.settings import Settings
from storage.executions.idempotency import SqlIdempotencyKeys


@dataclass(slots=True, frozen=True, kw_only=True)
class ExecutionParts:
    """What accepts, reads and moves executions."""

    canceller: Canceller
    claims: ExecutionClaims
    control: Control
    intake: Intake
    reader: ExecutionReader
    requests: ExecutionRequests
    transitions: Transitions
    wakeups: Wakeups


def execution_parts(
    foundation: Foundation, work: Work, *, authoring: Authoring, announcements: Announcements, milestones: Milestones
) -> ExecutionParts:
    """The parts; nothing runs yet."""
    clock, audit, new_id, store, local = foundation.clock, foundation.audit, foundation.new_id, work.store, work.local
    transitions = Transitions(
        store=store, local=local, dispatch=work.dispatch, announcements=announcements, clock=clock
    )
    reader = ExecutionReader(store=store, local=local, remote=work.remote, announcements=announcements)
    intake = Intake(
        store=store,
        dispatch=work.dispatch,
        transitions=transitions,
        announcements=announcements,
        clock=clock,
        new_id=new_id,
    )
    claims = ExecutionClaims(
        authoring=authoring,
        store=store,
        local=local,
        leases=work.leases,
        transitions=transitions,
        announcements=announcements,
        clock=clock,
    )
    wakeups = Wakeups(
        claims=claims,
        store=store,
        local=local,
        leases=work.leases,
        announcements=announcements,
        clock=clock,
        milestones=milestones,
        is_alone=work.remote is None,
    )
    canceller = Canceller(store=store, reader=reader, wakeups=wakeups, transitions=transitions)
    return ExecutionParts(
        canceller=canceller,
        claims=claims,
        control=Control(
            authoring=authoring,
            reader=reader,
            intake=intake,
            claims=claims,
            wakeups=wakeups,
            canceller=canceller,
            audit=audit,
            clock=clock,
            milestones=milestones,
        ),
        intake=intake,
        reader=reader,
        requests=ExecutionRequests(
            intake=intake,
            store=store,
            local=local,
            keys=SqlIdempotencyKeys(foundation.database),
            audit=audit,
            clock=clock,
            new_id=new_id,
        ),
        transitions=transitions,
        wakeups=wakeups,
    )


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkingParts:
    """What runs executions and watches over them; each has a context to enter."""

    signals: SignalListener
    recovery: Recovery
    worker: Worker


def working_parts(
    settings: Settings,
    foundation: Foundation,
    work: Work,
    parts: ExecutionParts,
    *,
    authoring: Authoring,
    announcements: Announcements,
    runner: NodeRunner,
    evaluator: Evaluator,
    concurrency: int,
    milestones: Milestones,
) -> WorkingParts:
    """The parts; nothing runs yet."""
    clock, local, leases = foundation.clock, work.local, work.leases
    signals = SignalListener(local=local, leases=leases, announcements=announcements, holder=work.holder)
    recovery = Recovery(
        dispatch=work.dispatch,
        wakeups=parts.wakeups,
        leases=leases,
        clock=clock,
        lease_seconds=settings.lease_seconds,
        process_pending=signals.process_pending,
        is_alone=foundation.database.is_sqlite,
    )
    follow_up = FollowUp(
        authoring=authoring,
        intake=parts.intake,
        wakeups=parts.wakeups,
        canceller=parts.canceller,
        leases=leases,
        announcements=announcements,
        on_waiting=recovery.look_again,
        deepest=settings.sub_workflow_depth,
    )
    runs = LocalRuns(
        store=work.store,
        local=local,
        transitions=parts.transitions,
        follow_up=follow_up,
        runner=runner,
        announcements=announcements,
        clock=clock,
        milestones=milestones,
        forget=evaluator.forget,
    )
    worker = Worker(
        queue=work.queue,
        claim=parts.claims.claim_brokered if work.is_brokered else parts.claims.claim_local,
        runs=runs,
        concurrency=concurrency,
        grace_seconds=foundation.grace.left,
    )
    return WorkingParts(signals=signals, recovery=recovery, worker=worker)
