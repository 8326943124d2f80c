"""Real examples of the codes of models, provoked at a server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server.assembly.model_parts import running_ai
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from workflow.chat import Asker, ChatRequest, Message, ModelError

Example = dict[str, Any]

SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
ANSWERS: dict[str, tuple[str, Any]] = {
    "model_unavailable": ("503 Service Unavailable", {"error": {"message": "The model is overloaded."}}),
    "model_rate_limited": ("429 Too Many Requests", {"error": {"message": "Too many requests."}}),
    "model_quota_exceeded": ("402 Payment Required", {"error": {"message": "Insufficient credits."}}),
    "model_rejected": ("401 Unauthorized", {"error": {"message": "Incorrect API key provided."}}),
    "model_refused": ("200 OK", {"message": {"refusal": "I cannot help with that."}}),
    "model_answer_invalid": ("200 OK", {"message": {"content": '{"sum": 3}'}}),
    "model_limit_reached": ("200 OK", {"message": {"content": "fine"}}),
    "model_timeout": ("200 OK", None),
}


async def model_examples() -> dict[str, Example]:
    """An example of each code, with the members that a node's failure has."""
    clock = SystemClock()
    found: dict[str, Example] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with Database(f"sqlite:///{Path(folder) / 'models.db'}") as database, _provider() as url:
            await migrate(database)
            settings = Settings(
                models=("shop/fine",), model_providers={"shop": {"base_url": url}}, ai_workflow_tokens_per_day=10
            )
            new_id = UuidFactory(clock=clock)
            async with running_ai(settings, database, clock=clock, new_id=new_id, user_agent="jobsprint") as ai:
                for code in ANSWERS:
                    found[code] = await _failure(ai.models, _request(code, workflow_id=new_id(), model=f"shop/{code}"))
                found["no_model"] = await _failure(
                    ai.models, _request("no_model", workflow_id=new_id(), model="shopp/fine")
                )
    return found


def _request(code: str, *, workflow_id: str, model: str) -> ChatRequest:
    return ChatRequest(
        asker=Asker("local", "local", workflow_id),
        messages=[Message(role="user", content="How much is it in all?")],
        models=[model],
        schema=SCHEMA if code == "model_answer_invalid" else None,
        timeout_seconds=0.1 if code == "model_timeout" else 30,
    )


async def _failure(models: Any, request: ChatRequest) -> Example:
    for _ in range(2):  # a limit is only reached once something was used
        try:
            await models.chat(request)
        except ModelError as error:
            return {
                "code": error.model_code,
                "message": error.message,
                "fix": error.fix,
                "transient": error.transient,
            }
    raise AssertionError(f"{request.models} has not failed")


@asynccontextmanager
async def _provider() -> AsyncIterator[str]:
    """A provider of models whose names say what they answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].split()[0])
                status, body = ANSWERS[json.loads(await reader.readexactly(length))["model"]]
                if body is None:
                    await reader.read()  # until the other side has gone
                    break
                if "message" in body:
                    body = {"choices": [{**body, "finish_reason": "stop"}]}
                content = json.dumps(body).encode()
                head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
                writer.write(head.encode() + content)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1"
