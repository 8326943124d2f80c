"""Credentials go out with requests to their own hosts, and never come back."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.integrations.conftest import OWNER, Senders, Service
from workflow.credentials import CredentialNotFoundError, CredentialNotUsableError, CredentialRef
from workflow.errors import OutboundError
from workflow.ports import HttpResponse
from workflow.redaction import HIDDEN

SECRET = 'pl4nted/"s3cret"+é'
PLAIN = "pl4nted-s3cret-1"


def everything(response: HttpResponse) -> str:
    """All that a node sees of an answer."""
    return f"{response.url} {response.headers} {response.body.decode()}"


async def test_a_request_without_a_credential_goes_out_as_it_is(senders: Senders, service: Service) -> None:
    response = await senders.send(f"{service.url}/echo", None, headers={"authorization": "Bearer typed-in-1"})
    assert service.authorizations() == ["Bearer typed-in-1"]
    assert "typed-in-1" in everything(response)


@pytest.mark.parametrize(
    ("kind", "members", "header", "value"),
    [
        ("header", {"header": "X-Api-Key", "value": PLAIN}, "x-api-key", PLAIN),
        ("bearer", {"token": PLAIN}, "authorization", f"Bearer {PLAIN}"),
        (
            "basic",
            {"username": "ada", "password": SECRET},
            "authorization",
            f"Basic {base64.b64encode(f'ada:{SECRET}'.encode()).decode()}",
        ),
    ],
)
async def test_each_kind_is_sent_as_it_must_be_and_hidden_where_it_is_repeated(
    senders: Senders, service: Service, kind: str, members: dict[str, str], header: str, value: str
) -> None:
    ref = await senders.keep(kind, **members)
    response = await senders.send(f"{service.url}/echo", ref)
    assert service.received[0]["headers"][header] == value
    assert value not in everything(response)
    assert HIDDEN in response.body.decode()
    assert HIDDEN in response.headers["x-echo" if header == "authorization" else "set-cookie"]


async def test_a_credential_takes_the_place_of_a_header_that_was_typed_in(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    await senders.send(f"{service.url}/echo", ref, headers={"Authorization": "Bearer typed-in"})
    assert service.authorizations() == [f"Bearer {PLAIN}"]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/echo",
        "https://example.com/echo",
        "http://127.0.0.1.example.com/",
        "https://127.0.0.1@evil.example.net/",
        "http://user:pass@127.0.0.1/",
        "http://evil.example.net#@127.0.0.1/",
        "http://evil.example.net\\@127.0.0.1/",
        "ftp://127.0.0.1/",
        "http:///",
        "no address",
    ],
)
async def test_nothing_is_sent_where_the_credential_may_not_go(senders: Senders, url: str) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    with pytest.raises(OutboundError) as caught:
        await senders.send(url, ref)
    assert caught.value.outbound_code == "credential_host_not_allowed"
    assert caught.value.fix is not None


async def test_a_redirect_to_another_host_loses_the_credential_and_what_else_is_secret(
    senders: Senders, service: Service
) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to = f"{service.other_url}/echo"
    headers = {"cookie": "a=1", "x-other-key": "k", "accept": "text/plain"}
    response = await senders.send(f"{service.url}/redirect", ref, headers=headers)
    first, second = service.received
    assert (first["host"], first["headers"]["authorization"]) == ("127.0.0.1", f"Bearer {PLAIN}")
    assert second["host"] == "localhost"
    assert not {"authorization", "cookie", "x-other-key"} & second["headers"].keys()
    assert second["headers"]["accept"] == "text/plain"
    assert response.status == 200


async def test_a_redirect_cannot_carry_the_secret_to_another_host_in_its_address(
    senders: Senders, service: Service
) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to = f"{service.other_url}/echo?said={PLAIN}"
    await senders.send(f"{service.url}/redirect", ref)
    assert [each["host"] for each in service.received] == ["127.0.0.1", "localhost"]
    assert PLAIN not in str(service.received[1])
    service.redirects_to = f"http://{PLAIN}.example.com/"
    response = await senders.send(f"{service.url}/redirect", ref)
    assert (response.status, len(service.received)) == (302, 3)
    assert PLAIN not in everything(response)


async def test_a_credential_comes_back_at_a_host_where_it_may_go(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN, allowed_hosts=["127.0.0.1", "localhost"])
    service.redirects_to = f"{service.other_url}/echo"
    await senders.send(f"{service.url}/redirect", ref)
    assert service.authorizations() == [f"Bearer {PLAIN}"] * 2


async def test_a_redirect_within_the_host_keeps_it(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to = "/echo"
    response = await senders.send(f"{service.url}/redirect", ref)
    assert service.authorizations() == [f"Bearer {PLAIN}"] * 2
    assert response.url == f"{service.url}/echo"


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [("POST", 301, "GET"), ("POST", 302, "GET"), ("PUT", 303, "GET"), ("POST", 307, "POST"), ("PUT", 308, "PUT")],
)
async def test_redirects_change_the_method_as_browsers_do(
    senders: Senders, service: Service, method: str, status: int, then: str
) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to, service.redirect_status = "/echo", status
    await senders.send(f"{service.url}/redirect", ref, method=method, body=b"body", headers={"content-type": "a/b"})
    last = service.received[-1]
    assert (last["method"], last["body"]) == (then, "" if then == "GET" else "body")
    assert ("content-type" in last["headers"]) is (then != "GET")


async def test_a_redirect_is_left_alone_where_it_is_not_to_be_followed(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to = f"{service.url}/echo?repeated={PLAIN}"
    response = await senders.send(f"{service.url}/redirect", ref, follow_redirects=False)
    assert response.status == 302
    assert PLAIN not in everything(response)


async def test_redirects_in_a_circle_end(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    service.redirects_to = "/redirect"
    with pytest.raises(OutboundError) as caught:
        await senders.send(f"{service.url}/redirect", ref)
    assert caught.value.outbound_code == "too_many_redirects"


async def test_what_cannot_be_used_says_why(senders: Senders, service: Service) -> None:
    database = await senders.keep("database", url="postgresql://ada:pass-word@host/x")
    with pytest.raises(CredentialNotUsableError, match="of kind database"):
        await senders.send(f"{service.url}/echo", database)
    with pytest.raises(CredentialNotFoundError):
        await senders.send(f"{service.url}/echo", CredentialRef(owner=OWNER, name="missing"))
    with pytest.raises(CredentialNotFoundError):
        await senders.send(f"{service.url}/echo", CredentialRef(owner="theirs", name="it"))
    assert service.received == []


@pytest.mark.parametrize(("path", "code"), [("/large", "response_too_large"), ("", "connection_failed")])
async def test_failures_keep_their_codes_and_tell_no_secret(
    senders: Senders, service: Service, path: str, code: str
) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    url = f"{service.url}{path}" if path else "http://127.0.0.1:1/"
    with pytest.raises(OutboundError) as caught:
        await senders.send(f"{url}?key={PLAIN}", ref)
    assert caught.value.outbound_code == code
    assert PLAIN not in f"{caught.value.message} {caught.value.fix} {caught.value.__cause__}"


async def test_a_secret_in_the_address_is_hidden_in_what_comes_back(senders: Senders, service: Service) -> None:
    ref = await senders.keep("bearer", token=PLAIN)
    response: Any = await senders.send(f"{service.url}/echo", ref, query=(("q", PLAIN),))
    assert PLAIN not in everything(response)
