"""The tables of workflows and executions. Migrations bring older databases to the same; a test compares the two.

An ``owner`` is the id of a workspace. Those of accounts are in :mod:`storage.tables.accounts`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
)

from storage.database.columns import JsonBytes, UtcTime

metadata = MetaData()

workflows = Table(
    "workflows",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # The version in use, if any; ``version`` is the draft.
    Column("published_version", Integer),
    Column("node_count", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
    Index("workflows_by_update", "owner", "updated_at", "id"),
    Index("workflows_by_deletion", "deleted_at"),
)

workflow_versions = Table(
    "workflow_versions",
    metadata,
    Column("workflow_id", String(36), ForeignKey("workflows.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", JsonBytes, nullable=False),
    # How it differs from the version before, in a line.
    Column("change", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("workflow_id", "version"),
)

webhook_paths = Table(
    "webhook_paths",
    metadata,
    # Its shape: a parameter is a colon without a name.
    Column("path", Text, primary_key=True),
    Column("workflow_id", String(36), ForeignKey("workflows.id"), nullable=False),
    Index("webhook_paths_by_workflow", "workflow_id"),
)

webhook_names = Table(
    "webhook_names",
    metadata,
    # The first segment of a webhook path.
    Column("name", Text, primary_key=True),
    # Whose it is, also for some time after nobody listens there any more.
    Column("owner", Text, nullable=False),
    Column("freed_at", UtcTime),
)

exposures = Table(
    "exposures",
    metadata,
    Column("workflow_id", String(36), ForeignKey("workflows.id"), primary_key=True),
    # Whose tool it is; names are unique among a workspace's tools.
    Column("owner", Text, nullable=False),
    Column("name", String(30), nullable=False),
    Column("description", Text, nullable=False),
    Column("input_schema", JsonBytes),
    Column("as_prompt", Boolean, nullable=False),
    # Arguments that the publisher has fixed.
    Column("bound", JsonBytes),
    UniqueConstraint("owner", "name", name="exposures_name"),
)

executions = Table(
    "executions",
    metadata,
    # Ids of children do not rise with time, so every order is by creation, and by id among those of one moment.
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("workflow_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # The execution whose node started it. The two are deleted together.
    Column("parent_id", String(36)),
    Column("error_message", Text),
    # When a waiting execution goes on by itself.
    Column("wake_at", UtcTime),
    # Which process holds the lease, and when the lease ends.
    Column("lease_owner", String(36)),
    Column("lease_expires_at", UtcTime),
    # How many signals other processes have stored for the holder, and whether one of them asks to cancel.
    Column("signals", Integer, nullable=False, server_default="0"),
    Column("is_cancelled", Boolean, nullable=False, server_default=false()),
    # Which attempt wrote it last: one whose connection broke learns from it whether it was committed.
    Column("write_token", BigInteger),
    # Of a child: the execution that the chain of sub-workflows began with.
    Column("root_id", String(36)),
    # Of one that was started from another (retried, rerun): that one.
    Column("rerun_of", String(36)),
    # Everything that no query asks for; see storage.executions.records.
    Column("data", LargeBinary, nullable=False),
    Index("executions_by_workflow", "workflow_id", "created_at", "id"),
    Index("executions_by_owner", "owner", "created_at", "id"),
    Index("executions_by_state", "state", "created_at", "id"),
    Index("executions_by_wake", "wake_at"),
)

_is_child = executions.c.parent_id.isnot(None)
Index("executions_by_parent", executions.c.parent_id, sqlite_where=_is_child, postgresql_where=_is_child)

_has_root = executions.c.root_id.isnot(None)
Index("executions_by_root", executions.c.root_id, sqlite_where=_has_root, postgresql_where=_has_root)

_is_rerun = executions.c.rerun_of.isnot(None)
Index("executions_by_rerun", executions.c.rerun_of, sqlite_where=_is_rerun, postgresql_where=_is_rerun)

_is_leased = executions.c.lease_owner.isnot(None)
_has_lease_end = executions.c.lease_expires_at.isnot(None)
# Only where processes share a database is it asked for; a single process would pay for it at every execution.
Index("executions_by_holder", executions.c.lease_owner, postgresql_where=_is_leased).ddl_if(dialect="postgresql")
Index("executions_by_lease", executions.c.lease_expires_at, postgresql_where=_has_lease_end).ddl_if(
    dialect="postgresql"
)
Index("executions_at_work", executions.c.workflow_id, postgresql_where=_is_leased).ddl_if(dialect="postgresql")

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("workflow_id", String(36), nullable=False),
    Column("key", Text, nullable=False),
    Column("execution_id", String(36), nullable=False),
    # JSON: a digest of each part of the request.
    Column("request", Text),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("workflow_id", "key"),
    Index("idempotency_keys_by_age", "created_at"),
)

plans = Table(
    "plans",
    metadata,
    Column("owner", Text, nullable=False),
    Column("hash", String(32), nullable=False),
    Column("workflow_id", String(36), nullable=False),
    # As they were shown, to say later what is different.
    Column("effects", JsonBytes, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    # Who had it run, when, and with which idempotency key.
    Column("used_by", Text),
    Column("used_at", UtcTime),
    Column("used_key", Text),
    PrimaryKeyConstraint("owner", "hash"),
    Index("plans_by_age", "made_at"),
)

journal = Table(
    "journal",
    metadata,
    Column("execution_id", String(36), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id", "position"),
    # One tree in place of a table and its index; executions are written side by side.
    sqlite_with_rowid=False,
)


@event.listens_for(journal, "after_create")
def _count_positions(table: Table, connection: Connection, **_: object) -> None:
    """Processes that share a database take positions from one sequence, so that they rise across all of them."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("CREATE SEQUENCE journal_positions")
        connection.exec_driver_sql("ALTER TABLE journal ALTER COLUMN position SET DEFAULT nextval('journal_positions')")


outbox = Table(
    "outbox",
    metadata,
    # An execution has one job at a time.
    Column("execution_id", String(36), primary_key=True),
    Column("workflow_id", String(36), nullable=False),
    # Where it goes: to the workers, to the dead letters, or nowhere before its workflow's limit allows it.
    Column("place", String(8), nullable=False),
    # Tells the job from the execution's later ones.
    Column("token", String(36), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("outbox_by_place", "place", "created_at"),
    Index("outbox_by_workflow", "workflow_id", "created_at"),
)

leaders = Table(
    "leaders",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("holder", String(36), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
