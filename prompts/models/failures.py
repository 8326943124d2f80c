"""What can go wrong with one model, and what follows from each: the one table that says so.

===================================  ======================  ===========  ===========  =====
what                                 code                    next model   tried later  opens
===================================  ======================  ===========  ===========  =====
timeout, 408                         model_timeout           yes          yes          yes
connection error, 5xx                model_unavailable       yes          yes          yes
broken or unreadable answer          model_unavailable       yes          yes          yes
409                                  model_unavailable       yes          yes          no
429                                  model_rate_limited      yes          yes          no
402, 429 without money left          model_quota_exceeded    yes          no           no
401, 403                             model_rejected          no           no           no
404                                  model_rejected          no           no           no
400, 422, any other 3xx or 4xx       model_rejected          no           no           no
refusal, content filter              model_refused           no           no           no
answer that does not fit its schema  model_answer_invalid    no           no           no
===================================  ======================  ===========  ===========  =====

"Tried later" is "queued for retry" of docs/contract.md, "Failure"; "opens" is whether it counts for the circuit
breaker. A wrong key and a wrong name are the operator's to correct: going on with the next model would hide them, and
spend other money than was meant. Of broken answers only those count here of which nothing was passed on yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from workflow.redaction import HIDDEN, redacted_text

LONGEST_MESSAGE = 300
"""Characters of a provider's own message that are shown."""
OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "credit_balance_too_low"})
"""Codes of 429 (and 400, at Anthropic) that say that waiting does not help."""
_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(slots=True, frozen=True, kw_only=True)
class Failure:
    """A row of the table."""

    code: str
    falls_back: bool
    transient: bool
    opens_breaker: bool
    fix: str


TIMEOUT = Failure(
    code="model_timeout",
    falls_back=True,
    transient=True,
    opens_breaker=True,
    fix="Try again later, give it more time (timeout_seconds), or name a model to fall back to.",
)
UNAVAILABLE = Failure(
    code="model_unavailable",
    falls_back=True,
    transient=True,
    opens_breaker=True,
    fix="Try again later, see that the provider is up and its base_url right, or name a model to fall back to.",
)
CONFLICT = Failure(
    code="model_unavailable",
    falls_back=True,
    transient=True,
    opens_breaker=False,
    fix="Try again later, or name a model to fall back to.",
)
RATE_LIMITED = Failure(
    code="model_rate_limited",
    falls_back=True,
    transient=True,
    opens_breaker=False,
    fix="Try again later, ask less often, or name a model to fall back to.",
)
OUT_OF_QUOTA = Failure(
    code="model_quota_exceeded",
    falls_back=True,
    transient=False,
    opens_breaker=False,
    fix="See to the account at the provider, or name a model to fall back to.",
)
DENIED = Failure(
    code="model_rejected",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Correct the provider's key in JOBSPRINT_MODEL_PROVIDERS, or what the key may do at the provider.",
)
UNKNOWN_MODEL = Failure(
    code="model_rejected",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Name a model that the provider has, or correct its base_url in JOBSPRINT_MODEL_PROVIDERS.",
)
REJECTED = Failure(
    code="model_rejected",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Correct what the provider complains of: the messages, the tools, the schema or the model's parameters.",
)
REFUSED = Failure(
    code="model_refused",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Change what is asked of the model, or name another one.",
)
INVALID_ANSWER = Failure(
    code="model_answer_invalid",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Make the schema simpler or its descriptions clearer, leave the model more room, or name a stronger one.",
)


class ProviderError(Exception):
    """One model did not answer as it was asked to.

    Attributes:
        failure: what follows from it.
        status: the HTTP status, where there was one.
        retry_after_seconds: how long the provider wants to be left alone, where it has said so.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds


def of_status(status: int, error_code: str | None = None) -> Failure:
    """The row of an HTTP status; ``error_code`` is the provider's own."""
    if status == 402 or (error_code in OUT_OF_MONEY and status in (400, 403, 429)):
        return OUT_OF_QUOTA
    if status == 408:
        return TIMEOUT
    if status == 409:
        return CONFLICT
    if status == 429:
        return RATE_LIMITED
    if status >= 500:
        return UNAVAILABLE
    if status in (401, 403):
        return DENIED
    return UNKNOWN_MODEL if status == 404 else REJECTED


def retry_after_seconds(value: str | None, *, now: datetime | None = None) -> float | None:
    """What the header Retry-After asks for: seconds, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return max(0.0, float(value))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def shown(text: str, *, secret: str | None) -> str:
    """A provider's message as it can stand in a sentence of ours: short, on one line, without the key."""
    hidden = text.replace(secret, HIDDEN) if secret else text
    plain = " ".join(redacted_text(hidden).split()).rstrip(".")
    return plain if len(plain) <= LONGEST_MESSAGE else f"{plain[:LONGEST_MESSAGE]}…"
