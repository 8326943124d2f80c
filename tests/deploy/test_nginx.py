"""The configuration of nginx, in a real one: HTTP/2, streams, WebSockets, limits, and a server that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.nginx import nginx_before
from tests.support.ports import free_port


@dataclass(eq=False)
class Upstream:
    """A server as nginx sees one: it notes what came, streams at /mcp, and takes WebSockets at /ws."""

    name: str
    port: int = field(default_factory=free_port)
    requests: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                self.requests.append(head)
                await self._respond(head.split()[1], reader, writer)
        writer.close()

    async def _respond(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path == "/ws":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            writer.write((await reader.readexactly(4))[::-1])
        elif path == "/mcp":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"5\r\none\n\n\r\n")
            await writer.drain()
            await self.go_on.wait()
            writer.write(b"5\r\ntwo\n\n\r\n0\r\n\r\n")
        else:
            body = self.name.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        """The server at work."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            self.go_on.set()
            server.close()
            for writer in self.writers:
                writer.close()


@dataclass(slots=True, kw_only=True)
class Proxy:
    """nginx before two servers, of which only those are there that a test starts."""

    port: int
    one: Upstream
    two: Upstream

    async def curl(self, path: str, *arguments: str) -> str:
        """What curl prints."""
        command = [
            "curl",
            "--silent",
            "--insecure",
            "--max-time",
            "20",
            *arguments,
            f"https://127.0.0.1:{self.port}{path}",
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        return said.decode()


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    """nginx before two servers of the test's own."""
    one, two = Upstream("one"), Upstream("two")
    async with nginx_before(one.port, two.port, tmp_path) as port:
        yield Proxy(port=port, one=one, two=two)


async def test_callers_speak_http_2_and_servers_learn_who_they_are(proxy: Proxy) -> None:
    async with proxy.one.serving(), proxy.two.serving():
        said = await proxy.curl(
            "/api/workflows", "--http2", "--write-out", " %{http_version}", "-H", "X-Forwarded-For: 9.9.9.9"
        )
        assert said in ("one 2", "two 2")
        (head,) = [*proxy.one.requests, *proxy.two.requests]
        assert "X-Forwarded-For: 127.0.0.1\r\n" in head, "nobody can say to be somebody else"
        assert "X-Forwarded-Proto: https\r\n" in head


async def test_every_event_of_a_stream_goes_out_as_it_comes(proxy: Proxy) -> None:
    async with proxy.one.serving(), proxy.two.serving():
        command = ["curl", "-sNk", f"https://127.0.0.1:{proxy.port}/mcp"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(10):
            assert await process.stdout.readexactly(5) == b"one\n\n"
            for upstream in (proxy.one, proxy.two):
                upstream.go_on.set()
            assert await process.stdout.read() == b"two\n\n"
        await process.wait()


async def test_websockets_pass(proxy: Proxy) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with proxy.one.serving(), proxy.two.serving(), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context)
        writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"gnip"
        writer.close()


async def test_when_one_server_is_away_no_request_fails(proxy: Proxy) -> None:
    async with proxy.two.serving():
        async with proxy.one.serving():
            assert {await proxy.curl("/webhooks/x", "-d", "{}") for _ in range(30)} == {"one", "two"}
        assert {await proxy.curl("/webhooks/x", "-d", "{}") for _ in range(30)} == {"two"}


async def test_a_session_stays_with_its_server(proxy: Proxy) -> None:
    async with proxy.one.serving(), proxy.two.serving():
        there = {await proxy.curl("/api/x", "-H", "Mcp-Session-Id: s1") for _ in range(10)}
        assert len(there) == 1
        assert {await proxy.curl("/api/x") for _ in range(30)} == {"one", "two"}


async def test_webhooks_have_limits(proxy: Proxy, tmp_path: Path) -> None:
    async with proxy.one.serving(), proxy.two.serving():
        large = tmp_path / "large"
        large.write_bytes(b"x" * (6 << 20))
        code = await proxy.curl("/webhooks/x", "--data-binary", f"@{large}", "-o", "/dev/null", "-w", "%{http_code}")
        assert code == "413"
        burst = await proxy.curl(
            "/webhooks/[1-400]", "--parallel", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code} "
        )
        assert set(burst.split()) == {"200", "429"}


async def test_what_is_for_operators_is_not_for_the_world(proxy: Proxy) -> None:
    async with proxy.one.serving(), proxy.two.serving():
        assert await proxy.curl("/readyz", "-o", "/dev/null", "-w", "%{http_code}") == "404"
