"""OpenAPI documents as people and generators write them: what each call sends, and what reading one costs."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.addresses import AddressRules
from integrations.apis.answers import perform
from integrations.apis.openapi import OpenApiDocument
from integrations.apis.operations import BASE, HttpOperation
from integrations.apis.sources import OpenApis
from integrations.apis.yaml_documents import YamlError, plain, read_yaml
from integrations.outbound_http import OutboundHttp
from tests.support.engine import NOON
from tests.support.here import here
from tests.support.http_target import listening
from workflow.actions import Action, ActionCall, ActionError
from workflow.connections import Connection
from workflow.errors import InvalidArgumentsError
from workflow.identity import LOCAL_ID
from workflow.schemas.schemas import InputSchema

STRING = {"type": "string"}
STRINGS = {"type": "array", "items": STRING}
OBJECT = {"type": "object", "additionalProperties": True}


@dataclass(slots=True)
class Sent:
    """What an API was sent."""

    request: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(slots=True)
class Api:
    """An API that keeps what it is sent, and serves documents."""

    http: OutboundHttp
    url: str = ""
    received: list[Sent] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        """A document, or the word that the request came."""
        if request.url.path in self.documents:
            return Response(self.documents[request.url.path])
        path = request.scope["raw_path"].decode()
        sent = Sent(f"{request.method} {path}", request.url.query, dict(request.headers), await request.body())
        self.received.append(sent)
        return JSONResponse({"ok": True})

    async def call(self, document: Any, name: str, **arguments: Any) -> Sent:
        """What the call of an operation sends."""
        found = {each.name: each for each in OpenApiDocument(document).actions("shop", base_url=self.url)}
        action = found[name]
        assert InputSchema(action.input_schema).findings(arguments) == [], action.input_schema
        details = {key: value for key, value in action.details.items() if key != BASE}
        call = ActionCall(owner="me", connection="shop", action=name, arguments=arguments)
        operation = HttpOperation.model_validate(details)
        await perform(operation, action.details[BASE], action, call, http=self.http, credential=None)
        return self.received[-1]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The API, listening."""
    rules = AddressRules(allowed=(), is_loopback_allowed=True)
    async with OutboundHttp(rules=rules, max_connections=5, max_response_bytes=1 << 20, user_agent="test") as http:
        found = Api(http)
        app = Starlette(routes=[Route("/{path:path}", found.answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])
        async with listening(app) as found.url:
            yield found


def document(paths: Any, *, version: str = "3.0.3", **more: Any) -> dict[str, Any]:
    """A document with these paths."""
    return {"openapi": version, "info": {"title": "Shop", "version": "1"}, "paths": paths, **more}


def one(path: str = "/x", method: str = "get", **operation: Any) -> dict[str, Any]:
    """A document with one operation, ``do``."""
    components = operation.pop("components", {})
    return document({path: {method: {"operationId": "do", **operation}}}, components=components)


def parameter(name: str, place: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": schema, **more}


def action_of(written: Any) -> Action:
    """The one action of a document."""
    (found,) = OpenApiDocument(written).actions("shop")
    return found


def with_body(schema: Any, media_type: str = "application/json", **more: Any) -> dict[str, Any]:
    """A document whose one operation has a body."""
    body = {"required": True, "content": {media_type: {"schema": schema, **more.pop("media", {})}}}
    return one(method="post", requestBody=body, **more)


ROLES = {"role": "admin", "name": "Ada B"}


@pytest.mark.parametrize(
    ("how", "value", "query"),
    [
        ({}, ["a", "b c"], "q=a&q=b+c"),
        ({"explode": False}, ["a", "b"], "q=a,b"),
        ({"explode": False}, ["a,b", "c"], "q=a%2Cb,c"),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "q=a|b"),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "q=a%20b"),
        ({"style": "pipeDelimited"}, ["a", "b"], "q=a|b"),
        ({"style": "pipeDelimited", "explode": True}, ["a", "b"], "q=a&q=b"),
        ({"style": "deepObject", "explode": True}, ROLES, "q[role]=admin&q[name]=Ada+B"),
        ({"style": "deepObject"}, {"a": {"b": 1}, "c": ["x", "y"]}, "q[a][b]=1&q[c]=x&q[c]=y"),
        ({}, ROLES, "role=admin&name=Ada+B"),
        ({"explode": False}, ROLES, "q=role,admin,name,Ada+B"),
        ({}, [], ""),
        ({}, None, ""),
        ({}, "", "q="),
        ({}, True, "q=true"),
        ({}, 1.5, "q=1.5"),
        ({}, "a/b?c&d=e#f", "q=a%2Fb%3Fc%26d%3De%23f"),
        ({"allowReserved": True}, "a/b?c&d=e#f", "q=a/b?c%26d%3De%23f"),
        ({"style": "simple"}, ["a"], "q=a"),
    ],
)
async def test_values_are_written_into_a_query_by_style_and_explode(
    api: Api, how: dict[str, Any], value: Any, query: str
) -> None:
    sent = await api.call(one(parameters=[parameter("q", "query", {}, **how)]), "do", q=value)
    assert sent.query == query


