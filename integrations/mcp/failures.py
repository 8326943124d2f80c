"""What the errors of the SDK's client mean, together with what is known of the exchange behind them."""

from __future__ import annotations

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from integrations.failures import AUTHORIZE, NOT_FOUND, broken, of_status, unusable
from integrations.mcp.exchanges import HttpExchange
from workflow.actions import Action, ActionError


def failed(what: str, action: Action | None, error: MCPError | None, note: HttpExchange) -> ActionError:
    """What the SDK's error and the note of the exchange mean together."""
    if note.failure is not None:
        return unusable(what, note.failure)
    if note.status == NOT_FOUND:
        return ActionError(
            f"{what} is not there (404): the address is wrong, or the token in use is.",
            code="connection_unauthorized",
            is_unavailable=True,
            fix=AUTHORIZE,
        )
    by_status = of_status(what, action, note.status, retry_after_seconds=note.retry_after_seconds)
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
        fix="See on the other side whether it has happened, and report what it answers to its operator.",
    )
