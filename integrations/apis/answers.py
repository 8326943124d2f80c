"""Operations of HTTP APIs done, and what their answers mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from integrations.apis.operations import MOST_SAID, HttpOperation
from integrations.failures import broken, of_status, timed_out
from workflow.actions import Action, ActionCall, ActionError, ActionResult
from workflow.credentials import CredentialRef
from workflow.errors import OutboundError
from workflow.http.bodies import BodyError, as_text, as_text_or_bytes, is_json, parsed
from workflow.http.headers import retry_after_seconds, transport_headers, with_parameters
from workflow.ports import HttpClient, HttpRequest, HttpResponse


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
    _refuse_transport_headers(what, request)
    try:
        response = await http.send(request)
    except OutboundError as error:
        raise _unanswered(what, action, call, error) from error
    failure = of_status(
        what,
        action,
        response.status,
        retry_after_seconds=retry_after_seconds(response.headers, now=datetime.now(UTC)),
        said=as_text(response.body[:MOST_SAID], response.headers.get("content-type", "")).strip(),
    )
    if failure is not None:
        raise failure
    return ActionResult(data=value_of(response), details={"status": response.status})


def value_of(response: HttpResponse) -> Any:
    """An answer as an action gives it: JSON where it is that, text, bytes as ``{media_type, size_bytes, base64}``;
    ``None`` where there is nothing.

    Where the content type does not say JSON, an object or a list is taken for it all the same: many APIs send JSON as
    ``text/plain``.
    """
    body = response.body
    if not body:
        return None
    content_type = response.headers.get("content-type", "")
    media_type, parameters = with_parameters(content_type)
    if is_json(media_type) or body.lstrip()[:1] in (b"{", b"["):
        try:
            return parsed(body, parameters.get("charset"))
        except BodyError:
            pass
    return as_text_or_bytes(body, content_type)


def _refuse_transport_headers(what: str, request: HttpRequest) -> None:
    for name in transport_headers(request.headers):
        raise ActionError(
            f"{what} would set the header {name}, which says how the request is sent or to which host; the sending "
            "client alone sets it.",
            code="action_arguments",
            fix="Leave the argument or the connector's header out; the connection's address says the host.",
        )


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
