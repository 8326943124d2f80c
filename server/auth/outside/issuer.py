"""An outside issuer of tokens: its metadata, and the keys it signs with.

Metadata by OpenID Connect Discovery 1.0 and RFC 8414, keys by RFC 7517. Nothing is fetched before it is needed, so the
server starts while an issuer is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from server.auth.outside.cached_documents import Remembered
from server.auth.outside.requests import Asking
from workflow.ports import Clock, HttpClient

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MAX_KEYS = 100
MIN_RSA_BITS = 2048
"""RFC 7518 (3.3)."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the issuer can make. With HS256 every verifier could forge them; ``none`` is no signature."""
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


@dataclass(slots=True, frozen=True, kw_only=True)
class IssuerMetadata:
    """An issuer's metadata; endpoints that it lacks are ``None``."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods: Sequence[str] = ("client_secret_basic",)
    # Whether its authorization responses carry ``iss`` (RFC 9207).
    names_itself: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class SigningKey:
    """One of an issuer's keys, and the algorithm that it is for, where the issuer says so."""

    id: str | None
    algorithm: str | None
    key: PublicKey

    def fits(self, algorithm: str) -> bool:
        """Whether this key can make signatures of the algorithm."""
        if self.algorithm not in (None, algorithm):
            return False
        if algorithm.startswith(("RS", "PS")):
            return isinstance(self.key, rsa.RSAPublicKey)
        if algorithm in CURVES:
            return isinstance(self.key, ec.EllipticCurvePublicKey) and self.key.curve.name == CURVES[algorithm]
        return isinstance(self.key, ed25519.Ed25519PublicKey)


class Issuer:
    """``url`` is the issuer's identifier: the ``iss`` of its tokens."""

    def __init__(self, url: str, *, http: HttpClient, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.asking = Asking(f"The issuer {url}", http=http)
        self._metadata = Remembered(self._fetch_metadata, clock=clock)
        self._keys = Remembered(self._fetch_keys, clock=clock)

    async def metadata(self) -> IssuerMetadata:
        """The issuer's metadata.

        Raises:
            IssuerUnavailableError: it cannot be reached, or its answer is not an issuer's metadata.
        """
        return await self._metadata.value()

    async def keys(self, key_id: str | None, algorithm: str) -> Sequence[SigningKey]:
        """The keys that may have made such a signature; with an unknown ``key_id`` the keys are fetched again.

        Raises:
            IssuerUnavailableError: it cannot be reached, or its answer is not a key set.
        """
        return _fitting(await self._keys.value(), key_id, algorithm) or _fitting(
            await self._keys.renewed(), key_id, algorithm
        )

    async def _fetch_metadata(self) -> IssuerMetadata:
        for url in metadata_urls(self.url):
            status, content = await self.asking.get(url)
            if status == 404:
                continue
            if status != 200:
                raise self.asking.unavailable(f"answered {url} with status {status}")
            return self._metadata_in(content)
        raise self.asking.unavailable("has no metadata at any of the well-known addresses")

    def _metadata_in(self, content: dict[str, Any]) -> IssuerMetadata:
        # RFC 8414 (3.3): otherwise anybody's metadata could speak for this issuer.
        if content.get("issuer") != self.url:
            raise self.asking.unavailable(f"calls itself {content.get('issuer')!r:.200}")
        endpoints = {
            name: self._endpoint(content, name)
            for name in ("jwks_uri", "authorization_endpoint", "token_endpoint", "userinfo_endpoint")
        }
        keys_at = endpoints.pop("jwks_uri")
        if keys_at is None:
            raise self.asking.unavailable("does not say where its keys are (jwks_uri)")
        methods = content.get("token_endpoint_auth_methods_supported")
        return IssuerMetadata(
            issuer=self.url,
            jwks_uri=keys_at,
            **endpoints,
            token_endpoint_auth_methods=[str(each) for each in methods]
            if isinstance(methods, list)
            else ("client_secret_basic",),
            names_itself=content.get("authorization_response_iss_parameter_supported") is True,
        )

    def _endpoint(self, content: dict[str, Any], name: str) -> str | None:
        url = content.get(name)
        # Secrets are sent there, and its answers authenticate users.
        if url is None or (isinstance(url, str) and url.startswith(("https://", f"{urlsplit(self.url).scheme}://"))):
            return url
        raise self.asking.unavailable(f"names an address that is not https ({name})")

    async def _fetch_keys(self) -> Sequence[SigningKey]:
        metadata = await self.metadata()
        listed = (await self.asking.object_at(metadata.jwks_uri)).get("keys")
        if not isinstance(listed, list):
            raise self.asking.unavailable("has no list of keys")
        return [key for each in listed[:MAX_KEYS] if (key := _signing_key(each)) is not None]


def metadata_urls(issuer: str) -> list[str]:
    """Where an issuer's metadata may be: OpenID Connect's place first, then RFC 8414's, then the one between them."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    appended = f"{origin}{path}/.well-known/openid-configuration"
    inserted = [f"{origin}/.well-known/{name}{path}" for name in ("oauth-authorization-server", "openid-configuration")]
    return list(dict.fromkeys([appended, *inserted]))


def _fitting(keys: Sequence[SigningKey], key_id: str | None, algorithm: str) -> list[SigningKey]:
    return [key for key in keys if key.fits(algorithm) and key_id in (None, key.id)]


def _signing_key(entry: Any) -> SigningKey | None:
    """The key of a JWKS entry; ``None`` where we do not take it: of another kind, too short, or for encryption."""
    if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK.from_dict({name: entry[name] for name in entry if name != "alg"}).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            return None
    elif not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return None
    key_id, algorithm = entry.get("kid"), entry.get("alg")
    return SigningKey(
        id=key_id if isinstance(key_id, str) else None,
        algorithm=algorithm if isinstance(algorithm, str) else None,
        key=key,
    )
