"""What is known of actions, and which secret links were used, in every database: each workspace's its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.database.database import Database
from storage.secrets.action_notes import SqlActionNotes
from storage.secrets.connections import SqlConnections
from storage.secrets.keys import VaultKeys
from storage.secrets.secret_links import SqlUsedLinks
from workflow.action_notes import ReadDeclaration, ResultShape
from workflow.connections import Connection
from workflow.secret_links import SecretLink

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
LINK = SecretLink(
    id="link-1",
    owner="mine",
    asked_by="ada",
    asked_through="an agent",
    credential="crm",
    kind="bearer",
    hosts=(),
    connection=None,
    revision=None,
    expires_at=NOW + timedelta(hours=1),
)


def declared(identity: str = "as it was") -> ReadDeclaration:
    return ReadDeclaration(
        connection_id="id-shop", action="list", identity=identity, declared_by="ada", declared_at=NOW
    )


def seen(shape: object) -> ResultShape:
    return ResultShape(connection_id="id-shop", action="list", shape=shape, seen_at=NOW)


@pytest.fixture
async def store(database: Database) -> SqlConnections:
    """The connections, of which one is there."""
    made = SqlConnections(database, keys=VaultKeys(lambda: [b"k" * 32]))
    shop = Connection(
        id="id-shop",
        owner="mine",
        name="shop",
        kind="mcp",
        status="connected",
        settings={},
        created_by="ada",
        created_at=NOW,
        updated_at=NOW,
    )
    await made.create(shop)
    return made


async def test_notes_are_the_workspaces_own_and_go_with_their_connection(
    database: Database, store: SqlConnections
) -> None:
    notes = SqlActionNotes(database)
    await notes.declare_read("mine", declared("before"))
    await notes.declare_read("mine", declared())
    await notes.keep_shape("mine", seen("string"))
    await notes.keep_shape("mine", seen({"id": "integer"}))
    # Another workspace that names the same connection reads, changes and withdraws nothing.
    await notes.declare_read("theirs", declared("forged"))
    await notes.keep_shape("theirs", seen("forged"))
    assert await notes.declared_reads("theirs") == []
    assert await notes.shapes("theirs", "id-shop") == []
    assert await notes.withdraw_read("theirs", "id-shop", "list") is False
    assert await notes.declared_reads("mine") == [declared()]
    assert await notes.shapes("mine", "id-shop") == [seen({"id": "integer"})]
    assert await notes.withdraw_read("mine", "id-shop", "list") is True
    assert await notes.declared_reads("mine") == []
    await notes.declare_read("mine", declared())
    await store.delete("mine", "shop")
    assert await notes.declared_reads("mine") == []
    assert await notes.shapes("mine", "id-shop") == []
    await notes.declare_read("mine", declared())
    assert await notes.declared_reads("mine") == [], "the connection is gone"


async def test_of_several_uses_of_a_link_one_counts_until_it_is_released_or_old(database: Database) -> None:
    links = SqlUsedLinks(database)
    assert await links.used(LINK) is None
    uses = await asyncio.gather(*(links.use(LINK, by=f"user-{n}", at=NOW) for n in range(5)))
    assert sorted(uses) == [False] * 4 + [True]
    used = await links.used(LINK)
    assert used is not None
    assert used.used_by == f"user-{uses.index(True)}"
    await links.release(replace(LINK, owner="theirs"))
    assert await links.used(LINK) == used, "another workspace releases nothing"
    await links.release(LINK)
    assert await links.use(LINK, by="ada", at=NOW)
    await links.forget(expired_before=NOW)
    assert await links.used(LINK) is not None
    await links.forget(expired_before=NOW + timedelta(hours=2))
    assert await links.used(LINK) is None