async def test_a_parameter_with_a_content_is_one_text(api: Api) -> None:
    given = {"name": "f", "in": "query", "content": {"application/json": {"schema": STRINGS}}}
    sent = await api.call(one(parameters=[given]), "do", f=["a", "b"])
    assert sent.query == "f=%5B%22a%22%2C%22b%22%5D"


@pytest.mark.parametrize(
    ("how", "value", "path"),
    [
        ({}, "a/../b", "/items/a%2F..%2Fb"),
        ({}, ["a", "b"], "/items/a,b"),
        ({}, ROLES, "/items/role,admin,name,Ada%20B"),
        ({"explode": True}, ROLES, "/items/role=admin,name=Ada%20B"),
        ({"style": "label"}, "a", "/items/.a"),
        ({"style": "label"}, ["a", "b"], "/items/.a,b"),
        ({"style": "label", "explode": True}, ["a", "b"], "/items/.a.b"),
        ({"style": "matrix"}, 5, "/items/;p=5"),
        ({"style": "matrix"}, ["a", "b"], "/items/;p=a,b"),
        ({"style": "matrix", "explode": True}, ["a", "b"], "/items/;p=a;p=b"),
        ({"style": "matrix", "explode": True}, ROLES, "/items/;role=admin;name=Ada%20B"),
        ({}, "{p}", "/items/%7Bp%7D"),
    ],
)
async def test_values_are_written_into_a_path_by_style_and_explode(
    api: Api, how: dict[str, Any], value: Any, path: str
) -> None:
    sent = await api.call(
        one("/items/{p}", parameters=[parameter("p", "path", {}, required=True, **how)]), "do", p=value
    )
    assert sent.request == f"GET {path}"


@pytest.mark.parametrize("value", ["", ".", "..", None, [], {}])
async def test_no_value_makes_another_path(api: Api, value: Any) -> None:
    with pytest.raises(ActionError) as raised:
        await api.call(one("/items/{p}/parts", parameters=[parameter("p", "path", {})]), "do", p=value)
    assert raised.value.code == "action_arguments"
    assert api.received == []


async def test_values_that_make_another_path_together_are_refused(api: Api) -> None:
    there = one("/items/{a}{b}", parameters=[parameter("a", "path", {}), parameter("b", "path", {})])
    with pytest.raises(ActionError, match="lead to another"):
        await api.call(there, "do", a=".", b=".")
    assert (await api.call(there, "do", a="..", b="x")).request == "GET /items/..x"


async def test_a_path_parameter_that_is_not_described_is_an_argument_all_the_same(api: Api) -> None:
    there = one("/items/{id}/{part}", parameters=[parameter("id", "path", STRING), parameter("no", "path", STRING)])
    assert action_of(there).input_schema["required"] == ["id", "part"]
    assert (await api.call(there, "do", id="1", part="2")).request == "GET /items/1/2"


@pytest.mark.parametrize(
    ("how", "value", "header"),
    [({}, ["a", "b"], "a,b"), ({}, ROLES, "role,admin,name,Ada B"), ({"explode": True}, ROLES, "role=admin,name=Ada B"),
     ({}, 7, "7")],
)  # fmt: skip
async def test_values_are_written_into_headers(api: Api, how: dict[str, Any], value: Any, header: str) -> None:
    sent = await api.call(one(parameters=[parameter("X-List", "header", {}, **how)]), "do", **{"X-List": value})
    assert sent.headers["x-list"] == header


@pytest.mark.parametrize(
    ("how", "value", "cookie"),
    [
        ({}, "a b;c", "session=a%20b%3Bc"),
        ({"explode": False}, ["a", "b"], "session=a%2Cb"),
        ({}, ["a", "b"], "session=a; session=b"),
        ({"explode": False}, {"a": 1}, "session=a%2C1"),
    ],
)
async def test_cookies_are_sent(api: Api, how: dict[str, Any], value: Any, cookie: str) -> None:
    there = one(parameters=[parameter("session", "cookie", {}, required=True, **how)])
    assert action_of(there).input_schema["required"] == ["session"]
    assert (await api.call(there, "do", session=value)).headers["cookie"] == cookie


