"""Sends HTTP requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self
from urllib.parse import urlencode

import orjson
from pydantic import Field, field_validator, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.node_api.outbound import send, status_error
from engine.node_api.parameters import CredentialName, Parameters
from workflow.credentials import CredentialRef
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError
from workflow.http.bodies import BodyError, as_text, as_text_or_bytes, binary, is_json, parsed
from workflow.http.headers import shown, transport_headers, with_parameters
from workflow.items import Item, JsonObject
from workflow.ports import HttpRequest, HttpResponse
from workflow.redaction import redacted, redacted_address

Scalar = str | int | float | bool


SHOWN_BODY_BYTES = 200
"""What is shown of a body that was sent, to those who look at a run."""


class HttpRequestParameters(Parameters):
    """The request, and how to read the response. Give at most one of json_body, form and text_body."""

    url: str = Field(min_length=1, description="http:// or https://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="A list repeats the name; null leaves it out."
    )
    json_body: Any = Field(default=None, description="Sent as application/json.")
    form: dict[str, Scalar | list[Scalar] | None] | None = Field(
        default=None, description="Sent as a URL-encoded form. A list repeats the name; null leaves it out."
    )
    text_body: str | None = Field(default=None, description="Sent as it is; set Content-Type yourself.")
    credential: CredentialName | None = Field(
        default=None,
        description="Name of a credential; the server adds its secret as it sends. Not an expression.",
    )
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    follow_redirects: bool = True
    fail_on_status: bool = Field(default=True, description="A status of 400 or more fails the item.")
    response: Literal["auto", "json", "text", "binary"] = Field(
        default="auto",
        description="auto goes by the content type: JSON is parsed, text is text, and other bytes are "
        "{media_type, size_bytes, base64}.",
    )
    concurrency: int = Field(default=5, ge=1, le=50, description="Requests at work at once.")

    @field_validator("headers")
    @classmethod
    def _are_the_senders(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in transport_headers(headers):
            raise ValueError(_not_settable(name))
        return headers

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        given = {"json_body", "form", "text_body"} & self.model_fields_set
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(sorted(given))}")
        return self


class HttpRequestNode(EffectNode[HttpRequestParameters]):
    """Sends one HTTP request per item; gives {status, headers, body}.

    Every request has an Idempotency-Key, the same when it is repeated after a crash. A list in the body
    stays in one item: split_out makes items of it. Of the answer's headers set-cookie is a list; others that come
    several times are joined by commas. Text is read in the charset that the answer names.
    """

    name = "http_request"
    title = "HTTP request"
    group = "integration"
    keywords = ("api", "rest", "fetch", "call", "get", "post", "url", "download")
    example = {
        "method": "POST",
        "url": "https://api.example.com/leads",
        "json_body": {"name": "={{ $json.name }}"},
    }
    parameter_model = HttpRequestParameters

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        found = list(super().problems_of(parameters))
        headers = parameters.get("headers")
        # Checked here as well, since a value that is an expression leaves the model's own check to the run.
        names = transport_headers(str(name) for name in headers) if isinstance(headers, Mapping) else []
        if names and not any(problem.path == ("headers",) for problem in found):
            found += [
                ParameterProblem(
                    code="bad_parameter",
                    path=("headers", name),
                    message=f"The sending client alone sets the header {name}: it says how or to which host to send.",
                    fix="Leave the header out; the address says the host.",
                )
                for name in names
            ]
        return found

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"{parameters.get('method', 'GET')} {_without_query(str(parameters.get('url', '')))}"

    def concurrency(self, parameters: HttpRequestParameters) -> int:
        return parameters.concurrency

    def target(self, parameters: HttpRequestParameters) -> str:
        return f"{parameters.method} {redacted_address(parameters.url)}"

    def sent(self, parameters: HttpRequestParameters) -> str:
        body = b""
        if "json_body" in parameters.model_fields_set:
            body = orjson.dumps(redacted(parameters.json_body))
        elif parameters.form is not None:
            body = orjson.dumps(redacted(dict(parameters.form)))
        shown = body[:SHOWN_BODY_BYTES].decode("utf-8", "ignore") + ("…" if len(body) > SHOWN_BODY_BYTES else "")
        return f"{self.target(parameters)} {shown}".rstrip()

    def is_repeatable(self, parameters: HttpRequestParameters) -> bool:
        return parameters.method != "POST" and parameters.method != "PATCH"  # RFC 9110, 9.2.2

    async def run_item(
        self,
        index: int,
        item: Item,
        parameters: HttpRequestParameters,
        call: NodeCall[HttpRequestParameters],
    ) -> JsonObject:
        response = await send(call, _request(parameters, call.effect_key(index), call.owner))
        body = _read(response, parameters.response)
        if parameters.fail_on_status and response.status >= 400:
            raise status_error(
                response,
                f"{parameters.method} {_without_query(response.url)} answered {response.status}: {body!r:.300}",
                fix="Set fail_on_status to false to go on with the response, or correct the request.",
            )
        return {"status": response.status, "headers": shown(response.headers), "body": body}


def _request(parameters: HttpRequestParameters, key: str, owner: str) -> HttpRequest:
    headers = {"idempotency-key": key}
    body: bytes | None = None
    if "json_body" in parameters.model_fields_set:
        headers["content-type"] = "application/json"
        body = orjson.dumps(parameters.json_body)
    elif parameters.form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode(_pairs(parameters.form)).encode()
    elif parameters.text_body is not None:
        headers["content-type"] = "text/plain; charset=utf-8"
        body = parameters.text_body.encode()
    headers |= {name.lower(): value for name, value in parameters.headers.items()}
    return HttpRequest(
        method=parameters.method,
        url=parameters.url,
        headers=headers,
        query=tuple(_pairs(parameters.query)),
        body=body,
        timeout_seconds=parameters.timeout_seconds,
        follow_redirects=parameters.follow_redirects,
        credential=CredentialRef(owner=owner, name=parameters.credential) if parameters.credential else None,
        owner=owner,
    )


def _pairs(named: Mapping[str, Scalar | list[Scalar] | None]) -> list[tuple[str, str]]:
    return [
        (name, _text(value))
        for name, values in named.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    ]


def _text(value: Scalar) -> str:
    """The value as JSON writes it, without the quotes of a string: ``true``, not ``True``."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _read(response: HttpResponse, how: str) -> Any:
    body = response.body
    if not body:
        return None
    content_type = response.headers.get("content-type", "")
    media_type, parameters = with_parameters(content_type)
    if how == "json" or (how == "auto" and is_json(media_type)):
        try:
            return parsed(body, parameters.get("charset"))
        except BodyError as error:
            if how == "json" and response.status < 400:
                raise NodeError(
                    f"The answer is not JSON ({error}); it starts with {body[:60]!r}.",
                    code="response_not_json",
                    fix='Set response to "text", or correct the address.',
                ) from error
    if how == "binary":
        return binary(body, media_type)
    return as_text_or_bytes(body, content_type) if how == "auto" else as_text(body, content_type)


def _not_settable(name: str) -> str:
    return f"the sending client alone sets the header {name}: it says how or to which host to send"


def _without_query(url: str) -> str:
    return url.partition("?")[0]
