"""What a credential of each kind holds, and where it may be sent.

Fields of type ``SecretStr`` are the secret; the others may be shown. Nothing here repeats a value it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from workflow.http.headers import TRANSPORT_HEADERS
from workflow.items import JsonObject

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""What names a credential."""
LEAST_SECRET = 4
"""Shorter secrets could not be hidden where an answer repeats them without hiding half of what is there."""
MOST_SECRET = 16_384

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_OWN_HEADERS = TRANSPORT_HEADERS | {"content-type", "content-encoding", "idempotency-key"}
"""Those that say what the request is; a secret in one of them would make it another."""
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*(?::\d{1,5})?")
_HOST_6 = re.compile(r"\[[0-9a-f:.]+\](?::\d{1,5})?")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "sqlite", "mssql", "oracle", "mongodb", "redis", "rediss")


def _stripped(value: Any) -> Any:
    """A pasted secret often brings a line break that belongs to nothing."""
    return value.strip() if isinstance(value, str) else value


def _fit_for_header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not all(" " <= each <= "~" or each == "\t" for each in text):
        raise ValueError("it has characters that no header can hold")
    return value


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("this is not the name of a header")
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"the header {name} says what the request is, and cannot hold a credential")
    return name


def _host_pattern(host: str) -> str:
    host = host.strip().lower()
    if not host.isascii():
        raise ValueError("write the host in its ASCII form, which begins with xn--")
    if not _HOST.fullmatch(host) and not _HOST_6.fullmatch(host):
        raise ValueError(
            "this is not a host: write api.example.com or *.example.com, without https:// and without a path"
        )
    if host.startswith("*.") and host.count(".") < 2:
        raise ValueError("this would be every host below a top-level domain")
    return host


def https_address(url: str) -> str:
    """The address, if it is one that secrets may be sent to.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment or re.search(r"[\x00-\x20]", url):
        raise ValueError("this is not an address of the form https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("it must begin with https://; http:// is for this machine only")
    return url


Secret = Annotated[SecretStr, BeforeValidator(_stripped), Field(min_length=LEAST_SECRET, max_length=MOST_SECRET)]
HeaderSecret = Annotated[Secret, AfterValidator(_fit_for_header)]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_host_pattern)], ...],
    Field(
        min_length=1,
        max_length=20,
        description="The only hosts it is sent to: api.example.com, *.example.com (what is below it), or with a port.",
    ),
]


class CredentialForm(BaseModel):
    """Root of the forms. ``kind`` says which one it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    secret_names: ClassVar[frozenset[str]] = frozenset()

    kind: str

    def details(self) -> JsonObject:
        """What may be shown."""
        return self.model_dump(mode="json", exclude={*self.secret_names, "kind"}, exclude_none=True)

    def secrets(self) -> dict[str, str]:
        """The secret values by their fields."""
        values: dict[str, SecretStr | None] = {name: getattr(self, name) for name in sorted(self.secret_names)}
        return {name: value.get_secret_value() for name, value in values.items() if value is not None}

    def never_shown(self) -> Sequence[str]:
        """The texts that must not be seen anywhere, in plain."""
        return list(self.secrets().values())

    def hosts(self) -> Sequence[str]:
        """The hosts that it may be sent to with a request."""
        return ()


class HeaderCredential(CredentialForm):
    """A header of any name, as API keys are sent."""

    secret_names = frozenset({"value"})

    kind: Literal["header"]
    header: Annotated[str, Field(max_length=100), AfterValidator(_header_name)] = Field(
        description="The header's name, for example X-Api-Key."
    )
    value: HeaderSecret = Field(description="The header's whole value.")
    allowed_hosts: Hosts

    def hosts(self) -> Sequence[str]:
        return self.allowed_hosts

    def never_shown(self) -> Sequence[str]:
        """The value, and what follows a word in front of it (``Token …``)."""
        whole = self.value.get_secret_value()
        last = whole.split()[-1]
        return [whole, last] if last != whole and len(last) >= LEAST_SECRET else [whole]


