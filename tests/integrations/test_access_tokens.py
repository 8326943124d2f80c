"""OAuth 2: access tokens are fetched once, kept until they expire, replaced when they are refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.integrations.conftest import Senders, Service
from tests.support.http_target import listening
from workflow.credential_forms import form_of
from workflow.credentials import CredentialRef
from workflow.errors import OutboundError

CLIENT_SECRET = "client-s3cret+/&"
REFRESH = "refresh-t0ken-1"


@dataclass(slots=True)
class TokenEndpoint:
    """Gives out numbered tokens; ``answer`` puts something else in their place."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)
    answer: Response | None = None
    rotates: bool = False
    good: str | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.release.set()

    async def token(self, request: Request) -> Response:
        """A token."""
        form = dict((await request.form()).items())
        self.asked.append({name: str(value) for name, value in form.items()})
        self.authorizations.append(request.headers.get("authorization"))
        number = len(self.asked)
        self.arrived.set()
        await self.release.wait()
        if self.answer is not None:
            return self.answer
        if self.good is not None and form["refresh_token"] != self.good:
            return JSONResponse({"error": "invalid_grant"}, 400)
        content: dict[str, Any] = {"access_token": f"access-t0ken-{number}", "token_type": "Bearer", "expires_in": 3600}
        if self.rotates:
            content["refresh_token"] = f"refresh-t0ken-{number + 1}"
        return JSONResponse(content | self.members)


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    """The token endpoint, listening."""
    endpoint = TokenEndpoint()
    app = Starlette(routes=[Route("/token", endpoint.token, methods=["POST"])])
    async with listening(app) as url:
        endpoint.url = f"{url}/token"
        yield endpoint


async def client(senders: Senders, endpoint: TokenEndpoint, **members: Any) -> CredentialRef:
    """A client that has a secret."""
    defaults = {"token_url": endpoint.url, "client_id": "us", "client_secret": CLIENT_SECRET}
    return await senders.keep("oauth2", **{**defaults, **members})


async def granted(senders: Senders, endpoint: TokenEndpoint) -> CredentialRef:
    """A client with a user's refresh token."""
    return await client(senders, endpoint, grant="refresh_token", client_secret=None, refresh_token=REFRESH)


async def test_a_token_is_fetched_once_and_kept(senders: Senders, endpoint: TokenEndpoint, service: Service) -> None:
    ref = await client(senders, endpoint, scope="read", audience="crm")
    for _ in range(3):
        response = await senders.send(f"{service.url}/echo", ref)
        assert b"t0ken" not in response.body
    assert service.authorizations() == ["Bearer access-t0ken-1"] * 3
    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": "read", "audience": "crm"}]
    expected = base64.b64encode(b"us:client-s3cret%2B%2F%26").decode()
    assert endpoint.authorizations == [f"Basic {expected}"]


async def test_the_secret_can_go_in_the_form(senders: Senders, endpoint: TokenEndpoint, service: Service) -> None:
    ref = await client(senders, endpoint, client_authentication="body")
    await senders.send(f"{service.url}/echo", ref)
    assert endpoint.authorizations == [None]
    assert endpoint.asked[0] == {
        "grant_type": "client_credentials",
        "client_id": "us",
        "client_secret": CLIENT_SECRET,
    }


async def test_many_at_once_fetch_one(senders: Senders, endpoint: TokenEndpoint, service: Service) -> None:
    ref = await client(senders, endpoint)
    await asyncio.gather(*(senders.send(f"{service.url}/echo", ref) for _ in range(10)))
    assert len(endpoint.asked) == 1
    assert set(service.authorizations()) == {"Bearer access-t0ken-1"}


