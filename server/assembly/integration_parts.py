"""Connections to other people's systems, put together: what reaches each kind, and what nodes, tools and REST call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import mcp_types as types

from integrations.actions import ConnectedActions, running_actions
from integrations.apis.smtp import Smtp
from integrations.apis.sources import Connectors, OpenApis
from integrations.connection_events import ConnectionEvents
from integrations.connections import Connections
from integrations.credentials import Credentials
from integrations.mcp.http import OverHttp
from integrations.mcp.kinds import HttpServers, Programs
from integrations.mcp.programs import OverStdio
from integrations.mcp.sessions import McpSessions
from integrations.oauth.authorizations import Authorizations
from integrations.secret_links import SecretLinks
from integrations.sources import Sources
from integrations.zapier import Zapier
from server.assembly.foundation import Foundation
from server.assembly.outgoing import Outgoing
from server.settings.secret_key import derived_key
from server.settings.settings import Settings
from server.version import VERSION
from storage.secrets.secret_links import SqlUsedLinks
from workflow.connections import Connection


@dataclass(slots=True, frozen=True, kw_only=True)
class Integrations:
    """What nodes, tools and edges call."""

    connections: Connections
    actions: ConnectedActions
    authorizations: Authorizations
    credentials: Credentials
    secret_links: SecretLinks


@asynccontextmanager
async def running_integrations(
    settings: Settings, foundation: Foundation, *, outgoing: Outgoing, has_http: bool
) -> AsyncIterator[Integrations]:
    """All of it, with sessions and programs, until the context is left."""
    clock, new_id, store, vault = foundation.clock, foundation.new_id, outgoing.connections, outgoing.vault
    events = ConnectionEvents(bus=foundation.bus, clock=clock, new_id=new_id)
    info = types.Implementation(name="jobsprint", version=VERSION)
    async with AsyncExitStack() as stack:
        over_http = OverHttp(
            outgoing.wire.transport,
            vault=vault,
            headers=outgoing.headers,
            info=info,
            max_bytes=settings.http_max_response_bytes,
        )
        over_stdio = OverStdio(settings.mcp_programs, info=info)
        changed: list[ConnectedActions] = []

        def on_tools_changed(connection: Connection) -> None:
            for each in changed:
                each.note_changed(connection)

        http_sessions = await stack.enter_async_context(
            McpSessions(over_http, on_tools_changed=on_tools_changed, most=settings.mcp_sessions)
        )
        programs = await stack.enter_async_context(
            McpSessions(over_stdio, on_tools_changed=on_tools_changed, most=settings.mcp_sessions)
        )
        sources: Sources = {
            "zapier": Zapier(http_sessions),
            "mcp": HttpServers(http_sessions),
            "program": Programs(programs, over_stdio),
            "openapi": OpenApis(outgoing.sender),
            "connector": Connectors(outgoing.sender, smtp=Smtp(outgoing.wire.backend, vault=vault)),
        }
        actions = await stack.enter_async_context(
            running_actions(store=store, notes=outgoing.action_notes, sources=sources, events=events, clock=clock)
        )
        changed.append(actions)
        authorizations = Authorizations(
            store=store,
            vault=vault,
            http=outgoing.guarded,
            clock=clock,
            base_url=settings.base_url if has_http else None,
        )
        connections = Connections(
            store=store,
            sources=sources,
            actions=actions,
            authorizer=authorizations,
            vault=vault,
            audit=foundation.audit,
            events=events,
            clock=clock,
            new_id=new_id,
        )
        credentials = Credentials(vault=vault, http=outgoing.sender, audit=foundation.audit)
        yield Integrations(
            connections=connections,
            actions=actions,
            authorizations=authorizations,
            credentials=credentials,
            secret_links=SecretLinks(
                connections=connections,
                sources=sources,
                credentials=credentials,
                vault=vault,
                used=SqlUsedLinks(foundation.database),
                key=derived_key(foundation.secret, "secret-links"),
                clock=clock,
                new_id=new_id,
                base_url=settings.base_url if has_http else None,
            ),
        )
