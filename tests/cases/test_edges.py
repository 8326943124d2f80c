"""Text and bytes at the edges, as public bug reports of others taught: what comes in by webhooks, what answers hold,
who signed a request, and which request is the same one again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.executions.deliveries import Deliveries
from storage.executions.idempotency import SqlIdempotencyKeys
from storage.ids import UuidFactory
from tests.support.here import Here, here
from tests.support.http_target import listening
from tests.support.server_process import ServerProcess
from workflow.http.codings import supported

FORM = "application/x-www-form-urlencoded"
SECRET = "a-shared-secret-of-tests"


@pytest.fixture(scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Here]:
    """The whole server in this process. Its tests share it: each has paths and workflows of its own."""
    async with here(tmp_path_factory.mktemp("edges")) as running:
        services = running.services
        services.webhooks._deliveries = Deliveries(
            keys=SqlIdempotencyKeys(services.database),
            reader=services.reader,
            clock=services.clock,
            new_id=UuidFactory(clock=services.clock),
        )
        yield running


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server in a process of its own."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        yield client


def new_path() -> str:
    """A path that nobody listens on."""
    return f"edge-{uuid.uuid4().hex[:8]}"


async def publish(http: httpx2.AsyncClient, hook: Mapping[str, Any], respond: Mapping[str, Any] | None = None) -> Any:
    """Create and publish a workflow that starts at a webhook; the answer of the server."""
    nodes: dict[str, Any] = {"hook": {"type": "webhook", "parameters": dict(hook)}}
    connections = []
    if respond is not None:
        nodes["answer"] = {"type": "respond", "parameters": dict(respond)}
        connections = [["hook", "answer"]]
    definition = {"name": "edge", "nodes": nodes, "connections": connections}
    return await http.post("/api/workflows?publish=true", json=definition)


async def echoing(http: httpx2.AsyncClient, **hook: Any) -> str:
    """The address of a webhook that answers with its item."""
    path = hook.pop("path", None) or new_path()
    made = await publish(http, {"path": path, **hook}, {"body": "={{ $json }}"})
    assert made.status_code == 201, made.text
    return f"/webhooks/{path}"


async def fetched(app: Here, url: str, **parameters: Any) -> dict[str, Any]:
    """What an ``http_request`` with these parameters comes to: its item, or the execution's error."""
    nodes = {
        "start": {"type": "manual"},
        "ask": {"type": "http_request", "parameters": {"url": url, **parameters}, "retry": {"max_attempts": 1}},
    }
    ran = await app.execution({"name": "ask", "nodes": nodes, "connections": [["start", "ask"]]})
    if ran["status"] != "succeeded":
        return {"error": ran["error"]}
    item: dict[str, Any] = ran["output"]["items"]["ask"][0]
    return item


@dataclass(slots=True)
class Answers:
    """A server that answers as the test says, and keeps what it was asked."""

    body: bytes = b""
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        """The answer."""
        await self._keep(request)
        response = Response(self.body, self.status)
        del response.headers["content-length"]
        response.raw_headers += [(name.encode(), value.encode()) for name, value in self.headers]
        response.raw_headers.append((b"content-length", str(len(self.body)).encode()))
        return response

    async def redirect(self, request: Request) -> Response:
        """A redirect to the answer."""
        await self._keep(request)
        return RedirectResponse("/", int(request.path_params["status"]))

    async def _keep(self, request: Request) -> None:
        body = await request.body()
        self.received.append({"method": request.method, "headers": dict(request.headers), "body": body})

    @asynccontextmanager
    async def listening(self, *headers: tuple[str, str], body: bytes = b"", status: int = 200) -> AsyncIterator[str]:
        """The server's URL; it answers with these headers and this body."""
        self.headers, self.body, self.status = list(headers), body, status
        methods = ["GET", "POST", "PUT", "HEAD", "OPTIONS"]
        routes = [
            Route("/redirect/{status}", self.redirect, methods=methods),
            Route("/{rest:path}", self.answer, methods=methods),
        ]
        async with listening(Starlette(routes=routes)) as url:
            yield url


