"""Authorization requests of clients, checked before the user sees them (OAuth 2.1, 4.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from server.oauth.clients import Clients, redirect_uris
from server.oauth.errors import ErrorName, OAuthError
from server.oauth.forms import Parameters, needed, one, parameters
from server.oauth.metadata import ASKED_BY_DEFAULT
from server.oauth.redirects import is_same_redirect
from server.oauth.resources import ResourceIndicators
from server.oauth.tokens import known_scopes
from storage.people.oauth import OAuthClient
from workflow.identity import Scopes

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
"""SHA-256 in base64url."""


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthorizationRequest:
    """A valid request, which a user decides about."""

    client: OAuthClient
    redirect_uri: str
    state: str | None
    scopes: Scopes
    code_challenge: str
    resource: str | None
    issuer: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Return:
    """Where answers go to. Each carries ``iss``, so that no client takes it for another server's (RFC 9207)."""

    redirect_uri: str
    state: str | None
    issuer: str

    def with_code(self, code: str) -> str:
        """The address that carries the code."""
        return self._with({"code": code})

    def with_error(self, error: OAuthError) -> str:
        """The address that carries the refusal."""
        return self._with({"error": error.name, "error_description": error.description})

    def _with(self, answer: dict[str, str]) -> str:
        state = {} if self.state is None else {"state": self.state}
        # Appended: a query that the client registered stays unchanged.
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode({**answer, **state, 'iss': self.issuer})}"


class NoReturnError(Exception):
    """The redirect URI is not certain, so the error is shown to the user and not sent to the client."""

    def __init__(self, cause: OAuthError) -> None:
        super().__init__(cause.description)
        self.cause = cause


class ReturnedError(Exception):
    """The request is wrong, and the error is sent to its client. ``location`` is the address of the redirect."""

    def __init__(self, cause: OAuthError, way: Return) -> None:
        super().__init__(cause.description)
        self.cause = cause
        self.location = way.with_error(cause)


class AuthorizationRequests:
    """Reads requests."""

    def __init__(self, *, clients: Clients, resources: ResourceIndicators) -> None:
        self._clients = clients
        self._resources = resources

    def way_back(self, asked: AuthorizationRequest) -> Return:
        """Where the answer goes to."""
        return Return(redirect_uri=asked.redirect_uri, state=asked.state, issuer=asked.issuer)

    async def read(self, query: str, *, user_id: str, issuer: str) -> AuthorizationRequest:
        """The request in the query of the user's browser, which has asked the server under ``issuer``.

        Raises:
            NoReturnError: its client or redirect URI is not certain.
            ReturnedError: anything else is wrong.
        """
        try:
            given = parameters(query)
            client = await self._clients.asked_for(needed(given, "client_id"), user_id=user_id)
            redirect_uri = _redirect_uri(client, needed(given, "redirect_uri"))
        except OAuthError as error:
            raise NoReturnError(error) from error
        state = one(given, "state")
        try:
            return self._checked(given, client, redirect_uri, state, issuer)
        except OAuthError as error:
            way = Return(redirect_uri=redirect_uri, state=state, issuer=issuer)
            raise ReturnedError(error, way) from error

    def _checked(
        self, given: Parameters, client: OAuthClient, redirect_uri: str, state: str | None, issuer: str
    ) -> AuthorizationRequest:
        if one(given, "response_type") != "code":
            name: ErrorName = "unsupported_response_type" if "response_type" in given else "invalid_request"
            raise OAuthError(name, "response_type has to be code.")
        if one(given, "response_mode") not in (None, "query"):
            raise OAuthError("invalid_request", "response_mode has to be query.")
        if "request" in given or "request_uri" in given:
            raise OAuthError("invalid_request", "Send the parameters themselves, not a request object.")
        # The default, plain, would prove nothing: anybody who reads the address has the verifier.
        if one(given, "code_challenge_method") != "S256":
            raise OAuthError("invalid_request", "code_challenge_method has to be S256 (PKCE).")
        challenge = needed(given, "code_challenge")
        if not _CHALLENGE.fullmatch(challenge):
            raise OAuthError("invalid_request", "code_challenge is not the SHA-256 of a verifier in base64url.")
        named = given.get("resource", [])
        self._resources.check(named)
        scope = one(given, "scope")
        return AuthorizationRequest(
            client=client,
            redirect_uri=redirect_uri,
            state=state,
            # Clients that know scopes of other standards only ask for those; that is as good as asking for none.
            scopes=(known_scopes(scope) if scope is not None else None) or ASKED_BY_DEFAULT,
            code_challenge=challenge,
            resource=named[0] if len(named) == 1 else None,
            issuer=issuer,
        )


def _redirect_uri(client: OAuthClient, asked: str) -> str:
    if not any(is_same_redirect(registered, asked) for registered in redirect_uris(client)):
        raise OAuthError("invalid_redirect_uri", "The client has not registered this redirect_uri.")
    return asked