class BasicCredential(CredentialForm):
    """A user's name and password (RFC 7617). Either may be empty, not both: some services take a key as one of them."""

    secret_names = frozenset({"username", "password"})

    kind: Literal["basic"]
    username: Annotated[SecretStr, Field(max_length=MOST_SECRET)] = Field(description="Without a colon.")
    password: Annotated[SecretStr, Field(max_length=MOST_SECRET)] = SecretStr("")
    allowed_hosts: Hosts

    @model_validator(mode="after")
    def _has_secret(self) -> Self:
        username, password = self.username.get_secret_value(), self.password.get_secret_value()
        if ":" in username:
            raise ValueError("a colon cannot be part of the user's name")
        if len(password or username) < LEAST_SECRET:
            raise ValueError(f"the password (or, without one, the user's name) has less than {LEAST_SECRET} characters")
        return self

    def hosts(self) -> Sequence[str]:
        return self.allowed_hosts

    def never_shown(self) -> Sequence[str]:
        """The password; the user's name only where it is what is secret, since many users are called ``admin``."""
        return [self.password.get_secret_value() or self.username.get_secret_value()]


class BearerCredential(CredentialForm):
    """A token, sent as ``Authorization: Bearer`` (RFC 6750)."""

    secret_names = frozenset({"token"})

    kind: Literal["bearer"]
    token: HeaderSecret
    allowed_hosts: Hosts

    def hosts(self) -> Sequence[str]:
        return self.allowed_hosts


class OAuth2Credential(CredentialForm):
    """An OAuth 2 client that fetches access tokens for itself, or prolongs what a user once granted."""

    secret_names = frozenset({"client_secret", "refresh_token"})

    kind: Literal["oauth2"]
    grant: Literal["client_credentials", "refresh_token"] = "client_credentials"
    token_url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)] = Field(
        description="Where access tokens are fetched; https://."
    )
    client_id: str = Field(min_length=1, max_length=1_000)
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    scope: str | None = Field(default=None, max_length=2_000)
    audience: str | None = Field(default=None, max_length=2_000)
    client_authentication: Literal["basic", "body"] = Field(
        default="basic", description="How the client's secret is sent to token_url: in a header, or in the form."
    )
    allowed_hosts: Hosts

    @model_validator(mode="after")
    def _has_what_grant_needs(self) -> Self:
        if self.grant == "client_credentials" and (self.client_secret is None or self.refresh_token is not None):
            raise ValueError("the grant client_credentials takes a client_secret, and no refresh_token")
        if self.grant == "refresh_token" and self.refresh_token is None:
            raise ValueError("the grant refresh_token takes a refresh_token")
        return self

    def hosts(self) -> Sequence[str]:
        return self.allowed_hosts


class GrantCredential(CredentialForm):
    """What a user has granted a connection in a browser (OAuth 2.1). It is made and refreshed by the server alone.

    ``expires_at`` is when the access token ends, in ISO 8601; ``resource`` for whom it is meant (RFC 8707).
    """

    secret_names = frozenset({"access_token", "refresh_token", "client_secret"})

    kind: Literal["grant"]
    issuer: str = Field(max_length=2_000)
    token_url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)]
    revocation_url: Annotated[str, Field(max_length=2_000), AfterValidator(https_address)] | None = None
    client_id: str = Field(min_length=1, max_length=2_000)
    client_secret: Secret | None = None
    client_authentication: Literal["none", "basic", "body"] = "none"
    access_token: HeaderSecret
    refresh_token: Secret | None = None
    expires_at: str | None = Field(default=None, max_length=40)
    scope: str | None = Field(default=None, max_length=4_000)
    resource: str | None = Field(default=None, max_length=2_000)
    allowed_hosts: Hosts

    def hosts(self) -> Sequence[str]:
        return self.allowed_hosts