async def test_two_cookies_are_one_header(api: Api) -> None:
    there = one(parameters=[parameter("a", "cookie", STRING), parameter("b", "cookie", STRING)])
    assert (await api.call(there, "do", a="1", b="2")).headers["cookie"] == "a=1; b=2"


def test_headers_of_the_credential_and_the_transport_are_no_arguments() -> None:
    names = ["Accept", "Authorization", "content-type", "Host", "Content-Length", "Transfer-Encoding", "X-Mine"]
    made = action_of(one(parameters=[parameter(each, "header", STRING, required=True) for each in names]))
    assert list(made.input_schema["properties"]) == ["X-Mine"]


# One name in two places.
async def test_a_name_in_path_and_query_is_two_arguments(api: Api) -> None:
    there = one("/collide/{id}", "put", parameters=[parameter("id", "query", STRING), parameter("id", "path", STRING)])
    made = action_of(there).input_schema
    assert (list(made["properties"]), made["required"]) == (["id", "id_query"], ["id"])
    sent = await api.call(there, "do", id="7", id_query="8")
    assert (sent.request, sent.query) == ("PUT /collide/7", "id=8")


async def test_a_query_that_is_named_body_stays_beside_the_body(api: Api) -> None:
    there = with_body(STRINGS, parameters=[parameter("body", "query", STRING)])
    sent = await api.call(there, "do", body="1", request_body=["a"])
    assert (sent.query, sent.json) == ("body=1", ["a"])


async def test_a_name_of_the_body_that_is_in_the_path_keeps_both(api: Api) -> None:
    schema = {"type": "object", "properties": {"id": STRING, "note": STRING}}
    there = one(
        "/items/{id}", "put", parameters=[parameter("id", "path", STRING)],
        requestBody={"required": True, "content": {"application/json": {"schema": schema}}},
    )  # fmt: skip
    sent = await api.call(there, "do", id="7", body={"id": "8", "note": "x"})
    assert (sent.request, sent.json) == ("PUT /items/7", {"id": "8", "note": "x"})


async def test_one_name_in_all_places(api: Api) -> None:
    there = one(
        "/a/{x}", "post", parameters=[parameter("x", each, STRING) for each in ("path", "query", "header", "cookie")],
        requestBody={"content": {"application/json": {"schema": {"type": "object", "properties": {"x": STRING}}}}},
    )  # fmt: skip
    sent = await api.call(there, "do", x="1", x_query="2", x_header="3", x_cookie="4", body={"x": "5"})
    assert (sent.request, sent.query, sent.headers["x"], sent.headers["cookie"]) == ("POST /a/1", "x=2", "3", "x=4")
    assert sent.json == {"x": "5"}


async def test_an_operation_has_its_own_form_of_a_shared_parameter(api: Api) -> None:
    there = document(
        {
            "/x": {
                "parameters": [parameter("q", "query", STRINGS)],
                "get": {"operationId": "do", "parameters": [parameter("q", "query", STRINGS, explode=False)]},
            }
        }
    )
    assert list(action_of(there).input_schema["properties"]) == ["q"]
    assert (await api.call(there, "do", q=["a", "b"])).query == "q=a,b"


# Bodies.
@pytest.mark.parametrize(
    ("media_type", "sent_as"),
    [
        ("application/vnd.api+json", "application/vnd.api+json"),
        ("application/merge-patch+json", "application/merge-patch+json"),
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("*/*", "application/json"),
        ("text/json", "text/json"),
    ],
)
async def test_json_is_sent_under_the_media_type_that_the_document_declares(
    api: Api, media_type: str, sent_as: str
) -> None:
    there = with_body({"type": "object", "properties": {"a": STRING}}, media_type)
    sent = await api.call(there, "do", a="x")
    assert (sent.headers["content-type"], sent.json) == (sent_as, {"a": "x"})


@pytest.mark.parametrize(
    ("encoding", "values", "body"),
    [
        ({}, {"tags": ["a", "b c"], "n": 1}, "tags=a&tags=b+c&n=1"),
        ({"tags": {"style": "form", "explode": False}}, {"tags": ["a", "b"]}, "tags=a,b"),
        ({"tags": {"style": "deepObject"}}, {"tags": {"a": {"b": 1}}}, "tags[a][b]=1"),
        ({"tags": {"contentType": "application/json"}}, {"tags": ["a"]}, "tags=%5B%22a%22%5D"),
        ({}, {"tags": {"a": 1}}, "tags=%7B%22a%22%3A1%7D"),
        ({}, {"tags": None, "n": True}, "n=true"),
    ],
)
async def test_forms_are_written_by_their_encoding(
    api: Api, encoding: dict[str, Any], values: dict[str, Any], body: str
) -> None:
    schema = {"type": "object", "properties": {"tags": {}, "n": {}}}
    there = with_body(schema, "application/x-www-form-urlencoded", media={"encoding": encoding})
    sent = await api.call(there, "do", **values)
    assert (sent.body.decode(), sent.headers["content-type"]) == (body, "application/x-www-form-urlencoded")


