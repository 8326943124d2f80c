"""The tables. ``migrations`` makes them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from storage.columns import JsonBytes, UtcTime

metadata = MetaData()

workflows = Table(
    "workflows",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("node_count", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
    Index("workflows_by_update", "updated_at", "id"),
)

workflow_versions = Table(
    "workflow_versions",
    metadata,
    Column("workflow_id", String(36), ForeignKey("workflows.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", JsonBytes, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("workflow_id", "version"),
)

webhook_paths = Table(
    "webhook_paths",
    metadata,
    Column("path", Text, primary_key=True),
    Column("workflow_id", String(36), ForeignKey("workflows.id"), nullable=False),
    Index("webhook_paths_by_workflow", "workflow_id"),
)

executions = Table(
    "executions",
    metadata,
    # Ids rise with time, so the primary key is also the order of every list.
    Column("id", String(36), primary_key=True),
    Column("workflow_id", String(36), nullable=False),
    Column("workflow_name", Text, nullable=False),
    Column("workflow_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("start_node", Text, nullable=False),
    Column("input", JsonBytes),
    Column("output", JsonBytes),
    Column("error", JsonBytes),
    Column("error_message", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Index("executions_by_workflow", "workflow_id", "id"),
    Index("executions_by_state", "state", "id"),
)

node_runs = Table(
    "node_runs",
    metadata,
    Column("execution_id", String(36), ForeignKey("executions.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("run_index", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("items_in", Integer, nullable=False),
    Column("sources", JsonBytes, nullable=False),
    Column("outputs", JsonBytes, nullable=False),
    Column("error", JsonBytes),
    PrimaryKeyConstraint("execution_id", "position"),
)
