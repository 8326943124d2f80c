"""Twenty tasks in a user's words, each with the shortest natural path: what somebody does who has read the tools'
descriptions and the page on definitions, and looks up each node type that is more than a name and a template.

A path proves its end in the world or in a result, and not in what it was told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.agent_tasks.agent import Agent, fields, get, post, workflow
from tests.agent_tasks.world import ORDERS, World
from tests.support.waiting import until

Path = Callable[[Agent, World], Awaitable[None]]


class Task(NamedTuple):
    """What the user says, and how it is done."""

    words: str
    path: Path


TASKS: list[Task] = []


def task(words: str) -> Callable[[Path], Path]:
    """Add a path to the tasks."""

    def add(path: Path) -> Path:
        TASKS.append(Task(words, path))
        return path

    return add


@task("Make a workflow that doubles n, and run it with n = 21.")
async def double(agent: Agent, world: World) -> None:
    made = await agent.call(
        "create_workflow",
        definition=workflow("Double", twice=fields(n="={{ $json.n * 2 }}")),
        run={"input": {"n": 21}},
    )
    assert made["run"]["output"] == {"items": {"twice": [{"n": 42}]}}


@task("Fetch the orders, keep those above 100, and mail each customer a thank-you.")
async def thank(agent: Agent, world: World) -> None:
    await agent.call("find_nodes", name=["http_request", "split_out", "filter"])
    nodes = {
        "fetch": get(world, "/orders"),
        "split": {"type": "split_out", "parameters": {"field": "body.orders"}},
        "large": {"type": "filter", "parameters": {"condition": "={{ $json.amount > 100 }}"}},
        "mail": post(world, "/mail", {"to": "={{ $json.customer }}", "text": "Thank you"}),
    }
    made = await agent.call("create_workflow", definition=workflow("Thank", **nodes), run={})
    assert made["run"]["status"] == "succeeded", made
    assert sorted(body["to"] for _, body in world.done) == ["Alan", "Grace"]


@task("When my shop posts an order to /webhooks/orders-in, mail me the amount. Publish it.")
async def hook(agent: Agent, world: World) -> None:
    nodes = {
        "hook": {"type": "webhook", "parameters": {"path": "orders-in"}},
        "mail": post(world, "/mail", {"amount": "={{ $json.body.amount }}"}),
    }
    made = await agent.call("create_workflow", definition=workflow("Orders in", **nodes), publish=True)
    assert made["status"] == "published"
    assert (await agent.http.post("/webhooks/orders-in", json={"amount": 7})).status_code == 202
    for _ in range(100):
        listed = (await agent.http.get("/api/executions", params={"workflow_id": made["workflow_id"]})).json()
        if [each["status"] for each in listed["executions"]] == ["succeeded"]:
            break
    assert world.done == [["/mail", {"amount": 7}]]


@task("Refund order 2, but ask me before the money goes out. I approve.")
async def refund(agent: Agent, world: World) -> None:
    await agent.call("find_nodes", name="approval")
    nodes = {
        "start": {"type": "manual"},
        "ask": {"type": "approval", "parameters": {"question": "=Refund order {{ $json.id }}?"}},
        "pay": post(world, "/refunds", {"id": "={{ $json.id }}"}),
    }
    made = await agent.call(
        "create_workflow",
        definition=workflow("Refund", ("start", "ask"), ("ask", "pay"), **nodes),
        run={"input": {"id": 2}},
    )
    assert world.done == []
    ended = await agent.proposed(made["run"])
    assert ended["status"] == "succeeded"
    assert world.done == [["/refunds", {"id": 2}]]


@task("The workflow 'Report' failed this morning. Find out why, repair it, and finish the run.")
async def repair(agent: Agent, world: World) -> None:
    mail = post(world, "/mail", {"total": "={{ $json.total }}"})
    nodes = {"total": fields(total="={{ $json.order.amount }}"), "mail": mail}
    await agent.http.post("/api/workflows", json=workflow("Report", **nodes))
    listed = (await agent.http.get("/api/workflows", params={"text": "Report"})).json()
    run = {"input": {"amount": 12}, "wait_seconds": 10}
    await agent.http.post(f"/api/workflows/{listed['workflows'][0]['workflow_id']}/execute", json=run)

    figures = await agent.call("list_executions", workflow_id="Report", status="failed")
    (failed,) = figures["executions"]
    assert failed["error"]["node"] == "total"
    mended = {"parameters": {"fields": {"total": "={{ $json.amount }}"}}}
    change = {"op": "update_node", "name": "total", "changes": mended}
    await agent.call("update_workflow", workflow_id="Report", expected_version=failed["version"], operations=[change])
    ended = await agent.call(
        "control_execution", execution_id=failed["execution_id"], action="rerun", node="total", version="current"
    )
    assert ended["status"] == "succeeded"
    assert world.done == [["/mail", {"total": 12}]]


@task("Send the order to the flaky address; it may be out of order for a moment.")
async def flaky(agent: Agent, world: World) -> None:
    world.fails = 2
    retry = {"max_attempts": 4, "first_delay_seconds": 0.05}
    send = post(world, "/flaky", {"id": 1}, retry=retry)
    made = await agent.call("create_workflow", definition=workflow("Flaky", send=send), run={})
    assert made["run"]["status"] == "succeeded"
    assert "3 attempts" in made["run"]["nodes"]["send"]
    assert world.done == [["/flaky", {"id": 1}]]


@task("It was down for longer and the run failed. It is up again: finish the run.")
async def again(agent: Agent, world: World) -> None:
    world.fails = 1
    send = post(world, "/flaky", {"id": 9}, retry={"max_attempts": 1})
    made = await agent.call("create_workflow", definition=workflow("Again", send=send), run={})
    assert made["run"]["status"] == "failed"
    ended = await agent.proposed(made["run"])
    assert ended["status"] == "succeeded"
    assert world.done == [["/flaky", {"id": 9}]]


@task("Offer 'convert euros to dollars' as a tool to my assistants.")
async def offer(agent: Agent, world: World) -> None:
    schema = {"type": "object", "properties": {"euros": {"type": "number"}}, "required": ["euros"]}
    nodes = {
        "start": {"type": "manual", "parameters": {"input_schema": schema}},
        "rate": get(world, "/rates"),
        "dollars": fields(keep_input=False, dollars="={{ $('start').item.json.euros * $json.body.rates.USD }}"),
    }
    made = await agent.call("create_workflow", definition=workflow("Convert", **nodes), run={"input": {"euros": 4}})
    assert made["run"]["output"]["items"]["dollars"] == [{"dollars": 5}]
    tool = {"name": "to_dollars", "description": "What an amount in euros is in US dollars."}
    await agent.call("publish_workflow", workflow_id="Convert", tool=tool)
    result = await agent.mcp.client.call_tool("to_dollars", {"euros": 8})
    assert result.structured_content == {"dollars": 10}


@task("How did the workflow 'Nightly' do lately? What goes wrong most?")
async def figures(agent: Agent, world: World) -> None:
    check = {"type": "stop_and_error", "parameters": {"message": "The file is missing."}}
    nodes = {
        "start": {"type": "manual"},
        "bad": {"type": "if", "parameters": {"condition": "={{ $json.bad }}"}},
        "stop": check,
    }
    made = (
        await agent.http.post(
            "/api/workflows", json=workflow("Nightly", ("start", "bad"), ("bad.true", "stop"), **nodes)
        )
    ).json()
    for bad in (True, False, False, True, False):
        run = {"input": {"bad": bad}, "wait_seconds": 10}
        await agent.http.post(f"/api/workflows/{made['workflow_id']}/execute", json=run)
    said = await agent.call("list_executions", workflow_id="Nightly", view="summary")
    assert said["by_status"] == {"succeeded": 3, "failed": 2}
    (error,) = said["errors"]
    assert (error["count"], error["message"]) == (2, "The file is missing.")


@task("Sort the orders by country and give me the sum for each.")
async def sums(agent: Agent, world: World) -> None:
    await agent.call("find_nodes", name="aggregate")
    nodes = {
        "fetch": get(world, "/orders"),
        "split": {"type": "split_out", "parameters": {"field": "body.orders"}},
        "sum": {
            "type": "aggregate",
            "parameters": {"group_by": ["country"], "summaries": {"total": {"operation": "sum", "field": "amount"}}},
        },
    }
    made = await agent.call("create_workflow", definition=workflow("Sums", **nodes), run={})
    found = {each["country"]: each["total"] for each in made["run"]["output"]["items"]["sum"]}
    assert found == {"NO": 40, "US": 250, "GB": 120}


@task("What would 'Pay out' do for order 3? Do not do it. Then do exactly that.")
async def plan(agent: Agent, world: World) -> None:
    pay = workflow("Pay out", pay=post(world, "/refunds", {"id": "={{ $json.id }}"}))
    await agent.http.post("/api/workflows", json=pay)
    planned = await agent.call("plan_execution", workflow_id="Pay out", input={"id": 3})
    assert (planned["effects"][0]["parameters"]["json_body"], world.done) == ({"id": 3}, [])
    ran = await agent.call("execute_workflow", workflow_id="Pay out", input={"id": 3}, plan_hash=planned["plan_hash"])
    assert ran["status"] == "succeeded"
    assert world.done == [["/refunds", {"id": 3}]]


@task("Wait three seconds, then mail the reminder.")
async def reminder(agent: Agent, world: World) -> None:
    pause = {"type": "wait", "parameters": {"seconds": 3}}
    nodes = {"pause": pause, "mail": post(world, "/mail", {"text": "Remember"})}
    made = await agent.call("create_workflow", definition=workflow("Reminder", **nodes), run={"wait_seconds": 20})
    assert made["run"]["status"] == "succeeded"
    assert world.done == [["/mail", {"text": "Remember"}]]


@task("In 'Greeting', say Hi in place of Hello, and show me that it does.")
async def change(agent: Agent, world: World) -> None:
    await agent.http.post("/api/workflows", json=workflow("Greeting", say=fields(text="=Hello {{ $json.name }}")))
    read = await agent.call("get_workflow", workflow_id="Greeting")
    patch = [{"op": "replace", "path": "/nodes/say/parameters/fields/text", "value": "=Hi {{ $json.name }}"}]
    changed = await agent.call(
        "update_workflow",
        workflow_id="Greeting",
        expected_version=read["version"],
        operations=[{"op": "patch", "patch": patch}],
        run={"input": {"name": "Ada"}},
    )
    assert changed["run"]["output"]["items"]["say"][0]["text"] == "Hi Ada"


@task("That change to 'Prices' was wrong. Put the version before it back into use.")
async def back(agent: Agent, world: World) -> None:
    made = (await agent.http.post("/api/workflows?publish=true", json=workflow("Prices", say=fields(price=1)))).json()
    await agent.http.put(f"/api/workflows/{made['workflow_id']}", json=workflow("Prices", say=fields(price=2)))
    await agent.http.post(f"/api/workflows/{made['workflow_id']}/publish")
    told = await agent.call("publish_workflow", workflow_id="Prices", version=1)
    assert told["published_version"] == 1
    ran = await agent.call("execute_workflow", workflow_id="Prices", version="published")
    assert ran["output"]["items"]["say"] == [{"price": 1}]


@task("Do something different for orders from Norway, the US, and all others.")
async def countries(agent: Agent, world: World) -> None:
    await agent.call("find_nodes", name="switch")
    rules = [
        {"output": "norway", "condition": "={{ $json.country === 'NO' }}"},
        {"output": "us", "condition": "={{ $json.country === 'US' }}"},
    ]
    nodes = {
        "start": {"type": "manual"},
        "where": {"type": "switch", "parameters": {"rules": rules}},
        "a": fields(note="home"),
        "b": fields(note="far"),
        "c": fields(note="other"),
    }
    edges = (("start", "where"), ("where.norway", "a"), ("where.us", "b"), ("where.otherwise", "c"))
    made = await agent.call(
        "create_workflow",
        definition=workflow("Countries", *edges, **nodes),
        apply_fixes=True,
        run={"input": ORDERS},
    )
    found = made["run"]["output"]["items"]
    assert [len(found[name]) for name in ("a", "b", "c")] == [1, 1, 1]


@task("Compute the median of the amounts; there is no node for it.")
async def median(agent: Agent, world: World) -> None:
    await agent.call("find_nodes", name="code")
    javascript = "const a = items.map(i => i.amount).sort((x, y) => x - y); return [{median: a[(a.length - 1) / 2]}];"
    code = {"type": "code", "parameters": {"javascript": javascript}}
    made = await agent.call("create_workflow", definition=workflow("Median", middle=code), run={"input": ORDERS})
    assert made["run"]["output"]["items"]["middle"] == [{"median": 120}]


@task("Run 'Import' for order 5, once only, even if I ask twice.")
async def once(agent: Agent, world: World) -> None:
    send = post(world, "/mail", {"id": "={{ $json.id }}"})
    await agent.http.post("/api/workflows", json=workflow("Import", send=send))
    for _ in range(2):
        ran = await agent.call("execute_workflow", workflow_id="Import", input={"id": 5}, idempotency_key="order-5")
    assert ran["repeated"] is True
    assert world.done == [["/mail", {"id": 5}]]


@task("If mailing fails, note it and go on with the other orders.")
async def go_on(agent: Agent, world: World) -> None:
    nodes = {
        "start": {"type": "manual"},
        "mail": post(world, "/nowhere", {"id": "={{ $json.id }}"}, on_error="error_output"),
        "note": post(world, "/mail", {"failed": "={{ $json.id }}"}),
    }
    definition = workflow("Go on", ("start", "mail"), ("mail.error", "note"), **nodes)
    made = await agent.call("create_workflow", definition=definition, run={"input": ORDERS})
    assert made["run"]["status"] == "succeeded"
    assert sorted(body["failed"] for _, body in world.done) == [1, 2, 3]


@task("Every second, fetch the rates and mail them.")
async def schedule(agent: Agent, world: World) -> None:
    found = await agent.call("find_nodes", query="schedule every second")
    assert found["nodes"][0]["type"] == "schedule"
    nodes = {
        "tick": {"type": "schedule", "parameters": {"every": "1 second"}},
        "rate": get(world, "/rates"),
        "mail": post(world, "/mail", {"at": "={{ $('tick').item.json.slot_at }}"}),
    }
    definition = workflow("Rates", ("tick", "rate"), ("rate", "mail"), **nodes)
    made = await agent.call("create_workflow", definition=definition, publish=True)
    assert len(made["schedules"]["tick"]["next"]) == 3
    await until(lambda: len(world.done) >= 2)
    await agent.http.post(f"/api/workflows/{made['workflow_id']}/unpublish")


@task("Delete 'Old', and bring it back: I was wrong.")
async def restore(agent: Agent, world: World) -> None:
    await agent.http.post("/api/workflows", json=workflow("Old", step=fields(n=1)))
    await agent.call("delete_workflow", workflow_id="Old")
    told = await agent.call("delete_workflow", workflow_id="Old", restore=True)
    assert told["deleted"] is False
    listed = (await agent.http.get("/api/workflows", params={"text": "Old"})).json()
    assert [each["name"] for each in listed["workflows"]] == ["Old"]
