"""Bodies, heads, connections, CORS and the headers of answers, at an application behind the walls alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from server.settings.proxies import TrustedProxies
from server.walls.bodies import Bodies
from server.walls.bounded_protocol import MAX_HEAD_BYTES, bounded_protocol
from server.walls.guards import Guards
from server.walls.security_headers import SecurityHeaders
from tests.support.http_target import listening

ORIGIN = "https://app.example"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The client, and how the body came."""
    messages = 0
    size = 0
    if scope["method"] == "POST":
        while True:
            message = await receive()
            messages += 1
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
    body = json.dumps({"client": scope["client"][0], "messages": messages, "size": size}).encode()
    headers = [(b"content-type", b"application/json")]
    if scope["query_string"] == b"page":
        headers.append((b"content-security-policy", b"default-src 'self'"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def walled(app: ASGIApp = echo, *, proxies: tuple[str, ...] = ()) -> ASGIApp:
    bodies = Bodies(app, max_bytes=1_000_000, max_members=1_000)
    guards = Guards(bodies, hosts=["127.0.0.1:*"], origins=[ORIGIN], proxies=TrustedProxies(proxies))
    return SecurityHeaders(guards, is_https=True)


@asynccontextmanager
async def client(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    protocol = bounded_protocol(request_seconds=30, max_connections=100)
    async with (
        listening(app, http=protocol, proxy_headers=False) as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "code"),
    [
        ("/api/x", b"[" * 900, {}, 400, "json_too_deep"),
        ("/api/x", b"[" + b"1," * 1_000 + b"1]", {}, 413, "json_too_many_members"),
        ("/api/x", b" " * 1_000_001, {}, 413, "body_too_large"),
        ("/api/x", b"x", {"content-encoding": "gzip"}, 415, "encoded_body"),
        ("/api/x", b"x", {"content-encoding": "GZIP, identity"}, 415, "encoded_body"),
        ("/webhooks/x", b"[" * 1_000, {"content-type": "application/json"}, 400, "json_too_deep"),
        ("/webhooks/x", b"[" * 1_000, {"content-type": "application/cloudevents+JSON"}, 400, "json_too_deep"),
        ("/api/x?" + "a" * 9_000, b"", {}, 414, "address_too_long"),
        ("/api/x", b"", {"x-long": "a" * 20_000}, 431, "head_too_large"),
        ("/api/x", b"", {f"x-{n}": "a" for n in range(101)}, 431, "head_too_large"),
    ],
)
async def test_what_is_too_much_is_refused(
    path: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with client(walled()) as http:
        answer = await http.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fix"]


async def test_mcp_clients_are_told_in_their_own_form() -> None:
    async with client(walled()) as http:
        answer = await http.post("/mcp", content=b"[" * 1_000)
    assert answer.status_code == 400
    content = answer.json()
    assert (content["jsonrpc"], content["id"], content["error"]["code"]) == ("2.0", None, -32600)
    assert content["error"]["data"]["code"] == "json_too_deep"
    assert content["error"]["data"]["fix"]


async def test_a_body_arrives_whole_however_it_was_sent() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"1" * 1_000

    async with client(walled()) as http:
        answer = await http.post("/api/x", content=chunks())
        assert answer.json()["size"] == 5_000
        assert answer.json()["messages"] == 1
        assert (await http.post("/webhooks/x", content=b"[" * 1_000)).status_code == 200  # text is not looked into
        assert (await http.get("/api/x")).status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with listening(walled(), http=bounded_protocol(request_seconds=0.05, max_connections=10)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /x HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n\r\nabc".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answer


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A"])
async def test_a_head_that_does_not_end_is_not_waited_for(start: bytes) -> None:
    async with listening(echo, http=bounded_protocol(request_seconds=0.05, max_connections=10)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(start)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"head_too_slow" in answer


async def test_a_second_head_that_does_not_end_is_not_waited_for_either() -> None:
    async with listening(echo, http=bounded_protocol(request_seconds=0.05, max_connections=10)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"}"), 5)
        writer.write(b"GET / HT")
        assert b"head_too_slow" in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_head_without_an_end_is_cut_off_at_its_bound() -> None:
    async with listening(echo, http=bounded_protocol(request_seconds=30, max_connections=10)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * (MAX_HEAD_BYTES + 1))
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"head_too_large" in answer


async def test_what_is_no_http_is_told_so() -> None:
    async with listening(echo, http=bounded_protocol(request_seconds=30, max_connections=10)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"bad_http" in answer


async def test_connections_beyond_the_bound_are_refused_and_the_others_served() -> None:
    async with listening(echo, http=bounded_protocol(request_seconds=30, max_connections=2)) as url:
        host, port = url.removeprefix("http://").split(":")
        kept = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"too_many_connections" in answer
        kept[0][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(kept[0][0].readuntil(b"}"), 5)).startswith(b"HTTP/1.1 200")
        for each in (writer, *(writer for _, writer in kept)):
            each.close()


async def test_every_answer_tells_browsers_what_they_may_not_do() -> None:
    async with client(walled()) as http:
        for answer in (
            await http.get("/api/x"),
            await http.get("/api/x", headers={"host": "evil.example"}),
            await http.post("/api/x", content=b"[" * 1_000),
        ):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert "max-age" in answer.headers["strict-transport-security"]
        page = await http.get("/x?page")
        assert page.headers["content-security-policy"] == "default-src 'self'"


async def test_pages_of_workflows_have_an_origin_of_their_own() -> None:
    async with client(walled()) as http:
        policies = (await http.get("/webhooks/x?page")).headers.get_list("content-security-policy")
    assert len(policies) == 2
    assert policies[1].startswith("sandbox ")
    assert "allow-same-origin" not in policies[1]


async def test_a_preflight_of_an_allowed_origin_is_answered_before_anybody_is_asked_who_they_are() -> None:
    async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the preflight came through")

    wanted = {"access-control-request-method": "POST", "origin": ORIGIN}
    asked = "authorization, mcp-protocol-version, Mcp-Param-Region, x-other, mcp-param-\u00e4".encode("latin-1")
    async with client(walled(nobody)) as http:
        answer = await http.options("/mcp", headers={**wanted, b"access-control-request-headers": asked})  # type: ignore[dict-item]
        refused = await http.options("/mcp", headers={**wanted, "origin": "https://evil.example"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, mcp-protocol-version, mcp-param-region"
    assert "access-control-allow-credentials" not in answer.headers
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_a_page_of_an_allowed_origin_can_read_answers_and_no_other() -> None:
    async with client(walled()) as http:
        answer = await http.get("/api/x", headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "mcp-session-id" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        stranger = await http.get("/webhooks/x", headers={"origin": "https://evil.example"})
        assert stranger.status_code == 200
        assert "access-control-allow-origin" not in stranger.headers
        assert (await http.get("/api/x", headers={"origin": "null"})).status_code == 403


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client_address"),
    [
        ((), "1.2.3.4", "127.0.0.1"),
        (("127.0.0.1",), "1.2.3.4", "1.2.3.4"),
        (("127.0.0.0/8",), "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (("127.0.0.0/8", "10.0.0.0/8"), "6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4"),
        (("127.0.0.0/8",), "nonsense", "127.0.0.1"),
        (("127.0.0.0/8",), "", "127.0.0.1"),
        (("127.0.0.0/8",), "1.2.3.4, nonsense", "127.0.0.1"),
        (("10.0.0.0/8",), "1.2.3.4", "127.0.0.1"),
    ],
)
async def test_only_proxies_that_are_trusted_say_who_the_client_is(
    proxies: tuple[str, ...], forwarded: str, client_address: str
) -> None:
    async with client(walled(proxies=proxies)) as http:
        answer = await http.get("/x", headers={"x-forwarded-for": forwarded})
    assert answer.json()["client"] == client_address