async def test_one_that_is_cancelled_does_not_take_the_others_along(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    ref = await client(senders, endpoint)
    endpoint.release.clear()
    first = asyncio.create_task(senders.send(f"{service.url}/echo", ref))
    await endpoint.arrived.wait()
    second = asyncio.create_task(senders.send(f"{service.url}/echo", ref))
    first.cancel()
    endpoint.release.set()
    assert (await second).status == 200
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_expired_token_is_replaced(senders: Senders, endpoint: TokenEndpoint, service: Service) -> None:
    ref = await client(senders, endpoint)
    await senders.send(f"{service.url}/echo", ref)
    senders.clock.at += timedelta(seconds=3571)
    await senders.send(f"{service.url}/echo", ref)
    assert service.authorizations() == ["Bearer access-t0ken-1", "Bearer access-t0ken-2"]


@pytest.mark.parametrize("lifetime", [None, "soon", -1, 0, 10, "3600", 10**12])
async def test_any_lifetime_is_lived_with(
    senders: Senders, endpoint: TokenEndpoint, service: Service, lifetime: Any
) -> None:
    endpoint.members = {"expires_in": lifetime}
    ref = await client(senders, endpoint)
    for _ in range(2):
        await senders.send(f"{service.url}/echo", ref)
    assert len(endpoint.asked) == 1


async def test_a_refused_token_is_replaced_once_and_the_request_sent_again(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    ref = await client(senders, endpoint)
    await senders.send(f"{service.url}/echo", ref)
    service.refuses = {"Bearer access-t0ken-1"}
    response = await senders.send(f"{service.url}/echo", ref, method="POST", body=b"once more")
    assert (response.status, service.received[-1]["body"]) == (200, "once more")
    assert service.authorizations()[1:] == ["Bearer access-t0ken-1", "Bearer access-t0ken-2"]


async def test_a_second_refusal_is_the_answer(senders: Senders, endpoint: TokenEndpoint, service: Service) -> None:
    ref = await client(senders, endpoint)
    service.refuses = {f"Bearer access-t0ken-{number}" for number in range(9)}
    response = await senders.send(f"{service.url}/echo", ref)
    assert response.status == 401
    assert (len(service.received), len(endpoint.asked)) == (2, 2)
    assert "t0ken" not in f"{response.body!r} {response.headers}"


async def test_a_refusal_by_another_host_does_not_fetch_a_token(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    ref = await client(senders, endpoint)
    service.redirects_to, service.refuses = f"{service.other_url}/echo", {""}
    assert (await senders.send(f"{service.url}/redirect", ref)).status == 401
    assert len(endpoint.asked) == 1


async def test_another_secret_under_the_name_fetches_another_token(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    ref = await client(senders, endpoint)
    await senders.send(f"{service.url}/echo", ref)
    opened = await senders.vault.open(ref)
    senders.clock.at += timedelta(seconds=1)
    await senders.vault.replace(ref, opened.form.model_copy(update={"scope": "write"}))
    await senders.send(f"{service.url}/echo", ref)
    assert [asked.get("scope") for asked in endpoint.asked] == [None, "write"]


async def test_a_refresh_token_that_changes_is_kept(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    endpoint.rotates = True
    ref = await granted(senders, endpoint)
    for _ in range(2):
        await senders.send(f"{service.url}/echo", ref)
        senders.clock.at += timedelta(hours=1)
    expected = {"grant_type": "refresh_token", "client_id": "us"}
    assert endpoint.asked == [expected | {"refresh_token": f"refresh-t0ken-{number}"} for number in (1, 2)]
    assert (await senders.vault.open(ref)).form.secrets() == {"refresh_token": "refresh-t0ken-3"}


async def test_a_refresh_token_that_another_process_used_is_replaced_by_what_it_kept(
    senders: Senders, endpoint: TokenEndpoint, service: Service
) -> None:
    ref = await granted(senders, endpoint)
    endpoint.good = "refresh-t0ken-9"
    endpoint.release.clear()
    sending = asyncio.create_task(senders.send(f"{service.url}/echo", ref))
    await endpoint.arrived.wait()
    opened = await senders.vault.open(ref)
    secrets = {"refresh_token": "refresh-t0ken-9"}
    await senders.vault.put_back(opened, form_of(opened.form.kind, opened.form.details(), secrets))
    endpoint.release.set()
    assert (await sending).status == 200
    assert [asked["refresh_token"] for asked in endpoint.asked] == [REFRESH, "refresh-t0ken-9"]


@pytest.mark.parametrize(
    ("answer", "transient", "says"),
    [
        (JSONResponse({"error": "invalid_client", "error_description": CLIENT_SECRET}, 401), False, "invalid_client"),
        (JSONResponse({"error": CLIENT_SECRET}, 400), False, "answered 400"),
        (Response(CLIENT_SECRET, 503), True, "answered 503"),
        (Response("no json", 200), False, "without an access token"),
        (JSONResponse([CLIENT_SECRET]), False, "without an access token"),
        (JSONResponse({"access_token": "a\r\nb"}), False, "without an access token"),
        (JSONResponse({"access_token": "a", "token_type": "mac"}), False, "not a bearer token"),
        (RedirectResponse("http://localhost:1/"), False, "answered 307"),
    ],
)
async def test_what_is_wrong_is_said_without_what_the_endpoint_says(
    senders: Senders, endpoint: TokenEndpoint, service: Service, answer: Response, transient: bool, says: str
) -> None:
    endpoint.answer = answer
    ref = await client(senders, endpoint)
    with pytest.raises(OutboundError, match=says) as caught:
        await senders.send(f"{service.url}/echo", ref)
    assert (caught.value.outbound_code, caught.value.transient) == ("token_refused", transient)
    assert "s3cret" not in f"{caught.value.message}{caught.value.fix}"
    assert service.received == []


async def test_checking_fetches_a_new_token(senders: Senders, endpoint: TokenEndpoint) -> None:
    opened = await senders.vault.open(await client(senders, endpoint))
    await senders.client.check(opened, timeout_seconds=5)
    await senders.client.check(opened, timeout_seconds=5)
    assert len(endpoint.asked) == 2
