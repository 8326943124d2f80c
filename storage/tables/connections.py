"""The tables of connections to other people's systems. Their secrets are in the table of credentials."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from storage.database.columns import JsonBytes, UtcTime
from storage.tables.workflows import metadata

connections = Table(
    "connections",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    # By which definitions name it.
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("settings", JsonBytes, nullable=False),
    # The name of the credential that it uses.
    Column("credential", Text),
    Column("scopes", JsonBytes, nullable=False),
    Column("health", JsonBytes, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),
    # Rises with every change that somebody makes.
    Column("revision", Integer, nullable=False),
    # Until when one process alone refreshes its grant.
    Column("refresh_claimed_until", UtcTime),
    Index("connections_by_name", "owner", "name", unique=True),
)

action_lists = Table(
    "action_lists",
    metadata,
    Column("connection_id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("fetched_at", UtcTime, nullable=False),
    Column("actions", JsonBytes, nullable=False),
    Index("action_lists_by_owner", "owner"),
)

pending_authorizations = Table(
    "pending_authorizations",
    metadata,
    # A hash of what comes back from the browser.
    Column("state_hash", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("connection_id", String(36), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("details", JsonBytes, nullable=False),
    # The PKCE verifier and the client's secret, encrypted with the key of this id.
    Column("sealed", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    # A hash of what only the browser has that began it.
    Column("browser", Text),
    Column("expires_at", UtcTime, nullable=False),
    Index("pending_authorizations_by_connection", "connection_id"),
    Index("pending_authorizations_by_time", "expires_at"),
)

action_figures = Table(
    "action_figures",
    metadata,
    Column("owner", Text, nullable=False),
    # The day in UTC, as 2026-01-31.
    Column("day", String(10), nullable=False),
    Column("connection", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("in_doubt", BigInteger, nullable=False),
    Column("fallbacks", BigInteger, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    PrimaryKeyConstraint("owner", "day", "connection", "action"),
)

action_declarations = Table(
    "action_declarations",
    metadata,
    Column("connection_id", String(36), nullable=False),
    Column("action", Text, nullable=False),
    Column("owner", Text, nullable=False),
    # A digest of what the action was when it was declared a read.
    Column("identity", String(64), nullable=False),
    Column("declared_by", Text, nullable=False),
    Column("declared_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("connection_id", "action"),
)

result_shapes = Table(
    "result_shapes",
    metadata,
    Column("connection_id", String(36), nullable=False),
    Column("action", Text, nullable=False),
    Column("owner", Text, nullable=False),
    # Types and keys of a result, without its values.
    Column("shape", JsonBytes, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("connection_id", "action"),
)

used_secret_links = Table(
    "used_secret_links",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("credential", Text, nullable=False),
    Column("used_by", Text, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    # Afterwards the link is refused by its age, and the row is deleted.
    Column("expires_at", UtcTime, nullable=False),
    Index("used_secret_links_by_time", "expires_at"),
)
