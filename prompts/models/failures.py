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
data that was cut off at its limit   model_answer_invalid    no           no           no
===================================  ======================  ===========  ===========  =====

An error that comes with status 200, beside an answer or in place of one, is the row of its code, else a broken answer.

"Tried later" is "queued for retry" of docs/contract.md, "Failure"; "opens" is whether it counts for the circuit
breaker. A wrong key and a wrong name are the operator's to correct: going on with the next model would hide them, and
spend other money than was meant. Of broken answers only those count here of which nothing was passed on yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from workflow.redaction import HIDDEN, redacted_text

MOST_CODES = 12
"""Codes that are looked for in an error's object."""
LONGEST_MESSAGE = 300
"""Characters of a provider's own message that are shown."""
OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "credit_balance_too_low"})
"""Codes of 429 (and 400, at Anthropic) that say that waiting does not help."""
FILTERED = frozenset(
    {
        "content_filter",  # OpenAI, Azure
        "content_policy_violation",  # LiteLLM and gateways like it
        "contentpolicyviolation",
        "responsibleaipolicyviolation",  # Azure, within innererror
        "moderation_blocked",  # OpenAI
        "data_inspection_failed",  # Alibaba
        "datainspectionfailed",
        "sensitive",  # Zhipu
        "safety",  # Google, as finish reason too
        "prohibited_content",
        "blocklist",
        "recitation",
        "refusal",  # Anthropic's stop reason, which gateways pass on
    }
)
"""Codes of errors, and reasons why an answer ended, that say that a filter has taken it away. In small letters."""
_FILTER_WORDS = ("content filtering policy", "content management policy", "content exists risk")
"""What the message says where there is no code: Anthropic, Azure, DeepSeek."""
_OF_WORDS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limited": 429,
    "too_many_requests": 429,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "billing_error": 402,
    "timeout": 408,
    "timeout_error": 408,
}
"""The status that a code in words stands for, where an error came with status 200. What is not here is a server's."""
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
CUT_OFF = Failure(
    code="model_answer_invalid",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix="Raise max_output_tokens, ask for less at once, or name a model that can say more.",
)
ROLES = Failure(
    code="model_rejected",
    falls_back=False,
    transient=False,
    opens_breaker=False,
    fix='Set "alternating_roles": true for this provider in JOBSPRINT_MODEL_PROVIDERS.',
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


def of_status(status: int, *codes: Any, message: str = "") -> Failure:
    """The row of an HTTP status; ``codes`` and ``message`` are the provider's own."""
    words = {code.lower() for code in codes if isinstance(code, str)}
    if 400 <= status < 500 and (words & FILTERED or any(each in message.lower() for each in _FILTER_WORDS)):
        return REFUSED
    if status == 402 or (words & OUT_OF_MONEY and status in (400, 403, 429)):
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
    if status == 404:
        return UNKNOWN_MODEL
    return ROLES if "must alternate" in message.lower() else REJECTED


def told(error: Any, shown: Callable[[str], str]) -> ProviderError:
    """The failure that an error object, or text, of an answer with status 200 tells of; ``shown`` as :func:`shown`."""
    codes = error_codes(error)
    words = {code.lower() for code in codes if isinstance(code, str)}
    status = next((number for number in map(_status, codes) if number is not None), None)
    found = status or next((_OF_WORDS[word] for word in sorted(words & _OF_WORDS.keys())), None)
    message = message_of(error) or "no reason given"
    if words & OUT_OF_MONEY:
        row = OUT_OF_QUOTA
    elif words & FILTERED:
        row = REFUSED
    else:
        row = UNAVAILABLE if found is None else of_status(found, *codes, message=message)
    return ProviderError(row, f"it answered an error: {shown(message)}", status=status)


def is_error(value: Any) -> bool:
    """Whether the member ``error`` of an answer tells of one; some servers send it with nothing in it."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def error_codes(error: Any) -> list[Any]:
    """Every code that an error's object has: its own, its kind, and those of what lies within."""
    found: list[Any] = []
    while isinstance(error, dict) and len(found) < MOST_CODES:
        found += [error.get("code"), error.get("type"), error.get("status")]
        error = error.get("error") or error.get("innererror") or error.get("inner_error")
    return [code for code in found if code is not None]


def message_of(body: Any) -> str | None:
    """The message in an error's body, as different servers write it."""
    for _ in range(MOST_CODES):
        if not isinstance(body, dict):
            break
        body = body.get("error", body.get("message", body.get("detail")))
    return body if isinstance(body, str) else None


def _status(code: Any) -> int | None:
    if isinstance(code, bool) or not isinstance(code, int | str) or not str(code).isdecimal():
        return None
    return int(code) if len(str(code)) == 3 and 400 <= int(code) <= 599 else None


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
