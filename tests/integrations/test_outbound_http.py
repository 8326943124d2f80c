"""Requests that leave the process, at real servers: where they may go, and what they take along."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from tests.support.http_target import HttpTarget, listening
from workflow.errors import OutboundError
from workflow.ports import HttpRequest

SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "localhost",
    "LOCALHOST.",
    "localhost.localdomain",
    "user:secret@127.0.0.1",
    "public.example@127.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",
    "0",
    "[::]",
    "１２７.０.０.１",
    "127。0。0。1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com",
    "169.254.169.254",
    "[fe80::1%25lo]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
]


@asynccontextmanager
async def http(
    *, allowed: Sequence[str] = (), is_local: bool = False, names: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[OutboundHttp]:
    """A client; ``names`` are the only ones that it can resolve, if given."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert names is not None
        return names.get(host, ())

    async with OutboundHttp(
        rules=AddressRules(allowed=allowed, is_loopback_allowed=is_local),
        max_connections=10,
        max_response_bytes=100_000,
        user_agent="test",
        resolve=resolve if names is not None else None,
    ) as client:
        yield client


async def refusal(client: OutboundHttp, url: str, **more: object) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await client.send(HttpRequest(method="GET", url=url, timeout_seconds=5, **more))  # type: ignore[arg-type]
    assert caught.value.fix is not None
    assert not caught.value.transient or caught.value.outbound_code == "connection_failed"
    return caught.value


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_an_inner_address_leads_there(spelling: str, target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]
    async with http() as client:
        error = await refusal(client, f"http://{spelling}:{port}/echo")
    assert error.outbound_code in ("address_not_allowed", "invalid_request", "connection_failed")
    assert target.received == []


async def test_the_refusal_names_the_setting_and_is_for_good(target: HttpTarget) -> None:
    async with http() as client:
        error = await refusal(client, target.url + "/echo")
    assert error.outbound_code == "address_not_allowed"
    assert not error.transient
    assert "JOBSPRINT_OUTBOUND_ALLOW" in str(error.fix)


async def test_loopback_is_reached_where_it_is_allowed(target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]
    async with http(is_local=True) as client:
        assert (await client.send(HttpRequest(method="GET", url=target.url + "/echo"))).status == 200
    async with http(allowed=[f"127.0.0.1:{port}"]) as client:
        assert (await client.send(HttpRequest(method="GET", url=target.url + "/echo"))).status == 200
    async with http(allowed=["127.0.0.1:1"]) as client:
        assert (await refusal(client, target.url)).outbound_code == "address_not_allowed"


async def test_a_name_with_one_inner_address_among_others_is_refused(target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]
    async with http(names={"mixed.example": ["8.8.8.8", "127.0.0.1"]}) as client:
        assert (await refusal(client, f"http://mixed.example:{port}/echo")).outbound_code == "address_not_allowed"
    assert target.received == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        # A rebinding name: the first answer passes, every further one would lead to another address.
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    rules = AddressRules(allowed=["127.0.0.0/8"], is_loopback_allowed=False)
    async with OutboundHttp(
        rules=rules, max_connections=10, max_response_bytes=1000, user_agent="test", resolve=resolve
    ) as client:
        for _ in range(3):  # on the same connection
            answer = await client.send(HttpRequest(method="GET", url=f"http://rebound.example:{port}/echo"))
            assert answer.status == 200
    assert asked == ["rebound.example"]
    assert target.received[0]["headers"]["host"] == f"rebound.example:{port}"


async def test_the_next_address_of_a_name_is_tried_where_the_first_does_not_answer(target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]
    async with http(is_local=True, names={"two.example": ["127.255.255.254", "127.0.0.1"]}) as client:
        assert (await client.send(HttpRequest(method="GET", url=f"http://two.example:{port}/echo"))).status == 200


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/echo",
        "//127.0.0.1:{port}/echo",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "ftp://x",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(location: str, target: HttpTarget) -> None:
    port = target.url.rpartition(":")[2]

    async def redirect(request: Request) -> Response:
        return RedirectResponse(location.format(port=port))

    async with listening(Starlette(routes=[Route("/", redirect)])) as url:
        here = url.rpartition(":")[2]
        async with http(allowed=[f"front.example:{here}"], names={"front.example": ["127.0.0.1"]}) as client:
            error = await refusal(client, f"http://front.example:{here}/")
    assert error.outbound_code in ("address_not_allowed", "invalid_request")
    assert target.received == []


