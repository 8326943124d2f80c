"""What starts a published workflow: calls that are ready to be made."""

from __future__ import annotations

import json
from typing import Any

from engine.definitions.publishing import offered_schema
from engine.nodes.webhook import Webhook
from workflow.definitions.publication import Exposure
from workflow.ports import StoredWorkflow
from workflow.schemas.samples import sample_of


def what_starts_it(published: StoredWorkflow, exposure: Exposure | None, base_url: str) -> dict[str, Any]:
    """In ``next`` the calls that start it from now on; of a tool also the schema of its arguments."""
    definition, ways = published.definition, []
    for node in definition.nodes.values():
        path = node.parameters.get("path")
        if node.type == Webhook.name and not node.disabled and isinstance(path, str):
            methods = "|".join(node.parameters.get("methods", ["POST"]))
            ways.append(f"{methods} {base_url}/webhooks/{path}")
    content: dict[str, Any] = {}
    if exposure is not None:
        schema = content["input_schema"] = offered_schema(exposure, definition)
        given = {**sample_of(schema), **exposure.bound}
        call = {"workflow_id": published.id, "version": "published", "input": given}
        ways.append(
            f"the tool {exposure.name}, where your client reads the list of tools again; the sure way is "
            f"execute_workflow {json.dumps(call, ensure_ascii=False)} with its arguments as input"
        )
    return {**content, "next": f"Callable now: {'; '.join(ways)}."} if ways else content
