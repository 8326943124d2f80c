"""Which client sends a request to the token or revocation endpoint, and its proof (RFC 6749, 2.3)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

import jwt
from jwt.exceptions import PyJWTError
from starlette.requests import Request

from server.oauth.assertions import ASSERTION_TYPE, Assertions
from server.oauth.clients import Clients, authentication_method
from server.oauth.errors import OAuthError
from server.oauth.forms import Parameters, needed, one
from server.oauth.hashes import hashed, is_hash_of
from server.oauth.metadata import token_endpoint
from server.settings.addresses import Addresses
from storage.people.oauth import OAuthClient

_NOBODYS = hashed("")


class ClientAuthentication:
    """Authenticates the client of a request: by its secret, its signature, or, for public clients, its id alone."""

    def __init__(self, *, clients: Clients, assertions: Assertions, addresses: Addresses) -> None:
        self._addresses = addresses
        self._clients = clients
        self._assertions = assertions

    async def client_of(self, request: Request, form: Parameters) -> OAuthClient:
        """The client, authenticated by its registered method.

        Raises:
            OAuthError: ``invalid_client``, or ``invalid_request`` where it uses two methods.
        """
        header = request.headers.get("authorization")
        secret, assertion = one(form, "client_secret"), one(form, "client_assertion")
        if sum(each is not None for each in (header, secret, assertion)) > 1:
            raise OAuthError("invalid_request", "The client proves itself in more than one way; choose one.")
        if header is not None:
            client_id, secret = _basic(header)
            if one(form, "client_id") not in (None, client_id):
                raise OAuthError("invalid_request", "client_id is not the one in the Authorization header.")
        elif assertion is not None:
            if needed(form, "client_assertion_type") != ASSERTION_TYPE:
                raise OAuthError("invalid_request", f"client_assertion_type has to be {ASSERTION_TYPE}.")
            client_id = one(form, "client_id") or _named_in(assertion)
        else:
            client_id = needed(form, "client_id")
        client = await self._clients.find(client_id)
        method = "none" if client is None else authentication_method(client)
        if secret is not None:
            # Compared even for an unknown client, so that the time does not reveal which ids exist.
            kept = (client and client.secret_hash) or _NOBODYS
            if is_hash_of(kept, secret) and client is not None and method.startswith("client_secret"):
                return client
        elif assertion is not None:
            if client is not None and method == "private_key_jwt":
                bases = dict.fromkeys((self._addresses.base_url, self._addresses.asked(request.scope)))
                audiences = [name for base in bases for name in (base, token_endpoint(base))]
                await self._assertions.check(client, assertion, audiences=audiences)
                return client
        elif client is not None and method == "none":
            return client
        raise OAuthError("invalid_client", "There is no such client, or it has to prove itself in another way.")


def _basic(header: str) -> tuple[str, str]:
    """Id and secret, each form-encoded before they were joined (RFC 6749, 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise OAuthError("invalid_client", "The Authorization header of a client is Basic.")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise OAuthError("invalid_client", "The Authorization header cannot be read.") from None
    client_id, colon, secret = decoded.partition(":")
    if not colon or not secret:
        raise OAuthError("invalid_client", "The Authorization header names no secret.")
    return unquote_plus(client_id), unquote_plus(secret)


def _named_in(assertion: str) -> str:
    """The client that the assertion claims, unverified."""
    try:
        return str(jwt.decode(assertion, options={"verify_signature": False})["sub"])
    except (PyJWTError, KeyError, ValueError):
        raise OAuthError("invalid_client", "The client_assertion names no client.") from None
