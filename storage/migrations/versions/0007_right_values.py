"""Executions are ordered by their creation and know their parents; old idempotency keys are found by their age."""

from __future__ import annotations

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PARENT = b'"parent":["'
"""What the data of a child contains; what contains it need not be a child's."""


def upgrade() -> None:
    op.add_column("executions", sa.Column("parent_id", sa.String(36)))
    op.add_column("executions", sa.Column("root_id", sa.String(36)))
    _name_parents(op.get_bind())
    is_child = sa.text("parent_id IS NOT NULL")
    op.create_index(
        "executions_by_parent", "executions", ["parent_id"], sqlite_where=is_child, postgresql_where=is_child
    )
    has_root = sa.text("root_id IS NOT NULL")
    op.create_index("executions_by_root", "executions", ["root_id"], sqlite_where=has_root, postgresql_where=has_root)
    for name, column in {"workflow": "workflow_id", "owner": "owner", "state": "state"}.items():
        op.drop_index(f"executions_by_{name}", "executions")
        op.create_index(f"executions_by_{name}", "executions", [column, "created_at", "id"])
    op.add_column("idempotency_keys", sa.Column("request", sa.Text()))
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
    _keep_webhook_names()


def _keep_webhook_names() -> None:
    """Names of webhook paths belong to workspaces, beginning with those that listen on them."""
    op.create_table(
        "webhook_names",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("freed_at", sa.BigInteger),
    )
    op.execute(
        "INSERT INTO webhook_names (name, owner) SELECT webhook_paths.path, workflows.owner "
        "FROM webhook_paths JOIN workflows ON workflows.id = webhook_paths.workflow_id"
    )


def _name_parents(connection: sa.Connection) -> None:
    """Fill the new columns. Data that is in a file keeps none: such an execution counts as one without a parent."""
    has_word = "instr(data, :word) > 0" if connection.dialect.name == "sqlite" else "position(:word in data) > 0"
    query = sa.text(f"SELECT id, data FROM executions WHERE {has_word}")  # noqa: S608 - the words are our own
    parents: dict[str, str] = {}
    for row in connection.execute(query, {"word": PARENT}):
        try:
            parent = orjson.loads(bytes(row.data)).get("parent")
        except orjson.JSONDecodeError:
            continue
        if parent:
            parents[row.id] = parent[0]
    rows = []
    for child, parent in parents.items():
        root = parent
        while root in parents:
            root = parents[root]
        rows.append({"child": child, "parent": parent, "root": root})
    if rows:
        fill = "UPDATE executions SET parent_id = :parent, root_id = :root WHERE id = :child"
        connection.execute(sa.text(fill), rows)
