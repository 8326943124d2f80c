"""What processes need that share the work: signals, an outbox, leaders, and positions that rise across processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("signals", sa.Integer, nullable=False, server_default="0"))
    op.add_column("executions", sa.Column("is_cancelled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("executions", sa.Column("write_token", sa.BigInteger))
    op.create_table(
        "outbox",
        sa.Column("execution_id", sa.String(36), primary_key=True),
        sa.Column("workflow_id", sa.String(36), nullable=False),
        sa.Column("place", sa.String(8), nullable=False),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
    )
    op.create_index("outbox_by_place", "outbox", ["place", "created_at"])
    op.create_index("outbox_by_workflow", "outbox", ["workflow_id", "created_at"])
    op.create_table(
        "leaders",
        sa.Column("duty", sa.Text, primary_key=True),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    leased, with_end = sa.text("lease_owner IS NOT NULL"), sa.text("lease_expires_at IS NOT NULL")
    op.create_index("executions_by_holder", "executions", ["lease_owner"], postgresql_where=leased)
    op.create_index("executions_by_lease", "executions", ["lease_expires_at"], postgresql_where=with_end)
    op.create_index("executions_at_work", "executions", ["workflow_id"], postgresql_where=leased)
    # Positions were microseconds since 1970 until now: the sequence goes on behind those.
    op.execute("CREATE SEQUENCE journal_positions")
    op.execute("SELECT setval('journal_positions', (extract(epoch FROM now()) * 1000000)::bigint + 60000000)")
    op.execute("ALTER TABLE journal ALTER COLUMN position SET DEFAULT nextval('journal_positions')")
