"""Published versions, workflows as tools, what changed in a version, deleted workflows by time.

Until now a workflow listened on its webhook paths in whatever version was current: those that have paths count
as published at that version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workflows", sa.Column("published_version", sa.Integer))
    op.execute(
        "UPDATE workflows SET published_version = version WHERE deleted_at IS NULL "
        "AND id IN (SELECT workflow_id FROM webhook_paths)"
    )
    op.create_index("workflows_by_deletion", "workflows", ["deleted_at"])
    # SQLite adds a column that must not be null only with a default; the code always gives a value.
    op.add_column("workflow_versions", sa.Column("change", sa.Text, nullable=False, server_default="Changed"))
    op.execute("UPDATE workflow_versions SET change = 'Created' WHERE version = 1")
    op.create_table(
        "exposures",
        sa.Column("workflow_id", sa.String(36), sa.ForeignKey("workflows.id"), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.String(30), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("input_schema", sa.LargeBinary),
        sa.Column("as_prompt", sa.Boolean, nullable=False),
        sa.UniqueConstraint("owner", "name", name="exposures_name"),
    )
