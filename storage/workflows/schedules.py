"""Schedules and their ledgers in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.columns import UtcTime
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.tables.schedules import schedule_slots, schedules
from storage.tables.workflows import executions
from workflow.ports import Page
from workflow.schedules.schedules import (
    Schedule,
    ScheduleNotFoundError,
    ScheduleState,
    ScheduleStateError,
    ScheduleTrigger,
    SlotEntry,
    SlotOutcome,
)
from workflow.states import ExecutionState

AT_ONCE = 400
"""Keys in one statement."""
PUBLISHING = "publishing"
"""Who changed a schedule that was made, ended or made active again by publishing."""
_CHANGING = ("state", "changed_at", "changed_by", "note", "last_slot_at", "next_slot_at", "due_at", "waiting_slot_at")
_ORDER = tuple_(schedules.c.created_at, schedules.c.id)
_UTC: Any = UtcTime()
_NO_DIALECT: Any = None


class SqlSchedules:
    """Implements :class:`workflow.schedules.ports.ScheduleStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str, schedule_id: str) -> Schedule:
        """One schedule; see the port."""
        query = select(schedules).where(schedules.c.id == schedule_id, schedules.c.owner == owner)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise ScheduleNotFoundError(schedule_id)
        return _schedule(row)

    async def page(
        self, owner: str, *, workflow_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Schedule]:
        """Schedules, newest first; see the port."""
        query = select(schedules).where(schedules.c.owner == owner)
        if workflow_id is None:
            query = query.where(schedules.c.state != ScheduleState.ENDED.value)
        else:
            query = query.where(schedules.c.workflow_id == workflow_id)
        if cursor is not None:
            created, last_id = decode_cursor(cursor, int, str)
            query = query.where((_UTC.process_result_value(created, _NO_DIALECT), last_id) > _ORDER)
        query = query.order_by(schedules.c.created_at.desc(), schedules.c.id.desc()).limit(limit + 1)
        found = await self._all(query)
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], encode_cursor(_micros(last.created_at), last.id))

    async def due(self, *, now: datetime, limit: int) -> Sequence[Schedule]:
        """What is due; see the port. A schedule that is not active has no ``due_at``."""
        return await self._all(select(schedules).where(schedules.c.due_at <= now).order_by("due_at").limit(limit))

    async def next_due(self) -> datetime | None:
        """When the next one is due; see the port."""
        async with self._database.statement() as connection:
            found: datetime | None = (await connection.execute(select(func.min(schedules.c.due_at)))).scalar_one()
        return found

    async def accounted(self, schedules: Collection[Schedule]) -> Mapping[str, Sequence[SlotEntry]]:
        """What is in the ledgers already; see the port."""
        found: dict[str, list[SlotEntry]] = {}
        for part in _parts(list(schedules)):
            slots = schedule_slots
            places = [
                and_(
                    slots.c.schedule_id == each.id,
                    or_(slots.c.slot_at > each.last_slot_at, slots.c.slot_at == each.waiting_slot_at),
                )
                for each in part
            ]
            query = select(schedule_slots).where(or_(*places), schedule_slots.c.is_extra.is_(False))
            async with self._database.statement() as connection:
                for row in await connection.execute(query):
                    found.setdefault(row.schedule_id, []).append(_entry(row))
        return found

    async def settle(self, settled: Collection[tuple[Schedule, Sequence[SlotEntry]]]) -> None:
        """Store what was fired; see the port.

        1. A schedule is paused or published anew between our read and this: its revision is another one, so our row
           is not written. The entries are true all the same; the new row begins where it says.
        """
        table = schedules
        change = (
            update(table)
            .where(table.c.id == bindparam("the_id"), table.c.revision == bindparam("the_revision"))
            .values(
                {name: bindparam(f"new_{name}") for name in (*_CHANGING, "recent")} | {"revision": table.c.revision + 1}
            )
        )
        rows = [
            {f"new_{name}": value for name, value in _values(schedule).items()}
            | {"the_id": schedule.id, "the_revision": schedule.revision}
            for schedule, _ in settled
        ]
        entries = [entry for _, written in settled for entry in written]
        async with self._database.transaction() as connection:
            if rows:
                await connection.execute(change, rows)
            await _add_merged(connection, entries)

    async def change(self, schedule: Schedule, entries: Sequence[SlotEntry] = ()) -> Schedule:
        """Store a change; see the port."""
        where = (schedules.c.id == schedule.id, schedules.c.revision == schedule.revision)
        values = {**_values(schedule), "revision": schedule.revision + 1}
        async with self._database.transaction() as connection:
            changed = await connection.execute(update(schedules).where(*where).values(values).returning(schedules))
            row = changed.one_or_none()
            if row is None:
                raise ScheduleStateError(
                    f"Schedule {schedule.id!r} was changed by somebody else just now.",
                    fix="Look at it, and do it again where it is still wanted.",
                )
            await _add_merged(connection, entries)
        return _schedule(row)

    async def add(self, entries: Sequence[SlotEntry]) -> None:
        """Add entries; see the port."""
        async with self._database.transaction() as connection:
            await insert_entries(connection, entries)

    async def states(self, execution_ids: Collection[str]) -> Mapping[str, ExecutionState]:
        """The states of executions; see the port."""
        found: dict[str, ExecutionState] = {}
        for part in _parts(list(execution_ids)):
            query = select(executions.c.id, executions.c.state).where(executions.c.id.in_(part))
            async with self._database.statement() as connection:
                found.update((row.id, ExecutionState(row.state)) for row in await connection.execute(query))
        return found

    async def ledger(
        self, owner: str, schedule_id: str, *, outcome: SlotOutcome | None = None, limit: int, cursor: str | None = None
    ) -> Page[SlotEntry]:
        """The entries; see the port."""
        await self.get(owner, schedule_id)
        query = select(schedule_slots).where(schedule_slots.c.schedule_id == schedule_id)
        if outcome is not None:
            query = query.where(schedule_slots.c.outcome == outcome.value)
        if cursor is not None:
            at, extra = decode_cursor(cursor, int, int)
            place = tuple_(schedule_slots.c.slot_at, schedule_slots.c.is_extra)
            query = query.where((_UTC.process_result_value(at, _NO_DIALECT), bool(extra)) > place)
        query = query.order_by(schedule_slots.c.slot_at.desc(), schedule_slots.c.is_extra.desc()).limit(limit + 1)
        async with self._database.statement() as connection:
            found = [_entry(row) for row in await connection.execute(query)]
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], encode_cursor(_micros(last.slot_at), int(last.is_extra)))

    async def counts(self, owner: str, schedule_ids: Collection[str]) -> Mapping[str, Mapping[SlotOutcome, int]]:
        """How many slots had which outcome; see the port."""
        slots = schedule_slots
        query = (
            select(slots.c.schedule_id, slots.c.outcome, func.sum(slots.c.count).label("slots"))
            .join(schedules, schedules.c.id == slots.c.schedule_id)
            .where(slots.c.schedule_id.in_(schedule_ids), schedules.c.owner == owner)
            .group_by(slots.c.schedule_id, slots.c.outcome)
        )
        found: dict[str, dict[SlotOutcome, int]] = {each: {} for each in schedule_ids}
        async with self._database.statement() as connection:
            for row in await connection.execute(query):
                found[row.schedule_id][SlotOutcome(row.outcome)] = int(row.slots)
        return found

    async def overdue(self, *, due_before: datetime, limit: int) -> Sequence[Schedule]:
        """What should have been fired; see the port."""
        return await self.due(now=due_before, limit=limit)

    async def prune(self, *, written_before: datetime, limit: int) -> int:
        """Delete old entries; see the port."""
        slots = schedule_slots
        key = (slots.c.schedule_id, slots.c.slot_at, slots.c.is_extra)
        old = select(*key).where(slots.c.written_at < written_before).order_by(slots.c.written_at).limit(limit)
        async with self._database.transaction() as connection:
            rows = [tuple(row) for row in await connection.execute(old)]
            for part in _parts(rows):
                await connection.execute(delete(slots).where(tuple_(*key).in_(part)))
        return len(rows)

    async def _all(self, query: Any) -> list[Schedule]:
        async with self._database.statement() as connection:
            return [_schedule(row) for row in await connection.execute(query)]


async def set_schedules(
    connection: AsyncConnection,
    owner: str,
    workflow_id: str,
    triggers: Sequence[ScheduleTrigger],
    *,
    now: datetime,
) -> None:
    """Let the workflow have these schedules, in place of those that it has, in the transaction that publishes it.

    A schedule whose trigger stays keeps its ledger and its pause. Slots that are past when it is made, or made active
    again, are none of its: it counts from now. ``due_at`` becomes now, so that the duty computes the next slot.
    """
    mine = schedules.c.workflow_id == workflow_id
    had = {
        row.node: _schedule(row) for row in await connection.execute(select(schedules).where(mine).with_for_update())
    }
    wanted = {trigger.node: trigger for trigger in triggers}
    for node, schedule in had.items():
        trigger = wanted.pop(node, None)
        changed: dict[str, Any] = {"revision": schedule.revision + 1}
        if trigger is None:
            if schedule.state is ScheduleState.ENDED:
                continue
            changed |= {
                "state": ScheduleState.ENDED.value,
                "due_at": None,
                "next_slot_at": None,
                "waiting_slot_at": None,
            }
            changed |= {"changed_at": now, "changed_by": PUBLISHING, "note": "unpublished"}
        else:
            same = (schedule.parameters, schedule.timezone) == (trigger.parameters, trigger.timezone)
            if same and schedule.state is not ScheduleState.ENDED:
                continue
            changed |= {"parameters": trigger.parameters, "timezone": trigger.timezone, "next_slot_at": None}
            if schedule.state is not ScheduleState.PAUSED:
                changed |= {"state": ScheduleState.ACTIVE.value, "due_at": now, "last_slot_at": now}
            if schedule.state is ScheduleState.ENDED:
                changed |= {"changed_at": now, "changed_by": PUBLISHING, "note": None}
        await connection.execute(update(schedules).where(schedules.c.id == schedule.id).values(changed))
    for trigger in wanted.values():
        values = {
            "id": trigger.new_id,
            "owner": owner,
            "workflow_id": workflow_id,
            "node": trigger.node,
            "parameters": trigger.parameters,
            "timezone": trigger.timezone,
            "state": ScheduleState.ACTIVE.value,
            "created_at": now,
            "changed_at": now,
            "changed_by": PUBLISHING,
            "last_slot_at": now,
            "due_at": now,
            "recent": [],
        }
        await connection.execute(schedules.insert().values(values))


async def drop_schedules(connection: AsyncConnection, workflow_ids: Collection[str]) -> None:
    """Delete the schedules of workflows that are deleted for good, with their ledgers."""
    ids = select(schedules.c.id).where(schedules.c.workflow_id.in_(workflow_ids))
    await connection.execute(delete(schedule_slots).where(schedule_slots.c.schedule_id.in_(ids)))
    await connection.execute(delete(schedules).where(schedules.c.workflow_id.in_(workflow_ids)))


async def insert_entries(connection: AsyncConnection, entries: Iterable[SlotEntry]) -> None:
    """Add entries; one whose slot has an entry already is left out."""
    rows = [entry_values(entry) for entry in entries]
    if rows:
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        await connection.execute(dialect.insert(schedule_slots).on_conflict_do_nothing(), rows)


def entry_values(entry: SlotEntry) -> dict[str, Any]:
    """The columns of an entry."""
    return {
        "schedule_id": entry.schedule_id,
        "slot_at": entry.slot_at,
        "is_extra": entry.is_extra,
        "until_at": entry.until_at,
        "count": entry.count,
        "outcome": entry.outcome.value,
        "reason": entry.reason,
        "execution_id": entry.execution_id,
        "written_at": entry.written_at,
    }


async def _add_merged(connection: AsyncConnection, entries: Sequence[SlotEntry]) -> None:
    """Add entries; slots without an execution are added to the entry before them where that says the same: a schedule
    that fires each second and was paused for a month has one entry for it."""
    alone = [
        entry
        for entry in entries
        if entry.execution_id is not None or entry.is_extra or not await _extend(connection, entry)
    ]
    await insert_entries(connection, alone)


async def _extend(connection: AsyncConnection, entry: SlotEntry) -> bool:
    slots = schedule_slots
    mine = (slots.c.schedule_id == entry.schedule_id, slots.c.is_extra.is_(False))
    before = select(slots).where(*mine, slots.c.slot_at <= entry.slot_at).order_by(slots.c.slot_at.desc()).limit(1)
    row = (await connection.execute(before)).one_or_none()
    if row is None or (row.outcome, row.reason, row.execution_id) != (entry.outcome.value, entry.reason, None):
        return False
    if entry.slot_at <= (row.until_at or row.slot_at):
        return True  # it was written by an attempt before this one
    longer = {
        "until_at": entry.until_at or entry.slot_at,
        "count": row._mapping["count"] + entry.count,
        "written_at": entry.written_at,
    }
    await connection.execute(update(slots).where(*mine, slots.c.slot_at == row.slot_at).values(longer))
    return True


def _schedule(row: Row[Any]) -> Schedule:
    members = dict(row._mapping)
    return Schedule(**{**members, "state": ScheduleState(row.state), "recent": tuple(row.recent)})


def _entry(row: Row[Any]) -> SlotEntry:
    return SlotEntry(**{**row._mapping, "outcome": SlotOutcome(row.outcome)})


def _values(schedule: Schedule) -> dict[str, Any]:
    """What changes of a schedule's row but for its revision."""
    values = {name: getattr(schedule, name) for name in _CHANGING}
    return {**values, "state": schedule.state.value, "recent": list(schedule.recent)}


def _micros(moment: datetime) -> int:
    micros: int = _UTC.process_bind_param(moment, _NO_DIALECT)
    return micros


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))
