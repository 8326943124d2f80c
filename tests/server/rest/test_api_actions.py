"""APIs that are described: OpenAPI documents, connectors as data, and mail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.apis.connectors import connectors
from integrations.apis.openapi import OpenApiDocument
from tests.support.here import Here, here
from tests.support.http_target import listening
from workflow.actions import ActionCall, ActionError, ActionResult
from workflow.errors import InvalidArgumentsError
from workflow.identity import LOCAL_ID

YAML = """
openapi: 3.0.3
info: {title: Shop}
servers: [{url: /api}]
paths:
  /orders/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    get:
      operationId: getOrder
      summary: One order
      parameters:
        - {name: expand, in: query, schema: {type: array, items: {type: string}}}
    put:
      operationId: replaceOrder
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Order'}
  /orders:
    post:
      operationId: create order!
      tags: [orders]
      requestBody: {$ref: '#/components/requestBodies/Order'}
components:
  requestBodies:
    Order:
      required: true
      content:
        application/json:
          schema: {$ref: '#/components/schemas/Order'}
  schemas:
    Order:
      type: object
      required: [item, made]
      properties:
        item: {type: string, example: cup}
        note: {type: string, nullable: true}
        made: {type: string, readOnly: true}
        parts: {type: array, items: {$ref: '#/components/schemas/Order'}}
