"""Actions that a person has declared reads, and the shapes of their results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "action_declarations",
        sa.Column("connection_id", sa.String(36), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("declared_by", sa.Text, nullable=False),
        sa.Column("declared_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "action"),
    )
    op.create_table(
        "result_shapes",
        sa.Column("connection_id", sa.String(36), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("shape", sa.LargeBinary, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "action"),
    )
