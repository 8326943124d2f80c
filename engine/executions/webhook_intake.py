"""From an HTTP request to an execution: who sent it, and what the workflow sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledNode, CompiledWorkflow
from engine.dispatch.local_executions import LocalExecution
from engine.executions.deliveries import Deliveries
from engine.executions.intake import Intake
from engine.executions.webhook_signatures import check_signature
from engine.nodes.webhook import DELIVERY_ID, Signature, Webhook, WebhookParameters
from engine.runs.submission import Submission
from workflow.credential_forms import SignatureCredential
from workflow.credentials import CredentialNotFoundError, CredentialNotUsableError, CredentialRef, Vault
from workflow.errors import InvalidArgumentsError, JobsprintError, WebhookNotFoundError, WebhookSignatureError
from workflow.executions import Execution
from workflow.http.bodies import LARGE_BYTES, BodyError, Content, binary, is_form, received
from workflow.http.forms import grouped
from workflow.http.headers import with_parameters
from workflow.identity import Initiator
from workflow.items import JsonObject
from workflow.webhook_paths import values_of

WEBHOOK = Initiator("webhook", "webhook")
HIDDEN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Never shown to the workflow, nor stored: they are the sender's secrets."""


@dataclass(slots=True, frozen=True, kw_only=True)
class WebhookRequest:
    """A request as it came in. Header names are lower case; repeated headers are joined by commas."""

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


@dataclass(slots=True, frozen=True)
class Repeated:
    """The execution that an earlier request with this delivery id has started."""

    first: Execution


@dataclass(slots=True, frozen=True)
class Options:
    """The methods that a webhook takes, for who asks; nothing was started."""

    allowed: Sequence[str]


class WebhookIntake:
    """Verifies webhooks and starts what listens on them. ``now_seconds`` is the time since 1970."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        intake: Intake,
        vault: Vault,
        secrets: Mapping[str, str],
        deliveries: Deliveries | None = None,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._authoring = authoring
        self._intake = intake
        self._vault = vault
        self._secrets = secrets
        self._deliveries = deliveries
        self._now_seconds = now_seconds

    async def accept(self, request: WebhookRequest) -> Accepted | Repeated | Options:
        """Start the workflow that listens on the path. Nothing may be answered before the service has accepted it.

        Raises:
            WebhookNotFoundError: none listens there.
            MethodNotAllowedError: it does not take the method.
            WebhookSignatureError: the signature is missing or wrong.
            InvalidArgumentsError: the body is not what its content type says, or the delivery id cannot be read.
            QueueFullError: too many executions are under way.
        """
        compiled = self._authoring.compiled(await self._authoring.workflows.by_webhook_path(request.path))
        trigger, parameters, values = _listener(compiled, request.path)
        method, methods = request.method, parameters.methods
        if method not in methods and not (method == "HEAD" and "GET" in methods):
            allowed = list(dict.fromkeys([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]))
            if method == "OPTIONS":
                return Options(allowed)
            raise MethodNotAllowedError(request.path, method, allowed)
        if parameters.signature is not None:
            await self._verify(compiled.owner, parameters.signature, request)
        if len(request.body) >= LARGE_BYTES and is_form(request.headers.get("content-type", "")):
            content = await asyncio.to_thread(_content, request)
        else:
            content = _content(request)
        item = _item(request, content, values)
        if parameters.raw_body:
            media_type, _ = with_parameters(request.headers.get("content-type", ""))
            item["raw_body"] = binary(request.body, media_type)
        submission = Submission(trigger="webhook", initiator=WEBHOOK, start_node=trigger.name, data=item)
        if trigger.definition.parameters.get(DELIVERY_ID) is None:
            return Accepted(await self._intake.accept(compiled, submission), compiled.responds)
        return await self._accept_once(compiled, trigger, submission, request.headers)

    async def _accept_once(
        self, compiled: CompiledWorkflow, trigger: CompiledNode, submission: Submission, headers: Mapping[str, str]
    ) -> Accepted | Repeated:
        """Accept the request unless another one had its delivery id. A request without an id is one of its own."""
        if self._deliveries is None:
            raise RuntimeError("this webhook intake was put together without deliveries")
        named = await self._deliveries.id_of(self._authoring.evaluator, compiled, trigger, submission.data, headers)
        if named is None:
            return Accepted(await self._intake.accept(compiled, submission), compiled.responds)
        async with self._deliveries.delivered(compiled, trigger.name, named) as delivery:
            if delivery.first is not None:
                return Repeated(delivery.first)
            submission = replace(submission, execution_id=delivery.execution_id)
            return Accepted(await self._intake.accept(compiled, submission), compiled.responds)

    async def _verify(self, owner: str, signature: Signature, request: WebhookRequest) -> None:
        secret = await self._secret(owner, signature.secret)
        check_signature(signature, secret, headers=request.headers, body=request.body, now_seconds=self._now_seconds())

    async def _secret(self, owner: str, name: str) -> str:
        """The workspace's own secret of this name, else the server's."""
        try:
            form = (await self._vault.open(CredentialRef(owner=owner, name=name))).form
        except CredentialNotFoundError:
            if self._secrets.get(name):
                return self._secrets[name]
            raise WebhookSignatureError(
                f"There is no webhook secret named {name!r}, so no request can be verified.",
                fix="Make a credential of kind signature and this name (connect_integration with do: secret gives a "
                "link where a person enters it), or set it in JOBSPRINT_WEBHOOK_SECRETS.",
            ) from None
        except CredentialNotUsableError as error:
            raise WebhookSignatureError(error.message, fix=error.fix) from error
        if not isinstance(form, SignatureCredential):
            raise WebhookSignatureError(
                f"The credential {name!r} is of kind {form.kind}; nothing is signed with it.",
                fix="Name one of kind signature in the trigger.",
            )
        return form.secret.get_secret_value()


def _listener(compiled: CompiledWorkflow, path: str) -> tuple[CompiledNode, WebhookParameters, dict[str, str]]:
    """The trigger that listens to the path, its parameters, and the values in the path. A literal path counts before
    one with parameters."""
    found: tuple[CompiledNode, WebhookParameters, dict[str, str]] | None = None
    for node in compiled.nodes:
        if not isinstance(node.type, Webhook) or node.definition.disabled:
            continue
        parameters = node.parameters.constant or _without_delivery_id(node)
        if parameters.path == path:
            return node, parameters, {}
        values = values_of(parameters.path, path)
        if values is not None:
            found = node, parameters, values
    if found is None:
        raise WebhookNotFoundError(path)
    return found


def _without_delivery_id(node: CompiledNode) -> WebhookParameters:
    """The parameters of a trigger whose delivery id is an expression, which nothing else can be."""
    fixed = {name: value for name, value in node.definition.parameters.items() if name != DELIVERY_ID}
    return WebhookParameters.model_validate(fixed)


def _content(request: WebhookRequest) -> Content:
    content_type = request.headers.get("content-type", "")
    try:
        return received(request.body, content_type)
    except BodyError as error:
        raise InvalidArgumentsError(
            f"The body is not what its content type {content_type!r:.100} says: {error}.",
            pointer="/body",
            fix="Send what the content type says, or the content type of what you send.",
        ) from error


def _item(request: WebhookRequest, content: Content, values: dict[str, str]) -> JsonObject:
    item: JsonObject = {
        "body": content.value,
        "headers": {name: value for name, value in request.headers.items() if name not in HIDDEN_HEADERS},
        "query": grouped(request.query) if request.query else {},
        "method": request.method,
        "path": request.path,
    }
    if values:
        item["params"] = values
    if content.files is not None:
        item["files"] = content.files
    return item
