"""The two kinds of connections that are described APIs, as sources of actions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from integrations.apis.answers import perform
from integrations.apis.connectors import Connector, connectors
from integrations.apis.openapi import OpenApiDocument
from integrations.apis.operations import BASE, HttpOperation
from integrations.apis.smtp import Smtp, SmtpSettings
from integrations.settings import ConnectionSettings, host_of, settings_of
from workflow.actions import Action, ActionCall, ActionError, ActionResult, ResourceContent
from workflow.connections import Connection
from workflow.credential_forms import https_address
from workflow.credentials import CredentialRef
from workflow.errors import InvalidArgumentsError, OutboundError
from workflow.findings import listed
from workflow.http.headers import transport_headers
from workflow.items import JsonObject
from workflow.ports import HttpClient, HttpRequest

GENERIC, SMTP = "generic", "smtp"
MOST_READ_AT_ONCE = 2
"""Documents: each may take some seconds of a thread, and 100 MB."""

Url = Annotated[str, Field(max_length=2_000), AfterValidator(https_address)]


class OpenApiSettings(ConnectionSettings):
    """Settings of kind ``openapi``."""

    url: Url | None = Field(default=None, description="Where the document is; https://.")
    document: dict[str, Any] | None = Field(default=None, description="The document itself, in place of its address.")
    server_url: Url | None = Field(default=None, description="Where the API is, if not where the document says.")


class ConnectorSettings(ConnectionSettings):
    """Settings of kind ``connector``, for all but SMTP."""

    connector: str = Field(min_length=1, max_length=100)
    url: Url | None = Field(default=None, description="Where the API is, if not where it usually is.")
    definition: Connector | None = Field(default=None, description="For generic: the connector itself.")

    @field_validator("definition")
    @classmethod
    def _sets_no_transport_header(cls, definition: Connector | None) -> Connector | None:
        if definition is not None:
            named = [*definition.headers, *(name for each in definition.actions for name in each.operation.headers)]
            for name in transport_headers(named):
                raise ValueError(
                    f"the sending client alone sets the header {name}: it says how or to which host to send"
                )
        return definition


class _HttpApi:
    """What both kinds do alike."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Run an action; see the port."""
        details = {name: value for name, value in action.details.items() if name != BASE}
        operation = HttpOperation.model_validate(details)
        credential = None
        if connection.credential is not None:
            credential = CredentialRef(owner=connection.owner, name=connection.credential)
        return await perform(operation, action.details[BASE], action, call, http=self._http, credential=credential)

    async def read(self, connection: Connection, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """Nothing: such APIs have no resources."""
        raise ActionError(
            f"The connection {connection.name!r} has no resources.",
            code="action_refused",
            fix="Use one of its actions; only MCP servers have resources.",
        )

    async def forget(self, connection: Connection) -> None:
        """Nothing is kept open."""


class OpenApis(_HttpApi):
    """Kind ``openapi``. Implements :class:`integrations.sources.ActionSource`."""

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._reading = asyncio.Semaphore(MOST_READ_AT_ONCE)

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings as they are kept; see the port."""
        kept = settings_of(OpenApiSettings, document)
        if ("url" in kept) == ("document" in kept):
            raise InvalidArgumentsError(
                "An OpenAPI document is given either by its address or as a whole.",
                pointer="/settings/url",
                fix="Give url or document.",
            )
        if "document" in kept:
            self._server(OpenApiDocument(kept["document"]), kept)
        return kept

    def host(self, settings: Mapping[str, Any]) -> str | None:
        """Where the API is, as far as the settings say; see the port."""
        url = settings.get("server_url") or settings.get("url")
        if url is None and "document" in settings:
            url = OpenApiDocument(settings["document"]).server_url(document_url=None)
        return host_of(url)

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """The document's operations; see the port."""
        settings = connection.settings
        content = (
            settings["document"] if "document" in settings else await self._fetched(settings["url"], connection.owner)
        )
        try:
            async with self._reading:
                return await asyncio.to_thread(self._read, connection.name, content, settings)
        except InvalidArgumentsError as error:
            raise ActionError(error.message, code="action_result", fix=error.fix) from error

    def _read(self, connection: str, content: Any, settings: Mapping[str, Any]) -> Sequence[Action]:
        """The document's operations. It takes as long as the document is large."""
        document = OpenApiDocument(content, pointer="/settings/document" if "document" in settings else "/settings/url")
        base_url = self._server(document, settings)
        return document.actions(connection, base_url=base_url)

    async def _fetched(self, url: str, owner: str) -> bytes:
        """The document at the address. It is fetched without the credential, which is for the API."""
        headers = {"accept": "application/json, application/yaml, */*"}
        request = HttpRequest(method="GET", url=url, headers=headers, owner=owner)
        try:
            answer = await self._http.send(request)
        except OutboundError as error:
            raise ActionError(
                error.message, code="connection_failed", transient=error.transient, is_unavailable=True, fix=error.fix
            ) from error
        if answer.status != 200:
            raise ActionError(
                f"The OpenAPI document is not to be had: {url.partition('?')[0]} answered {answer.status}.",
                code="connection_failed",
                transient=answer.status >= 500,
                is_unavailable=True,
                fix="Give an address that anybody can read, or the document itself.",
            )
        return answer.body

    def _server(self, document: OpenApiDocument, settings: Mapping[str, Any]) -> str:
        base_url = settings.get("server_url") or document.server_url(document_url=settings.get("url"))
        if base_url is None:
            raise InvalidArgumentsError(
                "The document does not say where the API is.",
                pointer="/settings/server_url",
                fix="Give server_url.",
            )
        return str(base_url)


class Connectors(_HttpApi):
    """Kind ``connector``. Implements :class:`integrations.sources.ActionSource`."""

    def __init__(self, http: HttpClient, *, smtp: Smtp) -> None:
        super().__init__(http)
        self._smtp = smtp

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings as they are kept; see the port."""
        if document.get("connector") == SMTP:
            return settings_of(SmtpSettings, document)
        kept = settings_of(ConnectorSettings, document)
        name = kept["connector"]
        if name not in (GENERIC, *connectors()):
            raise InvalidArgumentsError(
                f"There is no connector {name!r}.",
                pointer="/settings/connector",
                fix=f"Name one of {listed([*connectors(), SMTP, GENERIC])}.",
            )
        if (name == GENERIC) != ("definition" in kept):
            raise InvalidArgumentsError(
                "A generic connector brings its definition, and only that does.",
                pointer="/settings/definition",
                fix="Give definition: {title, url, actions} with connector: generic.",
            )
        return kept

    def host(self, settings: Mapping[str, Any]) -> str | None:
        """Where the API is; see the port. SMTP takes no tokens, nor does an address that is itself the secret."""
        if settings["connector"] == SMTP:
            return None
        return host_of(settings.get("url") or _connector(settings).url)

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """The connector's actions, when its check has passed; see the port."""
        if connection.settings["connector"] == SMTP:
            return await self._smtp.actions(connection)
        connector = _connector(connection.settings)
        base_url = str(connection.settings.get("url") or connector.url)
        found = [
            _with_base(each.action(connection.name, connection.settings["connector"]), base_url, connector.headers)
            for each in connector.actions
        ]
        checking = next((each for each in found if each.name == connector.check), None)
        if checking is not None and connection.credential is not None:
            call = ActionCall(owner=connection.owner, connection=connection.name, action=checking.name, arguments={})
            await self.run(connection, checking, call)
        return found

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Run an action; see the port."""
        if connection.settings["connector"] == SMTP:
            return await self._smtp.run(connection, action, call)
        return await super().run(connection, action, call)


def _connector(settings: Mapping[str, Any]) -> Connector:
    if settings["connector"] == GENERIC:
        return Connector.model_validate(settings["definition"])
    return connectors()[settings["connector"]]


def _with_base(action: Action, base_url: str, headers: Mapping[str, str] | None = None) -> Action:
    own = {**(headers or {}), **action.details.get("headers", {})}
    details = {**action.details, BASE: base_url, **({"headers": own} if own else {})}
    return replace(action, details=details)
