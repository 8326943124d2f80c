"""From an HTTP request to an execution: who sent it, and what the workflow sees of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledNode, CompiledWorkflow
from engine.dispatch.local_executions import LocalExecution
from engine.executions.intake import Intake
from engine.nodes.webhook import Signature, WebhookParameters
from engine.runs.submission import Submission
from workflow.credential_forms import SignatureCredential
from workflow.credentials import CredentialNotFoundError, CredentialNotUsableError, CredentialRef, Vault
from workflow.errors import InvalidArgumentsError, JobsprintError, WebhookNotFoundError, WebhookSignatureError
from workflow.identity import Initiator
from workflow.items import JsonObject

WEBHOOK = Initiator("webhook", "webhook")
HIDDEN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Never shown to the workflow, nor stored: they are the sender's secrets."""


@dataclass(slots=True, frozen=True, kw_only=True)
class WebhookRequest:
    """A request as it came in. Header names are lower case."""

    path: str
    method: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes


class MethodNotAllowedError(JobsprintError):
    """The webhook does not take this method.

    Attributes:
        allowed: the methods that it takes.
    """

    code = "method_not_allowed"

    def __init__(self, path: str, method: str, allowed: Sequence[str]) -> None:
        takes = ", ".join(allowed)
        super().__init__(f"Webhook {path!r} takes {takes}, not {method}.", fix=f"Send it with {takes}.")
        self.allowed = tuple(allowed)


@dataclass(slots=True, frozen=True)
class Accepted:
    """A webhook's execution; ``responds`` says whether the workflow will answer by itself."""

    local: LocalExecution
    responds: bool


class WebhookIntake:
    """Verifies webhooks and starts what listens on them."""

    def __init__(self, *, authoring: Authoring, intake: Intake, vault: Vault, secrets: Mapping[str, str]) -> None:
        self._authoring = authoring
        self._intake = intake
        self._vault = vault
        self._secrets = secrets

    async def accept(self, request: WebhookRequest) -> Accepted:
        """Start the workflow that listens on the path. Nothing may be answered before the service has accepted it.

        Raises:
            WebhookNotFoundError: none listens there.
            MethodNotAllowedError: it does not take the method.
            WebhookSignatureError: the signature is missing or wrong.
            InvalidArgumentsError: the body is not what its content type says.
            QueueFullError: too many executions are under way.
        """
        compiled = self._authoring.compiled(await self._authoring.workflows.by_webhook_path(request.path))
        trigger, parameters = _listener(compiled, request.path)
        if request.method not in parameters.methods:
            raise MethodNotAllowedError(request.path, request.method, parameters.methods)
        if parameters.signature is not None:
            await self._verify(compiled.owner, parameters.signature, request)
        submission = Submission(trigger="webhook", initiator=WEBHOOK, start_node=trigger.name, data=_item(request))
        local = await self._intake.accept(compiled, submission)
        return Accepted(local, compiled.responds)

    async def _verify(self, owner: str, signature: Signature, request: WebhookRequest) -> None:
        secret = await self._secret(owner, signature.secret)
        given = request.headers.get(signature.header.lower(), "")
        digest = hmac.new(secret.encode(), request.body, getattr(hashlib, signature.algorithm)).hexdigest()
        plain = given.removeprefix(f"{signature.algorithm}=")
        if not hmac.compare_digest(plain.encode(), digest.encode()):
            raise WebhookSignatureError(
                f"The header {signature.header} does not hold the HMAC-{signature.algorithm} of the body.",
                fix="Sign the raw body with the secret that the server knows by this name.",
            )

    async def _secret(self, owner: str, name: str) -> str:
        """The workspace's own secret of this name, else the server's."""
        try:
            form = (await self._vault.open(CredentialRef(owner=owner, name=name))).form
        except CredentialNotFoundError:
            if name in self._secrets:
                return self._secrets[name]
            raise WebhookSignatureError(
                f"There is no webhook secret named {name!r}, so no request can be verified.",
                fix="Make a credential of kind signature and this name, or set it in JOBSPRINT_WEBHOOK_SECRETS.",
            ) from None
        except CredentialNotUsableError as error:
            raise WebhookSignatureError(error.message, fix=error.fix) from error
        if not isinstance(form, SignatureCredential):
            raise WebhookSignatureError(
                f"The credential {name!r} is of kind {form.kind}; nothing is signed with it.",
                fix="Name one of kind signature in the trigger.",
            )
        return form.secret.get_secret_value()


def _listener(compiled: CompiledWorkflow, path: str) -> tuple[CompiledNode, WebhookParameters]:
    for node in compiled.nodes:
        parameters = node.parameters.constant
        if isinstance(parameters, WebhookParameters) and parameters.path == path and not node.definition.disabled:
            return node, parameters
    raise WebhookNotFoundError(path)


def _item(request: WebhookRequest) -> JsonObject:
    return {
        "body": _body(request),
        "headers": {name: value for name, value in request.headers.items() if name not in HIDDEN_HEADERS},
        "query": _grouped(request.query),
        "method": request.method,
        "path": request.path,
    }


def _body(request: WebhookRequest) -> Any:
    if not request.body:
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return _grouped(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise InvalidArgumentsError(
                f"The body is not JSON, although its content type says so: {error}.",
                pointer="/body",
                fix="Send JSON, or the content type of what you send.",
            ) from error
    return request.body.decode("utf-8", "replace")


def _grouped(pairs: Sequence[tuple[str, str]]) -> JsonObject:
    """Names with their values; a name that comes several times has a list."""
    grouped: JsonObject = {}
    for name, value in pairs:
        if name not in grouped:
            grouped[name] = value
        elif isinstance(grouped[name], list):
            grouped[name].append(value)
        else:
            grouped[name] = [grouped[name], value]
    return grouped
