"""One operation of an HTTP API, as data: where its arguments go, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field

from integrations.failures import broken, of_status, timed_out
from workflow.actions import Action, ActionCall, ActionError, ActionResult
from workflow.credentials import CredentialRef
from workflow.errors import OutboundError
from workflow.items import JsonObject
from workflow.ports import HttpClient, HttpRequest, HttpResponse

READING = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENT = READING | {"PUT", "DELETE"}  # RFC 9110, 9.2.2
MOST_SAID = 500
"""Characters of a refusal that our error repeats."""

Place = Literal["path", "query", "header", "body"]


class HttpOperation(BaseModel):
    """An operation. ``places`` says where each argument goes, under which name; arguments without one are members of
    the JSON body. Where ``whole_body`` names an argument, that is the body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    path: str = ""
    places: dict[str, tuple[Place, str]] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    fixed_query: dict[str, str] = Field(default_factory=dict)
    whole_body: str | None = None
    body_type: Literal["json", "form"] = "json"
    template: Any = Field(default=None, description='A body in which {"$argument": name} stands for arguments.')

    def request(self, base_url: str, call: ActionCall, credential: CredentialRef | None) -> HttpRequest:
        """The request that the call comes to.

        Raises:
            ActionError: an argument would lead to another path.
        """
        path, query, headers = self.path, list(self.fixed_query.items()), {"accept": "application/json", **self.headers}
        body: JsonObject = {}
        for name, value in call.arguments.items():
            place, there = self.places.get(name, ("body", name))
            if place == "path":
                path = path.replace(f"{{{there}}}", _segment(name, value))
            elif place == "query":
                query += [(there, _text(each)) for each in (value if isinstance(value, list) else [value])]
            elif place == "header":
                headers[there.lower()] = _text(value)
            else:
                body[there] = value
        content = self._content(body)
        if content is not None:
            kind = "application/json" if self.body_type == "json" else "application/x-www-form-urlencoded"
            headers["content-type"] = kind
        if call.effect_key is not None and self.method not in IDEMPOTENT:
            headers.setdefault("idempotency-key", call.effect_key)
        return HttpRequest(
            method=self.method,
            url=f"{base_url.rstrip('/')}{path}",
            headers=headers,
            query=tuple(query),
            body=content,
            timeout_seconds=call.timeout_seconds,
            credential=credential,
        )

    def _content(self, body: JsonObject) -> bytes | None:
        if self.method in READING:
            return None
        content: Any = body
        if self.template is not None:
            content = _filled(self.template, body)
        elif self.whole_body is not None:
            if self.whole_body not in body:
                return None
            content = body[self.whole_body]
        elif not body:
            return None
        if self.body_type == "form":
            return urlencode({name: _text(value) for name, value in content.items()}).encode()
        return orjson.dumps(content)


async def perform(
    operation: HttpOperation,
    base_url: str,
    action: Action,
    call: ActionCall,
    *,
    http: HttpClient,
    credential: CredentialRef | None,
) -> ActionResult:
    """Run the operation once.

    Raises:
        ActionError: it was not done, or it is unknown whether it was.
    """
    what = f"{action.connection}/{action.name}"
    request = operation.request(base_url, call, credential)
    try:
        response = await http.send(request)
    except OutboundError as error:
        raise _unanswered(what, action, call, error) from error
    after = response.headers.get("retry-after", "")
    failure = of_status(
        what,
        action,
        response.status,
        retry_after_seconds=float(after) if after.isdecimal() else None,
        said=response.body[:MOST_SAID].decode(errors="replace").strip(),
    )
    if failure is not None:
        raise failure
    return ActionResult(data=_read(response), details={"status": response.status})


def _unanswered(what: str, action: Action, call: ActionCall, error: OutboundError) -> ActionError:
    code = error.outbound_code
    if code == "timeout":
        return timed_out(what, action, call.timeout_seconds)
    if code == "connection_failed":
        return broken(what, action, error.message, was_sent=error.was_sent)
    if code == "circuit_open":
        return ActionError(
            error.message,
            code=code,
            transient=True,
            is_unavailable=True,
            fix=error.fix,
            retry_after_seconds=error.retry_after_seconds,
        )
    is_refused = code == "token_refused" and not error.transient
    return ActionError(
        f"{what}: {error.message}",
        code="connection_unauthorized" if is_refused else code,
        transient=error.transient,
        may_have_happened=code in ("response_too_large", "bad_response") and not action.is_repeatable,
        is_unavailable=is_refused or error.transient,
        fix=error.fix,
    )


def _read(response: HttpResponse) -> Any:
    """JSON where it is that, else text; ``None`` where there is nothing."""
    if not response.body:
        return None
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return response.body.decode(errors="replace")


def _segment(name: str, value: Any) -> str:
    """A value as one segment of a path."""
    text = _text(value)
    if text in ("", ".", ".."):
        raise ActionError(
            f"The argument {name!r} is part of an address, and {text!r} would lead to another one.",
            code="action_arguments",
            fix="Give its value.",
        )
    return quote(text, safe="")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _filled(template: Any, arguments: Mapping[str, Any]) -> Any:
    """The template with arguments in their places; members whose argument is not given are left out."""
    if isinstance(template, list):
        return [made for each in template if (made := _filled(each, arguments)) is not _NOTHING]
    if not isinstance(template, dict):
        return template
    if set(template) == {"$argument"}:
        return arguments.get(template["$argument"], _NOTHING)
    filled = {name: _filled(member, arguments) for name, member in template.items()}
    return {name: member for name, member in filled.items() if member is not _NOTHING}


_NOTHING = object()
