"""Call any HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self
from urllib.parse import urlencode

import orjson
from pydantic import Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.node_api.parameters import Parameters
from workflow.credential_forms import NAME
from workflow.credentials import CredentialRef
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError, OutboundError
from workflow.items import Item, JsonObject
from workflow.ports import HttpRequest, HttpResponse
from workflow.redaction import redacted_address
from workflow.retry import is_transient

Scalar = str | int | float | bool


class HttpRequestParameters(Parameters):
    """The request, and how to read its answer. Give at most one of json_body, form and text_body."""

    url: str = Field(min_length=1, description="http:// or https://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="A list repeats the name; null leaves it out."
    )
    json_body: Any = Field(default=None, description="Sent as application/json.")
    form: dict[str, Scalar] | None = Field(default=None, description="Sent as a URL-encoded form.")
    text_body: str | None = Field(default=None, description="Sent as it is; set Content-Type yourself.")
    credential: str | None = Field(
        default=None,
        pattern=f"^{NAME.pattern}$",
        description="Name of a credential; the server adds its secret as it sends. Not an expression.",
    )
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    follow_redirects: bool = True
    fail_on_status: bool = Field(default=True, description="A status of 400 or more fails the item.")
    response: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto parses JSON where the content type says so."
    )
    concurrency: int = Field(default=5, ge=1, le=50, description="Requests under way at once.")

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        given = {"json_body", "form", "text_body"} & self.model_fields_set
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(sorted(given))}")
        return self


class HttpRequestNode(EffectNode[HttpRequestParameters]):
    """Sends one HTTP request per item; gives {status, headers, body}.

    Every request carries an Idempotency-Key that stays the same when it is repeated after a crash. A list
    in the body stays in one item: split_out makes items of it.
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

    def credential_of(self, parameters: Mapping[str, Any]) -> str | None:
        named = parameters.get("credential")
        return named if isinstance(named, str) else None

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Also where an expression would choose the credential: then data that comes in could."""
        found = list(super().problems_of(parameters))
        if is_template(parameters.get("credential")):
            found.append(
                ParameterProblem(
                    code="bad_parameter",
                    path=("credential",),
                    message="A credential is named as it is, not by an expression.",
                    fix="Write the credential's name; for several credentials, use a node for each behind a switch.",
                )
            )
        return found

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
        try:
            response = await call.http.send(_request(parameters, call.effect_key(index), call.owner))
        except OutboundError as error:
            raise NodeError(
                error.message,
                code=error.outbound_code,
                transient=error.transient,
                fix=error.fix,
                retry_after_seconds=error.retry_after_seconds,
            ) from error
        body = _read(response, parameters.response)
        if parameters.fail_on_status and response.status >= 400:
            raise NodeError(
                f"{parameters.method} {_without_query(response.url)} answered {response.status}: {body!r:.300}",
                code="http_status",
                transient=is_transient(response.status),
                retry_after_seconds=_retry_after(response),
                fix="Set fail_on_status to false to go on with the answer, or mend the request.",
            )
        return {"status": response.status, "headers": dict(response.headers), "body": body}


def _retry_after(response: HttpResponse) -> float | None:
    """Seconds that the header Retry-After asks for; its form as a date is rare and not read (RFC 9110, 10.2.3)."""
    given = response.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else None


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
