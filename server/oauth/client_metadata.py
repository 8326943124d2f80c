"""Client metadata (RFC 7591, 2), from a registration or from a client's own document."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from server.oauth.errors import OAuthError
from server.oauth.redirects import redirect_problem
from workflow.items import JsonObject
from workflow.schemas.model_findings import model_findings

GRANTS = ("authorization_code", "refresh_token")
"""The grants of clients that registered themselves; machines are made by an admin."""

BY_SIGNATURE = "private_key_jwt"
KEY_TYPES = ("RSA", "EC", "OKP")
MIN_RSA_BITS = 2_048


class ClientMetadata(BaseModel):
    """The members that are used here; others are ignored, as the standard says."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    client_name: str = Field(default="", max_length=200)
    redirect_uris: list[str] = Field(min_length=1, max_length=10)
    grant_types: list[str] = Field(default=["authorization_code"], max_length=10)
    response_types: list[str] = Field(default=["code"], max_length=10)
    token_endpoint_auth_method: Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = Field(default=None, max_length=2_000)
    client_uri: str | None = Field(default=None, max_length=2_000)
    software_id: str | None = Field(default=None, max_length=200)
    software_version: str | None = Field(default=None, max_length=200)
    application_type: str = Field(default="native", max_length=20)

    @field_validator("client_name")
    @classmethod
    def _printable(cls, name: str) -> str:
        """Without invisible characters and changes of direction: people decide by this name."""
        return "".join(each for each in name if each.isprintable()).strip()

    def to_json(self) -> JsonObject:
        """The members that are set, to store and to answer with."""
        return self.model_dump(mode="json", exclude_none=True)


def client_metadata(document: Any, *, method: str) -> ClientMetadata:
    """A client's metadata, checked; ``method`` is its authentication method if it names none.

    Raises:
        OAuthError: ``invalid_client_metadata`` or ``invalid_redirect_uri``.
    """
    if not isinstance(document, dict):
        raise OAuthError("invalid_client_metadata", "The metadata is no JSON object.")
    # SDKs send members that they do not have as null or "".
    given = {name: value for name, value in document.items() if value is not None and value != ""}
    given.setdefault("token_endpoint_auth_method", method)
    try:
        metadata = ClientMetadata.model_validate(given)
    except ValidationError:
        finding = model_findings(ClientMetadata, given)[0]
        name = "invalid_redirect_uri" if finding.pointer.startswith("/redirect_uris") else "invalid_client_metadata"
        raise OAuthError(name, f"{finding.pointer}: {finding.message}") from None  # type: ignore[arg-type]
    for uri in metadata.redirect_uris:
        what = redirect_problem(uri)
        if what is not None:
            raise OAuthError("invalid_redirect_uri", f"The redirect URI {uri!r:.200} {what}.")
    grants = [each for each in GRANTS if each in metadata.grant_types]
    if "authorization_code" not in grants or "code" not in metadata.response_types:
        raise OAuthError(
            "invalid_client_metadata",
            "Clients that register use the grant authorization_code with the response type code; "
            "machines that act by themselves are made with POST /api/machines.",
        )
    has_keys = metadata.jwks is not None or bool(metadata.jwks_uri)
    if metadata.token_endpoint_auth_method == BY_SIGNATURE and not has_keys:
        raise OAuthError("invalid_client_metadata", "private_key_jwt takes the client's public keys: send jwks.")
    if metadata.jwks is not None:
        check_keys(metadata.jwks)
    if metadata.jwks_uri is not None and urlsplit(metadata.jwks_uri).scheme != "https":
        raise OAuthError("invalid_client_metadata", "jwks_uri is no https:// address.")
    return metadata.model_copy(update={"grant_types": grants, "response_types": ["code"]})


def check_keys(jwks: JsonObject) -> None:
    """Check that there are only public keys of accepted types.

    Raises:
        OAuthError: ``invalid_client_metadata``.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 10 or not all(isinstance(key, dict) for key in keys):
        raise OAuthError("invalid_client_metadata", 'jwks is no set of one to ten keys: {"keys": […]}.')
    for key in keys:
        if "d" in key or "k" in key or key.get("kty") not in KEY_TYPES:
            raise OAuthError("invalid_client_metadata", f"Send public keys only, of the types {', '.join(KEY_TYPES)}.")
        try:
            made = PyJWK(key).key
        except (PyJWTError, ValueError, TypeError, KeyError) as error:
            raise OAuthError("invalid_client_metadata", f"A key of jwks cannot be read: {error}.") from None
        if key["kty"] == "RSA" and made.key_size < MIN_RSA_BITS:
            raise OAuthError("invalid_client_metadata", f"RSA keys have at least {MIN_RSA_BITS} bits.")
