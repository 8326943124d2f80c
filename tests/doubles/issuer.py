"""A double of an OpenID Connect issuer (Core 1.0, Discovery 1.0, RFC 7636, RFC 9207), which can misbehave.

It signs ``person`` in, without asking.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.http_target import listening
from workflow.ports import Clock

Twist = Literal[
    "wrong nonce", "no nonce", "wrong audience", "alg none", "public key as secret", "expired", "other issuer",
    "foreign key", "other client's", "no subject",
]  # fmt: skip
"""One thing that is wrong with the ID tokens."""


@dataclass(slots=True, frozen=True)
class Key:
    """A key pair; ``id`` is its ``kid``."""

    id: str
    algorithm: str
    private: Any

    def public(self) -> dict[str, Any]:
        """Its entry in the set of keys."""
        kind = jwt.algorithms.RSAAlgorithm if self.algorithm == "RS256" else jwt.algorithms.ECAlgorithm
        entry: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**entry, "kid": self.id, "alg": self.algorithm, "use": "sig"}

    def pem(self) -> bytes:
        """The public key as anybody can write it down."""
        public: bytes = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return public


@cache
def first_key() -> Key:
    """The key that every double starts with: making one takes a while."""
    return new_key()


def new_key(algorithm: str = "RS256") -> Key:
    """A new key pair."""
    private = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    return Key(secrets.token_hex(4), algorithm, private)


@dataclass(slots=True)
class IssuerDouble:
    """``keys`` are what it publishes, of which the last signs; ``asked`` are the paths that were requested."""

    clock: Clock
    url: str = ""
    client_id: str = "jobsprint"
    client_secret: str | None = "the client's secret"
    keys: list[Key] = field(default_factory=lambda: [first_key()])
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "248289761001",
            "name": "Jane Doe",
            "email": "jane@example.com",
            "email_verified": True,
        }
    )
    metadata_changes: dict[str, Any] = field(default_factory=dict)
    twist: Twist | None = None
    denies: bool = False
    tells_only_userinfo: bool = False
    is_down: bool = False
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    # While it is not set, nobody gets an answer.
    answers: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    asked: list[str] = field(default_factory=list)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def rotate(self, algorithm: str = "RS256", *, keep: bool = False) -> None:
        """Sign with a new key from now on; publish the old ones any longer only with ``keep``."""
        self.keys = [*(self.keys if keep else []), new_key(algorithm)]

    def signed(self, claims: Mapping[str, Any], *, key: Key | None = None, **header: Any) -> str:
        """A token with just these claims."""
        key = key or self.keys[-1]
        headers = {"typ": "JWT", "kid": key.id, **header}
        return jwt.api_jws.encode(
            json.dumps(dict(claims)).encode(),  # as it is, and with NaN where there is one
            key.private,
            algorithm=key.algorithm,
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def access_token(self, *, audience: str, scope: str | None = "workflows:read", **claims: Any) -> str:
        """An access token for the person, in the form of RFC 9068; ``claims`` replace its own, ``None`` leaves out."""
        now = int(self.clock.now().timestamp())
        content = {
            "iss": self.url,
            "sub": self.person["sub"],
            "aud": audience,
            "iat": now,
            "exp": now + 300,
            "client_id": "an-agent",
            "scope": scope,
            **claims,
        }
        return self.signed({name: value for name, value in content.items() if value is not None}, typ="at+jwt")

    def unsigned(self, claims: Mapping[str, Any]) -> str:
        """A token with ``alg: none``."""
        return jwt.encode(dict(claims), None, algorithm="none")

    def signed_with_public_key(self, claims: Mapping[str, Any]) -> str:
        """A token whose HS256 secret is the public key: accepted by verifiers that take its word for the algorithm."""
        key = self.keys[-1]
        parts = [{"alg": "HS256", "typ": "JWT", "kid": key.id}, dict(claims)]
        signed = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        return b".".join((signed, _base64(hmac.digest(key.pem(), signed, "sha256")))).decode()

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        self.was_asked.set()
        await self.answers.wait()
        if self.is_down:
            return Response(status_code=503)
        metadata = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(metadata | self.metadata_changes)

    async def _keys(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        self.was_asked.set()
        await self.answers.wait()
        if self.is_down:
            return Response(status_code=503)
        return JSONResponse({"keys": [key.public() for key in self.keys]})

    async def _authorize(self, request: Request) -> Response:
        """Let the person in at once, or not at all."""
        query = dict(request.query_params)
        wanted = {"response_type": "code", "client_id": self.client_id, "code_challenge_method": "S256"}
        if any(query.get(name) != value for name, value in wanted.items()) or "openid" not in query["scope"].split():
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        answer = {"state": query["state"], "iss": self.url}
        if self.denies:
            answer |= {"error": "access_denied", "error_description": "<b>No.</b>"}
        else:
            code = answer["code"] = secrets.token_urlsafe(16)
            self._codes[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        """Tokens for a code, once, to the client that the code was made for."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.token_requests.append(form)
        authorized = self._codes.pop(form.get("code", ""), None)
        if not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        if (
            authorized is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != authorized["redirect_uri"]
            or _challenge(form.get("code_verifier", "")) != authorized["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        tokens = {"access_token": "for-userinfo", "token_type": "Bearer", "id_token": self._id_token(authorized)}
        return JSONResponse(tokens, headers={"cache-control": "no-store"})

    async def _userinfo(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer for-userinfo":
            return JSONResponse({"error": "invalid_token"}, status_code=401)
        return JSONResponse(self.person)

    def _is_client(self, request: Request, form: Mapping[str, str]) -> bool:
        if self.client_secret is None:
            return form.get("client_id") == self.client_id
        pair = f"{urlencode({'': self.client_id})[1:]}:{urlencode({'': self.client_secret})[1:]}"
        basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        in_form = (form.get("client_id"), form.get("client_secret"))
        return request.headers.get("authorization") == basic or in_form == (self.client_id, self.client_secret)

    def _id_token(self, authorized: Mapping[str, str]) -> str:
        now = int(self.clock.now().timestamp())
        person = {"sub": self.person["sub"]} if self.tells_only_userinfo else self.person
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": authorized.get("nonce"),
            **person,
        }
        match self.twist:
            case "wrong nonce":
                claims["nonce"] = "another one"
            case "no nonce":
                del claims["nonce"]
            case "wrong audience":
                claims["aud"] = "another-client"
            case "other client's":
                claims |= {"aud": [self.client_id, "another-client"], "azp": "another-client"}
            case "expired":
                claims["exp"] = now - 300
            case "other issuer":
                claims["iss"] = "https://issuer.example"
            case "no subject":
                del claims["sub"]
            case "alg none":
                return self.unsigned(claims)
            case "public key as secret":
                return self.signed_with_public_key(claims)
            case "foreign key":
                return self.signed(claims, key=new_key())
        return self.signed(claims)


@asynccontextmanager
async def issuing(double: IssuerDouble) -> AsyncIterator[IssuerDouble]:
    """The double, listening on a free port until the context is left."""
    async with listening(double.app()) as double.url:
        try:
            yield double
        finally:
            double.answers.set()


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


def _challenge(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode()).digest()).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
