"""Connections in the database: whose they are, who changed them, what goes with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from storage.database.database import Database
from storage.secrets import connections
from storage.secrets.connections import SqlConnections
from storage.secrets.keys import VaultKeys
from workflow.actions import Action
from workflow.connections import (
    ActionFigures,
    ActionList,
    Connection,
    ConnectionChangedError,
    ConnectionNameTakenError,
    ConnectionNotFoundError,
    Health,
    PendingAuthorization,
    TooManyConnectionsError,
)
from workflow.credentials import CredentialRef

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
REF = CredentialRef(owner="mine", name="shop")


def connection(name: str = "shop", **members: Any) -> Connection:
    """A connection."""
    return Connection(
        **{
            "id": f"id-{name}",
            "owner": "mine",
            "name": name,
            "kind": "mcp",
            "status": "connected",
            "settings": {"url": "https://shop.example.com/mcp"},
            "credential": name,
            "scopes": ("read", "write"),
            "created_by": "ada",
            "created_at": NOW,
            "updated_at": NOW,
            **members,
        }
    )


def action(name: str) -> Action:
    """An action of it."""
    return Action(
        connection="shop",
        name=name,
        title=name,
        description="",
        input_schema={"type": "object"},
        effect="read",
        is_idempotent=True,
    )


def pending(state: str = "s" * 43, **members: Any) -> PendingAuthorization:
    """A consent that is being given."""
    return PendingAuthorization(
        **{
            "state": state,
            "owner": "mine",
            "connection_id": "id-shop",
            "user_id": "ada",
            "details": {"host": "shop.example.com"},
            "secrets": {"verifier": "do-not-show"},
            "expires_at": LATER,
            **members,
        }
    )


@pytest.fixture
def store(database: Database) -> SqlConnections:
    """The repository under test."""
    return SqlConnections(database, keys=VaultKeys(lambda: [b"k" * 32]))


async def test_a_connection_is_what_was_kept_for_its_workspace_only(store: SqlConnections) -> None:
    health = Health(checked_at=NOW, failures=2, code="timeout", message="late")
    kept = connection(health=health, last_used_at=NOW)
    await store.create(kept)
    await store.create(connection("another", owner="theirs"))
    assert await store.get("mine", "shop") == kept
    assert [each.name for each in await store.of_workspace("mine")] == ["shop"]
    with pytest.raises(ConnectionNotFoundError, match="another"):
        await store.get("mine", "another")


async def test_names_are_unique_and_their_number_is_bounded(
    store: SqlConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    await store.create(connection())
    with pytest.raises(ConnectionNameTakenError):
        await store.create(connection(id="other"))
    for number in range(2):
        await store.create(connection(f"c{number}"))
    with pytest.raises(TooManyConnectionsError):
        await store.create(connection("one-too-many"))


async def test_of_two_changes_to_one_revision_the_second_is_refused(store: SqlConnections) -> None:
    await store.create(connection())
    read = await store.get("mine", "shop")
    changed = await store.change(replace(read, status="unauthorized"))
    assert (changed.revision, (await store.get("mine", "shop")).status) == (2, "unauthorized")
    with pytest.raises(ConnectionChangedError):
        await store.change(replace(read, status="failing"))
    await store.delete("mine", "shop")
    with pytest.raises(ConnectionNotFoundError):
        await store.change(changed)


async def test_use_is_noted_unless_somebody_changed_it_since(store: SqlConnections) -> None:
    await store.create(connection())
    read = await store.get("mine", "shop")
    await store.note_use(read, status="failing", health=Health(failures=1), last_used_at=NOW)
    noted = await store.get("mine", "shop")
    assert (noted.status, noted.health.failures, noted.last_used_at, noted.revision) == ("failing", 1, NOW, 1)
    await store.change(replace(noted, status="connected"))
    await store.note_use(read, status="failing", health=Health(), last_used_at=NOW)
    assert (await store.get("mine", "shop")).status == "connected"


async def test_one_refreshes_at_a_time_until_the_claim_ends(store: SqlConnections) -> None:
    await store.create(connection())
    claims = [store.claim_refresh(REF, now=NOW, until=LATER) for _ in range(5)]
    assert sorted(await asyncio.gather(*claims)) == [False] * 4 + [True]
    await store.release_refresh(REF)
    assert await store.claim_refresh(REF, now=NOW, until=LATER)
    assert not await store.claim_refresh(REF, now=NOW, until=LATER)
    assert await store.claim_refresh(REF, now=LATER, until=LATER + timedelta(minutes=1)), "its holder is gone"


async def test_actions_are_kept_whole_and_go_with_their_connection(store: SqlConnections) -> None:
    await store.create(connection())
    listed = ActionList(connection_id="id-shop", fetched_at=NOW, actions=(action("a"), action("b")))
    await store.keep_actions("mine", listed)
    assert await store.actions_of("mine", "id-shop") == listed
    shorter = replace(listed, fetched_at=LATER, actions=(action("a"),))
    await store.keep_actions("mine", shorter)
    assert await store.actions("mine") == [shorter]
    assert await store.actions_of("theirs", "id-shop") is None
    await store.keep_actions("theirs", listed)
    assert await store.actions("theirs") == []
    await store.delete("mine", "shop")
    assert await store.actions_of("mine", "id-shop") is None
    await store.keep_actions("mine", listed)
    assert await store.actions("mine") == [], "it is gone"


async def test_a_consent_comes_back_once_and_in_time(store: SqlConnections, database: Database) -> None:
    await store.create(connection())
    await store.begin_authorization(pending())
    assert await store.pending_authorization("s" * 43, now=NOW) == pending()
    await store.bind_authorization("s" * 43, "a browser")
    taken = await asyncio.gather(*(store.take_authorization("s" * 43, now=NOW) for _ in range(3)))
    assert [each for each in taken if each is not None] == [pending(browser="a browser")]
    await store.begin_authorization(pending())
    assert await store.take_authorization("s" * 43, now=LATER) is None
    await store.begin_authorization(pending("t" * 43))
    assert await store.pending_authorization("s" * 43, now=NOW) is None, "only the last one of a connection counts"
    async with database.transaction() as transaction:
        row = (await transaction.execute(text("SELECT * FROM pending_authorizations"))).one()
    assert "do-not-show" not in str(row)
    assert "t" * 43 not in str(row)
    await store.forget_authorizations(expired_before=LATER + timedelta(seconds=1))
    assert await store.pending_authorization("t" * 43, now=NOW) is None


async def test_figures_add_up_by_day(store: SqlConnections) -> None:
    first = ActionFigures(connection="shop", action="order", day="2026-01-06", calls=2, failures=1, seconds=0.5)
    await store.add_figures("mine", [first, replace(first, action="refund")])
    await store.add_figures("mine", [replace(first, quota=4), replace(first, day="2026-01-05")])
    found = await store.figures("mine", since="2026-01-06", connection="shop")
    assert [(each.action, each.calls, each.quota, each.seconds) for each in found] == [
        ("order", 4, 4, 1.0),
        ("refund", 2, 0, 0.5),
    ]
    assert len(await store.figures("mine", since="2026-01-01")) == 3
    assert await store.figures("theirs", since="2026-01-01") == []