def parts_of(sent: Sent) -> list[tuple[str | None, str | None, str, bytes]]:
    """Name, file name, media type and content of each part of a multipart body."""
    head = f"Content-Type: {sent.headers['content-type']}\r\n\r\n".encode()
    found = []
    for part in message_from_bytes(head + sent.body).walk():
        if not part.is_multipart():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found.append((str(name), part.get_filename(), part.get_content_type(), content))
    return found


async def test_multipart_has_a_part_for_each_value_and_files_are_bytes(api: Api) -> None:
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "note": STRING,
            "n": {"type": "integer"},
            "meta": {"type": "object", "properties": {"a": STRING}},
            "tags": STRINGS,
            "file": {"type": "string", "format": "binary", "description": "The file."},
            "more": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "xml": STRING,
        },
    }
    there = with_body(schema, "multipart/form-data", media={"encoding": {"xml": {"contentType": "text/xml"}}})
    encoded = base64.b64encode(b"\x00\xff").decode()
    sent = await api.call(
        there,
        "do",
        note="Grüße",
        n=7,
        meta={"a": "x"},
        tags=["a", "b"],
        file={"base64": encoded, "filename": 'a "b".bin', "media_type": "image/png", "size_bytes": 2},
        more=["plain text", {"base64": encoded}],
        xml="<a/>",
    )
    assert parts_of(sent) == [
        ("note", None, "text/plain", "Grüße".encode()),
        ("n", None, "text/plain", b"7"),
        ("meta", None, "application/json", b'{"a":"x"}'),
        ("tags", None, "text/plain", b"a"),
        ("tags", None, "text/plain", b"b"),
        ("file", "a %22b%22.bin", "image/png", b"\x00\xff"),
        ("more", None, "text/plain", b"plain text"),
        ("more", "file", "application/octet-stream", b"\x00\xff"),
        ("xml", None, "text/xml", b"<a/>"),
    ]
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("media_type", "given", "body"),
    [
        ("text/plain", "Grüße", "Grüße".encode()),
        ("application/xml", "<a/>", b"<a/>"),
        ("application/x-ndjson", '{"a":1}\n{"a":2}\n', b'{"a":1}\n{"a":2}\n'),
        ("application/octet-stream", {"base64": "AP8="}, b"\x00\xff"),
        ("image/png", {"base64": "AP8=", "media_type": "image/png"}, b"\x00\xff"),
        ("application/pdf", "a text", b"a text"),
    ],
)
async def test_texts_and_bytes_are_bodies(api: Api, media_type: str, given: Any, body: bytes) -> None:
    sent = await api.call(with_body(STRING, media_type), "do", body=given)
    assert (sent.headers["content-type"], sent.body) == (media_type, body)


async def test_a_body_that_is_no_file_is_refused_in_words(api: Api) -> None:
    with pytest.raises(ActionError, match="not base64") as raised:
        await api.call(with_body(STRING, "image/png"), "do", body={"base64": "!"})
    assert raised.value.code == "action_arguments"
    assert api.received == []


async def test_json_is_preferred_and_half_a_surrogate_is_refused(api: Api) -> None:
    schema = {"type": "object", "properties": {"a": STRING}}
    content = {each: {"schema": schema} for each in ("text/plain", "multipart/form-data", "application/json")}
    there = one(method="post", requestBody={"content": content}, parameters=[parameter("q", "query", STRING)])
    assert (await api.call(there, "do", a="x")).headers["content-type"] == "application/json"
    for arguments in ({"a": "\ud800"}, {"q": "\ud800"}):
        with pytest.raises(ActionError) as raised:
            await api.call(there, "do", **arguments)
        assert raised.value.code == "action_arguments"


async def test_what_is_accepted_is_what_the_document_answers_with(api: Api) -> None:
    answers = {"200": {"content": {"application/vnd.api+json": {}, "text/csv": {}}}}
    assert (await api.call(one(responses=answers), "do")).headers["accept"] == "application/vnd.api+json"
    assert (await api.call(one(responses={"200": {"content": {"text/csv": {}}}}), "do")).headers["accept"] == "text/csv"
    assert (await api.call(one(), "do")).headers["accept"] == "application/json"


