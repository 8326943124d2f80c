"""The tables of prompt templates, conversations, and what was said to models."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from storage.database.columns import JsonBytes, UtcTime
from storage.tables.workflows import metadata

prompt_templates = Table(
    "prompt_templates",
    metadata,
    Column("owner", Text, nullable=False),
    Column("name", String(60), nullable=False),
    Column("version", Integer, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    # Messages, variables, whether it is a partial.
    Column("data", JsonBytes, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("owner", "name", "version"),
    Index("prompt_templates_current", "owner", "is_current", "name"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("owner", Text, nullable=False),
    # What the conversation is called by its author.
    Column("key", Text, nullable=False),
    # Another one when it is begun anew after it was deleted.
    Column("id", String(36), nullable=False),
    # Rises with every change, so that caches know whether they are old.
    Column("revision", Integer, nullable=False),
    Column("last_position", Integer, nullable=False),
    Column("pinned", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    # How many tokens the provider counts for a thousand of ours.
    Column("margin", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("owner", "key"),
    Index("conversations_by_owner", "owner", "updated_at", "key"),
    Index("conversations_by_time", "updated_at"),
)

turns = Table(
    "turns",
    metadata,
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("position", Integer, nullable=False),
    # Keeps an effect that is repeated after a crash from adding its messages twice.
    Column("effect", Text),
    Column("tokens", Integer, nullable=False),
    Column("is_estimate", Boolean, nullable=False),
    Column("is_pinned", Boolean, nullable=False),
    Column("message", JsonBytes, nullable=False),
    Column("at", UtcTime, nullable=False),
    PrimaryKeyConstraint("owner", "key", "position"),
    Index("turns_by_effect", "owner", "key", "effect"),
    Index(
        "turns_pinned",
        "owner",
        "key",
        "position",
        sqlite_where=text("is_pinned"),
        postgresql_where=text("is_pinned"),
    ),
)

summaries = Table(
    "summaries",
    metadata,
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("upto", Integer, nullable=False),
    Column("text", JsonBytes, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("owner", "key"),
)

exchanges = Table(
    "exchanges",
    metadata,
    # Ids rise with time.
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("workflow_id", String(36)),
    Column("execution_id", String(36)),
    Column("node", Text),
    Column("conversation_id", Text),
    # Which one answered, in the end.
    Column("model", Text, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost_micros", BigInteger),
    Column("created_at", UtcTime, nullable=False),
    # Request, answer, attempts, latency.
    Column("data", JsonBytes, nullable=False),
    Index("exchanges_by_owner", "owner", "id"),
    Index("exchanges_by_execution", "execution_id"),
    Index("exchanges_by_time", "created_at"),
    # For what was used in a day.
    Index("exchanges_by_user", "user_id", "created_at"),
    Index("exchanges_by_workflow", "workflow_id", "created_at"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("owner", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("model", Text, nullable=False),
    # Little-endian float32.
    Column("vector", LargeBinary, nullable=False),
    # What was embedded, and what belongs to it.
    Column("data", JsonBytes, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("owner", "collection", "id"),
)
