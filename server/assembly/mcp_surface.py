"""What MCP clients see, put together: tools, prompts, resources, changes, tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.executions.plans import Plans
from engine.runs.dry_run import Planner
from prompts.manager import PromptManager
from server.assembly.engine_parts import Engine
from server.assembly.foundation import Foundation
from server.assembly.integration_parts import Integrations
from server.assembly.outgoing import Outgoing
from server.mcp.endpoint import McpServer, build_mcp_server
from server.mcp.offers import Offers, put_together
from server.mcp.subscriptions import Subscriptions
from server.settings.secret_key import derived_key
from server.settings.settings import Settings
from server.version import VERSION
from storage.workflows.plans import SqlPlans
from tools.definition_guide import DefinitionGuide
from tools.executions.app import ExecutionApp
from tools.executions.inspection import InspectionTools
from tools.executions.running import RunningTools
from tools.executions.runs import EXECUTION_FORM, RESULT_FORM, Runs
from tools.executions.tasks import Tasks
from tools.executions.views import ExecutionAnswers
from tools.integrations.actions import IntegrationTools
from tools.integrations.pinned import PinnedTools
from tools.integrations.secret_needs import SecretNeeds
from tools.node_types import NodeTypeTools
from tools.prompt_offers import PromptResources, TemplatePrompts
from tools.prompt_templates import PromptTools
from tools.protocol.completions import Completers
from tools.protocol.offering import Offer
from tools.protocol.prompts import guide_prompts
from tools.protocol.selection import Selection
from tools.protocol.tool import Tool
from tools.skills import Skills
from tools.stored_resources import StoredResources
from tools.workflows.authoring import AuthoringTools
from tools.workflows.published import PublishedPrompts, PublishedTools
from tools.workflows.publishing import PublishingTools
from tools.workflows.reading import WorkflowTools

if TYPE_CHECKING:
    from tools.conformance.suite import ConformanceSuite


@dataclass(slots=True, frozen=True, kw_only=True)
class Surface:
    """The MCP server, what it offers, and the clients' subscriptions to changes."""

    mcp: McpServer
    offers: Offers
    subscriptions: Subscriptions


@asynccontextmanager
async def running_surface(
    settings: Settings,
    foundation: Foundation,
    *,
    engine: Engine,
    outgoing: Outgoing,
    integrations: Integrations,
    prompts: PromptManager,
) -> AsyncIterator[Surface]:
    """All of it, until the context is left, which ends every subscription."""
    answers = ExecutionAnswers(engine.authoring, engine.reader)
    suite = _suite(engine) if settings.conformance_fixtures else None
    runs = Runs(
        reader=engine.reader,
        control=engine.control,
        clock=foundation.clock,
        forms={
            EXECUTION_FORM: answers,
            RESULT_FORM: answers.plain,
            **(suite.forms(answers) if suite is not None else {}),
        },
    )
    running = RunningTools(
        authoring=engine.authoring,
        requests=engine.requests,
        control=engine.control,
        plans=Plans(
            planner=Planner(runner=engine.runner, clock=foundation.clock),
            store=SqlPlans(foundation.database),
            audit=foundation.audit,
            clock=foundation.clock,
        ),
        tries=engine.tries,
        runs=runs,
    )
    tools = [
        *_authoring_tools(settings, engine, outgoing, prompts, running),
        *running.tools(),
        *_other_running_tools(foundation, engine, integrations, runs),
    ]
    needs = SecretNeeds(
        links=integrations.secret_links,
        authoring=engine.authoring,
        known=outgoing.vault,
        webhook_secrets=frozenset(settings.webhook_secrets),
    )
    tools = [needs.offered(each) for each in tools]
    published = PublishedTools(publishing=engine.publishing, execute=running.plain_tool())
    skills = Skills(published)
    offered = [
        _offer(engine, integrations, prompts, tools, published, skills),
        *([suite.offer(runs)] if suite is not None else []),
    ]
    engine.publishing.reserve(tool.name for offer in offered for tool in offer.tools)
    offers = put_together(offered, selection=Selection.of(settings.toolset, read_only=settings.read_only))
    subscriptions = Subscriptions(engine.announcements, offers)
    async with subscriptions.running():
        mcp = build_mcp_server(
            version=VERSION,
            request_state_key=derived_key(foundation.secret, "request-state"),
            offers=offers,
            subscriptions=subscriptions,
            tasks=Tasks(
                reader=engine.reader,
                announcements=engine.announcements,
                control=engine.control,
                answer=runs.answer,
                clock=foundation.clock,
                kept_days=settings.retention_days,
            ),
            skills=skills,
        )
        if suite is not None:
            suite.install(mcp)
        yield Surface(mcp=mcp, offers=offers, subscriptions=subscriptions)


def _authoring_tools(
    settings: Settings, engine: Engine, outgoing: Outgoing, prompts: PromptManager, running: RunningTools
) -> list[Tool[Any]]:
    workflow_tools = WorkflowTools(engine.authoring, engine.schedules, engine.reader)
    return [
        *NodeTypeTools(engine.authoring.registry, outgoing.vault).tools(),
        *AuthoringTools(engine.authoring, running, base_url=settings.base_url).tools(),
        *workflow_tools.reading_tools(),
        *PublishingTools(engine.authoring, engine.publishing, engine.schedules, base_url=settings.base_url).tools(),
        *workflow_tools.deleting_tools(),
        *PromptTools(prompts).tools(),
    ]


def _other_running_tools(
    foundation: Foundation, engine: Engine, integrations: Integrations, runs: Runs
) -> list[Tool[Any]]:
    return [
        *IntegrationTools(
            connections=integrations.connections,
            actions=integrations.actions,
            credentials=integrations.credentials,
            links=integrations.secret_links,
            audit=foundation.audit,
        ).tools(),
        *InspectionTools(authoring=engine.authoring, reader=engine.reader, runs=runs).tools(),
    ]


def _offer(
    engine: Engine,
    integrations: Integrations,
    prompts: PromptManager,
    tools: list[Tool[Any]],
    published: PublishedTools,
    skills: Skills,
) -> Offer:
    by_name = {tool.name: tool for tool in tools}
    completers = Completers(authoring=engine.authoring, reader=engine.reader)
    return Offer(
        tools=tools,
        tool_sources=[published, PinnedTools(actions=integrations.actions, run=by_name["run_action"])],
        prompts=guide_prompts(completers),
        prompt_sources=[PublishedPrompts(published), TemplatePrompts(prompts)],
        resources=[
            StoredResources(authoring=engine.authoring, reader=engine.reader, completers=completers),
            PromptResources(prompts),
            DefinitionGuide(),
            ExecutionApp(),
            skills,
        ],
    )


def _suite(engine: Engine) -> ConformanceSuite:
    # Loaded only where it is asked for: no server that people use has it.
    from tools.conformance.suite import ConformanceSuite

    return ConformanceSuite(authoring=engine.authoring, requests=engine.requests, announcements=engine.announcements)
