"""MCP servers at an address, over streamable HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AfterValidator, Field

from integrations.credential_headers import CredentialHeaders
from integrations.mcp.authorization import AuthorizingTransport
from integrations.mcp.exchanges import NotingTransport
from integrations.mcp.sessions import McpSession, client_of
from integrations.settings import ConnectionSettings, settings_of
from workflow.connections import Connection
from workflow.credential_forms import https_address
from workflow.credentials import CredentialRef, Vault
from workflow.items import JsonObject


class HttpSettings(ConnectionSettings):
    """Settings of kind ``mcp``."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)] = Field(
        description="The server's endpoint; https://."
    )


def http_settings(document: Mapping[str, Any]) -> JsonObject:
    """The settings of kind ``mcp`` as they are kept.

    Raises:
        InvalidArgumentsError: they do not fit.
    """
    return settings_of(HttpSettings, document)


class OverHttp:
    """Opens clients; all of them send by ``transport``. An :data:`~integrations.mcp.sessions.Open`."""

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport,
        *,
        vault: Vault,
        headers: CredentialHeaders,
        info: types.Implementation,
        max_bytes: int,
    ) -> None:
        self._transport = transport
        self._vault = vault
        self._headers = headers
        self._info = info
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def __call__(self, connection: Connection, session: McpSession) -> AsyncIterator[Client]:
        http = httpx2.AsyncClient(
            transport=self._sending(connection),
            headers={"user-agent": f"{self._info.name}/{self._info.version}"},
            trust_env=False,
            timeout=None,  # each call brings its own, for the whole exchange
        )
        async with http:
            server = streamable_http_client(connection.settings["url"], http_client=http)
            async with client_of(server, session, self._info) as client:
                yield client

    def _sending(self, connection: Connection) -> httpx2.AsyncBaseTransport:
        inner: httpx2.AsyncBaseTransport = _Shared(self._transport)
        if connection.credential is not None:
            ref = CredentialRef(owner=connection.owner, name=connection.credential)
            inner = AuthorizingTransport(inner, ref=ref, vault=self._vault, headers=self._headers)
        return NotingTransport(inner, max_bytes=self._max_bytes)


class _Shared(httpx2.AsyncBaseTransport):
    """A transport that outlives the clients which use it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        return await self._inner.handle_async_request(request)