# Schemas.
BASE_SCHEMA = {
    "type": "object",
    "required": ["id", "kind"],
    "properties": {"id": {**STRING, "readOnly": True}, "kind": STRING},
}
COMPONENTS = {"schemas": {"Base": BASE_SCHEMA, "Money": {"type": "number"}}}


def members(**properties: Any) -> dict[str, Any]:
    """An object with these members."""
    return {"type": "object", "properties": properties}


BASE_REF = {"$ref": "#/components/schemas/Base"}
CARD_OR_BANK = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": STRING},
    "oneOf": [
        {"properties": {"kind": {"enum": ["card"]}, "number": STRING}, "required": ["number"]},
        {"properties": {"kind": {"enum": ["bank"]}, "iban": STRING}, "required": ["iban"]},
    ],
}
SCHEMAS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "allOf": (
        {"allOf": [BASE_REF, {**members(n={"type": "integer"}), "required": ["n"]}]},
        [{"kind": "a", "n": 1}],
        [{"kind": "a"}, {"n": 1}, {"kind": "a", "n": "x"}, {"kind": "a", "n": 1, "typo": 1}],
    ),
    "allOf beside properties": (
        {**members(a=STRING), "allOf": [BASE_REF, {"required": ["a"]}]},
        [{"kind": "a", "a": "x"}],
        [{"kind": "a"}, {"a": "x"}],
    ),
    "more of a type": (
        {**members(a=STRING), "additionalProperties": {"type": "integer"}},
        [{"a": "x", "more": 1}],
        [{"a": "x", "more": "y"}],
    ),
    "more of any type": ({**members(a=STRING), "additionalProperties": True}, [{"a": "x", "more": "y"}], [{"a": 1}]),
    "one or the other": (
        {**members(a=STRING, b=STRING), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": "x"}, {"b": "x"}],
        [{}],
    ),
    "kinds": (
        CARD_OR_BANK,
        [{"kind": "card", "number": "1"}, {"kind": "bank", "iban": "1"}],
        [{"kind": "card", "iban": "1"}, {"kind": "bank"}, {"kind": "bank", "iban": "1", "typo": 2}],
    ),
    "nullable allOf": (
        members(p={"allOf": [BASE_REF], "nullable": True}), [{"p": None}, {"p": {"kind": "a"}}], [{"p": 1}, {"p": {}}],
    ),
    "nullable enum": (
        members(s={"type": "string", "enum": ["A", "B"], "nullable": True}), [{"s": None}, {"s": "A"}], [{"s": "C"}],
    ),
    "nullable reference": (
        members(s={"$ref": "#/components/schemas/Money", "nullable": True}), [{"s": None}, {"s": 1}], [{"s": "x"}],
    ),
    "nullable enum without a type": (members(s={"nullable": True, "enum": ["A"]}), [{"s": None}], [{"s": "C"}]),
    "nullable oneOf": (
        members(s={"nullable": True, "oneOf": [STRING, {"type": "number"}]}), [{"s": None}, {"s": 1}], [{"s": []}],
    ),
    "an exclusive minimum of 3.0": (
        members(n={"type": "number", "minimum": 0, "exclusiveMinimum": True}), [{"n": 1}], [{"n": 0}],
    ),
    "a pattern with look-ahead": (
        members(p={"type": "string", "pattern": "^(?=.*[0-9]).+$"}), [{"p": "abc1"}], [{"p": 1}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "fitting", "unfit"), SCHEMAS.values(), ids=SCHEMAS)
async def test_schemas_say_what_they_say_beside_properties_too(
    api: Api, schema: Any, fitting: list[Any], unfit: list[Any]
) -> None:
    there = with_body(schema, components=COMPONENTS)
    held = InputSchema(action_of(there).input_schema)
    for each in fitting:
        assert held.findings(each) == [], each
        assert (await api.call(there, "do", **each)).json == each
    for each in unfit:
        assert held.findings(each), each


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
async def test_branches_stay_beside_parameters(api: Api, keyword: str) -> None:
    branches = [{"required": ["a"]}, {"required": ["b"]}]
    schema = {"type": "object", "properties": {"a": STRING, "b": STRING}, keyword: branches}
    there = with_body(schema, parameters=[parameter("q", "query", STRING)])
    sent = await api.call(there, "do", q="1", a="x")
    assert (sent.query, sent.json) == ("q=1", {"a": "x"})
    assert InputSchema(action_of(there).input_schema).findings({"q": "1"})


async def test_branches_that_refuse_other_members_are_one_argument_beside_parameters(api: Api) -> None:
    branch = {"type": "object", "properties": {"a": STRING}, "additionalProperties": False}
    schema = {"type": "object", "properties": {"a": STRING}, "anyOf": [branch]}
    sent = await api.call(with_body(schema, parameters=[parameter("q", "query", STRING)]), "do", q="1", body={"a": "x"})
    assert (sent.query, sent.json) == ("q=1", {"a": "x"})


def odd_body(media: Any, media_type: str = "application/json") -> dict[str, Any]:
    """A body that is described so."""
    return {"requestBody": {"content": {media_type: media}}}


ODD: list[dict[str, Any]] = [
    {"parameters": "none"},
    {"parameters": [None, 7, {"name": 7, "in": "query"}, {"in": "query"}, {"$ref": "#/nowhere"}]},
    {"parameters": [{"name": "q", "in": "query", "schema": "text"}]},
    {"parameters": [{"name": "q", "in": "query", "content": {"a/b": None}, "style": 3}]},
    {"parameters": [parameter("q", "query", {"type": "file", "enum": "x", "properties": 1})]},
    {"requestBody": {"$ref": "#/components/a"}},
    odd_body(None),
    odd_body({"schema": {"allOf": 3, "properties": {"a": None}}, "encoding": []}),
    odd_body({"schema": {"properties": {"a": True, "b": {"items": 3}}}}, "multipart/form-data"),
    {"requestBody": {"content": []}, "tags": "x", "responses": [], "servers": {"url": 1}},
    {"operationId": 7, "summary": ["x"], "description": {"a": 1}, "tags": [{}]},
    {"servers": [None], "responses": {"200": {"content": {7: None}}}},
    {"servers": [{"url": "https://{host}/", "variables": ["x"]}]},
    {"servers": [{"url": "https://[bad/"}]},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_not_as_it_should_be_costs_no_other_operation(odd: dict[str, Any]) -> None:
    there = document(
        {
            "/odd": {"post": odd}, "/none": None, "/list": [], "/ref": {"$ref": "#/paths/~1good"},
            "/good": {"get": {"operationId": "good"}},
        },
        components={"a": {"$ref": "#/components/b"}, "b": {"$ref": "#/components/a"}},
        servers="none",
    )  # fmt: skip
    names = [each.name for each in OpenApiDocument(there).actions("shop", base_url="https://shop.example.com")]
    assert len(names) == 3
    assert "good" in names


# Servers.
async def test_an_operation_and_a_path_have_servers_of_their_own(tmp_path: Path, api: Api) -> None:
    there = document(
        {
            "/a": {"get": {"operationId": "usual"}},
            "/b": {"servers": [{"url": f"{api.url}/path"}], "get": {"operationId": "by_path"}},
            "/c": {
                "servers": [{"url": f"{api.url}/path"}],
                "get": {
                    "operationId": "by_operation",
                    "servers": [{"url": "/own/{v}", "variables": {"v": {"default": "v2"}}}],
                },
            },
            "/d": {
                "get": {
                    "operationId": "elsewhere", "servers": [{"url": api.url.replace("127.0.0.1", "localhost")}],
                }
            },
        },
        servers=[{"url": f"{api.url}/usual"}],
    )  # fmt: skip
    async with here(tmp_path) as server:
        made = await server.http.post(
            "/api/integrations",
            json={"name": "shop", "kind": "openapi", "settings": {"document": there}, "token": "hush-hush"},
        )
        assert made.status_code == 201, made.text
        run = server.services.integrations.actions.run
        for name in ("usual", "by_path", "by_operation"):
            await run(ActionCall(owner=LOCAL_ID, connection="shop", action=name, arguments={}))
        assert [each.request for each in api.received] == ["GET /usual/a", "GET /path/b", "GET /own/v2/c"]
        assert {each.headers["authorization"] for each in api.received} == {"Bearer hush-hush"}
        with pytest.raises(ActionError) as raised:
            await run(ActionCall(owner=LOCAL_ID, connection="shop", action="elsewhere", arguments={}))
        assert raised.value.code == "credential_host_not_allowed"
        assert len(api.received) == 3, "the credential is for one host, whatever the document says"


# YAML.
TEXTS = (
    "no", "yes", "on", "off", "y", "N", "12:30", "190:20:30", "2024-01-06", "1_000", "0b11", "=", ".inf", ".nan",
    "1e999", "+.inf", "2024-01-06T00:00:00Z", "0x", "--1",
)  # fmt: skip
OTHERS = {
    "true": True, "False": False, "null": None, "~": None, "": None, "12": 12, "012": 12, "0o14": 12, "0xC": 12,
    "-1": -1, "1.5": 1.5, ".5": 0.5, "1e3": 1000.0, "+7": 7,
}  # fmt: skip


@pytest.mark.parametrize(("written", "value"), [*((each, each) for each in TEXTS), *OTHERS.items()])
def test_plain_scalars_are_those_of_yaml_1_2(written: str, value: Any) -> None:
    assert plain(written) == value
    assert type(plain(written)) is type(value)
    assert read_yaml(f"a: {written}\n") == {"a": value}
    assert read_yaml(f"a: '{written}'\n") == {"a": written}


def test_names_are_texts_and_anchors_and_merges_are_read() -> None:
    text = """
    no: 1
    200: {description: fine}
    base: &base {x: 1, y: 2}
    one: {<<: *base, y: 3}
    two: {<<: [*base, {z: 4}]}
    again: *base
    tagged: [!!str 1, !!int "2", !!float 3, !mine x, ! 4]
    """
    assert read_yaml(text) == {
        "no": 1,
        "200": {"description": "fine"},
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 1, "y": 2, "z": 4},
        "again": {"x": 1, "y": 2},
        "tagged": ["1", 2, 3.0, "x", "4"],
    }


async def test_countries_and_switches_of_a_yaml_document_are_texts(api: Api) -> None:
    text = """
openapi: 3.0.3
info: {title: T, version: 2024-01-06}
paths:
  /x:
    get:
      operationId: do
      parameters:
        - {name: country, in: query, schema: {type: string, enum: [de, no, se]}}
        - {name: state, in: query, schema: {type: string, enum: [on, off]}}
        - {name: at, in: query, schema: {type: string, default: 12:30}}
        - {name: since, in: query, schema: {type: string, default: 2024-01-06}}
      responses: {200: {description: ok}}
"""
    sent = await api.call(text, "do", country="no", state="off")
    assert sent.query == "country=no&state=off"
    made = action_of(text).input_schema["properties"]
    assert (made["at"]["default"], made["since"]["default"]) == ("12:30", "2024-01-06")


TENFOLD = "[" + ",".join(["x"] * 10) + "]"


def aliases(of: str, levels: int = 12) -> str:
    """Aliases that grow tenfold at each level."""
    lines = ["a0: &a0 {x: 1, y: 2}" if of == "merges" else f"a0: &a0 {TENFOLD}"]
    for level in range(1, levels):
        ten = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{ten}]}}" if of == "merges" else f"[{ten}]"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (aliases("lists"), "more than 500000 values"),
        (aliases("merges"), "more than 500000 values"),
        ("- x\n" * 510_000, "more than 500000 values"),
        ("a: &a [*a]", "stands inside what it names"),
        ("a: *a", "names nothing"),
        ("[" * 150 + "]" * 150, "more than 100 deep"),
        ("[" * 500_000, "deep|depth"),
        ("{a: " * 100_000, "deep|depth"),
        ("- " * 100_000, "deep|depth"),
        ("? [a]\n: 1", "name of a member"),
        ("a: b: c", "not allowed"),
        ("#" * (9 << 20), "more than 8 MB"),
    ],
)
def test_yaml_beyond_its_bounds_is_refused_at_once(text: str, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(YamlError, match=why):
        read_yaml(text)
    assert time.monotonic() - began < 8, "some tenths of a second where nothing else runs"


# What reading costs.
def self_referring(members: int) -> dict[str, Any]:
    """A schema with so many members, each of which is the schema again."""
    properties = {f"p{n}": {"$ref": "#/components/schemas/F"} for n in range(members)}
    schema = {"type": "object", "properties": {"v": STRING, **properties}}
    return with_body({"$ref": "#/components/schemas/F"}, components={"schemas": {"F": schema}})


def levels(count: int, members: int) -> dict[str, Any]:
    """Schemas in levels, each of which has so many members of the next."""
    schemas: dict[str, Any] = {
        f"L{n}": {
            "type": "object",
            "properties": {f"p{m}": {"$ref": f"#/components/schemas/L{n + 1}"} for m in range(members)},
        }
        for n in range(count)
    }
    schemas[f"L{count}"] = STRING
    return with_body({"$ref": "#/components/schemas/L0"}, components={"schemas": schemas})


def mutual(count: int) -> dict[str, Any]:
    """Schemas each of which refers to all of them."""
    refs = {f"p{n}": {"$ref": f"#/components/schemas/M{n}"} for n in range(count)}
    schemas = {f"M{n}": {"type": "object", "properties": refs} for n in range(count)}
    return with_body({"$ref": "#/components/schemas/M0"}, components={"schemas": schemas})


def doubled() -> dict[str, Any]:
    """Schemas that double in place."""
    schemas: dict[str, Any] = {f"D{n}": {"allOf": [{"$ref": f"#/components/schemas/D{n + 1}"}] * 2} for n in range(40)}
    schemas["D40"] = {"type": "object", "properties": {"a": STRING}}
    return with_body({"$ref": "#/components/schemas/D0"}, components={"schemas": schemas})


def many_operations() -> dict[str, Any]:
    """As many operations as there may be and more, of one name, each with a large schema."""
    there = levels(12, 3)
    operation = there["paths"]["/x"]["post"]
    return {**there, "paths": {f"/x{n}": {"post": operation} for n in range(2_500)}}


HEAVY: dict[str, Callable[[], dict[str, Any]]] = {
    "one reference to itself": lambda: self_referring(1),
    "three": lambda: self_referring(3),
    "twelve": lambda: self_referring(12),
    "levels": lambda: levels(12, 3),
    "many levels": lambda: levels(30, 2),
    "each to all": lambda: mutual(30),
    "in place": doubled,
    "operations": many_operations,
    "parameters": lambda: one(parameters=[parameter(f"q{n}", "query", STRINGS) for n in range(50_000)]),
    "members": lambda: with_body({"type": "object", "properties": {f"p{n}": STRING for n in range(200_000)}}),
    "values": lambda: with_body({"type": "object", "properties": {"a": {"enum": [str(n) for n in range(500_000)]}}}),
}


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY)
def test_no_document_costs_more_than_its_bound(make: Callable[[], dict[str, Any]]) -> None:
    content = orjson.dumps(make())
    began = time.monotonic()
    made = OpenApiDocument(content).actions("shop")
    assert time.monotonic() - began < 12
    assert 1 <= len(made) <= 2_000
    assert max(len(orjson.dumps(each.input_schema)) for each in made) < 200_000
    assert sum(len(orjson.dumps(each.input_schema)) for each in made) < 8_000_000


