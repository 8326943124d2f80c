"""What is wrong with a broker, in our words."""

from __future__ import annotations

from workflow.errors import QueueUnavailableError, UnfitBrokerError


def mismatch(error: BaseException) -> UnfitBrokerError:
    """Why a queue that the broker has cannot be ours."""
    return UnfitBrokerError(
        f"RabbitMQ has a queue or exchange of our name that is made otherwise: {error}.",
        fix="When it is empty delete it, and it is made anew; or give this installation another JOBSPRINT_NAMESPACE.",
    )


def unavailable(error: BaseException) -> QueueUnavailableError:
    """The broker is away, for this reason."""
    return QueueUnavailableError(
        f"RabbitMQ cannot be reached: {str(error) or type(error).__name__}.",
        fix="Check that it runs, and JOBSPRINT_BROKER_URL. What was accepted is kept, and goes on when it is back.",
    )
