"""How requests leave the process, put together: addresses checked, breakers, credentials added at the last moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from integrations.addresses import AddressRules
from integrations.breakers import BreakerHttpClient
from integrations.credential_headers import CredentialHeaders
from integrations.credential_http import CredentialHttpClient
from integrations.outbound_http import OutboundHttp
from server.assembly.foundation import Foundation
from server.settings.settings import Settings
from server.settings.vault_keys import key_sources
from server.version import PROGRAM
from storage.secrets.action_notes import SqlActionNotes
from storage.secrets.connections import SqlConnections
from storage.secrets.keys import VaultKeys
from storage.secrets.vault import SqlVault
from workflow.ports import HttpClient


@dataclass(slots=True, frozen=True, kw_only=True)
class Outgoing:
    """Requests leave by ``sender`` with credentials, by ``guarded`` without, both past the breakers; by ``wire`` past
    none. ``headers`` makes headers of the credentials in ``vault``; ``connections`` are those that grants belong to,
    ``action_notes`` what is known of their actions."""

    sender: CredentialHttpClient
    guarded: HttpClient
    wire: OutboundHttp
    headers: CredentialHeaders
    vault: SqlVault
    connections: SqlConnections
    action_notes: SqlActionNotes


@asynccontextmanager
async def running_outgoing(settings: Settings, foundation: Foundation) -> AsyncIterator[Outgoing]:
    """All of it, until the context is left.

    Raises:
        VaultKeyError: the keys of the vault cannot be read or made.
    """
    rules = AddressRules(allowed=settings.outbound_allow, is_loopback_allowed=settings.is_local)
    async with OutboundHttp(
        rules=rules,
        max_connections=settings.http_max_connections,
        max_response_bytes=settings.http_max_response_bytes,
        user_agent=PROGRAM,
    ) as wire:
        keys = VaultKeys(key_sources(settings).load)
        vault = SqlVault(foundation.database, keys=keys, clock=foundation.clock, new_id=foundation.new_id)
        connections = SqlConnections(foundation.database, keys=keys)
        # The breakers are inside, so that they see each request of a redirect, and those for access tokens.
        guarded = BreakerHttpClient(wire)
        headers = CredentialHeaders.over(guarded, vault=vault, claims=connections, clock=foundation.clock)
        yield Outgoing(
            sender=CredentialHttpClient(guarded, vault=vault, headers=headers),
            guarded=guarded,
            wire=wire,
            headers=headers,
            vault=vault,
            connections=connections,
            action_notes=SqlActionNotes(foundation.database),
        )
