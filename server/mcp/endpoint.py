"""The MCP endpoint: one low-level server over tools, prompts and resources, for both protocol eras and transports."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions

from server.mcp.calls import Calls
from server.mcp.identity import IdentifiedServer
from server.mcp.lists import CACHE_HINTS, Lists
from server.mcp.offers import Offers
from server.mcp.session import request_state_boundary
from server.mcp.skills import SkillMethods
from server.mcp.subscriptions import Subscriptions
from server.mcp.tasks import TaskMethods
from tools.executions.app import EXTENSION as APPS
from tools.executions.tasks import Tasks
from tools.skills import Skills

INSTRUCTIONS = (
    "Jobsprint runs workflows: graphs of nodes that pass items (JSON objects) on. To build one: find_nodes for the "
    "types you need, create_workflow, execute_workflow, and inspect_execution where the result is not what you "
    "expected. create_workflow with run does both at once. guide://definition says how definitions are written. Every "
    "error says what is wrong, where, and how to mend it; findings carry JSON Patches: apply_fixes applies them."
)


class McpServer(IdentifiedServer):
    """The server, which also declares to clients of the legacy era that lists can change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """What ``initialize`` answers with."""
        every = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(
            notification_options or every, experimental_capabilities, extensions
        )


def build_mcp_server(
    *,
    version: str,
    request_state_key: bytes,
    offers: Offers,
    subscriptions: Subscriptions,
    tasks: Tasks,
    skills: Skills,
) -> McpServer:
    """The server with all its handlers. The key seals what clients carry from a call to its repetition."""
    task_methods = TaskMethods(tasks)
    lists, calls = Lists(offers), Calls(offers, task_methods)
    server = McpServer(
        version=version,
        instructions=INSTRUCTIONS,
        cache_hints=CACHE_HINTS,
        get_tool_input_schema=calls.input_schema,
        on_list_tools=lists.tools,
        on_call_tool=calls.call_tool,
        on_list_prompts=lists.prompts,
        on_get_prompt=calls.get_prompt,
        on_list_resources=lists.resources,
        on_list_resource_templates=lists.templates,
        on_read_resource=calls.read_resource,
        on_completion=calls.complete,
        on_subscriptions_listen=task_methods.listening(subscriptions.listen),
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
    )
    server.add_notification_handler("notifications/initialized", types.NotificationParams, subscriptions.begin_session)
    # In place of the SDK's middleware, which makes OpenTelemetry spans for each message: no exporter is set up.
    server.middleware[:] = [request_state_boundary(request_state_key)]
    task_methods.join(server)
    SkillMethods(skills).join(server)
    server.extensions[APPS] = {}
    return server
