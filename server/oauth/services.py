"""Puts the authorization server together."""

from __future__ import annotations

from starlette.routing import Route

from server.auth.services import AuthServices
from server.oauth.assertions import Assertions
from server.oauth.authorization import Authorization
from server.oauth.authorization_requests import AuthorizationRequests
from server.oauth.client_authentication import ClientAuthentication
from server.oauth.clients import Clients
from server.oauth.documents import ClientDocuments
from server.oauth.grants import Grants
from server.oauth.machines import Machines
from server.oauth.metadata import ResourceMetadata, ServerMetadata
from server.oauth.registration import Registration
from server.oauth.resources import ResourceIndicators
from server.oauth.tokens import TokenEndpoint
from server.oauth.visitors import Visitors
from server.settings.addresses import Addresses
from server.settings.settings import Settings
from server.walls.guards import allowed_hosts
from storage.database.database import Database
from storage.people.oauth import SqlAuthorizationCodes, SqlOAuthClients
from workflow.audit import AuditLog
from workflow.ports import Clock, HttpClient, NewId


class EmbeddedServer:
    """The parts of the embedded authorization server. ``http`` has to refuse addresses that are not public."""

    def __init__(
        self,
        settings: Settings,
        *,
        auth: AuthServices,
        database: Database,
        http: HttpClient,
        audit: AuditLog,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        addresses = Addresses(settings.base_url, allowed_hosts(settings))
        self.store = SqlOAuthClients(database)
        self.codes = SqlAuthorizationCodes(database)
        self.clients = Clients(
            store=self.store,
            documents=ClientDocuments(http=http, clock=clock, allows_loopback=settings.is_local),
            clock=clock,
        )
        resources = ResourceIndicators(addresses)
        assertions = Assertions(store=self.store, http=http, clock=clock)
        self._parts = (
            ResourceMetadata(addresses=addresses),
            ServerMetadata(addresses=addresses),
            Registration(clients=self.clients, store=self.store, clock=clock, new_id=new_id),
            Authorization(
                requests=AuthorizationRequests(clients=self.clients, resources=resources),
                addresses=addresses,
                visitors=Visitors(sessions=auth.pages, workspaces=auth.workspaces, first_run=auth.first_run),
                codes=self.codes,
                audit=audit,
                clock=clock,
            ),
            TokenEndpoint(
                clients=self.clients,
                authentication=ClientAuthentication(clients=self.clients, assertions=assertions, addresses=addresses),
                codes=self.codes,
                sessions=auth.sessions,
                resources=resources,
                clock=clock,
            ),
            Machines(store=self.store, sessions=auth.sessions, audit=audit, clock=clock, new_id=new_id),
            Grants(store=auth.session_store, sessions=auth.sessions, audit=audit, clock=clock),
        )

    def routes(self) -> list[Route]:
        """The routes for clients, their users and admins."""
        return [route for part in self._parts for route in part.routes()]


def oauth_routes(settings: Settings, embedded: EmbeddedServer) -> list[Route]:
    """The embedded server's routes; with an outside issuer only the metadata that names it."""
    if settings.oauth_issuer is None:
        return embedded.routes()
    outside = ResourceMetadata(
        addresses=Addresses(settings.base_url),
        issuer=settings.oauth_issuer,
        scope_prefix=settings.oauth_scope_prefix,
    )
    return outside.routes()
