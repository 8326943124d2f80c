"""Us made known to an authorization server (RFC 7591, or a document that says who we are)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import orjson

from integrations.oauth.discovery import SECONDS, AuthorizationServer
from integrations.token_endpoint import TokenClient, error_in, json_in
from workflow.actions import ActionError
from workflow.errors import OutboundError
from workflow.items import JsonObject
from workflow.ports import HttpClient, HttpRequest

_METHODS: dict[str, Literal["none", "basic", "body"]] = {
    "none": "none",
    # Before the header: servers that are built on the MCP SDK for Python want the client's id in the form.
    "client_secret_post": "body",  # where it goes, not what it is  # nosec B105
    "client_secret_basic": "basic",  # nosec B105
}
"""How a client proves itself, in the order of our preference."""


def client_metadata(base_url: str, redirect_uri: str) -> JsonObject:
    """Who we are, in RFC 7591's members."""
    return {
        "client_name": "Jobsprint",
        "client_uri": base_url,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }


async def registered(
    http: HttpClient, server: AuthorizationServer, metadata: JsonObject, *, document_url: str | None, scopes: str
) -> TokenClient:
    """The client that we are there. ``document_url`` is where others find our metadata, if they can reach us.

    Raises:
        ActionError: the server takes no new clients, or not this one.
    """
    if server.takes_client_documents and document_url is not None:
        return TokenClient(id=document_url)
    host = urlsplit(server.issuer).hostname
    if server.registration_url is None:
        raise ActionError(
            f"The authorization server {host} takes no new clients by itself.",
            code="connection_unauthorized",
            is_unavailable=True,
            fix="Give the connection a token, or an oauth2 credential of a client that was registered there by hand.",
        )
    asked = next((each for each in _METHODS if each in server.client_authentications), "none")
    body = {**metadata, "token_endpoint_auth_method": asked, **({"scope": scopes} if scopes else {})}
    request = HttpRequest(
        method="POST",
        url=server.registration_url,
        headers={"content-type": "application/json", "accept": "application/json"},
        body=orjson.dumps(body),
        timeout_seconds=SECONDS,
        follow_redirects=False,
    )
    try:
        answer = await http.send(request)
    except OutboundError as error:
        raise ActionError(
            error.message, code="connection_failed", transient=error.transient, is_unavailable=True, fix=error.fix
        ) from error
    content = json_in(answer)
    client_id, secret = content.get("client_id"), content.get("client_secret")
    if answer.status not in (200, 201) or not isinstance(client_id, str):
        raise ActionError(
            f"The authorization server {host} did not take us as a client: {answer.status} {error_in(answer)}".rstrip()
            + ".",
            code="connection_unauthorized",
            transient=answer.status >= 500 or answer.status == 429,
            is_unavailable=True,
            fix="Give the connection a token, or try again later.",
        )
    method = _METHODS.get(str(content.get("token_endpoint_auth_method", asked)), "none")
    return TokenClient(id=client_id, secret=secret if isinstance(secret, str) else None, authentication=method)