async def test_a_redirect_to_another_origin_takes_no_secrets_along(target: HttpTarget) -> None:
    async def redirect(request: Request) -> Response:
        return RedirectResponse(target.url + "/echo")

    secrets = {"authorization": "Bearer s", "cookie": "a=s", "x-api-key": "s", "proxy-authorization": "s"}
    async with (
        listening(Starlette(routes=[Route("/", redirect, methods=["POST"])])) as url,
        http(is_local=True) as client,
    ):
        await client.send(
            HttpRequest(
                method="POST", url=url, headers={**secrets, "content-type": "text/plain", "accept": "a/b"}, body=b"x"
            )
        )
    headers = target.received[0]["headers"]
    assert not set(secrets) & set(headers)
    assert (headers["content-type"], headers["accept"]) == ("text/plain", "a/b")
    assert target.received[0]["body"] == "x"


async def test_a_redirect_within_the_origin_keeps_what_was_sent(target: HttpTarget) -> None:
    headers = {"authorization": "Bearer s", "x-api-key": "s"}
    async with http(is_local=True) as client:
        await client.send(HttpRequest(method="GET", url=target.url + "/redirect/echo", headers=headers))
        assert target.received[0]["headers"]["authorization"] == "Bearer s"
        assert target.received[0]["headers"]["x-api-key"] == "s"
        error = await refusal(client, target.url + "/redirect/loop")
        assert error.outbound_code == "too_many_redirects"
        request = HttpRequest(method="GET", url=target.url + "/redirect/echo", follow_redirects=False)
        assert (await client.send(request)).status == 307


async def test_cookies_of_one_request_are_not_in_the_next(target: HttpTarget) -> None:
    async def sets(request: Request) -> Response:
        answer = JSONResponse(dict(request.headers))
        answer.set_cookie("session", "secret")
        return answer

    async with listening(Starlette(routes=[Route("/", sets)])) as url, http(is_local=True) as client:
        first = await client.send(HttpRequest(method="GET", url=url))
        second = await client.send(HttpRequest(method="GET", url=url))
    assert "session" in first.headers["set-cookie"]
    assert b"cookie" not in second.body


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with http(is_local=True) as client:
        await client.send(HttpRequest(method="GET", url=target.url + "/echo"))
    assert "authorization" not in target.received[0]["headers"]


def _gzip_of(size: int) -> bytes:
    return gzip.compress(bytes(size), 9)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", lambda: _gzip_of(200 << 20)),
        ("deflate", lambda: zlib.compress(bytes(200 << 20), 9)),
        ("gzip, gzip", lambda: gzip.compress(_gzip_of(200 << 20), 9)),
        (", ".join(["gzip"] * 50), lambda: _gzip_of(1 << 20)),
    ],
    ids=["gzip", "deflate", "gzip in gzip", "fifty times"],
)
async def test_what_inflates_beyond_the_bound_is_cut_off_while_it_does(
    encoding: str, content: Callable[[], bytes]
) -> None:
    bomb = content()

    async def answer(request: Request) -> Response:
        return Response(bomb, headers={"content-encoding": encoding})

    async with listening(Starlette(routes=[Route("/", answer)])) as url, http(is_local=True) as client:
        started = time.perf_counter()
        error = await refusal(client, url)
        assert time.perf_counter() - started < 1
    assert error.outbound_code in ("response_too_large", "bad_response")


async def test_a_broken_encoding_is_said_to_be_broken() -> None:
    async def answer(request: Request) -> Response:
        return Response(b"not gzip at all", headers={"content-encoding": "gzip"})

    async with listening(Starlette(routes=[Route("/", answer)])) as url, http(is_local=True) as client:
        assert (await refusal(client, url)).outbound_code == "bad_response"


def _certificate(folder: Path, name: str) -> tuple[str, str]:
    """The files of a certificate that vouches for itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    Path(paths[0]).write_bytes(certificate.public_bytes(Encoding.PEM))
    Path(paths[1]).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_tls_asks_for_the_name_and_not_for_the_address(
    target: HttpTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _certificate(tmp_path, "named.example")
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    names = {"named.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    async with listening(target.app(), ssl_certfile=certificate, ssl_keyfile=key) as url:
        port = url.rpartition(":")[2]
        async with http(is_local=True, names=names) as client:
            answer = await client.send(HttpRequest(method="GET", url=f"https://named.example:{port}/echo"))
            assert answer.status == 200
            error = await refusal(client, f"https://other.example:{port}/echo")
    assert error.outbound_code == "connection_failed"
    assert "certificate" in error.message.lower() or "hostname" in error.message.lower()
