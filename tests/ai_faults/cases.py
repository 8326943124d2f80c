"""The matrix: each fault of a real HTTP server against a model alone, a model with a fallback, and no model at all."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.assembly.model_parts import running_ai
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from tests.doubles.models import (
    Answer,
    ModelsDouble,
    cut_body,
    cut_off,
    cut_stream,
    data,
    empty_choices,
    filtered,
    garbage_in_stream,
    hanging,
    malformed_json,
    refusal,
    said,
    slow,
    status,
)
from workflow.chat import AgentAnswersError, Asker, ChatRequest, Message, ModelError
from workflow.exchanges import ExchangeFilter

SETUPS = ("primary only", "with fallback", "nothing configured")
BY_PRIMARY, BY_FALLBACK, BY_AGENT = "answered by primary", "answered by fallback", "the agent is asked"
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}},
    "required": ["total"],
    "additionalProperties": False,
}
PATIENCE_SECONDS = 20.0
IMPATIENCE_SECONDS = 0.4


def later(code: str) -> str:
    """It failed, and the execution is queued for retry."""
    return f"{code}, tried later"


def final(code: str) -> str:
    """It failed for good."""
    return f"{code}, final"


@dataclass(slots=True, frozen=True, kw_only=True)
class Fault:
    """A row. ``expected`` are the outcomes alone and with a fallback; ``asked`` is how often the primary is asked."""

    name: str
    answers: Sequence[Answer]
    expected: tuple[str, str]
    asked: int = 1
    is_streamed: bool = False
    schema: dict[str, Any] | None = None
    timeout_seconds: float = PATIENCE_SECONDS
    is_unreachable: bool = False


def moves_on(name: str, answer: Answer, alone: str, **members: Any) -> Fault:
    """A fault that the next model makes up for."""
    return Fault(name=name, answers=[answer], expected=(alone, BY_FALLBACK), **members)


def stays(name: str, answer: Answer, outcome: str, **members: Any) -> Fault:
    """A fault that ends it, fallback or not."""
    return Fault(name=name, answers=[answer], expected=(outcome, outcome), **members)


UNAVAILABLE, LIMITED = later("model_unavailable"), later("model_rate_limited")
QUOTA, REJECTED, REFUSED = final("model_quota_exceeded"), final("model_rejected"), final("model_refused")
UPSTREAM = {"code": 502, "message": "upstream went away"}
UNFIT = data({"total": "much"})

FAULTS = [
    stays("no fault", said("fine"), BY_PRIMARY),
    stays("no fault, streamed", said("all is fine"), BY_PRIMARY, is_streamed=True),
    stays("slow, but in time", slow(0.05, said("fine")), BY_PRIMARY),
    *(stays(f"status {code}", status(code), REJECTED) for code in (307, 400, 401, 403, 404, 405, 413, 422)),
    moves_on("status 402", status(402), QUOTA),
    moves_on("status 408", status(408), later("model_timeout")),
    moves_on("status 409", status(409), UNAVAILABLE),
    moves_on("status 429", status(429), LIMITED),
    moves_on("status 429, Retry-After 30", status(429, retry_after="30"), f"{LIMITED} (30 s)"),
    moves_on("status 429, insufficient_quota", status(429, error_code="insufficient_quota"), QUOTA),
    *(moves_on(f"status {code}", status(code), UNAVAILABLE) for code in (500, 502, 503, 504, 529)),
    moves_on("status 503, Retry-After 7", status(503, retry_after="7"), f"{UNAVAILABLE} (7 s)"),
    moves_on("status 503, streamed", status(503), UNAVAILABLE, is_streamed=True),
    stays("status 400, streamed", status(400), REJECTED, is_streamed=True),
    moves_on("timeout", hanging(), later("model_timeout"), timeout_seconds=IMPATIENCE_SECONDS),
    moves_on(
        "timeout, streamed", hanging(), later("model_timeout"), timeout_seconds=IMPATIENCE_SECONDS, is_streamed=True
    ),
    Fault(name="nobody listens", answers=[], expected=(UNAVAILABLE, BY_FALLBACK), asked=0, is_unreachable=True),
    moves_on("body breaks off", cut_body(), UNAVAILABLE),
    moves_on("stream breaks off before text", cut_stream(after=0), UNAVAILABLE, is_streamed=True),
    stays("stream breaks off after text", cut_stream(after=2), UNAVAILABLE, is_streamed=True),
    moves_on("malformed event before text", garbage_in_stream(after=0), UNAVAILABLE, is_streamed=True),
    stays("malformed event after text", garbage_in_stream(after=2), UNAVAILABLE, is_streamed=True),
    moves_on("malformed JSON", malformed_json(), UNAVAILABLE),
    moves_on("a web page", Answer(body=b"<html>hello</html>", headers={"content-type": "text/html"}), UNAVAILABLE),
    moves_on("error object with status 200", Answer(body=b'{"error":{"message":"down","code":502}}'), UNAVAILABLE),
    moves_on("no choices", empty_choices(), UNAVAILABLE),
    moves_on("no choices, streamed", empty_choices(), UNAVAILABLE, is_streamed=True),
    stays("refusal", refusal(), REFUSED),
    stays("refusal, streamed", refusal(), REFUSED, is_streamed=True),
    stays("content filter", filtered(), REFUSED),
    moves_on("answer that failed, status 200", said("", finish_reason="error"), UNAVAILABLE),
    moves_on("error inside a choice", said("Partial te", choice_error=UPSTREAM), UNAVAILABLE),
    moves_on("error inside a choice, streamed", said("", choice_error=UPSTREAM), UNAVAILABLE, is_streamed=True),
    stays("error behind text, streamed", said("Partial te", error=UPSTREAM), UNAVAILABLE, is_streamed=True),
    moves_on("error beside choices", said("Partial te", error=UPSTREAM), UNAVAILABLE),
    moves_on("error 429 beside choices", said("", error={"code": 429}), LIMITED),
    stays("400 of a content filter", status(400, error_code="content_filter"), REFUSED),
    stays("400 of a content filter, streamed", status(400, error_code="content_filter"), REFUSED, is_streamed=True),
    stays("cut off, a text", cut_off("It was a dark and"), BY_PRIMARY),
    stays("cut off, data", cut_off('{"total": 3}'), final("model_answer_invalid"), schema=SCHEMA),
    stays("empty, a text", said(""), BY_PRIMARY),
    stays("empty, data", said(""), final("model_answer_invalid"), asked=3, schema=SCHEMA),
    stays(
        "data behind thoughts with braces", said('<think>{"total": 1}?</think>{"total": 3}'), BY_PRIMARY, schema=SCHEMA
    ),
    stays("data among words with braces", said('In {curly} words: {"total": 3}.'), BY_PRIMARY, schema=SCHEMA),
    stays("schema kept", data({"total": 3}), BY_PRIMARY, schema=SCHEMA),
    Fault(
        name="schema violated, then kept",
        answers=[UNFIT, data({"total": 3})],
        expected=(BY_PRIMARY, BY_PRIMARY),
        asked=2,
        schema=SCHEMA,
    ),
    Fault(
        name="schema violated to the end",
        answers=[UNFIT],
        expected=(final("model_answer_invalid"), final("model_answer_invalid")),
        asked=3,
        schema=SCHEMA,
    ),
    Fault(
        name="schema violated, then 503",
        answers=[UNFIT, status(503)],
        expected=(UNAVAILABLE, BY_FALLBACK),
        asked=2,
        schema=SCHEMA,
    ),
]


@dataclass(slots=True, frozen=True, kw_only=True)
class Cell:
    """What became of a fault in a setup. ``kept`` is the history's outcome of it."""

    outcome: str
    asked: int
    kept: str | None


