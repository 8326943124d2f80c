"""Deliveries of webhooks that senders repeat: each delivery id starts one execution."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn
from weakref import WeakValueDictionary

import orjson

from engine.definitions.compiled import CompiledNode, CompiledWorkflow
from engine.executions.reader import ExecutionReader
from engine.expressions.evaluator import Evaluator
from engine.expressions.scope import ExpressionScope
from engine.nodes.webhook import DELIVERY_ID
from workflow.errors import ExecutionNotFoundError, ExpressionError, InvalidArgumentsError
from workflow.executions import Execution
from workflow.idempotency import IdempotencyKeys
from workflow.items import JsonObject
from workflow.ports import Clock, NewId

PREFIX = "delivery:"
"""Before our keys, so that no caller's own idempotency key means a delivery by accident."""
LOOKS, PAUSE_SECONDS = 10, 0.05
"""How often a process looks for the execution of another one that has the id and has not stored it yet."""


@dataclass(slots=True, frozen=True)
class Delivery:
    """A delivery: the id that its execution has or gets; ``first`` is that execution where it is accepted already."""

    execution_id: str
    first: Execution | None


class Deliveries:
    """Binds delivery ids to executions for a day, as idempotency keys are bound."""

    def __init__(self, *, keys: IdempotencyKeys, reader: ExecutionReader, clock: Clock, new_id: NewId) -> None:
        self._keys = keys
        self._reader = reader
        self._clock = clock
        self._new_id = new_id
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def id_of(
        self,
        evaluator: Evaluator,
        compiled: CompiledWorkflow,
        trigger: CompiledNode,
        item: JsonObject,
        headers: Mapping[str, str],
    ) -> str | None:
        """The id of the delivery that came with the item; ``None`` where it has none. Header names are lower case.

        Raises:
            InvalidArgumentsError: the trigger's expression failed for the item.
        """
        if not trigger.parameters.templates:
            return headers.get(str(trigger.definition.parameters[DELIVERY_ID]).strip().lower()) or None
        scope = ExpressionScope(
            items=[item],
            nodes=_NoNodes(),
            execution={},
            workflow={"id": compiled.workflow_id, "name": compiled.definition.name},
            run_index=0,
            prev_node={"name": None, "outputIndex": 0, "runIndex": 0},
            parameters={},
            vars={},
            now=self._clock.now(),
            timezone=compiled.definition.settings.timezone,
            seed=DELIVERY_ID,
            owner=compiled.owner,
        )
        run_id = self._new_id()  # a context of its own: one request sees nothing of another
        try:
            (row,) = await evaluator.evaluate(trigger.parameters.templates, scope, execution_id=run_id)
            if isinstance(row, ExpressionError):
                raise row
        except ExpressionError as error:
            raise InvalidArgumentsError(
                f"The request has no delivery id that can be read: {error.message}",
                pointer="/body",
                fix="Send what the webhook's delivery_id names, or correct that.",
            ) from error
        finally:
            evaluator.forget(run_id)
        value = row[0]
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    @asynccontextmanager
    async def delivered(self, compiled: CompiledWorkflow, trigger: str, delivery_id: str) -> AsyncGenerator[Delivery]:
        """One delivery to one trigger. The caller accepts its execution inside the context, where there is none.

        1. Two of one id in this process take turns, so the second one finds the first one's execution.
        2. Two in two processes get one execution id from the store. The second waits a moment for the first one's
           execution; where none comes the first has failed, and the second accepts the execution under that id.
        """
        digest = hashlib.sha256(f"{trigger}\0{delivery_id}".encode("utf-8", "surrogatepass")).hexdigest()
        turn = self._turns.setdefault((compiled.workflow_id, digest), asyncio.Lock())
        async with turn:
            wanted = self._new_id()
            bound = await self._keys.take(compiled.workflow_id, PREFIX + digest, wanted, now=self._clock.now())
            yield Delivery(bound, None if bound == wanted else await self._accepted(compiled.owner, bound))

    async def _accepted(self, owner: str, execution_id: str) -> Execution | None:
        for look in range(LOOKS):
            try:
                return await self._reader.get(owner, execution_id)
            except ExecutionNotFoundError:
                if look + 1 < LOOKS:
                    await asyncio.sleep(PAUSE_SECONDS)
        return None


class _NoNodes:
    """No node has run when a request comes."""

    names: Sequence[str] = ()

    def view(self, name: str) -> NoReturn:
        raise ExpressionError(
            f"No node has run yet, so {name!r} has no items.", fix="Read the id from $json: body, headers or query."
        )
