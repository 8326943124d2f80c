"""The trigger that HTTP requests start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from engine.node_api.node_type import TriggerNode
from engine.node_api.parameters import Parameters

PATH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$"


class Signature(Parameters):
    """An HMAC of the raw body, which the sender puts into a header, as GitHub and others do."""

    header: str = Field(default="X-Hub-Signature-256", description="Header that holds the signature.")
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    secret: str = Field(description="Name of a credential of kind signature, or in JOBSPRINT_WEBHOOK_SECRETS.")


class WebhookParameters(Parameters):
    """The webhook's path and methods, and the signature that it demands."""

    path: str = Field(pattern=PATH_PATTERN, description="It listens at /webhooks/{path}.")
    methods: list[Literal["GET", "POST", "PUT", "PATCH", "DELETE"]] = Field(
        default=["POST"], min_length=1, description="Requests with another method get 405."
    )
    signature: Signature | None = Field(default=None, description="Refuse requests without this signature.")


class Webhook(TriggerNode[WebhookParameters]):
    """Starts on an HTTP request; its item is {body, headers, query, method, path}.

    It listens once the workflow is published, and runs the published version. The caller gets 202 and the
    execution's id at once, or the answer of the workflow's respond node where it has one. A JSON body is parsed; a
    form becomes an object; anything else is text.
    """

    name = "webhook"
    title = "Webhook"
    group = "trigger"
    keywords = ("http", "request", "receive", "endpoint", "api", "github")
    example = {"path": "leads", "signature": {"secret": "github"}}  # not the secret, its name  # nosec B105
    parameter_model = WebhookParameters

    def webhook_path_of(self, parameters: Mapping[str, Any]) -> str | None:
        path = parameters.get("path")
        return path if isinstance(path, str) else None

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"requests to /webhooks/{parameters.get('path', '')}"