class AddressCredential(CredentialForm):
    """An address that is itself the secret, as incoming webhooks have it. Requests that name it go there."""

    secret_names = frozenset({"url"})

    kind: Literal["address"]
    url: Secret = Field(description="The whole address; https://.")

    @model_validator(mode="after")
    def _is_address(self) -> Self:
        https_address(self.url.get_secret_value())
        return self

    def details(self) -> JsonObject:
        """Where it leads, without what is secret in it."""
        return {"host": self._host()}

    def hosts(self) -> Sequence[str]:
        return (self._host(),)

    def never_shown(self) -> Sequence[str]:
        """The whole, and its path and query alone."""
        url = self.url.get_secret_value()
        rest = url.partition("://")[2].partition("/")[2]
        return [url, rest] if len(rest) >= LEAST_SECRET else [url]

    def _host(self) -> str:
        return urlsplit(self.url.get_secret_value()).netloc.rpartition("@")[2].lower()


class DatabaseCredential(CredentialForm):
    """The URL of a database, password included."""

    secret_names = frozenset({"url"})

    kind: Literal["database"]
    url: Secret = Field(description="For example postgresql://user:password@host:5432/name.")

    @model_validator(mode="after")
    def _is_database(self) -> Self:
        try:
            parts = urlsplit(self.url.get_secret_value())
            has_place = bool(parts.hostname or parts.path.strip("/"))
            _ = parts.port
        except ValueError:
            raise ValueError("this is not the URL of a database") from None
        if parts.scheme.partition("+")[0] not in _DATABASES:
            raise ValueError(f"the URL of a database begins with one of {', '.join(_DATABASES)}, and ://")
        if not has_place:
            raise ValueError("the URL names neither a host nor a database")
        return self

    def details(self) -> JsonObject:
        """Which database it is, without who logs in how."""
        parts = urlsplit(self.url.get_secret_value())
        return {"database": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"}

    def never_shown(self) -> Sequence[str]:
        """The whole, and the password in it."""
        url = self.url.get_secret_value()
        password = urlsplit(url).password or ""
        return [url, password] if len(password) >= LEAST_SECRET else [url]


class SignatureCredential(CredentialForm):
    """A secret that others sign their webhooks with. It is only compared with, never sent."""

    secret_names = frozenset({"secret"})

    kind: Literal["signature"]
    secret: Secret


FORMS: Mapping[str, type[CredentialForm]] = MappingProxyType(
    {
        "header": HeaderCredential,
        "basic": BasicCredential,
        "bearer": BearerCredential,
        "oauth2": OAuth2Credential,
        "grant": GrantCredential,
        "address": AddressCredential,
        "database": DatabaseCredential,
        "signature": SignatureCredential,
    }
)


def form_of(kind: str, details: Mapping[str, Any], secrets: Mapping[str, str]) -> CredentialForm:
    """A form as it was before it was taken apart into :meth:`CredentialForm.details` and ``secrets``.

    Raises:
        ValueError: there is no such kind (any more), or the parts do not fit it.
    """
    form = FORMS.get(kind)
    if form is None:
        raise ValueError("there is no such kind of credential")
    known = {name: value for name, value in details.items() if name in form.model_fields}
    return form.model_validate({"kind": kind, **known, **secrets})


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_go_to(hosts: Sequence[str], *, scheme: str, host: str, port: int | None) -> bool:
    """Whether a credential with these ``hosts`` may be sent there; ``host`` as in a URL, in lower case.

    ``port`` is ``None`` for the scheme's own. Without a port in the pattern only that one fits, but on this machine
    any does.
    """
    local = is_loopback(host)
    if scheme != "https" and not (scheme == "http" and local):
        return False
    usual = 443 if scheme == "https" else 80
    return any(_fits(pattern, host, port or usual, usual=None if local else usual) for pattern in hosts)


def _fits(pattern: str, host: str, port: int, *, usual: int | None) -> bool:
    head, _, number = pattern.rpartition(":")
    name, wanted = (head, int(number)) if head and number.isdecimal() else (pattern, usual)
    name = name.strip("[]")
    if wanted is not None and wanted != port:
        return False
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    return host.strip("[]") == name
