"""What agents see of schedules: when they fire before anything runs, what became of the slots, pause and resume."""

from __future__ import annotations

from typing import Any

from tests.support.mcp_caller import McpCaller

DEFINITION: dict[str, Any] = {
    "name": "Morning report",
    "nodes": {
        "tick": {
            "type": "schedule",
            "parameters": {"at": "08:30", "on": ["mon-fri"], "timezone": "Europe/Lisbon"},
        }
    },
}
WHEN = "at 08:30 on Monday through Friday, Europe/Lisbon"


async def test_the_next_firings_are_shown_before_and_after_it_is_published(mcp: McpCaller) -> None:
    checked = await mcp.call("validate_workflow", definition=DEFINITION)
    assert checked["schedules"]["tick"]["when"] == WHEN
    assert len(checked["schedules"]["tick"]["next"]) == 3
    made = await mcp.call("create_workflow", definition=DEFINITION)
    assert made["schedules"] == checked["schedules"]
    published = await mcp.call("publish_workflow", workflow_id=made["workflow_id"])
    assert published["schedules"] == checked["schedules"]


async def test_it_is_looked_at_paused_and_resumed_by_the_workflow(mcp: McpCaller) -> None:
    made = await mcp.call("create_workflow", definition=DEFINITION, publish=True)
    known = {"workflow_id": made["workflow_id"]}
    (schedule,) = (await mcp.call("get_workflow", **known, view="schedules"))["schedules"]
    assert (schedule["state"], schedule["when"], schedule["latest"]) == ("active", WHEN, [])
    (paused,) = (await mcp.call("publish_workflow", **known, action="pause"))["schedules"]
    assert paused["state"] == "paused"
    (resumed,) = (await mcp.call("publish_workflow", **known, action="resume"))["schedules"]
    assert (resumed["state"], len(resumed["next"])) == ("active", 3)


async def test_a_workflow_without_a_schedule_says_how_to_get_one(mcp: McpCaller) -> None:
    made = await mcp.call("create_workflow", definition={"name": "x", "nodes": {"start": {"type": "manual"}}})
    failed = await mcp.fail("publish_workflow", workflow_id=made["workflow_id"], action="pause")
    assert failed["code"] == "schedule_state"
    assert "trigger of type schedule" in failed["fix"]


async def test_a_wrong_rule_is_found_where_it_stands(mcp: McpCaller) -> None:
    wrong = {"name": "x", "nodes": {"tick": {"type": "schedule", "parameters": {"cron": "0 9 * *"}}}}
    checked = await mcp.call("validate_workflow", definition=wrong)
    (finding,) = checked["findings"]
    assert (checked["valid"], finding["pointer"]) == (False, "/nodes/tick/parameters/cron")
    assert "has 4 fields" in finding["message"]
