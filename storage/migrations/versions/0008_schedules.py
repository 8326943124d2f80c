"""Schedules, and what became of their slots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.String(36), sa.ForeignKey("workflows.id"), nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("parameters", sa.LargeBinary, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("last_slot_at", sa.BigInteger, nullable=False),
        sa.Column("next_slot_at", sa.BigInteger),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("waiting_slot_at", sa.BigInteger),
        sa.Column("recent", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("workflow_id", "node", name="schedules_trigger"),
    )
    op.create_index("schedules_by_owner", "schedules", ["owner", "created_at", "id"])
    op.create_index("schedules_by_due", "schedules", ["due_at"])
    op.create_table(
        "schedule_slots",
        sa.Column("schedule_id", sa.String(36), nullable=False),
        sa.Column("slot_at", sa.BigInteger, nullable=False),
        sa.Column("is_extra", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("until_at", sa.BigInteger),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("execution_id", sa.String(36)),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "slot_at", "is_extra"),
    )
    op.create_index("schedule_slots_by_age", "schedule_slots", ["written_at"])