class TestRequestsThatProvidersSend:
    async def test_a_challenge_is_answered_as_it_came(self, http: httpx2.AsyncClient) -> None:
        path = new_path()
        await publish(http, {"path": path}, {"body": "={{ $json.body.challenge }}"})
        answer = await http.post(f"/webhooks/{path}", json={"type": "url_verification", "challenge": "abc123"})
        assert (answer.status_code, answer.text) == (200, "abc123")

    @pytest.mark.parametrize("challenge", ["1158201444", "0012", "1e5", "true"])
    async def test_a_challenge_of_digits_stays_text(self, http: httpx2.AsyncClient, challenge: str) -> None:
        path = new_path()
        await publish(http, {"path": path, "methods": ["GET"]}, {"body": "={{ $json.query['hub.challenge'] }}"})
        assert (await http.get(f"/webhooks/{path}", params={"hub.challenge": challenge})).text == challenge

    async def test_head_is_answered_like_get_and_without_a_body(self, http: httpx2.AsyncClient) -> None:
        address = await echoing(http, methods=["GET", "POST"])
        head, get = await http.head(address), await http.get(address)
        assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]

    async def test_options_says_what_a_webhook_takes_and_starts_nothing(self, app: Here) -> None:
        address = await echoing(app.http, methods=["GET", "PUT"])
        answer = await app.http.request("OPTIONS", address)
        assert (answer.status_code, answer.headers["allow"]) == (204, "GET, PUT, HEAD, OPTIONS")
        assert (await app.http.get("/api/executions")).json()["executions"] == []

    @pytest.mark.parametrize("method", ["DELETE", "POST", "HEAD", "PROPFIND", "TRACE"])
    async def test_other_methods_are_refused_with_those_that_are_taken(
        self, http: httpx2.AsyncClient, method: str
    ) -> None:
        address = await echoing(http, methods=["PUT"])
        refused = await http.request(method, address)
        assert (refused.status_code, refused.headers["allow"]) == (405, "PUT, OPTIONS")
        assert (await http.request(method, "/webhooks/absent")).status_code == 404

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
    async def test_head_and_options_can_be_methods_of_their_own(self, http: httpx2.AsyncClient, method: str) -> None:
        path = new_path()
        respond = {"status": 200, "headers": {"WebHook-Allowed-Origin": "={{ $json.method }}"}, "body": "yes"}
        await publish(http, {"path": path, "methods": ["POST", method]}, respond)
        answer = await http.request(method, f"/webhooks/{path}")
        assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, method)


