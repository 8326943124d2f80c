"""OAuth's clients, codes and grants, over every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from storage.database.database import Database
from storage.people.oauth import AuthorizationCode, OAuthClient, SqlAuthorizationCodes, SqlOAuthClients
from storage.tables.accounts import workspaces
from workflow.identity import Scope

NOW = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCOPES = frozenset({Scope.WORKFLOWS_READ, Scope.EXECUTIONS_RUN})
CODE = AuthorizationCode(
    hash="c" * 64,
    client_id="one",
    user_id="user",
    workspace_id="local",
    scopes=SCOPES,
    redirect_uri="http://127.0.0.1/callback",
    code_challenge="x" * 43,
    resource=None,
    expires_at=NOW + MINUTE,
)


@pytest.fixture
def clients(database: Database) -> SqlOAuthClients:
    """The clients."""
    return SqlOAuthClients(database)


@pytest.fixture
def codes(database: Database) -> SqlAuthorizationCodes:
    """The codes."""
    return SqlAuthorizationCodes(database)


def dynamic(client_id: str = "one") -> OAuthClient:
    """A client that registered itself."""
    metadata = {"redirect_uris": ["http://127.0.0.1/callback"]}
    return OAuthClient(id=client_id, kind="dynamic", name="One", metadata=metadata, created_at=NOW)


def machine(client_id: str = "robot", workspace_id: str = "local") -> OAuthClient:
    """A client that acts by itself."""
    return OAuthClient(
        id=client_id,
        kind="machine",
        name="Robot",
        metadata={},
        created_at=NOW,
        secret_hash="s" * 64,
        created_by="user",
        workspace_id=workspace_id,
        scopes=SCOPES,
    )


async def test_a_client_comes_back_as_it_was(clients: SqlOAuthClients) -> None:
    for each in (dynamic(), machine(), replace(dynamic("https://a.example/c"), kind="document", expires_at=NOW)):
        await clients.add(each)
        assert await clients.find(each.id) == each
    assert await clients.find("another") is None
    assert await clients.count_unused("dynamic") == 1
    await clients.touch("one", now=NOW)
    assert await clients.count_unused("dynamic") == 0


async def test_a_document_that_is_fetched_again_replaces_what_was_known(clients: SqlOAuthClients) -> None:
    first = replace(dynamic("https://a.example/c"), kind="document", expires_at=NOW)
    await clients.put(first)
    second = replace(first, name="Two", metadata={"redirect_uris": []}, expires_at=NOW + MINUTE)
    await clients.put(second)
    assert await clients.find(first.id) == second


async def test_a_machine_is_revoked_by_its_own_workspace_only(clients: SqlOAuthClients, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(workspaces).values(id="other", name="Other", created_at=NOW))
    await clients.add(machine())
    assert await clients.machines("other") == []
    assert not await clients.revoke_machine("robot", workspace_id="other", now=NOW)
    assert await clients.machines("local") == [machine()]
    assert await clients.revoke_machine("robot", workspace_id="local", now=NOW)
    assert not await clients.revoke_machine("robot", workspace_id="local", now=NOW)
    assert await clients.find("robot") is None
    assert await clients.machines("local") == []


async def test_clients_that_nobody_lets_in_are_forgotten_after_a_while(clients: SqlOAuthClients) -> None:
    for each in ("one", "stale", "unused", "new"):
        await clients.add(replace(dynamic(each), created_at=NOW if each == "new" else NOW - MINUTE))
    await clients.add(replace(machine(), created_at=NOW - MINUTE))
    await clients.touch("one", now=NOW)
    await clients.touch("stale", now=NOW - MINUTE)
    assert await clients.forget_unused(created_before=NOW, used_before=NOW) == 2
    left = [each for each in ("one", "stale", "unused", "new", "robot") if await clients.find(each)]
    assert left == ["one", "new", "robot"]


async def test_an_assertion_counts_once_for_each_client(clients: SqlOAuthClients) -> None:
    async def spend(client_id: str, now: datetime = NOW) -> bool:
        return await clients.spend_assertion(client_id, "h" * 64, expires_at=NOW + MINUTE, now=now)

    assert sorted(await asyncio.gather(spend("one"), spend("one"), spend("one"))) == [False, False, True]
    assert await spend("two")
    # What is over is refused for that already, and need not be remembered.
    assert await spend("one", NOW + 2 * MINUTE)


async def test_a_code_is_claimed_by_one_of_many_and_in_time_only(codes: SqlAuthorizationCodes) -> None:
    await codes.add(CODE, now=NOW)
    assert await codes.find(CODE.hash) == CODE
    assert not await codes.claim(CODE.hash, now=NOW + MINUTE)
    claims = await asyncio.gather(*(codes.claim(CODE.hash, now=NOW) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    assert await codes.find(CODE.hash) == replace(CODE, used_at=NOW)
    assert not await codes.claim("d" * 64, now=NOW)


async def test_a_code_that_comes_twice_leads_to_the_session_of_the_first(codes: SqlAuthorizationCodes) -> None:
    await codes.add(CODE, now=NOW)
    assert await codes.bind(CODE.hash, "session")
    assert await codes.replay(CODE.hash, now=NOW) == "session"


async def test_a_code_that_comes_twice_at_once_binds_no_session(codes: SqlAuthorizationCodes) -> None:
    await codes.add(CODE, now=NOW)
    assert await codes.claim(CODE.hash, now=NOW)
    assert await codes.replay(CODE.hash, now=NOW) is None
    assert not await codes.bind(CODE.hash, "session")


async def test_codes_are_forgotten_a_day_after_their_end(codes: SqlAuthorizationCodes) -> None:
    await codes.add(CODE, now=NOW)
    late = replace(CODE, hash="e" * 64)
    await codes.add(late, now=NOW + MINUTE + timedelta(days=1))
    assert await codes.find(CODE.hash) == CODE
    await codes.add(replace(CODE, hash="f" * 64), now=NOW + 2 * MINUTE + timedelta(days=1))
    assert await codes.find(CODE.hash) is None
