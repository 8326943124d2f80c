"""The tables of schedules and of what became of their slots."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from storage.database.columns import JsonBytes, UtcTime
from storage.tables.workflows import metadata

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("workflow_id", String(36), ForeignKey("workflows.id"), nullable=False),
    # The name of the trigger: with the workflow it is what stays when the workflow is published again.
    Column("node", Text, nullable=False),
    # As the published definition has them.
    Column("parameters", JsonBytes, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # When its state was changed last, by whom, and why.
    Column("changed_at", UtcTime, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("note", Text),
    # The last slot that is accounted for, the one after it, and when that is due.
    Column("last_slot_at", UtcTime, nullable=False),
    Column("next_slot_at", UtcTime),
    Column("due_at", UtcTime),
    # A slot that waits for the end of the run before.
    Column("waiting_slot_at", UtcTime),
    # The ids of its latest executions.
    Column("recent", JsonBytes, nullable=False),
    # Counts changes, so that who has read an older row changes nothing.
    Column("revision", Integer, nullable=False, server_default="0"),
    UniqueConstraint("workflow_id", "node", name="schedules_trigger"),
    Index("schedules_by_owner", "owner", "created_at", "id"),
    Index("schedules_by_due", "due_at"),
)

schedule_slots = Table(
    "schedule_slots",
    metadata,
    Column("schedule_id", String(36), nullable=False),
    Column("slot_at", UtcTime, nullable=False),
    # Whether somebody had it started beside what the schedule did of the slot.
    Column("is_extra", Boolean, nullable=False, server_default=false()),
    # Of an entry for several slots with one outcome: the last one, and how many there are.
    Column("until_at", UtcTime),
    Column("count", Integer, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("reason", Text),
    Column("execution_id", String(36)),
    Column("written_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("schedule_id", "slot_at", "is_extra"),
    Index("schedule_slots_by_age", "written_at"),
)
