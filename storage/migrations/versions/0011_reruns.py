"""Executions know in their rows from which one they were started; those stored before do not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("rerun_of", sa.String(36)))
    is_rerun = sa.text("rerun_of IS NOT NULL")
    op.create_index("executions_by_rerun", "executions", ["rerun_of"], sqlite_where=is_rerun, postgresql_where=is_rerun)