def expected_outcome(fault: Fault, setup: str) -> str:
    """What the contract names."""
    return BY_AGENT if setup == "nothing configured" else fault.expected[SETUPS.index(setup)]


def is_right(fault: Fault, setup: str, cell: Cell) -> bool:
    """Whether the outcome is the contract's, the primary was asked as often as it may be, and the history has it."""
    if cell.outcome != expected_outcome(fault, setup):
        return False
    if setup == "nothing configured":
        return cell.asked == 0 and cell.kept is None
    outcome = cell.outcome.partition(",")[0]
    return cell.asked == fault.asked and cell.kept == ("ok" if outcome in (BY_PRIMARY, BY_FALLBACK) else outcome)


async def run(fault: Fault, setup: str, double: ModelsDouble, database: Database) -> Cell:
    """Put a question in this setup, with this fault in the primary."""
    double.asked.clear()
    double.scripts.clear()
    double.script("faulty", *(fault.answers or [said("never asked")]))
    double.script("good", data({"total": 4}) if fault.schema else said("fine too"))
    providers = {
        "primary": {"base_url": _unused_url() if fault.is_unreachable else double.openai_url},
        "backup": {"base_url": double.openai_url},
    }
    models = {"primary only": "primary/faulty", "with fallback": "primary/faulty,backup/good"}.get(setup)
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    named: dict[str, Any] = {} if models is None else {"models": models, "model_providers": providers}
    settings = Settings(_env_file=None, **named)  # type: ignore[call-arg]
    owner = new_id()
    request = ChatRequest(
        asker=Asker(owner, "user"),
        messages=[Message(role="user", content="How much is it?")],
        schema=fault.schema,
        timeout_seconds=fault.timeout_seconds,
    )
    pieces: list[str] = []
    async with running_ai(settings, database, clock=clock, new_id=new_id, user_agent="test") as ai:
        try:
            answer = await ai.models.chat(request, on_text=pieces.append if fault.is_streamed else None)
        except AgentAnswersError:
            outcome = BY_AGENT
        except ModelError as error:
            outcome = (later if error.transient else final)(error.model_code)
            if error.retry_after_seconds is not None:
                outcome += f" ({error.retry_after_seconds:.0f} s)"
        else:
            outcome = BY_PRIMARY if answer.model == "primary/faulty" else BY_FALLBACK
            if fault.is_streamed and "".join(pieces) != answer.text:
                outcome += ", but not its text alone was passed on"
        kept = (await ai.exchanges.page(ExchangeFilter(owner=owner), limit=2, cursor=None)).items
    return Cell(
        outcome=outcome,
        asked=len(double.asked_of("faulty")),
        kept=kept[0].outcome if len(kept) == 1 else None,
    )


def _unused_url() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
