"""Plans that runs are approved by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "plans",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("workflow_id", sa.String(36), nullable=False),
        sa.Column("effects", sa.LargeBinary, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("used_by", sa.Text),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("used_key", sa.Text),
        sa.PrimaryKeyConstraint("owner", "hash"),
    )
    op.create_index("plans_by_age", "plans", ["made_at"])
