"""What a call that came to nothing means: whether it may have happened, whether it may work later, what to do."""

from __future__ import annotations

from workflow.actions import Action, ActionError
from workflow.errors import JobsprintError, OutboundError

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, REQUEST_TIMEOUT, TOO_MANY, UNAVAILABLE = (
    400,
    401,
    403,
    404,
    408,
    429,
    503,
)
AUTHORIZE = (
    "Have the user give it another secret or consent anew: connect_integration with do: secret or do: authorize gives "
    "the link."
)


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


def of_status(
    what: str, action: Action | None, status: int | None, *, retry_after_seconds: float | None, said: str = ""
) -> ActionError | None:
    """What a status of 400 or more means. ``said`` is what else the other side said."""
    if status is None or status < 400:
        return None
    if status in (UNAUTHORIZED, FORBIDDEN):
        return ActionError(
            f"{what} takes the connection's credential no more ({status}).",
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
            retry_after_seconds=retry_after_seconds,
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
            retry_after_seconds=retry_after_seconds,
            fix="See on the other side what is wrong; nothing is wrong with the call.",
        )
    return ActionError(
        f"{what} answered {status}{f': {said}' if said else '.'}",
        code="action_refused",
        fix="Mend the arguments as it says; find_actions with the action's name shows their schema.",
    )
