"""``/oauth/token`` and ``/oauth/revoke``: tokens for codes, refresh tokens and machines' proofs, and their end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.sessions.sessions import InvalidGrantError, Sessions, Tokens
from server.oauth.client_authentication import ClientAuthentication
from server.oauth.clients import GRANT_LIFETIME, Clients, may_refresh
from server.oauth.errors import OAuthError, json_answer
from server.oauth.forms import Parameters, form_in, needed, one
from server.oauth.hashes import hashed
from server.oauth.resources import ResourceIndicators
from storage.people.oauth import AuthorizationCode, OAuthClient, SqlAuthorizationCodes
from workflow.identity import Scope, Scopes, scopes_text
from workflow.ports import Clock

MACHINE_LIFETIME = timedelta(hours=1)
"""A machine gets no refresh token: it authenticates again."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class TokenEndpoint:
    """Issues and revokes tokens. :mod:`server.auth` makes the sessions and their tokens."""

    def __init__(
        self,
        *,
        clients: Clients,
        authentication: ClientAuthentication,
        codes: SqlAuthorizationCodes,
        sessions: Sessions,
        resources: ResourceIndicators,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._authentication = authentication
        self._codes = codes
        self._sessions = sessions
        self._resources = resources
        self._clock = clock
        self._grants: dict[str, Callable[[OAuthClient, Parameters], Awaitable[Tokens]]] = {
            "authorization_code": self._exchange_code,
            "refresh_token": self._refresh,
            "client_credentials": self._let_machine_in,
        }

    def routes(self) -> list[Route]:
        """Both endpoints."""
        return [
            Route("/oauth/token", self.give_tokens, methods=["POST"]),
            Route("/oauth/revoke", self.revoke, methods=["POST"]),
        ]

    async def give_tokens(self, request: Request) -> Response:
        """200 with tokens (RFC 6749, 5.1)."""
        try:
            form = await form_in(request)
            client = await self._authentication.client_of(request, form)
            self._resources.check(form.get("resource", []))
            tokens = await self._grant(form)(client, form)
        except InvalidGrantError as error:
            return OAuthError("invalid_grant", f"{error.message} {error.fix or ''}".rstrip()).response()
        except OAuthError as error:
            return error.response()
        content = {
            "access_token": tokens.access_token,
            "token_type": "Bearer",  # the kind of it  # nosec B105
            "expires_in": tokens.expires_in_seconds,
            "scope": scopes_text(tokens.scopes),
        }
        if tokens.refresh_token is not None:
            content["refresh_token"] = tokens.refresh_token
        return json_answer(content)

    async def revoke(self, request: Request) -> Response:
        """200 whether or not the client had such a token (RFC 7009); its whole session ends."""
        try:
            form = await form_in(request)
            client = await self._authentication.client_of(request, form)
            await self._sessions.end_of_token(needed(form, "token"), client_id=client.id)
        except OAuthError as error:
            return error.response()
        return json_answer({})

    def _grant(self, form: Parameters) -> Callable[[OAuthClient, Parameters], Awaitable[Tokens]]:
        grant = self._grants.get(needed(form, "grant_type"))
        if grant is None:
            raise OAuthError("unsupported_grant_type", f"Grants are: {', '.join(self._grants)}.")
        return grant

    async def _exchange_code(self, client: OAuthClient, form: Parameters) -> Tokens:
        code = await self._codes.find(hashed(needed(form, "code")))
        if code is None or code.client_id != client.id:
            raise _no_grant("There is no such code of this client")
        if code.used_at is not None:
            raise await self._replayed(code)
        if code.expires_at <= self._clock.now():
            raise _no_grant("The code is over")
        # Clients of OAuth 2.1 omit it (10.2); those of OAuth 2.0 send it.
        if one(form, "redirect_uri") not in (None, code.redirect_uri):
            raise _no_grant("redirect_uri is not the one that the code was sent to")
        if code.resource is not None and not {code.resource}.issuperset(form.get("resource", [])):
            raise OAuthError("invalid_target", f"The code was asked for the resource {code.resource}.")
        if not _fits(needed(form, "code_verifier"), code.code_challenge):
            raise _no_grant("code_verifier does not fit the code_challenge")
        if not await self._codes.claim(code.hash, now=self._clock.now()):
            raise await self._replayed(code)
        tokens = await self._sessions.open(
            user_id=code.user_id,
            workspace_id=code.workspace_id,
            scopes=code.scopes,
            client_id=client.id,
            client_name=client.name,
            lifetime=GRANT_LIFETIME,
            has_refresh=may_refresh(client),
        )
        await self._clients.release_deferred(client.id)
        if not await self._codes.bind(code.hash, tokens.session_id):
            await self._sessions.end(tokens.session_id)
            raise _no_grant("The code was used before")
        return tokens

    async def _replayed(self, code: AuthorizationCode) -> OAuthError:
        """The refusal of a code that was used twice: one of the two uses is a thief's, so the session ends too."""
        session_id = await self._codes.replay(code.hash, now=self._clock.now())
        if session_id is not None:
            await self._sessions.end(session_id)
        return _no_grant("The code was used before; what came of it has ended")

    async def _refresh(self, client: OAuthClient, form: Parameters) -> Tokens:
        asked = one(form, "scope")
        scopes = None if asked is None else known_scopes(asked) or None
        return await self._sessions.refresh(needed(form, "refresh_token"), client_id=client.id, scopes=scopes)

    async def _let_machine_in(self, client: OAuthClient, form: Parameters) -> Tokens:
        if client.kind != "machine" or client.workspace_id is None or client.scopes is None:
            raise OAuthError("unauthorized_client", "Only machines, made with POST /api/machines, act by themselves.")
        asked = one(form, "scope")
        # Clients ask for all scopes that the resource lists; the answer has those that were granted.
        known = known_scopes(asked) if asked is not None else None
        scopes = client.scopes & known if known else client.scopes
        if not scopes:
            raise OAuthError("invalid_scope", f"This machine's scopes are: {scopes_text(client.scopes)}.")
        return await self._sessions.open(
            user_id=machine_user(client.id),
            workspace_id=client.workspace_id,
            scopes=scopes,
            client_id=client.id,
            client_name=client.name,
            lifetime=MACHINE_LIFETIME,
            has_refresh=False,
        )


def machine_user(client_id: str) -> str:
    """The user id of a machine."""
    return f"machine:{client_id}"


def known_scopes(asked: str) -> Scopes:
    """The known scopes among the words; clients also ask for scopes of other standards, which are ignored. None known
    is as if none were asked for."""
    words = asked.split()
    kinds = {word.removesuffix(":*") for word in words if word.endswith(":*")}
    return frozenset(each for each in Scope if each in words or each.partition(":")[0] in kinds)


def _fits(verifier: str, challenge: str) -> bool:
    """RFC 7636 (4.6), S256."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(digest, challenge)


def _no_grant(why: str) -> OAuthError:
    return OAuthError("invalid_grant", f"{why}; send the user to authorize again.")