def test_recursion_is_cut_at_the_first_ancestor_and_anything_is_let_through_there() -> None:
    made = action_of(self_referring(2)).input_schema
    inner = made["properties"]["p0"]
    assert inner["type"] == "object"
    assert "The same again as 'F'" in inner["description"]
    assert len(orjson.dumps(made)) < 1_000
    value: dict[str, Any] = {"v": "x"}
    for _ in range(20):
        value = {"v": "x", "p0": value, "p1": {"v": "y"}}
    assert InputSchema(made).findings(value) == []


def test_a_cut_schema_inside_a_choice_refuses_nothing_that_the_document_allows() -> None:
    node = {"oneOf": [STRING, {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/N"}}}]}
    there = with_body(
        {"type": "object", "properties": {"n": {"$ref": "#/components/schemas/N"}}}, components={"schemas": {"N": node}}
    )
    held = InputSchema(action_of(there).input_schema)
    assert held.findings({"n": {"next": {"next": "end"}}}) == []
    assert held.findings({"n": {"next": "end"}}) == []
    assert held.findings({"n": 7})


async def test_reading_a_heavy_document_keeps_nobody_else_waiting(api: Api) -> None:
    api.documents["/heavy.yaml"] = b"# no JSON\n" + orjson.dumps(many_operations())
    api.documents["/heavy.json"] = orjson.dumps(many_operations())
    waited: list[float] = []

    async def others() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            waited.append(time.monotonic() - began - 0.01)

    gc.collect()
    gc.freeze()  # as the server does when it has started
    watching = asyncio.create_task(others())
    for name in ("heavy.json", "heavy.yaml"):
        connection = Connection(
            id="c",
            owner="me",
            name="shop",
            kind="openapi",
            status="connected",
            settings={"url": f"{api.url}/{name}", "server_url": api.url},
            created_by="ada",
            created_at=NOON,
            updated_at=NOON,
        )
        assert len(await OpenApis(api.http).actions(connection)) == 2_000
    watching.cancel()
    gc.unfreeze()
    assert max(waited) < 0.25


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"openapi": "3.0.3", "paths": {"/x": ' + b"[" * 200 + b"]" * 200 + b"}}", "more than 100 times"),
        (b'{"openapi": "3.0.3", "paths": {}, "x": [' + b"1," * 1_100_000 + b"1]}", "more than 1000000 values"),
        (b"\xff\xfe\x00", "neither JSON nor YAML|no object"),
        (b"", "no object"),
    ],
)
def test_a_document_beyond_its_bounds_is_refused_in_words(content: bytes, why: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=why):
        OpenApiDocument(content)
