"""The trigger that HTTP requests start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from engine.expressions.template import is_template
from engine.node_api.node_type import TriggerNode
from engine.node_api.parameters import Parameters, template_leaves
from workflow.definitions.catalogue import ParameterProblem
from workflow.webhook_paths import MOST_CHARACTERS, PATH_PATTERN, parameter_names

DELIVERY_ID = "delivery_id"
"""The one parameter that may be an expression: it is read from each request."""


class Signature(Parameters):
    """What proves who sent a request: a signature of its body, or a shared token."""

    scheme: Literal["hmac", "github", "slack", "shopify", "stripe", "standard_webhooks", "token"] = Field(
        default="hmac",
        description="How the sender signs. hmac: the body's HMAC in hex or base64. github, slack, shopify, stripe and "
        "standard_webhooks (also Svix): as their documentation says. token: the header holds the secret itself.",
    )
    header: str | None = Field(
        default=None,
        max_length=100,
        description="Header that holds the signature, where it is not the scheme's own; for hmac X-Hub-Signature-256, "
        "for token X-Gitlab-Token.",
    )
    timestamp_header: str | None = Field(
        default=None, max_length=100, description="For slack: header of the time, if not X-Slack-Request-Timestamp."
    )
    algorithm: Literal["sha256", "sha512", "sha1"] = Field(default="sha256", description="For hmac.")
    tolerance_seconds: int = Field(
        default=300, ge=1, le=86_400, description="How old a signature with a time may be: slack, stripe, ..."
    )
    secret: str = Field(description="Name of a credential of kind signature, or in JOBSPRINT_WEBHOOK_SECRETS.")


class WebhookParameters(Parameters):
    """The webhook's path and methods, and what it asks of a request."""

    path: str = Field(
        pattern=PATH_PATTERN,
        max_length=MOST_CHARACTERS,
        description="It listens at /webhooks/{path}. Segments such as :id in orders/:id are parameters: "
        "$json.params.id.",
    )
    methods: list[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]] = Field(
        default=["POST"],
        min_length=1,
        description="Requests with another method get 405. GET takes HEAD as well; OPTIONS is answered without a run "
        "unless it is among them.",
    )
    signature: Signature | None = Field(default=None, description="Refuse requests without this signature.")
    delivery_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=2_000,
        description="Header with the id of a delivery, such as X-GitHub-Delivery, or an expression such as "
        "={{ $json.body.id }}. A request with the id of another one within a day starts nothing, and gets the first "
        "one's execution.",
    )
    raw_body: bool = Field(
        default=False, description="Also give the bytes of the body: raw_body is {media_type, size_bytes, base64}."
    )

    @field_validator("path")
    @classmethod
    def _names_each_parameter_once(cls, path: str) -> str:
        names = parameter_names(path)
        if len(set(names)) < len(names):
            raise ValueError("two of its parameters have one name")
        return path


class Webhook(TriggerNode[WebhookParameters]):
    """Starts on an HTTP request; its item is {body, headers, query, method, path}.

    It listens once the workflow is published, and runs the published version. The caller gets 202 and the
    execution's id at once, or the answer of the workflow's respond node where it has one. A JSON body is parsed; a
    form becomes an object, and its files are in files; text is text in the charset that it names; other bytes are
    {media_type, size_bytes, base64}. A name that comes several times in query or form has a list. A path with
    parameters gives params.
    """

    name = "webhook"
    title = "Webhook"
    group = "trigger"
    keywords = ("http", "request", "receive", "endpoint", "api", "github", "slack", "stripe", "shopify", "form")
    example = {"path": "leads", "signature": {"secret": "github"}}  # not the secret, its name  # nosec B105
    parameter_model = WebhookParameters

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        found = list(super().problems_of(parameters))
        fixed = {name: value for name, value in parameters.items() if name != DELIVERY_ID}
        return [
            *found,
            *(
                ParameterProblem(
                    code="bad_parameter",
                    path=path,
                    message="A webhook listens before there is a request, so no expression can say where or to what.",
                    fix="Write the value as it is. Only delivery_id may be an expression.",
                )
                for path, _ in template_leaves(fixed)
            ),
        ]

    def webhook_path_of(self, parameters: Mapping[str, Any]) -> str | None:
        path = parameters.get("path")
        return path if isinstance(path, str) and not is_template(path) else None

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"requests to /webhooks/{parameters.get('path', '')}"
