"""Drives the Python SDK's client with its own OAuth: it prints where its user has to go, and makes the given calls."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


class Memory:
    """Keeps tokens and client as long as the process lives."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep them."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """The client."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep it."""
        self.client = client_info


class Callback:
    """The one page that this program serves: the browser brings the code there."""

    def __init__(self) -> None:
        self.brought: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def serve(self) -> int:
        """Listen; the port."""
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        if path.startswith("/callback"):
            query = parse_qs(urlsplit(path).query)
            self.brought.put_nowait({name: values[0] for name, values in query.items()})
        body = b"You can close this page."
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


async def main(target: dict[str, Any]) -> None:
    """Connect, and make the calls."""
    memory, callback = Memory(), Callback()
    redirect_uri = f"http://127.0.0.1:{await callback.serve()}/callback"

    is_alone = False

    async def send_user(url: str) -> None:
        answer({"authorize": url})
        if is_alone:
            raise OAuthFlowError("the user has left")

    async def wait_for_user() -> AuthorizationCodeResult:
        brought = await callback.brought.get()
        return AuthorizationCodeResult(code=brought["code"], state=brought.get("state"), iss=brought.get("iss"))

    metadata: dict[str, Any] = {"client_name": "python-sdk", "redirect_uris": [redirect_uri]}
    if target.get("public"):
        metadata["token_endpoint_auth_method"] = "none"
    provider = OAuthClientProvider(
        target["url"],
        OAuthClientMetadata.model_validate(metadata),
        memory,
        redirect_handler=send_user,
        callback_handler=wait_for_user,
        client_metadata_url=target.get("client_metadata_url"),
    )
    mode = "legacy" if target["protocol"] < "2026" else target["protocol"]
    async with (
        httpx2.AsyncClient(auth=provider, timeout=60) as http,
        Client(streamable_http_client(target["url"], http_client=http), mode=mode) as client,
    ):
        # A client with a configured protocol version connects without a request.
        await client.list_tools()
        answer({"protocol": client.protocol_version})
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            try:
                if call["method"] == "leave":
                    is_alone = True
                    answer({"result": {}})
                elif call["method"] == "tokens":
                    assert memory.tokens is not None
                    answer({"result": {**memory.tokens.model_dump(), "client_id": memory.client.client_id}})
                else:
                    result = await client.call_tool(call["params"]["name"], call["params"]["arguments"])
                    answer({"result": result.model_dump(mode="json", by_alias=True, exclude_none=True)})
            except Exception as error:
                answer({"error": f"{type(error).__name__}: {error}"})


def answer(message: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
