"""Sends HTTP requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import urlencode

import orjson
from pydantic import Field, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.node_api.outbound import send, status_error
from engine.node_api.parameters import CredentialName, Parameters
from workflow.credentials import CredentialRef
from workflow.errors import NodeError
from workflow.items import Item, JsonObject
from workflow.ports import HttpRequest, HttpResponse
from workflow.redaction import redacted_address

Scalar = str | int | float | bool


class HttpRequestParameters(Parameters):
    """The request, and how to read the response. Give at most one of json_body, form and text_body."""

    url: str = Field(min_length=1, description="http:// or https://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="A list repeats the name; null leaves it out."
    )
    json_body: Any = Field(default=None, description="Sent as application/json.")
    form: dict[str, Scalar] | None = Field(default=None, description="Sent as a URL-encoded form.")
    text_body: str | None = Field(default=None, description="Sent as it is; set Content-Type yourself.")
    credential: CredentialName | None = Field(
        default=None,
        description="Name of a credential; the server adds its secret as it sends. Not an expression.",
    )
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    follow_redirects: bool = True
    fail_on_status: bool = Field(default=True, description="A status of 400 or more fails the item.")
    response: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto parses JSON where the content type says so."
    )
    concurrency: int = Field(default=5, ge=1, le=50, description="Requests at work at once.")

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        given = {"json_body", "form", "text_body"} & self.model_fields_set
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(sorted(given))}")
        return self


class HttpRequestNode(EffectNode[HttpRequestParameters]):
    """Sends one HTTP request per item; gives {status, headers, body}.

    Every request has an Idempotency-Key, the same when it is repeated after a crash. A list in the body
    stays in one item: split_out makes items of it.
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

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"{parameters.get('method', 'GET')} {_without_query(str(parameters.get('url', '')))}"

    def concurrency(self, parameters: HttpRequestParameters) -> int:
        return parameters.concurrency

    def target(self, parameters: HttpRequestParameters) -> str:
        return f"{parameters.method} {redacted_address(parameters.url)}"

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
        return {"status": response.status, "headers": dict(response.headers), "body": body}


def _request(parameters: HttpRequestParameters, key: str, owner: str) -> HttpRequest:
    headers = {"idempotency-key": key}
    body: bytes | None = None
    if "json_body" in parameters.model_fields_set:
        headers["content-type"] = "application/json"
        body = orjson.dumps(parameters.json_body)
    elif parameters.form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode({name: _text(value) for name, value in parameters.form.items()}).encode()
    elif parameters.text_body is not None:
        headers["content-type"] = "text/plain; charset=utf-8"
        body = parameters.text_body.encode()
    headers |= {name.lower(): value for name, value in parameters.headers.items()}
    return HttpRequest(
        method=parameters.method,
        url=parameters.url,
        headers=headers,
        query=tuple(
            (name, _text(value))
            for name, values in parameters.query.items()
            for value in (values if isinstance(values, list) else [values])
            if value is not None
        ),
        body=body,
        timeout_seconds=parameters.timeout_seconds,
        follow_redirects=parameters.follow_redirects,
        credential=CredentialRef(owner=owner, name=parameters.credential) if parameters.credential else None,
    )


def _text(value: Scalar) -> str:
    """The value as JSON writes it, without the quotes of a string: ``true``, not ``True``."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _read(response: HttpResponse, how: str) -> Any:
    if not response.body:
        return None
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if how == "json" or (how == "auto" and (media_type == "application/json" or media_type.endswith("+json"))):
        try:
            return orjson.loads(response.body)
        except orjson.JSONDecodeError as error:
            if how == "json" and response.status < 400:
                raise NodeError(
                    f"The answer is not JSON ({error}); it starts with {response.body[:60]!r}.",
                    code="response_not_json",
                    fix='Set response to "text", or correct the address.',
                ) from error
    return response.body.decode(_charset(response), errors="replace")


def _charset(response: HttpResponse) -> str:
    _, _, parameter = response.headers.get("content-type", "").partition("charset=")
    name = parameter.partition(";")[0].strip(" \"'")
    try:
        return "".encode(name).decode() or name if name else "utf-8"
    except LookupError:
        return "utf-8"


def _without_query(url: str) -> str:
    return url.partition("?")[0]
