"""Sessions: tokens, their rotation and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.auth.sessions.sessions import KNOWN_FOR, InvalidGrantError, Tokens
from server.auth.sessions.tokens import AccessTokens, InvalidTokenError
from server.settings.secret_key import derived_key
from tests.support.auth import SECRET, AuthHarness, auth_harness
from workflow.identity import ALL_SCOPES, SCOPES_OF_ROLE, Role, Scope

DAY = timedelta(days=1)
READ = frozenset({Scope.WORKFLOWS_READ})
KEY = derived_key(SECRET, "access-tokens")


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[AuthHarness]:
    """Services without users."""
    async with auth_harness(tmp_path) as harness:
        yield harness


async def opened(harness: AuthHarness, user_id: str, **options: Any) -> Tokens:
    """A session in the user's own workspace."""
    workspace = (await harness.auth.logins.membership(user_id)).workspace_id
    defaults: dict[str, Any] = {
        "workspace_id": workspace,
        "scopes": ALL_SCOPES,
        "client_id": None,
        "client_name": "test",
        "lifetime": DAY,
    }
    return await harness.auth.sessions.open(user_id=user_id, **{**defaults, **options})


async def test_an_access_token_says_who_where_and_with_which_rights(harness: AuthHarness) -> None:
    ada = await harness.add_user()
    tokens = await opened(harness, ada, client_id="client", scopes=READ)
    actor = await harness.auth.sessions.actor(tokens.access_token)
    assert actor is not None
    assert (actor.user_id, actor.workspace_id, actor.client, actor.session_id) == (
        ada,
        "local",
        "test",
        tokens.session_id,
    )
    assert (actor.scopes, actor.attainable) == (READ, ALL_SCOPES)
    assert (tokens.expires_in_seconds, tokens.scopes) == (900, READ)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    base = harness.settings.base_url
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (base, [f"{base}/mcp", base], "client")
    assert claims["exp"] - claims["iat"] == 900


async def test_scopes_are_cut_to_what_the_users_role_gives_now(harness: AuthHarness) -> None:
    ada, ben = await harness.add_user(), await harness.add_user("ben")
    await harness.auth.workspaces.put_member("local", ben, Role.EDITOR, now=harness.clock.now())
    tokens = await opened(harness, ben, workspace_id="local")
    assert tokens.scopes == SCOPES_OF_ROLE[Role.EDITOR]
    await harness.auth.workspaces.put_member("local", ben, Role.VIEWER, now=harness.clock.now())
    harness.auth.sessions.forget(ben)
    actor = await harness.auth.sessions.actor(tokens.access_token)
    assert actor is not None
    assert actor.scopes == actor.attainable == SCOPES_OF_ROLE[Role.VIEWER]
    await harness.auth.workspaces.remove_member("local", ben, now=harness.clock.now())
    harness.clock.at += KNOWN_FOR
    with pytest.raises(InvalidTokenError):
        await harness.auth.sessions.actor(tokens.access_token)
    with pytest.raises(InvalidGrantError):
        await harness.auth.sessions.refresh(tokens.refresh_token or "")
    with pytest.raises(InvalidGrantError):
        await opened(harness, ada, workspace_id="elsewhere")


async def test_a_token_is_over_after_fifteen_minutes_or_with_its_session(harness: AuthHarness) -> None:
    ada = await harness.add_user()
    long, short = await opened(harness, ada), await opened(harness, ada, lifetime=timedelta(minutes=5))
    assert short.expires_in_seconds == 300
    harness.clock.at += timedelta(minutes=5)
    with pytest.raises(InvalidTokenError):
        await harness.auth.sessions.actor(short.access_token)
    assert await harness.auth.sessions.actor(long.access_token) is not None
    harness.clock.at += timedelta(minutes=10)
    with pytest.raises(InvalidTokenError, match="over"):
        await harness.auth.sessions.actor(long.access_token)


async def test_a_refresh_token_gives_new_tokens_until_the_session_is_over(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user())
    for _ in range(3):
        harness.clock.at += timedelta(hours=7)
        tokens = await harness.auth.sessions.refresh(tokens.refresh_token or "")
        assert await harness.auth.sessions.actor(tokens.access_token) is not None
    harness.clock.at += timedelta(hours=3)
    with pytest.raises(InvalidGrantError):
        await harness.auth.sessions.refresh(tokens.refresh_token or "")


async def test_scopes_can_be_narrowed_and_never_widened_by_a_refresh(harness: AuthHarness) -> None:
    both = frozenset({Scope.WORKFLOWS_READ, Scope.WORKFLOWS_WRITE})
    tokens = await opened(harness, await harness.add_user(), scopes=both)
    narrow = await harness.auth.sessions.refresh(tokens.refresh_token or "", scopes=READ)
    assert narrow.scopes == READ
    actor = await harness.auth.sessions.actor(narrow.access_token)
    assert actor is not None
    assert actor.scopes == READ
    wide = await harness.auth.sessions.refresh(narrow.refresh_token or "", scopes=ALL_SCOPES)
    assert wide.scopes == both


async def test_a_refresh_token_that_comes_again_ends_the_session(harness: AuthHarness) -> None:
    first = await opened(harness, await harness.add_user())
    second = await harness.auth.sessions.refresh(first.refresh_token or "")
    assert await harness.auth.sessions.actor(second.access_token) is not None
    with pytest.raises(InvalidGrantError, match="twice"):
        await harness.auth.sessions.refresh(first.refresh_token or "")
    for tokens in (first, second):
        with pytest.raises(InvalidTokenError):
            await harness.auth.sessions.actor(tokens.access_token)
    with pytest.raises(InvalidGrantError):
        await harness.auth.sessions.refresh(second.refresh_token or "")