"""


class Api:
    """An API that keeps what it is sent."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[dict[str, Any]] = []
        self.statuses: list[int] = []

    async def everything(self, request: Request) -> Response:
        """What was sent, again."""
        if request.url.path == "/openapi.yaml":
            return Response(YAML, media_type="application/yaml")
        body = await request.body()
        self.received.append(
            {
                "request": f"{request.method} {request.url.path}",
                "raw_path": request.scope["raw_path"].decode(),
                "query": request.url.query,
                "headers": dict(request.headers),
                "body": json.loads(body) if body else None,
            }
        )
        if self.statuses:
            return JSONResponse({"message": "No such thing."}, self.statuses.pop(0))
        return JSONResponse({"ok": True})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The API, listening."""
    found = Api()
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", found.everything, methods=methods)])
    async with listening(app) as found.url:
        yield found


async def connect(server: Here, **document: Any) -> dict[str, Any]:
    """A connection."""
    made = await server.http.post("/api/integrations", json={"name": "shop", **document})
    assert made.status_code == 201, made.text
    content: dict[str, Any] = made.json()
    return content


async def run(server: Here, action: str, **arguments: Any) -> ActionResult:
    """What an action comes to."""
    call = ActionCall(owner=LOCAL_ID, connection="shop", action=action, arguments=arguments, effect_key="e:1")
    return await server.services.integrations.actions.run(call)


async def test_operations_of_a_document_are_actions_with_whole_schemas(tmp_path: Path, api: Api) -> None:
    async with here(tmp_path) as server:
        made = await connect(server, kind="openapi", settings={"url": f"{api.url}/openapi.yaml"}, token="secret-token")
        assert made["total"] == 3
        found = {each.name: each for each in await server.services.integrations.actions.actions(LOCAL_ID)}
        assert set(found) == {"getOrder", "replaceOrder", "create_order"}
        create = found["create_order"]
        assert (create.effect, create.is_repeatable, create.group) == ("write", False, "orders")
        assert create.input_schema["required"] == ["item"], "what only the server writes is not asked for"
        assert create.input_schema["properties"]["note"] == {"type": ["string", "null"]}
        assert found["getOrder"].effect == "read"
        assert found["replaceOrder"].is_repeatable
        assert (await run(server, "create_order", item="cup", note=None)).data == {"ok": True}
        await run(server, "getOrder", id="a/../b", expand=["x", "y z"])
        created, got = api.received
        assert (created["request"], created["body"]) == ("POST /api/orders", {"item": "cup", "note": None})
        assert created["headers"]["idempotency-key"] == "e:1"
        assert (got["raw_path"], got["query"]) == ("/api/orders/a%2F..%2Fb", "expand=x&expand=y+z")
        assert {each["headers"]["authorization"] for each in api.received} == {"Bearer secret-token"}


@pytest.mark.parametrize(
    ("status", "code", "transient", "in_doubt"),
    [
        (400, "action_refused", False, False),
        (401, "connection_unauthorized", False, False),
        (404, "action_refused", False, False),
        (429, "rate_limited", True, False),
        (500, "http_status", False, True),
        (503, "http_status", True, False),
    ],
)
async def test_a_status_means_what_the_contract_says(
    tmp_path: Path, api: Api, status: int, code: str, transient: bool, in_doubt: bool
) -> None:
    async with here(tmp_path) as server:
        await connect(server, kind="openapi", settings={"url": f"{api.url}/openapi.yaml"})
        api.statuses = [status]
        with pytest.raises(ActionError) as raised:
            await run(server, "create_order", item="cup")
        error = raised.value
        assert (error.code, error.transient, error.may_have_happened) == (code, transient, in_doubt)
        if code == "action_refused":
            assert "No such thing." in error.message


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"{", "neither JSON nor YAML"),
        (b"swagger: '2.0'", "no OpenAPI 3 document"),
        (b'{"openapi": "3.1.0"}', "no paths"),
        (b"- a", "no object"),
    ],
)
def test_what_is_no_document_is_refused_in_words(document: bytes, why: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=why):
        OpenApiDocument(document)


async def test_our_own_document_is_read_whole(tmp_path: Path) -> None:
    async with here(tmp_path) as server:
        document = OpenApiDocument((await server.http.get("/openapi.json")).content)
        actions = document.actions("us")
        assert len(actions) > 60
        assert len({each.name for each in actions}) == len(actions)
        execute = next(each for each in actions if each.details["path"].endswith("/execute"))
        assert "wait_seconds" in execute.input_schema["properties"]


async def test_a_connector_is_data_and_its_check_tells_a_bad_token(tmp_path: Path, api: Api) -> None:
    async with here(tmp_path) as server:
        api.statuses = [401]
        settings = {"connector": "github", "url": api.url}
        refused = await server.http.post(
            "/api/integrations", json={"name": "shop", "kind": "connector", "settings": settings, "token": "bad-token"}
        )
        assert (refused.status_code, refused.json()["code"]) == (503, "connection_unauthorized")
        await connect(server, kind="connector", settings=settings, token="good-token")
        await run(server, "create_issue", owner="acme", repo="shop", title="It leaks")
        sent = api.received[-1]
        assert (sent["request"], sent["body"]) == ("POST /repos/acme/shop/issues", {"title": "It leaks"})
        assert sent["headers"]["x-github-api-version"] == "2022-11-28"


async def test_rows_are_appended_as_the_api_wants_them(tmp_path: Path, api: Api) -> None:
    async with here(tmp_path) as server:
        settings = {"connector": "google_sheets", "url": api.url}
        await connect(server, kind="connector", settings=settings, token="good-token")
        await run(server, "append_rows", spreadsheet_id="s1", range="Orders!A:B", rows=[["cup", 2]])
        sent = api.received[-1]
        assert sent["raw_path"] == "/v4/spreadsheets/s1/values/Orders%21A%3AB:append"
        assert sent["body"] == {"majorDimension": "ROWS", "values": [["cup", 2]]}
        assert "insertDataOption=INSERT_ROWS" in sent["query"]


async def test_an_address_that_is_a_secret_is_where_messages_go_and_is_never_shown(tmp_path: Path, api: Api) -> None:
    async with here(tmp_path) as server:
        url = f"{api.url}/services/T0/B0/hush-hush"
        kept = await server.http.post("/api/credentials", json={"name": "team", "kind": "address", "url": url})
        assert kept.status_code == 201, kept.text
        assert "hush-hush" not in kept.text
        await connect(server, kind="connector", settings={"connector": "slack_webhook"}, credential="team")
        await run(server, "send_message", text="Hello")
        assert (api.received[-1]["request"], api.received[-1]["body"]) == (
            "POST /services/T0/B0/hush-hush",
            {"text": "Hello"},
        )
        api.statuses = [404]
        with pytest.raises(ActionError) as raised:
            await run(server, "send_message", text="Hello")
        assert "hush-hush" not in str(raised.value)


async def test_a_generic_connector_brings_its_definition(tmp_path: Path, api: Api) -> None:
    definition = {
        "title": "Lamps",
        "url": api.url,
        "actions": [
            {
                "name": "switch",
                "title": "Switch a lamp",
                "operation": {"method": "PUT", "path": "/lamps/{id}", "places": {"id": ["path", "id"]}},
                "properties": {"id": {"type": "integer"}, "on": {"type": "boolean"}},
                "required": ["id", "on"],
            }
        ],
    }
    async with here(tmp_path) as server:
        await connect(server, kind="connector", settings={"connector": "generic", "definition": definition})
        await run(server, "switch", id=7, on=True)
        assert (api.received[-1]["request"], api.received[-1]["body"]) == ("PUT /lamps/7", {"on": True})
        with pytest.raises(ActionError) as raised:
            await run(server, "switch", id="seven")
        assert raised.value.code == "action_arguments"


@pytest.mark.parametrize("name", connectors())
def test_a_connector_of_ours_is_whole(name: str) -> None:
    connector = connectors()[name]
    for each in connector.actions:
        action = each.action("c", name)
        assert set(each.required) <= set(each.properties)
        assert set(each.operation.places) <= set(each.properties)
        assert action.description
    assert connector.check is None or connector.check in [each.name for each in connector.actions]


class Mailbox:
    """A mail server that keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []
        self.says = "250 taken"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        """Take a mail."""
        if self.says.startswith("250"):
            self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return self.says


