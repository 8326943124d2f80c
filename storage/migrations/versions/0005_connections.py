"""Connections to other people's systems, their actions, consents under way, figures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("settings", sa.LargeBinary, nullable=False),
        sa.Column("credential", sa.Text),
        sa.Column("scopes", sa.LargeBinary, nullable=False),
        sa.Column("health", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("refresh_claimed_until", sa.BigInteger),
    )
    op.create_index("connections_by_name", "connections", ["owner", "name"], unique=True)
    op.create_table(
        "action_lists",
        sa.Column("connection_id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("fetched_at", sa.BigInteger, nullable=False),
        sa.Column("actions", sa.LargeBinary, nullable=False),
    )
    op.create_index("action_lists_by_owner", "action_lists", ["owner"])
    op.create_table(
        "pending_authorizations",
        sa.Column("state_hash", sa.String(64), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("connection_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("browser", sa.Text),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("pending_authorizations_by_connection", "pending_authorizations", ["connection_id"])
    op.create_index("pending_authorizations_by_time", "pending_authorizations", ["expires_at"])
    op.create_table(
        "action_figures",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("in_doubt", sa.BigInteger, nullable=False),
        sa.Column("fallbacks", sa.BigInteger, nullable=False),
        sa.Column("quota", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", "connection", "action"),
    )
