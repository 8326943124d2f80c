"""Lines of standard input that are no messages: each is answered, and the server goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from pydantic import ValidationError

from server.mcp.stdio_lines import answer_to
from tests.support.server_process import JOBSPRINT, environment

CALL = '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "find_nodes", "arguments": {"query": '


def answered(line: str) -> dict[str, Any] | None:
    """The answer to a line that the SDK cannot read."""
    with pytest.raises(ValidationError) as caught:
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    error = answer_to(caught.value)
    return None if error is None else json.loads(error.model_dump_json(by_alias=True, exclude_unset=True))


@pytest.mark.parametrize(
    ("line", "call_id", "code"),
    [
        (CALL + r'"cut \ud83d"}}}', 7, types.PARSE_ERROR),
        (CALL + r'"cut \ude00 behind"}}}', 7, types.PARSE_ERROR),
        (r'{"jsonrpc": "2.0", "id": "a", "method": "x", "params": {"\ud83d": 1}}', "a", types.PARSE_ERROR),
        (r'{"jsonrpc": "2.0", "id": "\ud83d", "method": "x"}', "?", types.PARSE_ERROR),
        (r'{"params": {"text": "\ud83d"}, "method": "x", "id": 7, "jsonrpc": "2.0"}', 7, types.PARSE_ERROR),
        (CALL + '"cut', 7, types.PARSE_ERROR),
        (CALL + "oops}}}", 7, types.PARSE_ERROR),
        ('{"jsonrpc": "2.0", "id": 7, "method": "x", "params": ' + "[" * 5_000, 7, types.PARSE_ERROR),
        ("garbage", None, types.PARSE_ERROR),
        ("{", None, types.PARSE_ERROR),
        ('{"params": {oops}, "id": 7}', None, types.PARSE_ERROR),
        ('{"jsonrpc": "2.0", "id": 7, "result": {oops}}', None, types.PARSE_ERROR),
        ('{"jsonrpc": "2.0", "id": [7], "method": "x", oops', None, types.PARSE_ERROR),
        ('{"id": 7, "method": "x"}', 7, types.INVALID_REQUEST),
        ('{"jsonrpc": "1.0", "id": "b", "method": "x"}', "b", types.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": 7, "method": "x", "params": [1]}', 7, types.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": 7, "result": 5}', None, types.INVALID_REQUEST),
        ('[{"jsonrpc": "2.0", "id": 7, "method": "x"}]', None, types.INVALID_REQUEST),
        ('"hello"', None, types.INVALID_REQUEST),
        ("7", None, types.INVALID_REQUEST),
    ],
)
def test_a_line_that_is_no_message_is_answered_with_the_id_where_it_can_be_read(
    line: str, call_id: Any, code: int
) -> None:
    answer = answered(line)
    assert answer is not None
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", call_id, code)
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    "line", ["\n", "  \t\n", r'{"jsonrpc": "2.0", "method": "notifications/x", "params": {"text": "\ud83d"}}']
)
def test_an_empty_line_and_a_notification_get_no_answer(line: str) -> None:
    assert answered(line) is None


def test_the_reason_of_half_a_character_says_what_to_send() -> None:
    answer = answered(CALL + r'"cut \ud83d"}}}')
    assert answer is not None
    assert "surrogate pair" in answer["error"]["message"]
    assert "whole characters" in answer["error"]["message"]


@asynccontextmanager
async def serving(data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server over standard input and output."""
    process = await asyncio.create_subprocess_exec(
        JOBSPRINT,
        "stdio",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(data_dir, {"JOBSPRINT_LOG_LEVEL": "error"}),
    )
    try:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def exchange(process: asyncio.subprocess.Process, line: bytes) -> dict[str, Any]:
    """Send a line, and read the next one that comes."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + b"\n")
    await process.stdin.drain()
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    return answer


@pytest.mark.parametrize("is_open", [True, False])
async def test_the_server_answers_each_line_and_goes_on(tmp_path: Path, is_open: bool) -> None:
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    initialize = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode()
    async with serving(tmp_path / "data") as process:
        if is_open:
            assert (await exchange(process, initialize))["id"] == 1
        assert (await exchange(process, b"garbage"))["error"]["code"] == types.PARSE_ERROR
        half = await exchange(process, (CALL + r'"cut \ud83d"}}}').encode())
        assert (half["id"], half["error"]["code"]) == (7, types.PARSE_ERROR)
        if not is_open:
            assert (await exchange(process, initialize))["id"] == 1
        assert process.stdin is not None
        process.stdin.write(b'\n{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        # A byte that is no UTF-8 is read as U+FFFD, as before.
        fine = await exchange(process, (CALL + '"cut ').encode() + b"\xeb" + b'"}}}')
        assert fine["id"] == 7
        assert "result" in fine