def authenticated(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Whether the password is right."""
    is_right = isinstance(data, LoginPassword) and data.password == b"right-password"
    return AuthResult(success=is_right, handled=is_right)


async def test_mails_are_sent_once_each_with_an_id_that_stays(tmp_path: Path) -> None:
    mailbox = Mailbox()
    serving = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="mail.test", authenticator=authenticated, auth_require_tls=False), "127.0.0.1", 0
    )
    async with serving:
        port = serving.sockets[0].getsockname()[1]
        settings = {
            "connector": "smtp",
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "sender": "shop@example.com",
        }
        async with here(tmp_path) as server:
            for name, password in (("bad", "wrong-password"), ("mail", "right-password")):
                credential = {"username": "shop", "password": password, "allowed_hosts": ["127.0.0.1"]}
                await server.http.post("/api/credentials", json={"name": name, "kind": "basic", **credential})
            body = {"name": "shop", "kind": "connector", "settings": settings, "credential": "bad"}
            refused = await server.http.post("/api/integrations", json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "connection_unauthorized"), refused.text
            await connect(server, kind="connector", settings=settings, credential="mail")
            mail = {"to": ["ada@example.com"], "bcc": "eve@example.com", "subject": "Grüße", "text": "Hello"}
            result = await run(server, "send_mail", **mail, html="<b>Hello</b>")
            ((recipients, message),) = mailbox.mails
            assert recipients == ["ada@example.com", "eve@example.com"]
            assert (message["To"], message["Bcc"], message["From"]) == ("ada@example.com", None, "shop@example.com")
            assert message["Message-ID"] == result.data["message_id"] == "<e.1@example.com>"
            assert message.get_content_type() == "multipart/alternative"
            mailbox.says = "451 later"
            with pytest.raises(ActionError) as later:
                await run(server, "send_mail", **mail)
            assert (later.value.transient, later.value.may_have_happened) == (True, False)
            mailbox.says = "554 spam"
            with pytest.raises(ActionError) as never:
                await run(server, "send_mail", **mail)
            assert (never.value.code, never.value.transient) == ("action_refused", False)
            with pytest.raises(ActionError) as forged:
                await run(server, "send_mail", **{**mail, "subject": "a\nBcc: x@example.com"})
            assert forged.value.code == "action_arguments"
