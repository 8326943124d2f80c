"""One operation of an HTTP API, as data: where its arguments go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from integrations.apis.bodies import BodyType, UnfitBodyError, encoded
from integrations.apis.styles import Writing, in_cookie, in_header, in_path, in_query, text_of
from workflow.actions import ActionCall, ActionError
from workflow.credentials import CredentialRef
from workflow.items import JsonObject
from workflow.ports import HttpRequest

BASE = "base_url"
"""Of an action's details: the address that its operation's path stands behind."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENT = READING | {"PUT", "DELETE"}  # RFC 9110, 9.2.2
MOST_SAID = 500
"""Characters of a refusal that our error repeats."""
_NOTHING = object()

NEVER_ARGUMENTS = frozenset(
    {
        "accept", "authorization", "content-type",  # OpenAPI 3, Parameter Object: such parameters are to be ignored
        "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers that a document may name and no argument sets: they are the credential's, the body's or the transport's."""

Place = Literal["path", "query", "header", "cookie", "body"]
_USUAL: Mapping[Place, Writing] = {
    "path": Writing(style="simple", explode=False),
    "query": Writing(),
    "header": Writing(style="simple", explode=False),
    "cookie": Writing(),
}
_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")


class HttpOperation(BaseModel):
    """An operation. ``places`` says where each argument goes, under which name, and ``writings`` how it is written
    there; arguments without a place are members of the body, whose writings go by the member's name. Where
    ``whole_body`` names an argument, that is the body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    path: str = ""
    places: dict[str, tuple[Place, str]] = Field(default_factory=dict)
    writings: dict[str, Writing] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    fixed_query: dict[str, str] = Field(default_factory=dict)
    whole_body: str | None = None
    body_type: BodyType = "json"
    media_type: str | None = Field(default=None, description="Of the body; default: as its type has it.")
    template: Any = Field(default=None, description='A body in which {"$argument": name} stands for arguments.')

    def request(self, base_url: str, call: ActionCall, credential: CredentialRef | None) -> HttpRequest:
        """The request that the call comes to.

        Raises:
            ActionError: an argument would lead to another path, or cannot be written where it belongs.
        """
        try:
            return self._request(base_url, call, credential)
        except (UnfitBodyError, UnicodeError, orjson.JSONEncodeError) as error:
            raise _unfit(str(error), "Correct the arguments as it says.") from error

    def _request(self, base_url: str, call: ActionCall, credential: CredentialRef | None) -> HttpRequest:
        segments: dict[str, tuple[str, Any, Writing]] = {}
        query = [part for name, value in self.fixed_query.items() for part in in_query(name, value, Writing())]
        headers = {"accept": "application/json", **self.headers}
        cookies: list[str] = []
        body: JsonObject = {}
        for name, value in call.arguments.items():
            place, there = self.places.get(name, ("body", name))
            how = self.writings.get(name) or _USUAL.get(place) or Writing()
            if place == "path":
                segments[there] = (name, value, how)
            elif place == "query":
                query += in_query(there, value, how)
            elif place == "header":
                if value is not None:
                    headers[there.lower()] = in_header(value, how)
            elif place == "cookie":
                cookies += in_cookie(there, value, how)
            else:
                body[there] = value
        if cookies:
            headers["cookie"] = "; ".join([*([headers["cookie"]] if "cookie" in headers else []), *cookies])
        content, made = self._content(body), None
        if content is not _NOTHING:
            made, headers["content-type"] = encoded(content, self.body_type, self.media_type, self.writings)
        if call.effect_key is not None and self.method not in IDEMPOTENT:
            headers.setdefault("idempotency-key", call.effect_key)
        return HttpRequest(
            method=self.method,
            url=_address(base_url, self._path(segments), query),
            headers=headers,
            body=made,
            timeout_seconds=call.timeout_seconds,
            credential=credential,
            owner=call.owner,
        )

    def _path(self, given: Mapping[str, tuple[str, Any, Writing]]) -> str:
        """The path with its arguments: each one given, and none that makes another path of it."""

        def filled(match: re.Match[str]) -> str:
            if match[1] not in given:
                raise _unfit(f"The argument {match[1]!r} is part of the address, and is not given.", "Give its value.")
            name, value, how = given[match[1]]
            if value is None or value in ("", [], {}):
                raise _unfit(
                    f"The argument {name!r} is part of an address, and {text_of(value)!r} would lead to another one.",
                    "Give its value.",
                )
            return in_path(match[1], value, how)

        made = []
        for segment in self.path.split("/"):
            written = _PLACEHOLDER.sub(filled, segment)
            if written != segment and written in (".", ".."):
                raise _unfit(
                    f"The arguments make {written!r} of {segment!r} in the address, which would lead to another one.",
                    "Give another value.",
                )
            made.append(written)
        return "/".join(made)

    def _content(self, body: JsonObject) -> Any:
        """What the body is made of, if there is one."""
        if self.method in READING:
            return _NOTHING
        if self.template is not None:
            return _filled(self.template, body)
        if self.whole_body is not None:
            return body.get(self.whole_body, _NOTHING)
        return body or _NOTHING


def _address(base_url: str, path: str, query: Sequence[str]) -> str:
    url = f"{base_url.rstrip('/')}{path}"
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(query)}"


def _unfit(why: str, fix: str) -> ActionError:
    return ActionError(why, code="action_arguments", fix=fix)


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
