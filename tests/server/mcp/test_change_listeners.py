"""What one listener gets: each change once; and a client that has left costs nothing any more."""

from __future__ import annotations

import asyncio
from itertools import count

from mcp.shared.subscriptions import PromptsListChanged, ResourceUpdated, ToolsListChanged

from engine.announcements import Announcements
from server.mcp.change_listeners import ChangeListener
from storage.events.in_process import InProcessEventBus
from tests.support.engine import FixedClock
from tools.protocol.resources import Watched
from workflow.identity import LOCAL_ID

WORKFLOW = "workflow://w"


def announcements() -> Announcements:
    """Over a bus of their own."""
    ids = count()
    return Announcements(bus=InProcessEventBus(), clock=FixedClock(), new_id=lambda: str(next(ids)))


async def test_a_client_that_is_behind_is_told_once_of_what_changed_often() -> None:
    announced = announcements()
    async with ChangeListener(announced, LOCAL_ID, [ToolsListChanged()]) as ear, asyncio.timeout(5):
        await ear.watch(WORKFLOW, Watched(WORKFLOW, "w"))
        for _ in range(5):
            announced.workflow_changed("updated", "w", LOCAL_ID)
            ear.tell(ToolsListChanged())
            ear.tell(PromptsListChanged())
        assert await anext(ear) == ToolsListChanged()
        assert await anext(ear) == ResourceUpdated(WORKFLOW)
        ear.close()
        assert [change async for change in ear] == []


async def test_a_client_hears_of_a_resource_by_the_name_it_gave_it() -> None:
    announced = announcements()
    async with ChangeListener(announced, LOCAL_ID, []) as ear, asyncio.timeout(5):
        await ear.watch("workflow://%77", Watched(WORKFLOW, "w"))
        announced.workflow_changed("updated", "w", LOCAL_ID)
        assert await anext(ear) == ResourceUpdated("workflow://%77")


async def test_nobody_is_listened_to_when_the_last_subscription_has_ended() -> None:
    announced = announcements()
    async with ChangeListener(announced, LOCAL_ID, []) as ear:
        await ear.watch(WORKFLOW, Watched(WORKFLOW, "w"))
        await ear.watch("workflow://%77", Watched(WORKFLOW, "w"))
        await ear.forget(WORKFLOW)
        assert announced.is_heard("w", "workflow.completed")
        await ear.forget("workflow://%77")
        assert not announced.is_heard("w", "workflow.completed")
        await ear.forget("workflow://never")
        await ear.watch(WORKFLOW, Watched(WORKFLOW, "w"))
        assert announced.is_heard("w", "workflow.completed")
    assert not announced.is_heard("w", "workflow.completed")
