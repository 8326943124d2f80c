"""What a request must be like before any route sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.support.server_process import ServerProcess


@pytest.mark.parametrize("path", ["/mcp", "/api/workflows", "/healthz"])
async def test_another_sites_name_for_this_host_is_refused(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("path", ["/mcp", "/api/workflows"])
async def test_pages_of_another_origin_are_refused(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.post(path, json={}, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    local = await http.get("/api/workflows", headers={"origin": "http://localhost:3000"})
    assert local.status_code == 200


async def test_blanks_around_header_values_do_not_count(server: ServerProcess) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}:{port} \t \r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200")


async def test_large_bodies_are_refused_whether_they_say_their_length_or_not(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1_000

    with ServerProcess(tmp_path, {"JOBSPRINT_REQUEST_MAX_BYTES": "10000"}) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            for content in (b" " * 20_000, chunks()):
                answer = await client.post("/api/workflows", content=content)
                assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            small = await client.post("/api/workflows", content=json.dumps({"name": "x"}))
            assert small.status_code == 400
