"""What a call that came to nothing means: whether it may have happened, whether it may work later, what to do."""

from __future__ import annotations

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from integrations.mcp.exchanges import Exchange
from workflow.actions import Action, ActionError
from workflow.errors import JobsprintError, OutboundError

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, REQUEST_TIMEOUT, TOO_MANY, UNAVAILABLE = 401, 403, 404, 408, 429, 503
AUTHORIZE = "Reauthorize the connection or give it another token: connect_integration, or POST /api/integrations."


def timed_out(what: str, action: Action | None, seconds: float) -> ActionError:
    """No answer within the time; the other side may still have done it."""
    doubt = action is not None and not action.is_repeatable
    return ActionError(
        f"{what} did not answer within {seconds:g} s." + (" It may have happened all the same." if doubt else ""),
        code="timeout",
        transient=not doubt,
        may_have_happened=doubt,
        is_unavailable=not doubt,
        fix="See on the other side whether it has happened before it is done again."
        if doubt
        else "Raise timeout_seconds, or look into why the other side is slow.",
    )


def failed(what: str, action: Action | None, error: MCPError | None, note: Exchange) -> ActionError:
    """What the SDK's error and the note of the exchange mean together."""
    if note.failure is not None:
        return unusable(what, note.failure)
    by_status = _of_status(what, action, note)
    if by_status is not None:
        return by_status
    if error is not None and error.error.code == INVALID_PARAMS:
        return ActionError(
            f"{what} refused the arguments: {error.error.message}",
            code="action_refused",
            fix="Mend them as it says; find_actions with the action's name shows their schema.",
        )
    if note.broke is not None or note.status is None:
        return broken(what, action, note.broke or "the connection was closed", was_sent=note.was_sent)
    return ActionError(
        f"{what} answered with an error: {error.error.message if error is not None else 'it does not say which'}",
        code="action_result" if note.status < 300 else "action_refused",
        may_have_happened=action is not None and not action.is_repeatable,
        fix="See on the other side whether it has happened, and report what it answers to whoever runs it.",
    )


def unusable(what: str, error: JobsprintError) -> ActionError:
    """The connection's credential could not be used, and nothing was sent."""
    transient = isinstance(error, OutboundError) and error.transient
    return ActionError(
        f"{what} cannot be reached: {error.message}",
        code="connection_failed" if transient else "connection_unauthorized",
        transient=transient,
        is_unavailable=True,
        fix=error.fix or AUTHORIZE,
    )


def broken(what: str, action: Action | None, why: str, *, was_sent: bool) -> ActionError:
    """The way to the other side broke; ``was_sent`` says that it may have the call."""
    doubt = was_sent and action is not None and not action.is_repeatable
    return ActionError(
        f"{what} could not be reached: {why}." + (" The call may have happened all the same." if doubt else ""),
        code="connection_failed",
        transient=not doubt,
        may_have_happened=doubt,
        is_unavailable=not doubt,
        fix="See on the other side whether it has happened before it is done again."
        if doubt
        else "Check the connection's address, and that the other side is up.",
    )


def _of_status(what: str, action: Action | None, note: Exchange) -> ActionError | None:
    status = note.status
    if status is None or status < 400:
        return None
    if status in (UNAUTHORIZED, FORBIDDEN):
        return ActionError(
            f"{what} takes the connection's credential no more ({status}).",
            code="connection_unauthorized",
            is_unavailable=True,
            fix=AUTHORIZE,
        )
    if status == NOT_FOUND:
        return ActionError(
            f"{what} is not there (404): the address is wrong, or the token in use is.",
            code="connection_unauthorized",
            is_unavailable=True,
            fix=AUTHORIZE,
        )
    if status == TOO_MANY:
        return ActionError(
            f"{what} asks for patience (429).",
            code="rate_limited",
            transient=True,
            is_unavailable=True,
            retry_after_seconds=note.retry_after_seconds,
            fix="Call it less often; it is tried again by itself.",
        )
    if status >= 500 or status == REQUEST_TIMEOUT:
        # 503 says that nothing was done; behind the others it may have been.
        doubt = action is not None and not action.is_repeatable and status != UNAVAILABLE
        return ActionError(
            f"{what} answered {status}." + (" The call may have happened all the same." if doubt else ""),
            code="http_status",
            transient=not doubt,
            may_have_happened=doubt,
            is_unavailable=not doubt,
            retry_after_seconds=note.retry_after_seconds,
            fix="See on the other side what is wrong; nothing is wrong with the call.",
        )
    return ActionError(f"{what} answered {status}.", code="http_status", fix="Mend the call, or the connection.")
