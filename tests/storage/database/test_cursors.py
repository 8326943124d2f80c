"""Cursors that somebody made by hand are refused by every list, with a sentence that helps."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.database.cursors import LARGEST, decode_cursor, encode_cursor
from storage.database.database import Database
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from storage.ids import UuidFactory
from storage.models.conversations import SqlConversations
from storage.models.exchanges import SqlExchanges
from storage.models.prompts import SqlPrompts
from storage.people.api_keys import SqlApiKeys
from storage.people.audit import AuditFilter, SqlAuditLog
from storage.workflows.repository import SqlWorkflowRepository
from tests.support.engine import FixedClock
from workflow.definitions.definition import WorkflowDefinition
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.exchanges import ExchangeFilter
from workflow.execution_figures import ExecutionFilter
from workflow.failure import ErrorKind
from workflow.identity import LOCAL_ID

NOW = datetime(2024, 1, 6, tzinfo=UTC)
List = Callable[[str], Awaitable[Any]]


def made_of(text: bytes) -> str:
    """The cursor whose content is this."""
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


PARTS = st.one_of(
    st.integers(-(2**65), 2**65),
    st.text(max_size=8),
    st.sampled_from([-1, LARGEST, LARGEST + 1, 2**31, 2**63 - 1, 2**63, 2**64, "\0", "9999-12-31", "0001-01-01T00:00"]),
    st.sampled_from(["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", NOW.isoformat(), "10000-01-01"]),
    st.none() | st.booleans() | st.floats() | st.lists(st.integers(0, 9), max_size=2),
)
CONTENTS = st.lists(PARTS, max_size=3).map(lambda parts: made_of(_as_json(parts)))
CURSORS = st.one_of(CONTENTS, st.text(max_size=40), st.binary(max_size=40).map(made_of))


def _as_json(parts: list[Any]) -> bytes:
    """Also of what orjson does not write."""
    return (
        b"[" + b",".join(str(part).encode() if isinstance(part, int) else orjson.dumps(part) for part in parts) + b"]"
    )


@pytest.fixture
async def lists(database: Database) -> AsyncIterator[dict[str, List]]:
    """Every list of the store that gives out cursors, by name."""
    clock = FixedClock()
    async with AsyncExitStack() as stack:
        lease = Lease(owner="one", seconds=30)
        store = await stack.enter_async_context(SqlExecutionStore(database, lease=lease, blobs=None))
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=UuidFactory(clock=clock)))
        workflows, keys, prompts = SqlWorkflowRepository(database), SqlApiKeys(database), SqlPrompts(database)
        conversations, exchanges = SqlConversations(database, new_id=UuidFactory(clock=clock)), SqlExchanges(database)
        definition = WorkflowDefinition.model_validate({"name": "one", "nodes": {"start": {"type": "manual"}}})
        await workflows.create(LOCAL_ID, "w", definition, change="Created", now=NOW)
        yield {
            "executions": lambda cursor: store.page(ExecutionFilter(owner=LOCAL_ID), limit=3, cursor=cursor),
            "workflows": lambda cursor: workflows.page(LOCAL_ID, text=None, limit=3, cursor=cursor),
            "versions": lambda cursor: workflows.versions(LOCAL_ID, "w", limit=3, cursor=cursor),
            "api keys": lambda cursor: keys.page(LOCAL_ID, user_id=None, now=NOW, limit=3, cursor=cursor),
            "audit log": lambda cursor: audit.page(LOCAL_ID, AuditFilter(), limit=3, cursor=cursor),
            "conversations": lambda cursor: conversations.page(LOCAL_ID, text=None, limit=3, cursor=cursor),
            "exchanges": lambda cursor: exchanges.page(ExchangeFilter(owner=LOCAL_ID), limit=3, cursor=cursor),
            "prompts": lambda cursor: prompts.page(LOCAL_ID, text=None, limit=3, cursor=cursor),
        }


@given(cursor=CURSORS)
@example(cursor=made_of(b"[1e400]"))
@example(cursor=made_of(b'["\\ud800"]'))
@example(cursor=made_of(b"[" * 5_000))
@example(cursor=made_of(b'[99999999999999999,"x"]'))
@example(cursor=made_of(b'[9223372036854775807,"x"]'))
@example(cursor=made_of(b'["0001-01-01T00:00:00+14:00","x"]'))
@example(cursor="A" * 100_000)
@example(cursor="\ud800")
@example(cursor="WzFd\n")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_cursor_is_more_than_a_mistake_of_the_caller(lists: dict[str, List], cursor: str) -> None:
    for name, ask in lists.items():
        refusal: JobsprintError | None = None
        try:
            await ask(cursor)
        except JobsprintError as error:
            refusal = error
        if refusal is not None:
            assert (refusal.kind, bool(refusal.fix)) == (ErrorKind.INVALID, True), f"{name}: {refusal.message}"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "bnVsbA",
        made_of(b"[]"),
        made_of(b'[true,"x"]'),
        made_of(b'[1,"a\\u0000"]'),
        made_of(b'[-1,"x"]'),
    ],
)
async def test_a_cursor_that_is_none_is_named_with_what_to_do(lists: dict[str, List], cursor: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        await lists["executions"](cursor)
    assert (caught.value.pointer, caught.value.fix is not None) == ("/cursor", True)


@given(
    parts=st.lists(
        st.integers(0, LARGEST) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=3
    )
)
def test_what_was_given_out_is_read_back(parts: list[str | int]) -> None:
    assert decode_cursor(encode_cursor(*parts), *map(type, parts)) == parts


def test_a_cursor_of_the_wrong_list_is_refused(tmp_path: Path) -> None:
    for kinds in ((str,), (int, int), (str, str), (int,)):
        with pytest.raises(InvalidArgumentsError):
            decode_cursor(encode_cursor(1, "x"), *kinds)
