"""The examples with AI nodes, answered by the scripted server of models in place of the assistant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.models import Answer, ModelsDouble, data, said, serving
from tests.doubles.models.server import Asked
from tests.server.conftest import connected
from tests.support.server_process import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def double() -> AsyncIterator[ModelsDouble]:
    """A server of models."""
    async with serving() as double:
        yield double


def definition(name: str) -> dict[str, Any]:
    """An example's workflow."""
    found: dict[str, Any] = json.loads((EXAMPLES / name / "workflow.json").read_text())
    return found


def settings(double: ModelsDouble, *names: str, models: str) -> dict[str, str]:
    """A server's settings with these providers, each of which is the double."""
    provider = {"kind": "openai", "base_url": double.openai_url, "api_key": "k"}
    return {
        "JOBSPRINT_MODELS": models,
        "JOBSPRINT_MODEL_PROVIDERS": json.dumps(dict.fromkeys(names, provider)),
    }


async def test_support_mails_are_sorted_and_a_person_approves_the_refund(double: ModelsDouble, tmp_path: Path) -> None:
    def decide(asked: Asked) -> Answer:
        text = str(asked.body["messages"])
        if "The categories:" in text:
            return data({"reason": "so", "category": "refund" if "kettle came broken" in text else "question"})
        return data({"number": "A-1", "euros": 35}) if "A-1" in text else said("Once a month.")

    double.decide = decide
    mails = [{"subject": "s", "text": "My kettle came broken, order A-1."}, {"subject": "s", "text": "How often?"}]
    with ServerProcess(tmp_path / "data", settings(double, "p", models="p/m")) as server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            made = await mcp.call("create_workflow", definition=definition("support_triage"))
            ran = await mcp.call("execute_workflow", workflow_id=made["workflow_id"], input=mails)
            assert ran["status"] == "waiting"
            seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
            assert [each["question"] for each in seen["waiting"]] == ["Refund 35 € for order A-1?"]
            await mcp.call(
                "control_execution", execution_id=ran["execution_id"], action="resume", data={"choice": "approve"}
            )
            seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
    items = seen["output"]["items"]
    assert [each["done"] for each in items["refunded"]] == ["refunded 35 €"]
    assert [each["draft"] for each in items["draft"]] == ["Once a month."]


async def test_a_document_is_summed_up_by_the_next_model_where_the_first_is_down(
    double: ModelsDouble, tmp_path: Path
) -> None:
    double.decide = lambda asked: Answer(status=503, body=b"{}") if asked.model == "large" else said("In short.")
    with ServerProcess(tmp_path / "data", settings(double, "main", "spare", models="main/large")) as server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            made = await mcp.call("create_workflow", definition=definition("document_summary"))
            ran = await mcp.call("execute_workflow", workflow_id=made["workflow_id"], input={"text": "A long text."})
    (item,) = ran["output"]["items"]["summary"]
    assert (item["summary"], item["ai"]["model"]) == ("In short.", "spare/small")
