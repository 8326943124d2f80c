"""Each fault in each setup, in a workflow of a real server, against doubles that keep a ledger of what has happened.

The right outcome is docs/contract.md, "Failure": what certainly was not done is tried again, or done another way; what
the other side refuses is not; and what may have been done is done again only when somebody says so, with a mark.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.doubles.zapier import TOKEN, ZapierDouble
from tests.doubles.zapier.catalogue import TEXT
from tests.support.here import Here

WRITE, READ, FALLBACK, REPEAT = "a write", "a read", "a write with a fallback", "a write, on_doubt: repeat"
SETUPS = (WRITE, READ, FALLBACK, REPEAT)
DONE, AGAIN, OTHER_WAY = "done", "done at the second try", "done by the fallback"
ASKED, MARKED, PREVIEW = "asks; repeated with a mark", "done twice, with a mark", "shown, not done"

_names = (f"zapier-{number}" for number in itertools.count(1))


@dataclass(slots=True, frozen=True)
class Fault:
    """Something that goes wrong, and what is to come of it by setup."""

    name: str
    begin: Callable[[ZapierDouble], None]
    expected: Mapping[str, str]
    timeout_seconds: float = 20
    """How long the node waits for each call; on a busy machine an answer that comes must not be late."""

    @property
    def key(self) -> str:
        """Its name for tests."""
        return self.name.replace(" ", "-")


@dataclass(slots=True, frozen=True)
class Cell:
    """What came of it, and how often it was really done (by Zapier, and by the fallback)."""

    outcome: str
    done: int
    marked: bool


def trap(name: Any, *, times: int = 1) -> Callable[[ZapierDouble], None]:
    """The next calls run into it."""

    def begin(double: ZapierDouble) -> None:
        double.traps = [name] * times

    return begin


def _spend_quota(double: ZapierDouble) -> None:
    double.tasks_left = 0


def _remove_actions(double: ZapierDouble) -> None:
    double.catalogue.actions = [each for each in double.catalogue.actions if "email" not in each.tool]


def _change_schema(double: ZapierDouble) -> None:
    double.catalogue.actions = [
        replace(each, params={**each.params, "account": TEXT}, required=(*each.required, "account"))
        for each in double.catalogue.actions
    ]


def _refuse_token(double: ZapierDouble) -> None:
    double.tokens.clear()


def every(outcome: str, **others: str) -> dict[str, str]:
    """The same in each setup but for ``write``, ``read``, ``fallback``, ``repeat``."""
    named = {"write": WRITE, "read": READ, "fallback": FALLBACK, "repeat": REPEAT}
    return {**dict.fromkeys(SETUPS, outcome), **{named[name]: other for name, other in others.items()}}


IN_DOUBT = every(ASKED, read=AGAIN, repeat=MARKED)
UNREADABLE = every(ASKED, read="failed: action_result", repeat=MARKED)
CLOSED = every("failed: connection_unauthorized", fallback=OTHER_WAY)
NOT_NOW = every(AGAIN, fallback=OTHER_WAY)

FAULTS = (
    Fault("nothing", lambda double: None, every(DONE)),
    Fault("401", trap("401"), CLOSED),
    Fault("404 for the token", _refuse_token, CLOSED),
    Fault("429", trap("429"), NOT_NOW),
    Fault("500", trap("500"), IN_DOUBT),
    Fault("502", trap("502"), IN_DOUBT),
    Fault("503", trap("503"), NOT_NOW),
    Fault("no answer, nothing done", trap("hang"), IN_DOUBT, timeout_seconds=2),
    Fault("slow success", trap("slow success"), IN_DOUBT, timeout_seconds=2),
    Fault("the answer breaks off", trap("drop"), IN_DOUBT),
    Fault("the app refuses", trap("failure"), every("failed: action_refused")),
    Fault("so, in the text only", trap("failure in text"), every("failed: action_refused")),
    Fault("quota spent", _spend_quota, every("failed: quota_spent", fallback=OTHER_WAY)),
    Fault("action removed", _remove_actions, every("failed: action_refused")),
    Fault("another form", _change_schema, every("failed: action_refused")),
    Fault("answer is no JSON", trap("not json"), UNREADABLE),
    Fault("answer is other JSON", trap("other json"), UNREADABLE),
    Fault("answer is empty", trap("empty"), UNREADABLE),
    Fault("answer is huge", trap("huge"), every(DONE)),
    Fault("preview only", trap("preview"), every(PREVIEW)),
)


async def run(fault: Fault, setup: str, server: Here, double: ZapierDouble, other: ZapierDouble) -> Cell:
    """What comes of the fault in the setup. ``other`` is the system that the fallback reaches."""
    name = next(_names)
    for each in (double, other):
        fresh = ZapierDouble(retry_after="0")
        for member in ("traps", "ledger", "tokens", "tasks_left", "catalogue", "retry_after", "attempts"):
            setattr(each, member, getattr(fresh, member))
    await _connect(server, name, double)
    await _connect(server, f"{name}-other", other)
    fault.begin(double)
    double.attempts = 0
    seen = await server.execution(_workflow(name, setup, fault.timeout_seconds))
    outcome, marked = await settled(server, seen, _outcome(seen, double, other))
    for made in (name, f"{name}-other"):
        await server.http.delete(f"/api/integrations/{made}")
    return Cell(outcome, len(double.ledger) + len(other.ledger), marked)


async def settled(server: Here, seen: Mapping[str, Any], outcome: str) -> tuple[str, bool]:
    """What an execution came to when its question, if it asks one, is answered with "again"; whether it has a mark."""
    marked = "possible_duplicate" in str(seen.get("output"))
    if seen["status"] != "waiting":
        return (MARKED if marked else outcome), marked
    answer = await server.http.post(f"/api/executions/{seen['execution_id']}/resume", json={"data": {}})
    assert answer.is_success, answer.text
    after = await server.seen(seen["execution_id"], left="waiting")
    marked = "possible_duplicate" in str(after["output"])
    return (ASKED if marked else "asked; repeated without a mark"), marked


def is_right(fault: Fault, setup: str, cell: Cell) -> bool:
    """Whether it is what the contract names, and nothing was done twice without a mark."""
    is_told = cell.done <= 1 or cell.marked or setup == READ
    return cell.outcome == fault.expected[setup] and is_told


async def _connect(server: Here, name: str, double: ZapierDouble) -> None:
    document = {"name": name, "kind": "zapier", "settings": {"url": double.url}, "token": TOKEN}
    made = await server.http.post("/api/integrations", json=document)
    assert made.status_code == 201, made.text


def _workflow(connection: str, setup: str, timeout_seconds: float) -> dict[str, Any]:
    action, params = ("gmail_send_email", {"to": "ada@example.com", "body": "Hello"})
    if setup == READ:
        action, params = "gmail_find_email", {"query": "from:ada"}
    parameters = {"connection": connection, "action": action, "params": params, "timeout_seconds": timeout_seconds}
    if setup == FALLBACK:
        parameters["fallback"] = [{"connection": f"{connection}-other", "action": action, "arguments": params}]
    if setup == REPEAT:
        parameters["on_doubt"] = "repeat"
    retry = {"max_attempts": 2, "first_delay_seconds": 0.01}
    return {
        "name": f"{connection} {setup}",
        "nodes": {
            "start": {"type": "manual"},
            "act": {"type": "zapier_action", "parameters": parameters, "retry": retry},
        },
        "connections": [["start", "act"]],
    }


def _outcome(seen: Mapping[str, Any], double: ZapierDouble, other: ZapierDouble) -> str:
    if seen["status"] == "waiting":
        return ASKED
    if seen["status"] != "succeeded":
        return f"failed: {seen['error']['code']}"
    text = str(seen["output"])
    if "is_preview" in text:
        return PREVIEW
    if other.ledger:
        return OTHER_WAY
    return AGAIN if double.attempts > 1 else DONE
