"""What a try is answered with: as an execution is, without the ids of what is not stored."""

from __future__ import annotations

from typing import Any

from engine.executions.tries import Tried
from tools.executions.views import LINES_TOKENS, OUTPUT_TOKENS, effect_lines, execution_summary, node_lines
from tools.protocol.budget import fit, shown, shown_and_fit

OF_STORED_ONES = frozenset({"execution_id", "workflow_id", "workflow", "version", "trigger", "created_at"})
NEXT = "Nothing of this try is stored. To keep it, give the definition to create_workflow."


def tried_summary(tried: Tried) -> dict[str, Any]:
    """How it ended, what was assumed, and warnings of the check."""
    summary = {
        name: value
        for name, value in execution_summary(tried.inspection.execution).items()
        if name not in OF_STORED_ONES
    }
    if tried.assumed is not None:
        summary["assumed"] = tried.assumed
    if tried.warnings:
        summary["warnings"] = [finding.to_json() for finding in tried.warnings]
    return summary


async def tried_content(tried: Tried) -> dict[str, Any]:
    """The same with a line for each node, what was sent outside, and the output, within the budget of the tool."""
    content = tried_summary(tried)
    content["nodes"], _ = fit(shown(node_lines(tried.inspection)), LINES_TOKENS)
    effects = effect_lines(tried.inspection)
    if effects:
        content["effects"], _ = fit(shown(effects), LINES_TOKENS)
    output = tried.inspection.execution.output
    if output is not None:
        content["output"], was_cut = await shown_and_fit(output, OUTPUT_TOKENS)
        if was_cut:
            content["output_is_cut"] = True
    content["next"] = NEXT
    return content
