"""The tables of users, workspaces, what lets them in, their secrets, and the audit log.

Secrets that are only compared (refresh tokens, keys, codes) are kept as SHA-256 of themselves; they are random, so
that nothing slower is needed. Passwords are kept as argon2id hashes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
    insert,
)

from storage.database.columns import JsonBytes, UtcTime
from storage.tables.workflows import metadata

users = Table(
    "users",
    metadata,
    Column("id", String(36), primary_key=True),
    # In lower case.
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # None where an identity provider signs the user in.
    Column("password_hash", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
)

user_identities = Table(
    "user_identities",
    metadata,
    # Who vouches for the user, and what they call them.
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("user_id", String(36), ForeignKey("users.id"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("issuer", "subject"),
)

workspaces = Table(
    "workspaces",
    metadata,
    # "local", or a UUID.
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)


@event.listens_for(workspaces, "after_create")
def add_local(table: Table, connection: Connection, **_: object) -> None:
    """Where everything is while there are no accounts."""
    connection.execute(insert(workspaces).values(id="local", name="Local", created_at=datetime.fromtimestamp(0, UTC)))


memberships = Table(
    "memberships",
    metadata,
    Column("workspace_id", Text, ForeignKey("workspaces.id"), nullable=False),
    Column("user_id", String(36), ForeignKey("users.id"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("workspace_id", "user_id"),
    Index("memberships_by_user", "user_id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    # Who may use it; anybody who has it where there is none.
    Column("email", Text),
    # What it makes its user a member of, and as what; none for an account only.
    Column("workspace_id", Text, ForeignKey("workspaces.id")),
    Column("role", String(16)),
    Column("invited_by", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    Index("invitations_by_workspace", "workspace_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    # A user's, or "machine:" and the id of an OAuth client.
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    # The OAuth client that the user let in; none where they logged in with us.
    Column("client_id", Text),
    Column("client_name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    # None where the session cannot be prolonged.
    Column("refresh_hash", String(64), unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Index("sessions_by_user", "user_id"),
    Index("sessions_by_expiry", "expires_at"),
)

spent_refresh_tokens = Table(
    "spent_refresh_tokens",
    metadata,
    # One of these is used again only where a token was stolen: the session ends.
    Column("hash", String(64), primary_key=True),
    Column("session_id", String(36), ForeignKey("sessions.id"), nullable=False),
    Column("spent_at", UtcTime, nullable=False),
    Index("spent_refresh_tokens_by_session", "session_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    # The end of the key, by which its owner recognises it.
    Column("hint", String(8), nullable=False),
    Column("user_id", String(36), ForeignKey("users.id"), nullable=False),
    Column("workspace_id", Text, ForeignKey("workspaces.id"), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("last_used_at", UtcTime),
    Column("revoked_at", UtcTime),
    Index("api_keys_by_workspace", "workspace_id"),
)

oauth_clients = Table(
    "oauth_clients",
    metadata,
    # Ours, or the address of a client's own metadata document.
    Column("id", Text, primary_key=True),
    # "dynamic" (registered itself), "document" (known by its document), "machine" (acts by itself).
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", String(64)),
    # RFC 7591's members.
    Column("metadata", JsonBytes, nullable=False),
    # A machine's: who made it, where it works, and what it may do.
    Column("created_by", Text),
    Column("workspace_id", Text, ForeignKey("workspaces.id")),
    Column("scopes", Text),
    Column("created_at", UtcTime, nullable=False),
    # When a document has to be fetched again.
    Column("expires_at", UtcTime),
    # When a user let it in last.
    Column("used_at", UtcTime),
    Column("revoked_at", UtcTime),
    Index("oauth_clients_by_workspace", "workspace_id"),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("resource", Text),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    # The session that it was exchanged for: a code that comes twice ends it.
    Column("session_id", String(36)),
    # When it came for the second time; perhaps before the session of the first was there.
    Column("replayed_at", UtcTime),
)

spent_assertions = Table(
    "spent_assertions",
    metadata,
    # A client proves itself with each signed assertion once.
    Column("client_id", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("client_id", "hash"),
    Index("spent_assertions_by_expiry", "expires_at"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    # By which definitions name it.
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    # The secret parts, encrypted with the key of this id.
    Column("sealed", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    # What may be shown: the header's name, the hosts that it may be sent to.
    Column("details", JsonBytes, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index("credentials_by_name", "owner", "name", unique=True),
    Index("credentials_by_key", "key_id"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    # Ids rise with time.
    Column("id", String(36), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("client", Text, nullable=False),
    # For example "workflow.published" or "effect.sent".
    Column("action", String(40), nullable=False),
    # What it was done to: its kind and its id.
    Column("subject", Text, nullable=False),
    Column("details", JsonBytes),
    Index("audit_entries_by_owner", "owner", "id"),
    Index("audit_entries_by_time", "at"),
)
