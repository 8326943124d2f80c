"""Requests to servers that do not keep to the protocol, byte by byte: each ends with a failure that says what is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from workflow.errors import OutboundError
from workflow.ports import HttpRequest, HttpResponse

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def raw(serve: Serve) -> AsyncIterator[str]:
    """A server that does with each connection what ``serve`` does; its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.fixture
async def client() -> AsyncIterator[OutboundHttp]:
    """The client, which reads 100 kB of an answer at most."""
    rules = AddressRules(allowed=(), is_loopback_allowed=True)
    async with OutboundHttp(rules=rules, max_connections=5, max_response_bytes=100_000, user_agent="test") as made:
        yield made


def saying(*pieces: bytes, pause: float = 0.0) -> Serve:
    """Answer a request with these pieces, and close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return serve


async def ask(client: OutboundHttp, url: str, method: str = "GET", **members: object) -> HttpResponse:
    """What comes of a request."""
    return await client.send(HttpRequest(method=method, url=url, timeout_seconds=5, **members))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_fails_and_may_have_been_sent(
    answer: bytes, client: OutboundHttp
) -> None:
    async with raw(saying(answer)) as url:
        with pytest.raises(OutboundError) as caught:
            await ask(client, url, "POST", body=b"{}")
    error = caught.value
    assert (error.outbound_code, error.transient, error.was_sent) == ("connection_failed", True, True)


async def test_where_nobody_listens_nothing_was_sent(client: OutboundHttp) -> None:
    async with raw(saying(OK)) as url:
        pass
    with pytest.raises(OutboundError) as caught:
        await ask(client, url, "POST", body=b"{}")
    assert (caught.value.outbound_code, caught.value.was_sent) == ("connection_failed", False)


async def test_an_answer_without_a_length_ends_where_the_connection_does(client: OutboundHttp) -> None:
    async with raw(saying(b"HTTP/1.0 200 OK\r\n\r\n", b"all ", b"of it")) as url:
        assert (await ask(client, url)).body == b"all of it"


async def test_interim_answers_are_skipped(client: OutboundHttp) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    async with raw(saying(b"HTTP/1.1 100 Continue\r\n\r\n", hints, OK)) as url:
        assert (await ask(client, url)).body == b"ok"


async def test_headers_without_an_end_are_not_read_for_ever(client: OutboundHttp) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(b"x-%d: %s\r\n" % (number, b"y" * 50))
            await writer.drain()

    async with raw(serve) as url:
        with pytest.raises(OutboundError) as caught:
            await ask(client, url)
    assert caught.value.outbound_code == "connection_failed"


async def test_one_header_may_be_long_and_one_without_an_end_may_not(client: OutboundHttp) -> None:
    long = b"HTTP/1.1 200 OK\r\nx-policy: %s\r\ncontent-length: 2\r\n\r\nok"
    async with raw(saying(long % (b"p" * 40_000))) as url:
        assert (await ask(client, url)).headers["x-policy"] == "p" * 40_000
    async with raw(saying(long % (b"p" * 400_000))) as url:
        with pytest.raises(OutboundError):
            await ask(client, url)


async def test_a_body_that_drips_ends_with_the_timeout(client: OutboundHttp) -> None:
    async with raw(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", *[b"x"] * 500, pause=0.05)) as url:
        with pytest.raises(OutboundError) as caught:
            await client.send(HttpRequest(method="GET", url=url, timeout_seconds=0.3))
    assert caught.value.outbound_code == "timeout"


async def test_a_body_without_an_end_is_cut_at_the_bound(client: OutboundHttp) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await writer.drain()

    async with raw(serve) as url:
        with pytest.raises(OutboundError) as caught:
            await ask(client, url)
    assert caught.value.outbound_code == "response_too_large"


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_request(client: OutboundHttp) -> None:
    """The server closes each connection behind its answer without saying so: every POST arrives once."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.append(await reader.readexactly(2))
        assert b"content-length: 2" in head.lower()
        writer.write(OK)
        await writer.drain()

    async with raw(serve) as url:
        for _ in range(20):
            assert (await ask(client, url, "POST", body=b"{}")).status == 200
            await asyncio.sleep(0.005)
    assert received == [b"{}"] * 20


async def test_connections_are_kept_and_used_again(client: OutboundHttp) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()

    async with raw(serve) as url:
        for _ in range(10):
            await ask(client, url)
    assert connections == 1


async def test_bytes_behind_an_answer_are_not_the_next_one(client: OutboundHttp) -> None:
    """A server that sends a second answer nobody asked for does not have it read as that of the next request."""
    answers = iter([OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", OK])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(next(answers))
            await writer.drain()

    async with raw(serve) as url:
        assert (await ask(client, url)).body == b"ok"
        await asyncio.sleep(0.02)
        assert (await ask(client, url)).body == b"ok"


@pytest.mark.parametrize(
    "members",
    [
        {"headers": {"x": "a\r\nhost: evil"}},
        {"headers": {"x\r\nevil: 1": "a"}},
        {"headers": {"x": "a\nb"}},
        {"method": "GET / HTTP/1.1\r\nevil: 1\r\n\r\nGET"},
        {"method": ""},
    ],
)
async def test_nothing_breaks_out_of_its_line(members: dict[str, object], client: OutboundHttp) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with raw(serve) as url:
        with pytest.raises(OutboundError) as caught:
            await ask(client, url, **{"method": "GET", **members})  # type: ignore[arg-type]
    assert caught.value.outbound_code == "invalid_request"
    assert heads == []


async def test_a_large_body_arrives_whole_with_its_length(client: OutboundHttp) -> None:
    sizes: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        (length,) = [int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        sizes.append(len(await reader.readexactly(length)))
        assert b"content-type" not in head
        writer.write(OK)
        await writer.drain()

    async with raw(serve) as url:
        await ask(client, url, "POST", body=b"x" * 3_000_000)
        await ask(client, url, "POST", body=b"x")
        await ask(client, url, "POST")
    assert sizes == [3_000_000, 1, 0]