def signed(scheme: str, body: bytes, *, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers with which a provider signs a body."""
    moment = str(int(time.time()) if at is None else at)

    def sha256(signed: bytes, key: bytes = secret.encode()) -> bytes:
        return hmac.new(key, signed, hashlib.sha256).digest()

    match scheme:
        case "github":
            return {"X-Hub-Signature-256": "sha256=" + sha256(body).hex()}
        case "slack":
            digest = sha256(f"v0:{moment}:".encode() + body).hex()
            return {"X-Slack-Signature": f"v0={digest}", "X-Slack-Request-Timestamp": moment}
        case "shopify":
            return {"X-Shopify-Hmac-Sha256": base64.b64encode(sha256(body)).decode()}
        case "stripe":
            digest = sha256(f"{moment}.".encode() + body).hex()
            return {"Stripe-Signature": f"t={moment},v1={'0' * 64},v1={digest},v0=old"}
        case "standard_webhooks" | "svix":
            key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
            digest_64 = base64.b64encode(sha256(f"msg_1.{moment}.".encode() + body, key)).decode()
            prefix = "webhook" if scheme == "standard_webhooks" else "svix"
            return {
                f"{prefix}-id": "msg_1",
                f"{prefix}-timestamp": moment,
                f"{prefix}-signature": f"v1a,xxx v1,{digest_64}",
            }
        case "token":
            return {"X-Gitlab-Token": secret}
        case _:
            raise ValueError(scheme)


SCHEMES = ["github", "slack", "shopify", "stripe", "standard_webhooks", "token"]
WITH_TIME = ["slack", "stripe", "standard_webhooks"]


class TestSignatures:
    async def listening(self, app: Here, secret: str = SECRET, **signature: Any) -> str:
        """The address of a webhook that demands a signature."""
        name = f"signing-{uuid.uuid4().hex[:8]}"
        made = await app.http.post("/api/credentials", json={"name": name, "kind": "signature", "secret": secret})
        assert made.status_code == 201, made.text
        return await echoing(app.http, signature={"secret": name, **signature})

    @pytest.mark.parametrize("scheme", SCHEMES)
    async def test_each_provider_signs_in_its_own_way(self, app: Here, scheme: str) -> None:
        address, body = await self.listening(app, scheme=scheme), b'{"a": "\xc3\xab"}'
        good = await app.http.post(address, content=body, headers=signed(scheme, body))
        assert good.status_code == 200, good.text
        for wrong in ({}, signed(scheme, body, secret=SECRET + "x"), dict.fromkeys(signed(scheme, body), "")):
            bad = await app.http.post(address, content=body, headers=wrong)
            assert (bad.status_code, bad.json()["code"]) == (403, "webhook_signature_invalid")
        if scheme != "token":
            assert (await app.http.post(address, content=body + b" ", headers=signed(scheme, body))).status_code == 403

    @pytest.mark.parametrize("scheme", WITH_TIME)
    @pytest.mark.parametrize("seconds", [-301, 400, -10_000])
    async def test_old_and_future_signatures_are_refused(self, app: Here, scheme: str, seconds: int) -> None:
        address = await self.listening(app, scheme=scheme)
        headers = signed(scheme, b"{}", at=int(time.time()) + seconds)
        assert (await app.http.post(address, content=b"{}", headers=headers)).status_code == 403
        lenient = await self.listening(app, scheme=scheme, tolerance_seconds=20_000)
        assert (await app.http.post(lenient, content=b"{}", headers=headers)).status_code == 200

    @pytest.mark.parametrize("scheme", WITH_TIME)
    @pytest.mark.parametrize("moment", ["soon", "", "-1", "1e9", "9" * 400, "٣"])
    async def test_times_that_are_none_are_refused(self, app: Here, scheme: str, moment: str) -> None:
        address, headers = await self.listening(app, scheme=scheme), signed(scheme, b"{}")
        for name, value in headers.items():
            if name == "Stripe-Signature":
                headers[name] = f"t={moment},{value.partition(',')[2]}"
            elif name.lower().endswith("timestamp"):
                headers[name] = moment
        sent = {name: value.encode() for name, value in headers.items()}
        assert (await app.http.post(address, content=b"{}", headers=sent)).status_code == 403

    async def test_standard_webhooks_keep_their_secret_in_base64_and_svix_has_names_of_its_own(self, app: Here) -> None:
        secret = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
        address = await self.listening(app, secret, scheme="standard_webhooks")
        for scheme in ("standard_webhooks", "svix"):
            headers = signed(scheme, b"{}", secret=secret)
            assert (await app.http.post(address, content=b"{}", headers=headers)).status_code == 200

    @pytest.mark.parametrize("form", ["hex", "HEX", "base64", "base64url", "sha512=hex"])
    async def test_a_plain_hmac_is_hex_or_base64_under_any_header(self, app: Here, form: str) -> None:
        address = await self.listening(app, header="X-Signature", algorithm="sha512")
        digest = hmac.new(SECRET.encode(), b"body", hashlib.sha512).digest()
        written = {
            "hex": digest.hex(),
            "HEX": digest.hex().upper(),
            "base64": base64.b64encode(digest).decode(),
            "base64url": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "sha512=hex": f"sha512={digest.hex()}",
        }[form]
        headers = {"X-Signature": written, "content-type": "text/plain"}
        assert (await app.http.post(address, content=b"body", headers=headers)).status_code == 200
        assert (await app.http.post(address, content=b"other", headers=headers)).status_code == 403

    async def test_forms_with_files_and_bytes_can_be_signed(self, app: Here) -> None:
        address = await self.listening(app, scheme="github")
        form = httpx2.Request("POST", "http://x", files={"file": ("a.bin", b"\xeb\x00")}, data={"a": "1"})
        sent = {"content-type": form.headers["content-type"]}
        for body, headers in ((form.read(), sent), (b"\x89PNG\xeb", {"content-type": "image/png"})):
            answer = await app.http.post(address, content=body, headers={**signed("github", body), **headers})
            assert answer.status_code == 200, answer.text

    async def test_a_compressed_body_is_signed_as_it_was_before(self, app: Here) -> None:
        address, body = await self.listening(app, scheme="github"), b'{"a": 1}'
        headers = {**signed("github", body), "content-encoding": "gzip", "content-type": "application/json"}
        answer = await app.http.post(address, content=gzip.compress(body), headers=headers)
        assert answer.json()["body"] == {"a": 1}

    async def test_the_bytes_that_were_signed_are_there_where_they_are_asked_for(
        self, http: httpx2.AsyncClient
    ) -> None:
        address, body = await echoing(http, raw_body=True), b'{ "a" : 1.0 }'
        item = (await http.post(address, content=body, headers={"content-type": "application/json"})).json()
        assert base64.b64decode(item["raw_body"]["base64"]) == body
        assert "raw_body" not in (await http.post(await echoing(http), content=body)).json()


class TestBodies:
    async def test_files_and_fields_of_a_multipart_form_come_apart(self, http: httpx2.AsyncClient) -> None:
        files = [("file", ("a.bin", b"\xeb\x00\xff", "application/octet-stream")), ("file", ("b.txt", b"two"))]
        data = {"email": "ada@example.com", "tag": ["x", "y"]}
        item = (await http.post(await echoing(http), data=data, files=files)).json()
        assert item["body"] == data
        first, second = item["files"]["file"]
        assert (first["filename"], first["size_bytes"], base64.b64decode(first["base64"])) == (
            "a.bin",
            3,
            b"\xeb\x00\xff",
        )
        assert (second["filename"], base64.b64decode(second["base64"])) == ("b.txt", b"two")

    @pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", "application/pdf", "audio/ogg"])
    async def test_bytes_stay_bytes(self, http: httpx2.AsyncClient, media_type: str) -> None:
        content = b"\x89PNG\xeb\x00"
        answer = await http.post(await echoing(http), content=content, headers={"content-type": media_type})
        body = answer.json()["body"]
        assert (body["media_type"], body["size_bytes"], base64.b64decode(body["base64"])) == (media_type, 6, content)

    @pytest.mark.parametrize(
        ("content", "content_type", "body"),
        [
            (b"name=Zo%EB", f"{FORM}; charset=ISO-8859-1", {"name": "Zoë"}),
            (b"name=Zo%EB", f"{FORM};CHARSET = 'iso-8859-1'", {"name": "Zoë"}),
            (b"name=%82%A0", f"{FORM}; charset=Shift_JIS", {"name": "あ"}),
            (b"<n>\xeb</n>", "application/xml; charset=ISO-8859-1", "<n>ë</n>"),
            (b"<n>\xeb</n>", 'text/xml; Charset="ISO-8859-1"', "<n>ë</n>"),
            (b'{"n":"\xeb"}', "application/json; charset=ISO-8859-1", {"n": "ë"}),
            (b'{"n":"\xa4"}', "application/json;charset=ISO-8859-15", {"n": "€"}),
            ('{"n":"ë"}'.encode("utf-16"), "application/json; charset=utf-16", {"n": "ë"}),
            ('{"n":"ë"}'.encode("utf-16-le"), "application/json; charset=utf-16", {"n": "ë"}),
            (b'\xef\xbb\xbf{"n":1}', "application/json", {"n": 1}),
            (b'{"n":1}', "application/json; charset=idna", {"n": 1}),
            (b"\xff\xfea\x00", "text/plain", "a"),
        ],
    )
    async def test_text_is_read_in_the_charset_that_it_says(
        self, http: httpx2.AsyncClient, content: bytes, content_type: str, body: Any
    ) -> None:
        answer = await http.post(await echoing(http), content=content, headers={"content-type": content_type})
        assert answer.json()["body"] == body

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (b"Zo\xeb", "text/plain; charset=utf-8"),
            (b"a=%EB", f"{FORM}; charset=utf-8"),
            (b'{"n":"\xeb"}', "application/json"),
            (b"--x", "multipart/form-data; boundary=x"),
            (b"--x--", "multipart/form-data"),
        ],
    )
    async def test_what_is_not_what_it_says_is_refused(
        self, http: httpx2.AsyncClient, content: bytes, content_type: str
    ) -> None:
        answer = await http.post(await echoing(http), content=content, headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")

    async def test_repeated_names_are_lists_and_repeated_headers_are_joined(self, http: httpx2.AsyncClient) -> None:
        address = await echoing(http, methods=["POST"])
        headers = [("X-Tag", "one"), ("x-tag", "two, three"), ("content-type", FORM)]
        item = (await http.post(f"{address}?a=1&a=2&b=3&e=%C3%AB", content=b"c=1&c=2&c=3", headers=headers)).json()
        assert item["query"] == {"a": ["1", "2"], "b": "3", "e": "ë"}
        assert item["body"] == {"c": ["1", "2", "3"]}
        assert item["headers"]["x-tag"] == "one, two, three"

    @pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br", "zstd", "deflate"])
    async def test_compressed_bodies_are_decoded(self, http: httpx2.AsyncClient, coding: str) -> None:
        if coding.removeprefix("x-") not in supported():
            pytest.skip(f"the package that undoes {coding} is not installed")
        body = compressed(coding.removeprefix("x-"), b'{"n": 1}')
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await http.post(await echoing(http), content=body, headers=headers)
        assert answer.json()["body"] == {"n": 1}

    @pytest.mark.parametrize(
        ("coding", "content", "status", "code"),
        [
            ("compress", b"x", 415, "encoded_body"),
            ("gzip", b"not gzip", 400, "invalid_arguments"),
            ("gzip", gzip.compress(bytes(64 << 20)), 413, "body_too_large"),
            ("gzip", gzip.compress(b"[" * 5_000), 400, "json_too_deep"),
        ],
        ids=["unknown", "not encoded", "too large", "too deep"],
    )
    async def test_compressed_bodies_have_the_bounds_of_others(
        self, http: httpx2.AsyncClient, coding: str, content: bytes, status: int, code: str
    ) -> None:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await http.post(await echoing(http), content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    @pytest.mark.parametrize(
        "content",
        [b"a=1&" * 1_000_000, b"a=" + b"%41" * 1_300_000, b"a=" + b"b%eb" * 1_000_000],
        ids=["many fields", "one field", "one field that is no UTF-8"],
    )
    async def test_a_hostile_form_keeps_nobody_waiting(self, app: Here, content: bytes) -> None:
        address = await echoing(app.http)
        longest = 0.0

        async def others() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - before)

        watching = asyncio.create_task(others())
        answer = await app.http.post(address, content=content, headers={"content-type": FORM})
        watching.cancel()
        assert answer.status_code in (200, 400)
        assert longest < 0.25


def compressed(coding: str, data: bytes) -> bytes:
    """The data in a content coding."""
    if coding == "gzip":
        return gzip.compress(data)
    if coding == "deflate":
        import zlib

        return zlib.compress(data)
    module: Any = pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[coding])
    made: bytes = module.compress(data)
    return made


class TestPaths:
    async def test_parameters_of_a_path_are_in_params(self, http: httpx2.AsyncClient) -> None:
        path = new_path()
        await echoing(http, path=f"{path}/:id/lines/:line", methods=["GET"])
        item = (await http.get(f"/webhooks/{path}/caf%C3%A9%2F7/lines/a+b?x=1")).json()
        assert item["params"] == {"id": "café/7", "line": "a+b"}
        for other in (path, f"{path}/1", f"{path}/1/lines/", f"{path}/1/lines/2/", f"{path}/1/other/2"):
            assert (await http.get(f"/webhooks/{other}")).status_code == 404

    async def test_a_literal_path_counts_before_a_parameter(self, http: httpx2.AsyncClient) -> None:
        path = new_path()
        nodes = {
            "any": {"type": "webhook", "parameters": {"path": f"{path}/:id"}},
            "new": {"type": "webhook", "parameters": {"path": f"{path}/new"}},
            "answer": {"type": "respond", "parameters": {"body": "={{ $json.params?.id ?? 'literal' }}"}},
        }
        definition = {"name": "two", "nodes": nodes, "connections": [["any", "answer"], ["new", "answer"]]}
        assert (await http.post("/api/workflows?publish=true", json=definition)).status_code == 201
        assert (await http.post(f"/webhooks/{path}/new")).text == "literal"
        assert (await http.post(f"/webhooks/{path}/old")).text == "old"

    @pytest.mark.parametrize("second", [":other", "new", ":id"])
    async def test_paths_of_two_workflows_that_overlap_are_refused(self, http: httpx2.AsyncClient, second: str) -> None:
        path = new_path()
        await echoing(http, path=f"{path}/:id")
        refused = await publish(http, {"path": f"{path}/{second}"})
        assert (refused.status_code, refused.json()["code"]) == (409, "webhook_path_taken")

    async def test_paths_of_one_workflow_that_cannot_be_told_apart_are_refused(self, http: httpx2.AsyncClient) -> None:
        nodes = {
            "a": {"type": "webhook", "parameters": {"path": "orders/:id/x"}},
            "b": {"type": "webhook", "parameters": {"path": "orders/:number/x"}},
        }
        refused = await http.post("/api/workflows", json={"name": "two", "nodes": nodes})
        assert [each["code"] for each in refused.json()["findings"]] == ["duplicate_webhook_path"]

    @pytest.mark.parametrize("path", [":id", "a/:", "a//b", "a/:x/:x", "a/" * 9, "={{ 1 }}", "a/*"])
    async def test_what_is_no_path_is_refused(self, http: httpx2.AsyncClient, path: str) -> None:
        refused = await publish(http, {"path": path})
        assert {each["code"] for each in refused.json()["findings"]} == {"bad_parameter"}


class TestDeliveries:
    async def ids(self, app: Here, address: str, *requests: dict[str, Any]) -> list[str]:
        """The executions that the requests get."""
        answers = [await app.http.post(address, **request) for request in requests]
        assert {answer.status_code for answer in answers} == {202}
        return [answer.json()["execution_id"] for answer in answers]

    async def listening(self, app: Here, delivery_id: str) -> str:
        """The address of a webhook that knows its deliveries."""
        path = new_path()
        made = await publish(app.http, {"path": path, "delivery_id": delivery_id})
        assert made.status_code == 201, made.text
        return f"/webhooks/{path}"

    async def test_a_redelivery_gets_the_first_execution(self, app: Here) -> None:
        address = await self.listening(app, "X-GitHub-Delivery")
        one, two = ({"headers": {"x-github-delivery": name}, "json": {}} for name in ("one", "two"))
        first, again, other = await self.ids(app, address, one, one, two)
        assert first == again != other
        repeated = (await app.http.post(address, **one)).json()
        assert (repeated["execution_id"], repeated["repeated"]) == (first, True)
        workflow_id = (await app.http.get(f"/api/executions/{first}")).json()["workflow_id"]
        listed = (await app.http.get("/api/executions", params={"workflow_id": workflow_id})).json()["executions"]
        assert {each["execution_id"] for each in listed} == {first, other}

    @pytest.mark.parametrize("expression", ["={{ $json.body.id }}", "={{ `${$json.body.id}`.trim() }}"])
    async def test_the_id_can_be_an_expression(self, app: Here, expression: str) -> None:
        address = await self.listening(app, expression)
        bodies = [{"json": {"id": "evt_1", "n": n}} for n in range(2)] + [{"json": {"id": "evt_2"}}]
        first, again, other = await self.ids(app, address, *bodies)
        assert first == again != other

    async def test_requests_without_an_id_are_each_their_own(self, app: Here) -> None:
        for address in (await self.listening(app, "X-Delivery"), await self.listening(app, "={{ $json.body.id }}")):
            first, second = await self.ids(app, address, {"json": {}}, {"json": {}})
            assert first != second

    async def test_many_at_once_start_one_execution(self, app: Here) -> None:
        address = await self.listening(app, "X-Delivery")
        answers = await asyncio.gather(*(app.http.post(address, headers={"x-delivery": "same"}) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["execution_id"] for answer in answers}) == 1

    async def test_ids_are_known_per_workflow_and_apart_from_idempotency_keys(self, app: Here) -> None:
        first, second = await self.listening(app, "X-Delivery"), await self.listening(app, "X-Delivery")
        sent = {"headers": {"x-delivery": "one"}}
        assert await self.ids(app, first, sent) != await self.ids(app, second, sent)

    async def test_an_expression_that_fails_refuses_the_request(self, app: Here) -> None:
        address = await self.listening(app, "={{ $json.body.a.b }}")
        answer = await app.http.post(address, json={})
        assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["methods", "signature", "raw_body"])
    async def test_no_other_parameter_may_be_an_expression(self, app: Here, name: str) -> None:
        value = {"secret": "={{ $json.a }}"} if name == "signature" else "={{ $json.a }}"
        refused = await publish(app.http, {"path": new_path(), name: value})
        assert refused.status_code == 400
        assert "bad_parameter" in {each["code"] for each in refused.json()["findings"]}


class TestAnswersOfRespond:
    @pytest.mark.parametrize("status", [204, 205, 304])
    @pytest.mark.parametrize("body", [None, {"a": 1}, "text"])
    async def test_statuses_without_content_leave_the_connection_usable(
        self, server: ServerProcess, http: httpx2.AsyncClient, status: int, body: Any
    ) -> None:
        path = new_path()
        await publish(http, {"path": path}, {"status": status, **({} if body is None else {"body": body})})
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        request = f"POST /webhooks/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode()
        for _ in range(2):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            assert b"transfer-encoding" not in head.lower()
        writer.close()
        await writer.wait_closed()


class TestAnswersOfRequests:
    @pytest.mark.parametrize(
        ("content_type", "content", "body"),
        [
            ("text/plain; Charset=ISO-8859-1", b"Zo\xeb", "Zoë"),
            ("text/plain; CHARSET = iso-8859-1", b"Zo\xeb", "Zoë"),
            ("text/plain; charset = x", "Zoë".encode(), "Zoë"),
            ("text/plain; charset=utf-16", "Zoë".encode("utf-16"), "Zoë"),
            ("text/plain; charset=utf-16", "Zoë".encode("utf-16-le"), "Zoë"),
            ("text/plain; charset=utf-32", "Zoë".encode("utf-32"), "Zoë"),
            ("text/plain; charset=utf-8-sig", b"\xef\xbb\xbfa", "a"),
            ("text/plain; charset=idna", b"plain", "plain"),
            ("text/plain; charset=punycode", b"plain-", "plain-"),
            ("text/plain; charset=undefined", b"plain", "plain"),
            ("text/plain; charset=unicode_escape", rb"\u0041", r"\u0041"),
            ("text/plain; charset=utf-8", b"Zo\xeb", "Zo\ufffd"),
            ("application/json;charset=ISO-8859-15", b'{"a":"\xa4"}', {"a": "€"}),
            ("application/json", b'\xef\xbb\xbf{"a":1}', {"a": 1}),
            ("application/json", b"{broken", "{broken"),
            ("application/hal+json; charset=undefined", b"[1]", [1]),
            ("text/html", b'<meta charset="windows-1251">\xef', '<meta charset="windows-1251">п'),
        ],
    )
    async def test_text_is_read_in_the_charset_that_it_says(
        self, app: Here, content_type: str, content: bytes, body: Any
    ) -> None:
        async with Answers().listening(("content-type", content_type), body=content) as url:
            assert (await fetched(app, url, method="POST"))["body"] == body

    async def test_an_answer_can_be_demanded_as_json_text_or_bytes(self, app: Here) -> None:
        async with Answers().listening(("content-type", "application/json; charset=latin1"), body=b'"\xeb"') as url:
            assert (await fetched(app, url, response="json"))["body"] == "ë"
            assert (await fetched(app, url, response="text"))["body"] == '"ë"'
            assert base64.b64decode((await fetched(app, url, response="binary"))["body"]["base64"]) == b'"\xeb"'

    async def test_bytes_stay_bytes(self, app: Here) -> None:
        async with Answers().listening(("content-type", "image/png"), body=b"\x89PNG\xeb") as url:
            body = (await fetched(app, url))["body"]
        assert (body["media_type"], base64.b64decode(body["base64"])) == ("image/png", b"\x89PNG\xeb")

    @pytest.mark.parametrize("coding", ["br", "zstd", "gzip", "deflate"])
    @pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "br"}])
    async def test_codings_are_undone_or_refused(self, app: Here, coding: str, headers: dict[str, str]) -> None:
        is_known = coding in supported()
        content = compressed(coding, b"plain") if is_known else b"\x0b\x02\x80plain\x03"
        async with Answers().listening(
            ("content-type", "text/plain"), ("content-encoding", coding), body=content
        ) as url:
            answer = await fetched(app, url, headers=headers)
        if is_known:
            assert answer["body"] == "plain"
        else:
            assert answer["error"]["code"] == "bad_response"

    @pytest.mark.parametrize("coding", ["compress", "exi", "gzip, compress", "utf-8"])
    async def test_unknown_codings_are_refused(self, app: Here, coding: str) -> None:
        async with Answers().listening(("content-encoding", coding), body=b"anything") as url:
            assert (await fetched(app, url))["error"]["code"] == "bad_response"

    async def test_what_is_cut_off_is_refused_and_a_bomb_is_too_large(self, app: Here) -> None:
        whole = gzip.compress(b"plain " * 1_000)
        async with Answers().listening(("content-encoding", "gzip"), body=whole[:-9]) as url:
            assert (await fetched(app, url))["error"]["code"] == "bad_response"
        async with Answers().listening(("content-encoding", "gzip"), body=gzip.compress(bytes(64 << 20))) as url:
            assert (await fetched(app, url))["error"]["code"] == "response_too_large"

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    async def test_an_answer_without_a_body_may_name_any_coding(self, app: Here, method: str) -> None:
        headers = (("content-encoding", "compress"), ("content-type", "application/json"))
        async with Answers().listening(*headers, status=200) as url:
            assert (await fetched(app, url, method=method))["body"] is None

    @pytest.mark.parametrize("status", [204, 205, 304])
    @pytest.mark.parametrize("how", ["auto", "json", "text", "binary"])
    async def test_statuses_without_content_have_none(self, app: Here, status: int, how: str) -> None:
        async with Answers().listening(("content-type", "application/json"), status=status) as url:
            answer = await fetched(app, url, response=how)
        assert (answer["status"], answer["body"]) == (status, None)

    async def test_cookies_come_apart_and_other_repeated_headers_joined(self, app: Here) -> None:
        headers = (("set-cookie", "a=1; Expires=Wed, 01 Jan 2030 00:00:00 GMT"), ("set-cookie", "b=2"), ("x", "1"))
        async with Answers().listening(*headers, ("x", "2")) as url:
            seen = (await fetched(app, url))["headers"]
        assert (len(seen["set-cookie"]), seen["set-cookie"][1], seen["x"]) == (2, "b=2", "1, 2")

    @pytest.mark.parametrize(
        ("form", "sent"),
        [
            ({"tag": ["x", "y"]}, b"tag=x&tag=y"),
            ({"tag": ["x"], "n": 1, "yes": True}, b"tag=x&n=1&yes=true"),
            ({"tag": [], "gone": None, "empty": ""}, b"empty="),
            ({"a": ["ë", 1.5]}, b"a=%C3%AB&a=1.5"),
        ],
    )
    async def test_lists_of_a_form_repeat_its_name(self, app: Here, form: dict[str, Any], sent: bytes) -> None:
        answers = Answers()
        async with answers.listening() as url:
            assert "error" not in await fetched(app, url, method="POST", form=form)
        assert answers.received[0]["body"] == sent

    @pytest.mark.parametrize(
        ("status", "method", "then"),
        [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT")],
    )
    async def test_a_redirect_that_drops_the_body_drops_its_headers(
        self, app: Here, status: int, method: str, then: str
    ) -> None:
        answers, sent = Answers(), {"Content-Language": "en", "Content-Digest": "sha-256=:x:", "X-Kept": "1"}
        async with answers.listening() as url:
            await fetched(app, f"{url}/redirect/{status}", method=method, json_body={"a": 1}, headers=sent)
        last = answers.received[-1]
        assert (last["method"], last["headers"]["x-kept"]) == (then, "1")
        about = {name for name in last["headers"] if name.startswith("content-")}
        if then == "GET":
            assert (last["body"], about) == (b"", set())
        else:
            assert about == {"content-type", "content-length", "content-language", "content-digest"}


TRANSPORT = ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Upgrade", "TE", "Keep-Alive", "Trailer"]


class TestHeadersOfTheTransport:
    @pytest.mark.parametrize("name", TRANSPORT)
    @pytest.mark.parametrize("value", ["x", "={{ 'x' }}"])
    @pytest.mark.parametrize("credential", [None, "some"])
    async def test_a_definition_cannot_set_them(self, app: Here, name: str, value: str, credential: str | None) -> None:
        parameters: dict[str, Any] = {"url": "https://api.example.com", "headers": {name: value}}
        if credential is not None:
            sent = {"kind": "bearer", "token": "a-token-of-tests", "allowed_hosts": ["api.example.com"]}
            await app.http.post("/api/credentials", json={"name": credential, **sent})
            parameters["credential"] = credential
        nodes = {"start": {"type": "manual"}, "ask": {"type": "http_request", "parameters": parameters}}
        refused = await app.http.post(
            "/api/workflows", json={"name": "x", "nodes": nodes, "connections": [["start", "ask"]]}
        )
        (found,) = refused.json()["findings"]
        assert (found["code"], name in found["message"]) == ("bad_parameter", True)

    @pytest.mark.parametrize("name", TRANSPORT)
    async def test_headers_that_an_expression_gives_are_held_to_the_same(self, app: Here, name: str) -> None:
        answers = Answers()
        async with answers.listening() as url:
            failed = await fetched(app, url, headers=f"={{{{ ({{'{name}': 'x'}}) }}}}")
        assert failed["error"]["code"] == "bad_parameter"
        assert answers.received == []

    async def test_an_action_of_an_api_cannot_set_them(self, app: Here) -> None:
        answers = Answers()
        async with answers.listening() as url:
            operation = {"method": "GET", "path": "/", "headers": {"Host": "other.example"}}
            definition = {
                "title": "Shop",
                "url": url,
                "actions": [{"name": "ask", "title": "Ask", "operation": operation}],
            }
            settings = {"connector": "generic", "definition": definition}
            refused = await app.http.post(
                "/api/integrations", json={"name": "shop", "kind": "connector", "settings": settings}
            )
            assert refused.status_code == 400, refused.text
            assert "Host" in refused.text