async def test_of_two_that_use_a_refresh_token_at_once_one_wins_and_the_other_ends_the_session(
    harness: AuthHarness,
) -> None:
    first = await opened(harness, await harness.add_user())
    answers = await asyncio.gather(
        *(harness.auth.sessions.refresh(first.refresh_token or "") for _ in range(2)), return_exceptions=True
    )
    (won,) = [answer for answer in answers if isinstance(answer, Tokens)]
    assert sum(isinstance(answer, InvalidGrantError) for answer in answers) == 1
    with pytest.raises(InvalidTokenError):
        await harness.auth.sessions.actor(won.access_token)


async def test_a_refresh_token_is_worth_nothing_to_another_client_and_stays_its_owners(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user(), client_id="mine")
    for client in ("yours", None):
        with pytest.raises(InvalidGrantError):
            await harness.auth.sessions.refresh(tokens.refresh_token or "", client_id=client)
        await harness.auth.sessions.end_of_token(tokens.refresh_token or "", client_id=client)
    assert await harness.auth.sessions.refresh(tokens.refresh_token or "", client_id="mine")


async def test_an_ended_session_does_not_count_any_more_at_once(harness: AuthHarness) -> None:
    ada = await harness.add_user()
    for end_by in ("id", "access token", "refresh token", "all", "disabling"):
        tokens = await opened(harness, ada)
        assert await harness.auth.sessions.actor(tokens.access_token) is not None
        match end_by:
            case "id":
                await harness.auth.sessions.end(tokens.session_id)
            case "access token":
                await harness.auth.sessions.end_of_token(tokens.access_token)
            case "refresh token":
                await harness.auth.sessions.end_of_token(tokens.refresh_token or "")
            case "all":
                await harness.auth.sessions.end_all(ada)
            case "disabling":
                await harness.auth.accounts.set_disabled("ada@example.com", is_disabled=True, client="test")
        with pytest.raises(InvalidTokenError):
            await harness.auth.sessions.actor(tokens.access_token)
        with pytest.raises(InvalidGrantError):
            await harness.auth.sessions.refresh(tokens.refresh_token or "")
    for unknown in ("", "jsr_unknown", "a.b.c", "\ud800"):
        await harness.auth.sessions.end_of_token(unknown)


async def test_an_end_in_another_process_is_seen_within_seconds(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user())
    assert await harness.auth.sessions.actor(tokens.access_token) is not None
    await harness.auth.session_store.end(tokens.session_id, now=harness.clock.now())
    assert await harness.auth.sessions.actor(tokens.access_token) is not None
    harness.clock.at += KNOWN_FOR
    with pytest.raises(InvalidTokenError):
        await harness.auth.sessions.actor(tokens.access_token)


async def test_a_machine_has_the_scopes_of_its_session_and_no_account(harness: AuthHarness) -> None:
    tokens = await opened(
        harness, await harness.add_user(), client_id="m", scopes=READ, has_refresh=False, client_name="robot"
    )
    assert tokens.refresh_token is None
    machine = await harness.auth.sessions.open(
        user_id="machine:m", workspace_id="local", scopes=READ, client_id="m", client_name="robot", lifetime=DAY
    )
    actor = await harness.auth.sessions.actor(machine.access_token)
    assert actor is not None
    assert (actor.user_id, actor.scopes, actor.attainable) == ("machine:m", READ, READ)
    await harness.auth.sessions.end_all("machine:m")
    with pytest.raises(InvalidTokenError):
        await harness.auth.sessions.actor(machine.access_token)


async def test_tokens_that_we_did_not_sign_for_this_server_are_refused(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user())
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    forged = {
        "alg none": jwt.encode(claims, None, algorithm="none"),
        "another key": jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        "another algorithm": jwt.encode(claims, KEY * 2, algorithm="HS512"),
        "another audience": jwt.encode({**claims, "aud": "https://other.example"}, KEY, algorithm="HS256"),
        "no audience": jwt.encode({k: v for k, v in claims.items() if k != "aud"}, KEY, algorithm="HS256"),
        "no end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, KEY, algorithm="HS256"),
        "over": jwt.encode({**claims, "exp": claims["iat"] - 1}, KEY, algorithm="HS256"),
        "no session": jwt.encode({**claims, "sid": "none"}, KEY, algorithm="HS256"),
        "another user": jwt.encode({**claims, "sub": "ben"}, KEY, algorithm="HS256"),
        "changed": tokens.access_token[:-2] + ("AA" if not tokens.access_token.endswith("AA") else "BB"),
        "an endless number": jwt.encode({**claims, "exp": 10**30}, KEY, algorithm="HS256"),
    }
    for what, token in forged.items():
        with pytest.raises(InvalidTokenError):
            pytest.fail(f"{what}: {await harness.auth.sessions.actor(token)}")
    for other in ("", "jsk_key", "a.b.c", jwt.encode({**claims, "iss": "https://other.example"}, KEY)):
        assert await harness.auth.sessions.actor(other) is None


async def test_wider_scopes_in_a_token_give_nothing_that_the_session_has_not(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user(), scopes=READ)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    actor = await harness.auth.sessions.actor(jwt.encode({**claims, "scope": "admin workflows:*"}, KEY))
    assert actor is not None
    assert actor.scopes == READ


async def test_tokens_of_another_server_with_the_same_key_are_not_ours(harness: AuthHarness) -> None:
    tokens = await opened(harness, await harness.add_user())
    other = AccessTokens(key=KEY, base_url="https://other.example")
    assert not other.is_ours(tokens.access_token)
    with pytest.raises(InvalidTokenError):
        other.read(tokens.access_token)
