"""Every setting: an environment variable ``JOBSPRINT_…``, or a line of the file ``.env`` in the working directory.

Nothing is required. ``docs/settings.md`` is made from this file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from integrations.addresses import Allowed
from integrations.mcp.programs import McpProgram
from server.settings.proxies import TrustedProxies
from workflow.errors import ErrorKind, JobsprintError
from workflow.findings import did_you_mean, nearest

PREFIX = "JOBSPRINT_"
ENV_FILE = ".env"
FOR_TESTS = frozenset({"JOBSPRINT_REQUIRE_SERVICES"})
"""Variables with our prefix that are not settings of the server."""

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class BadSettingsError(JobsprintError):
    """A setting is wrong or unknown; the message names each."""

    code = "bad_settings"
    kind = ErrorKind.INVALID


class Settings(BaseSettings):
    """The settings with their defaults. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8765, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+/?$",
        description="How clients reach the server, if not by host and port.",
    )
    allowed_hosts: CommaSeparated = Field(
        default=(), description="Further values of the Host header to answer to, separated by commas."
    )
    allowed_origins: CommaSeparated = Field(
        default=(), description="Further origins whose pages may send requests, separated by commas."
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("jobsprint"), description="Folder of the embedded database."
    )
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… or sqlite:///…; by default jobsprint.db in data_dir."
    )
    database_connections: int = Field(
        default=12, ge=3, le=200, description="Connections of a process to PostgreSQL, at most."
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="amqp://… (RabbitMQ 3.10 or later) carries executions to `jobsprint worker` processes; it needs "
        "PostgreSQL.",
    )
    namespace: str = Field(
        default="jobsprint",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$",
        description="Begins the names of what is ours on the broker and in Redis; installations that share one need "
        "different ones.",
    )
    toolset: Literal["authoring", "running", "all"] = Field(
        default="all", description="Which tools MCP clients get: those to build workflows, those to run them, or all."
    )
    read_only: bool = Field(default=False, description="Give MCP clients only the tools that change nothing.")
    log_level: Literal["error", "warning", "info", "debug"] = Field(default="info", description="Least level to log.")
    log_format: Literal["text", "json"] = Field(default="text", description="json writes one object per line.")
    worker_concurrency: int = Field(default=50, ge=1, le=1_000, description="Executions that run at once in a process.")
    queue_capacity: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Executions accepted and not ended; beyond it clients get 429."
    )
    sub_workflow_depth: int = Field(
        default=32, ge=1, le=1_000, description="Levels of sub-workflows and error workflows that may call each other."
    )
    sub_workflow_calls: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Executions that one may start, with those that they start."
    )
    lease_seconds: float = Field(
        default=30, ge=1, le=3_600, description="How long after a process is gone others take over its executions."
    )
    retention_days: float | None = Field(
        default=30, gt=0, description="How long ended executions are kept; empty keeps them for good."
    )
    retention_count: int | None = Field(
        default=None, ge=0, description="How many executions are kept at most; empty sets no bound."
    )
    audit_retention_days: float | None = Field(
        default=365, gt=0, description="How long entries of the audit log are kept; empty keeps them for good."
    )
    retention_interval_seconds: float = Field(default=600, ge=1, description="How often old executions are deleted.")
    shutdown_grace_seconds: float = Field(
        default=10, ge=0, le=3_600, description="How long executions may go on when the server stops."
    )
    expression_workers: int = Field(default=1, ge=1, le=64, description="Processes that evaluate JavaScript.")
    expression_cpu_seconds: float = Field(
        default=2, gt=0, le=300, description="CPU time for the expressions of one node run."
    )
    expression_grace_seconds: float = Field(
        default=2, gt=0, le=300, description="Wall time beyond that until the process is killed."
    )
    expression_memory_bytes: int = Field(
        default=192 << 20, ge=8 << 20, le=4 << 30, description="Memory for the expressions of one execution."
    )
    http_max_connections: int = Field(default=200, ge=1, le=10_000, description="Outgoing connections at once.")
    http_max_response_bytes: int = Field(
        default=16 << 20, ge=1_024, le=1 << 30, description="Largest answer that http_request reads."
    )
    outbound_allow: CommaSeparated = Field(
        default=(),
        description="What requests may reach beyond the public internet: hosts, *.suffix and networks, each with :port "
        "where wanted, separated by commas.",
    )
    request_max_bytes: int = Field(
        default=4 << 20, ge=1_024, le=1 << 30, description="Largest request body that is taken; beyond it 413."
    )
    request_max_members: int = Field(
        default=250_000, ge=100, description="Most values in the JSON of one request; beyond it 413."
    )
    request_timeout_seconds: float = Field(
        default=30, gt=0, le=3_600, description="How long a request's headers may take to arrive, and its body."
    )
    max_connections: int = Field(default=1_000, ge=1, le=100_000, description="Connections of clients at once.")
    rate_limit_per_minute: int | None = Field(
        default=6_000, ge=1, description="Requests a minute of a user, or of an address; empty sets no bound."
    )
    client_limit_per_minute: int | None = Field(
        default=None, ge=1, description="Requests a minute of one API key or client of a user; empty sets no bound."
    )
    attempt_limit_per_minute: int = Field(
        default=60, ge=1, description="Logins, registrations, tokens and failed proofs a minute from an address."
    )
    webhook_limit_per_minute: int | None = Field(
        default=None, ge=1, description="Webhooks a minute from an address; empty sets no bound."
    )
    trusted_proxies: CommaSeparated = Field(
        default=(),
        description="Addresses and networks of reverse proxies whose X-Forwarded-For counts, separated by commas.",
    )
    webhook_response_timeout_seconds: float = Field(
        default=30, gt=0, le=3_600, description="How long a webhook's caller waits for the workflow's own answer."
    )
    secret_key: SecretStr | None = Field(
        default=None, min_length=16, description="Signs links; by default made once and kept in data_dir."
    )
    oauth_issuer: str | None = Field(
        default=None,
        description="Issuer (https) whose access tokens are taken as well; its metadata and keys are fetched from it.",
    )
    oauth_audience: str | None = Field(
        default=None, description="What tokens of oauth_issuer must be for (aud); by default the MCP endpoint's URL."
    )
    oauth_scope_prefix: str = Field(
        default="", description="What oauth_issuer writes before the names of our scopes, for example jobsprint/."
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID Connect issuer (https) that people may sign in through."
    )
    oidc_client_id: str | None = Field(default=None, description="What oidc_issuer knows this server by.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="The secret that goes with it; without one the server is a public client."
    )
    oidc_name: str | None = Field(
        default=None, max_length=60, description="What the login page calls oidc_issuer; by default its host."
    )
    issuer_registration: bool = Field(
        default=False,
        description="Users of oauth_issuer and oidc_issuer get an account even where registration is closed.",
    )
    puter_sign_in: bool = Field(default=False, description="Take tokens of Puter's browser SDK at POST /auth/puter.")
    puter_api_origin: str = Field(
        default="https://api.puter.com",
        pattern=r"^https?://[^\s/]+$",
        description="Where Puter is asked whose tokens are.",
    )
    puter_app: str | None = Field(
        default=None,
        pattern=r"^app-[0-9a-f-]{36}$",
        description="What Puter calls the site whose tokens are taken; by default the id of this server's own origin.",
    )
    vault_keys: SecretStr | None = Field(
        default=None,
        description="Keys that credentials are encrypted with (jobsprint vault new-key), with commas between. The "
        "first encrypts, all decrypt; by default one is made and kept in data_dir.",
    )
    vault_key_file: Path | None = Field(default=None, description="File of such keys, one a line.")
    vault_keyring: str | None = Field(
        default=None,
        pattern=r"^[^/]+/[^/]+$",
        description="service/user of the operating system's keyring that holds such keys; takes jobsprint[keyring].",
    )
    registration: Literal["open", "invitation", "closed"] = Field(
        default="closed", description="Who may make an account: everybody, those with an invitation, or nobody."
    )
    access_token_seconds: int = Field(
        default=900, ge=1, le=86_400, description="How long an access token counts before it has to be refreshed."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://… (7 or later) keeps login sessions, in place of the database, and caches conversations "
        "and models' answers; it carries events and counts requests for processes that share the work.",
    )
    conversation_days: float | None = Field(
        default=90, gt=0, description="How long a conversation is kept that nothing is added to; empty keeps all."
    )
    conversation_cache_bytes: int = Field(
        default=64 << 20, ge=0, le=4 << 30, description="Memory for the latest turns of conversations."
    )
    conformance_fixtures: bool = Field(
        default=False, description="Offer the tools, prompts and resources that the MCP conformance suite asks for."
    )
    webhook_secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description='Secrets that webhooks are signed with: {"github": "…"}.'
    )

    mcp_programs: dict[str, McpProgram] = Field(
        default_factory=dict,
        description="MCP servers that are programs of this machine, which connections of kind program may name: "
        '{"files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]}}; also '
        "env, pass_env (variables of the server's own that it gets, too), cwd, workspaces (ids; all where not given).",
    )
    mcp_sessions: int = Field(default=100, ge=1, le=10_000, description="Sessions with other MCP servers at once.")

    models: CommaSeparated = Field(
        default=("agent",),
        description="Models that AI nodes ask, in order, if they name none: openai/gpt-5-mini,ollama/llama3.2,agent. "
        "agent is the assistant that is connected.",
    )
    embedding_model: str | None = Field(default=None, description="Model that makes vectors of texts, provider/model.")
    model_providers: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description='Providers of models: {"ollama": {}, "mine": {"base_url": "https://…/v1", "api_key": "…"}}; see '
        "docs/models.md.",
    )
    ai_cache_seconds: float = Field(
        default=3_600, gt=0, description="How long a model's answer is known to nodes that may cache."
    )
    ai_user_tokens_per_day: int | None = Field(
        default=None, ge=0, description="Tokens that each user may use in a UTC day; empty sets no bound."
    )
    ai_user_dollars_per_day: float | None = Field(
        default=None, ge=0, description="Dollars that each user may spend in a UTC day, as far as prices are known."
    )
    ai_workflow_tokens_per_day: int | None = Field(
        default=None, ge=0, description="Tokens that each workflow may use in a UTC day; empty sets no bound."
    )
    ai_workflow_dollars_per_day: float | None = Field(
        default=None, ge=0, description="Dollars that each workflow may spend in a UTC day, as far as prices are known."
    )

    @field_validator(
        "retention_days",
        "retention_count",
        "audit_retention_days",
        "rate_limit_per_minute",
        "client_limit_per_minute",
        "conversation_days",
        "webhook_limit_per_minute",
        "embedding_model",
        "ai_user_tokens_per_day",
        "ai_user_dollars_per_day",
        "ai_workflow_tokens_per_day",
        "ai_workflow_dollars_per_day",
        mode="before",
    )
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("models", mode="after")
    @classmethod
    def _at_least_one_model(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return value or ("agent",)

    @field_validator("oauth_issuer", "oidc_issuer", "puter_api_origin")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        """Refuse plain http, where an attacker on the network could answer in the issuer's place."""
        if value is None:
            return value
        parts = urlsplit(value)
        if not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("it must be a URL without user, query and fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
            raise ValueError("it must start with https://")
        return value

    @field_validator("allowed_hosts", "allowed_origins", "outbound_allow", "trusted_proxies", "models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        TrustedProxies(value)
        return value

    @field_validator("outbound_allow")
    @classmethod
    def _are_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                Allowed.parse(each)
            except JobsprintError as error:
                raise ValueError(f"{error.message} {error.fix}") from error
        return value

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """The settings from the environment and ``.env``; ``overrides`` win.

        Raises:
            BadSettingsError: one is wrong, or a variable with our prefix is no setting.
        """
        unknown = _unknown({**dotenv_values(ENV_FILE), **os.environ}, cls.model_fields)
        if unknown:
            raise BadSettingsError(" ".join(unknown), fix="docs/settings.md lists every setting.")
        try:
            return cls(**overrides)
        except ValidationError as error:
            wrong = [f"{PREFIX}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}." for each in error.errors()]
            raise BadSettingsError(" ".join(wrong), fix="docs/settings.md lists what each takes.") from error
        except SettingsError as error:
            raise BadSettingsError(f"{error}: {error.__cause__}.", fix="Write it as JSON.") from error

    @property
    def base_url(self) -> str:
        """How clients reach the server, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def redis_prefix(self) -> str:
        """The prefix of our keys and channels in Redis."""
        return f"{self.namespace}:"

    @property
    def effective_database_url(self) -> str:
        """The database's URL, password included."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'jobsprint.db'}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server, as far as the settings show."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        hosts = [self.host, *map(_without_port, self.allowed_hosts), *([public] if public else [])]
        return all(map(_is_loopback, hosts))


def _without_port(host: str) -> str:
    """The name or address in a value of the Host header, which may have a port (``:*`` for any)."""
    name, colon, port = host.rpartition(":")
    is_port = bool(colon) and (port == "*" or port.isdecimal()) and (":" not in name or name.endswith("]"))
    return (name if is_port else host).strip("[]")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 (6.3)
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unknown(variables: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    known = {PREFIX + name.upper() for name in fields}
    return [
        f"{name} is not a setting.{did_you_mean(nearest(name, known))}"
        for name in variables
        if name.upper().startswith(PREFIX) and name.upper() not in known | FOR_TESTS
    ]
