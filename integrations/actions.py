"""Finds and runs actions: allowed ones only, with arguments that fit, behind a circuit breaker, counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from integrations.action_figures import FiguresKeeper
from integrations.action_lists import ActionLists, identity_of
from integrations.connection_events import ConnectionEvents
from integrations.sources import Sources
from workflow.action_notes import ActionNotes, EffectKnownError, ReadDeclaration, ResultShape
from workflow.actions import (
    Action,
    ActionAsksError,
    ActionCall,
    ActionError,
    ActionNotFoundError,
    ActionResult,
    ResourceContent,
)
from workflow.breaker import Breakers
from workflow.connections import ActionFigures, Connection, ConnectionStatus, ConnectionStore, Health
from workflow.errors import JobsprintError
from workflow.identity import Actor
from workflow.ports import Clock
from workflow.schemas.foreign import argument_findings
from workflow.secret_links import SecretNeed
from workflow.shapes import shape_of

NOTED_EVERY = timedelta(minutes=1)
"""How often a connection's last use is written while its health stays the same."""
MOST_FINDINGS_TEXT = 2_000
MOST_REMEMBERED = 10_000
"""Actions of which is remembered when the shape of a result was kept."""

logger = logging.getLogger(__name__)


class ConnectedActions:
    """Implements :class:`workflow.actions.Actions` and :class:`workflow.connections.ConnectionCatalogue`.

    ``monotonic`` gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        store: ConnectionStore,
        sources: Sources,
        lists: ActionLists,
        notes: ActionNotes,
        figures: FiguresKeeper,
        events: ConnectionEvents,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sources = sources
        self._lists = lists
        self._notes = notes
        self._shapes_kept: dict[tuple[str, str], float] = {}
        self._figures = figures
        self._events = events
        self._clock = clock
        self._monotonic = monotonic
        self._breakers = Breakers()

    async def connections(self, owner: str) -> Sequence[Connection]:
        """All of a workspace's by name; see the port."""
        return await self._store.of_workspace(owner)

    async def actions(self, owner: str, connection: str | None = None) -> Sequence[Action]:
        """The allowed actions of one connection, or of all; see the port."""
        if connection is not None:
            return await self._lists.of(await self._store.get(owner, connection))
        return await self._lists.of_all(await self._store.of_workspace(owner))

    async def find(self, owner: str, connection: str, name: str) -> Action:
        """An action by its name; see the port."""
        return await self._found(await self._store.get(owner, connection), name)

    async def run(self, call: ActionCall) -> ActionResult:
        """Run an action once; see the port."""
        connection = await self._store.get(call.owner, call.connection)
        try:
            return await self._run(connection, call)
        except ActionError as error:
            if error.outbound_code == "connection_unauthorized" and connection.status != "authorizing":
                error.secret_need = SecretNeed(connection.name, is_connection=True)
            raise

    async def _run(self, connection: Connection, call: ActionCall) -> ActionResult:
        _require_consent(connection)
        action = await self._found(connection, call.action)
        _require_form(action, call)
        target = (connection.id, action.name)
        wait_seconds = self._breakers.before_call(target, self._monotonic())
        if wait_seconds is not None:
            raise _left_alone(action, wait_seconds)
        began = self._monotonic()
        try:
            result = await self._sources[connection.kind].run(connection, action, call)
        except (asyncio.CancelledError, ActionAsksError):
            self._breakers.after_cancel(target)
            raise
        except ActionError as error:
            self._count(call, began, failures=1, in_doubt=int(error.may_have_happened))
            await self._failed(connection, action, error)
            raise
        self._breakers.after_success(target)
        self._count(call, began, quota=result.quota)
        await self._note(connection, None)
        await self._keep_shape(connection, action, result)
        return result

    async def read(self, owner: str, connection: str, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource; see the port."""
        found = await self._store.get(owner, connection)
        _require_consent(found)
        contents = await self._sources[found.kind].read(found, uri, timeout_seconds=timeout_seconds)
        await self._note(found, None)
        return contents

    async def refreshed(self, connection: Connection) -> Sequence[Action]:
        """The connection's actions, asked of the other side now; its status and health say how that went.

        Raises:
            ActionError: it does not say.
        """
        try:
            await self._lists.refresh(connection)
        except ActionError as error:
            await self._note(connection, error)
            raise
        await self._note(connection, None, is_use=False)
        return await self._lists.of(connection)

    async def declare_read(self, actor: Actor, connection: str, name: str) -> Action:
        """The action as a read from now on, by the word of ``actor``; as long as it stays the same action.

        Raises:
            ConnectionNotFoundError, ActionNotFoundError: there is none.
            EffectKnownError: the other side says what it does.
        """
        owner = actor.workspace_id
        found = await self._store.get(owner, connection)
        action = await self._found(found, name)
        if action.effect_source == "said":
            raise EffectKnownError(connection, name, action.effect)
        declaration = ReadDeclaration(
            connection_id=found.id,
            action=name,
            identity=identity_of(found, action),
            declared_by=actor.user_id,
            declared_at=self._clock.now(),
        )
        await self._notes.declare_read(owner, declaration)
        return await self._found(found, name)

    async def withdraw_read(self, actor: Actor, connection: str, name: str) -> Action:
        """The action as an assumed write again.

        Raises:
            ConnectionNotFoundError, ActionNotFoundError: there is none.
        """
        found = await self._store.get(actor.workspace_id, connection)
        await self._notes.withdraw_read(actor.workspace_id, found.id, name)
        return await self._found(found, name)

    async def shapes(self, owner: str, connection: str) -> Mapping[str, ResultShape]:
        """The shapes of recent results, by action.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        found = await self._store.get(owner, connection)
        return {each.action: each for each in await self._notes.shapes(owner, found.id)}

    def note_changed(self, connection: Connection) -> None:
        """The other side says that its actions are others now."""
        self._lists.note_changed(connection)

    def note_fallback(self, owner: str, connection: str, action: str) -> None:
        """Count a call that another action has done instead of this one; see the port."""
        self._figures.add(
            owner, ActionFigures(connection=connection, action=action, day=self._figures.today(), fallbacks=1)
        )

    async def write_figures(self) -> None:
        """Have what was counted in the store now.

        Raises:
            StorageError: it could not be written; it stays counted.
        """
        await self._figures.write()

    async def _found(self, connection: Connection, name: str) -> Action:
        actions = await self._lists.of(connection)
        found = next((each for each in actions if each.name == name), None)
        if found is None:
            raise ActionNotFoundError(connection.name, name, known=[each.name for each in actions])
        return found

    async def _keep_shape(self, connection: Connection, action: Action, result: ActionResult) -> None:
        """Keep the result's shape, where none was kept lately. The call is done whatever becomes of that."""
        target, now = (connection.id, action.name), self._monotonic()
        kept_at = self._shapes_kept.get(target)
        if result.is_preview or (kept_at is not None and now - kept_at < NOTED_EVERY.total_seconds()):
            return
        if len(self._shapes_kept) >= MOST_REMEMBERED:
            self._shapes_kept.clear()  # then some are kept once more than they need be
        self._shapes_kept[target] = now
        shape = ResultShape(
            connection_id=connection.id, action=action.name, shape=shape_of(result.data), seen_at=self._clock.now()
        )
        try:
            await self._notes.keep_shape(connection.owner, shape)
        except JobsprintError as error:
            logger.warning("The shape of a result could not be kept: %s", error.message)

    async def _failed(self, connection: Connection, action: Action, error: ActionError) -> None:
        target = (connection.id, action.name)
        if error.outbound_code == "rate_limited" or not (error.transient or error.may_have_happened):
            # It works, and says no; or nothing is known of it.
            self._breakers.after_cancel(target)
        else:
            self._breakers.after_failure(target, self._monotonic())
        if error.outbound_code in ("action_refused", "action_result"):
            self._lists.note_changed(connection)  # one way to find out that a tool is another now
        if error.is_unavailable and error.outbound_code != "rate_limited":
            await self._note(connection, error)

    async def _note(self, connection: Connection, error: ActionError | None, *, is_use: bool = True) -> None:
        """Store the connection's status and health, where they have changed."""
        now = self._clock.now()
        status = _status_after(error)
        used = now if is_use else connection.last_used_at
        is_news = error is not None or status != connection.status or connection.health.failures > 0
        is_old = connection.last_used_at is None or now - connection.last_used_at > NOTED_EVERY
        if not is_news and not (is_use and is_old):
            return
        health = Health(checked_at=now)
        if error is not None:
            health = Health(
                checked_at=now,
                failures=connection.health.failures + 1,
                code=error.outbound_code,
                message=error.message[:MOST_FINDINGS_TEXT],
            )
        await self._store.note_use(connection, status=status, health=health, last_used_at=used)
        if status == "unauthorized" and connection.status != status:
            self._events.announce("unauthorized", connection)

    def _count(self, call: ActionCall, began: float, **counts: int) -> None:
        self._figures.add(
            call.owner,
            ActionFigures(
                connection=call.connection,
                action=call.action,
                day=self._figures.today(),
                calls=1,
                seconds=self._monotonic() - began,
                **counts,
            ),
        )


@asynccontextmanager
async def running_actions(
    *, store: ConnectionStore, notes: ActionNotes, sources: Sources, events: ConnectionEvents, clock: Clock
) -> AsyncIterator[ConnectedActions]:
    """Actions, with their lists refreshed and their figures written until the context is left."""
    lists = ActionLists(store=store, notes=notes, sources=sources, events=events, clock=clock)
    figures = FiguresKeeper(store=store, clock=clock)
    async with figures.writing():
        try:
            yield ConnectedActions(
                store=store,
                sources=sources,
                lists=lists,
                notes=notes,
                figures=figures,
                events=events,
                clock=clock,
            )
        finally:
            await lists.close()


def _require_consent(connection: Connection) -> None:
    if connection.status == "authorizing":
        raise ActionError(
            f"The connection {connection.name!r} waits for somebody's consent in a browser.",
            code="connection_unauthorized",
            is_unavailable=True,
            fix="Open the link that connect_integration gives; it works from then on.",
        )


def _require_form(action: Action, call: ActionCall) -> None:
    """Let a call pass whose arguments fit the action as it is now."""
    what = f"{action.connection}/{action.name}"
    if call.digest is not None and call.digest != action.digest:
        raise ActionError(
            f"{what} takes other arguments now than those that the call was made for (form {call.digest}, "
            f"now {action.digest}); nothing was sent.",
            code="action_changed",
            fix="See its schema with find_actions, mend the arguments, and set digest to what it is now.",
        )
    findings, _ = argument_findings(action.input_schema, call.arguments)
    if findings:
        found = "; ".join(f"{each.pointer or '/'}: {each.message}" for each in findings)
        raise ActionError(
            f"The arguments do not fit {what}; nothing was sent. {found[:MOST_FINDINGS_TEXT]}",
            code="action_arguments",
            fix="See its schema with find_actions, and mend the arguments.",
        )


def _left_alone(action: Action, wait_seconds: float) -> ActionError:
    return ActionError(
        f"{action.connection}/{action.name} has failed too often; it is left alone for another {wait_seconds:.0f} s.",
        code="circuit_open",
        transient=True,
        is_unavailable=True,
        fix="See what is wrong with it; calls go through again by themselves when it has recovered.",
        retry_after_seconds=wait_seconds,
    )


def _status_after(error: ActionError | None) -> ConnectionStatus:
    if error is None:
        return "connected"
    return "unauthorized" if error.outbound_code == "connection_unauthorized" else "failing"
