"""Which actions connections have: stored, asked for again when old, only those that the workspace allows, and with
what it has declared of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from fnmatch import fnmatchcase

import orjson

from integrations.connection_events import ConnectionEvents
from integrations.sources import Sources
from workflow.action_notes import ActionNotes
from workflow.actions import Action, ActionError
from workflow.connections import ActionList, Connection, ConnectionStore
from workflow.ports import Clock

FRESH = timedelta(minutes=10)
"""How old a list may be before it is asked for again in the background."""
PATIENCE_SECONDS = 2.0
"""How long a look at all connections waits for those that were never asked."""

logger = logging.getLogger(__name__)


class ActionLists:
    """The lists of actions. Its maker closes it."""

    def __init__(
        self,
        *,
        store: ConnectionStore,
        notes: ActionNotes,
        sources: Sources,
        events: ConnectionEvents,
        clock: Clock,
    ) -> None:
        self._store = store
        self._notes = notes
        self._sources = sources
        self._events = events
        self._clock = clock
        self._refreshing: dict[str, asyncio.Task[ActionList]] = {}
        self._changed: set[str] = set()

    async def of(self, connection: Connection) -> Sequence[Action]:
        """The connection's allowed actions; asked for where they never were.

        Raises:
            ActionError: it has never said, and does not say now.
        """
        kept = await self._store.actions_of(connection.owner, connection.id)
        if kept is None:
            kept = await self.refresh(connection)
        elif self._is_old(kept):
            self._refresh_later(connection)
        return await self._declared([connection], allowed(connection, kept.actions))

    async def of_all(self, connections: Sequence[Connection]) -> Sequence[Action]:
        """The allowed actions of several connections of one workspace, as far as they are known in short time."""
        if not connections:
            return []
        kept = {each.connection_id: each for each in await self._store.actions(connections[0].owner)}
        asked = [each for each in connections if each.status != "authorizing"]
        missing = [self._refresh_later(each) for each in asked if each.id not in kept]
        for each in asked:
            if each.id in kept and self._is_old(kept[each.id]):
                self._refresh_later(each)
        if missing:
            done, _ = await asyncio.wait(missing, timeout=PATIENCE_SECONDS)
            for task in done:
                if not task.cancelled() and task.exception() is None:
                    kept[task.result().connection_id] = task.result()
        known = [action for each in connections if each.id in kept for action in allowed(each, kept[each.id].actions)]
        return await self._declared(connections, known)

    async def refresh(self, connection: Connection) -> ActionList:
        """Ask the other side now; however many ask at once, it is asked once.

        Raises:
            ActionError: it does not say.
        """
        return await asyncio.shield(self._refresh_later(connection))

    def note_changed(self, connection: Connection) -> None:
        """The other side has said, or shown, that its actions are not those that are kept."""
        self._changed.add(connection.id)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _declared(self, connections: Sequence[Connection], actions: Sequence[Action]) -> Sequence[Action]:
        """The actions, with those as reads that a person has declared so and that are still the same."""
        if all(each.effect_source != "assumed" for each in actions):
            return actions
        declared = {
            (each.connection_id, each.action): each.identity
            for each in await self._notes.declared_reads(connections[0].owner)
        }
        by_name = {each.name: each for each in connections}
        return [
            replace(each, effect="read", effect_source="declared")
            if each.effect_source == "assumed"
            and declared.get((by_name[each.connection].id, each.name)) == identity_of(by_name[each.connection], each)
            else each
            for each in actions
        ]

    def _is_old(self, kept: ActionList) -> bool:
        return kept.connection_id in self._changed or self._clock.now() - kept.fetched_at > FRESH

    def _refresh_later(self, connection: Connection) -> asyncio.Task[ActionList]:
        task = self._refreshing.get(connection.id)
        if task is None:
            task = asyncio.create_task(self._fetch(connection), name=f"actions of {connection.name}")
            self._refreshing[connection.id] = task
            task.add_done_callback(lambda done: self._fetched(connection, done))
        return task

    async def _fetch(self, connection: Connection) -> ActionList:
        self._changed.discard(connection.id)
        actions = await self._sources[connection.kind].actions(connection)
        ordered = tuple(sorted(actions, key=lambda each: each.name))
        fetched = ActionList(connection_id=connection.id, fetched_at=self._clock.now(), actions=ordered)
        before = await self._store.actions_of(connection.owner, connection.id)
        await self._store.keep_actions(connection.owner, fetched)
        if before is not None and before.actions != ordered:
            self._events.announce("actions_changed", connection)
        return fetched

    def _fetched(self, connection: Connection, task: asyncio.Task[ActionList]) -> None:
        self._refreshing.pop(connection.id, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ActionError):
            logger.info("The actions of connection %s are not to be had: %s", connection.id, error.message)
        elif error is not None:
            logger.error("The actions of connection %s could not be fetched", connection.id, exc_info=error)


def allowed(connection: Connection, actions: Sequence[Action]) -> Sequence[Action]:
    """Those of the actions that the settings let through."""
    patterns = connection.settings.get("allow")
    if patterns is None:
        return actions
    return [each for each in actions if any(fnmatchcase(each.name, pattern) for pattern in patterns)]


def identity_of(connection: Connection, action: Action) -> str:
    """A digest that differs whenever the action may be another than it was: in what it is called and described as, in
    its schemas and details, or in where its connection leads. What is allowed and pinned is no part of that."""
    where = {name: value for name, value in connection.settings.items() if name not in ("allow", "pinned")}
    what = {each.name: getattr(action, each.name) for each in fields(action) if not each.name.startswith("effect")}
    written = orjson.dumps([connection.id, connection.kind, where, what], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()
