"""The composition root: every part is made here, given what it needs, and ended in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from filelock import FileLock, Timeout

from engine.aftermath import Aftermath
from engine.announcements import Announcements
from engine.authoring import Authoring
from engine.breakers import BreakerHttpClient
from engine.children import Children
from engine.control import Control
from engine.effect_parts import AiPorts
from engine.executions import ExecutionService
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import Limits, WorkerPool
from engine.live import LiveExecutions
from engine.node_runner import NodeRunner
from engine.planning import Planner
from engine.publishing import Publishing
from engine.recovery import Recovery
from engine.registry import load_registry
from engine.resume_links import ResumeLinks
from engine.retention import Retention
from engine.webhook_intake import WebhookIntake
from engine.worker import Worker
from integrations.addresses import AddressRules
from integrations.credential_headers import CredentialHeaders
from integrations.credential_http import CredentialHttpClient
from integrations.credentials import Credentials
from integrations.outbound_http import OutboundHttp
from prompts.conversations import ContextManager
from prompts.guides import load_guides
from prompts.manager import PromptManager
from prompts.templates import load_templates
from server.ai import AiServices, running_ai
from server.conversations import running_conversations
from server.identity import Identity, running_identity
from server.integrations import Integrations, Outgoing, running_integrations
from server.mcp.endpoint import McpServer, build_mcp_server
from server.mcp.offers import Offers, put_together
from server.mcp.subscriptions import Subscriptions
from server.secret_key import derived_key, load_secret_key
from server.settings import BadSettingsError, Settings
from server.vault_commands import LOCK_FILE, key_sources
from storage.audit import SqlAuditLog
from storage.blobs import BlobStore
from storage.clock import SystemClock
from storage.connections import SqlConnections
from storage.database import Database
from storage.events.in_process import InProcessEventBus
from storage.executions import SqlExecutionStore
from storage.idempotency import SqlIdempotencyKeys
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.prompts import SqlPrompts
from storage.queue.embedded import EmbeddedQueue
from storage.vault import SqlVault
from storage.vault_keys import VaultKeys
from storage.vectors import SqlVectors
from storage.workflow_cache import WorkflowCache
from storage.workflows import SqlWorkflowRepository
from tools.authoring import AuthoringTools
from tools.completions import Completers
from tools.conformance import tasks as conformance_tasks
from tools.conformance.suite import ConformanceSuite
from tools.conformance.tasks import ConformanceTasks
from tools.execution_app import ExecutionApp
from tools.execution_views import ExecutionAnswers
from tools.inspection import InspectionTools
from tools.integrations import IntegrationTools
from tools.node_types import NodeTypeTools
from tools.pinned import PinnedTools
from tools.prompt_offers import PromptResources, TemplatePrompts
from tools.prompt_templates import PromptTools
from tools.prompts import guide_prompts
from tools.published import PublishedPrompts, PublishedTools
from tools.publishing import PublishingTools
from tools.running import RunningTools
from tools.runs import EXECUTION_FORM, Runs
from tools.selection import Selection
from tools.stored_resources import StoredResources
from tools.tasks import Tasks
from tools.workflows import WorkflowTools
from workflow.ports import Clock

VERSION = version("jobsprint")
SHARED_CACHE_SECONDS = 1.0
"""How old a workflow may be that another process on the same database has changed."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Services:
    """What the edges call; ``identity`` where they are reached over HTTP."""

    clock: Clock
    database: Database
    audit: SqlAuditLog
    identity: Identity | None
    authoring: Authoring
    publishing: Publishing
    executions: ExecutionService
    control: Control
    prompts: PromptManager
    links: ResumeLinks
    credentials: Credentials
    integrations: Integrations
    ai: AiServices
    webhooks: WebhookIntake
    conversations: ContextManager
    mcp: McpServer
    offers: Offers
    subscriptions: Subscriptions


@asynccontextmanager
async def running_services(settings: Settings, *, has_http: bool) -> AsyncIterator[Services]:
    """The whole of Jobsprint but for its edges, with a worker at work, until the context is left.

    Without HTTP there is nothing that links to waiting executions could lead to, so none are made.

    Raises:
        BadSettingsError: another process uses the data folder; or others would reach the server over HTTP, and it
            could not tell who they are.
        VaultKeyError: the keys of the vault cannot be read or made.
        StorageError: the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        _claim(settings, stack)
        clock = SystemClock()
        new_id = UuidFactory(clock=clock)

        database = await stack.enter_async_context(Database(settings.effective_database_url))
        await migrate(database)
        secret = load_secret_key(settings)
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        workflows = WorkflowCache(
            SqlWorkflowRepository(database), seconds=None if database.is_sqlite else SHARED_CACHE_SECONDS
        )
        store = await stack.enter_async_context(
            SqlExecutionStore(
                database,
                blobs=BlobStore(settings.data_dir / "blobs"),
                owner=new_id(),
                lease_seconds=settings.lease_seconds,
            )
        )
        queue = EmbeddedQueue(capacity=settings.queue_capacity)
        bus = InProcessEventBus()
        announcements = Announcements(bus=bus, clock=clock, new_id=new_id)
        prompts = PromptManager(
            repository=SqlPrompts(database),
            built_in=load_templates(),
            taken=[guide.name for guide in load_guides()],
            bus=bus,
            audit=audit,
            clock=clock,
            new_id=new_id,
        )

        http = await stack.enter_async_context(
            OutboundHttp(
                rules=AddressRules(allowed=settings.outbound_allow, is_loopback_allowed=settings.is_local),
                max_connections=settings.http_max_connections,
                max_response_bytes=settings.http_max_response_bytes,
                user_agent=f"jobsprint/{VERSION}",
            )
        )
        identity = None
        if has_http:
            identity = await stack.enter_async_context(
                running_identity(settings, database, secret=secret, http=http, audit=audit, clock=clock, new_id=new_id)
            )
        keys = VaultKeys(key_sources(settings).load)
        vault = SqlVault(database, keys=keys, clock=clock, new_id=new_id)
        # The breakers are inside, so that they see each request of a redirect, and those for access tokens.
        guarded = BreakerHttpClient(http)
        connections = SqlConnections(database, keys=keys)
        headers = CredentialHeaders.over(guarded, vault=vault, claims=connections, clock=clock)
        sender = CredentialHttpClient(guarded, vault=vault, headers=headers)
        integrations = await stack.enter_async_context(
            running_integrations(
                settings,
                store=connections,
                outgoing=Outgoing(sender=sender, http=guarded, wire=http, headers=headers),
                vault=vault,
                audit=audit,
                bus=bus,
                clock=clock,
                new_id=new_id,
                version=VERSION,
                has_http=has_http,
            )
        )
        ai = await stack.enter_async_context(
            running_ai(settings, database, clock=clock, new_id=new_id, user_agent=f"jobsprint/{VERSION}")
        )
        conversations = await stack.enter_async_context(
            running_conversations(settings, database, models=ai.models, bus=bus, clock=clock, new_id=new_id)
        )
        limits = Limits(
            cpu_seconds=settings.expression_cpu_seconds,
            grace_seconds=settings.expression_grace_seconds,
            memory_bytes=settings.expression_memory_bytes,
        )
        pool = await stack.enter_async_context(WorkerPool(size=settings.expression_workers, limits=limits))
        evaluator = Evaluator(pool=pool)

        authoring = Authoring(
            registry=load_registry(),
            evaluator=evaluator,
            workflows=workflows,
            credentials=vault,
            connections=integrations.actions,
            announcements=announcements,
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        publishing = Publishing(authoring=authoring, announcements=announcements, audit=audit)
        live = LiveExecutions(queue=queue, capacity=settings.queue_capacity)
        service = ExecutionService(
            store=store,
            live=live,
            announcements=announcements,
            keys=SqlIdempotencyKeys(database),
            audit=audit,
            clock=clock,
            new_id=new_id,
        )
        links = ResumeLinks(base_url=settings.base_url, secret=secret)
        control = Control(authoring=authoring, service=service, audit=audit, clock=clock)
        recovery = Recovery(
            service=service,
            control=control,
            clock=clock,
            lease_seconds=settings.lease_seconds,
            is_alone=database.is_sqlite,
        )
        runner = NodeRunner(
            evaluator=evaluator,
            http=sender,
            clock=clock,
            children=Children(authoring=authoring, service=service),
            resume_url=links.url if has_http else lambda execution_id: None,
            audit=audit,
            actions=integrations.actions,
            ai=AiPorts(models=ai.models, prompts=prompts, conversations=conversations, vectors=SqlVectors(database)),
        )
        worker = Worker(
            queue=queue,
            service=service,
            aftermath=Aftermath(authoring=authoring, service=service, control=control, on_waiting=recovery.look_again),
            runner=runner,
            evaluator=evaluator,
            clock=clock,
            concurrency=settings.worker_concurrency,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        )
        retention = Retention(
            store=store,
            workflows=workflows,
            clock=clock,
            days=settings.retention_days,
            count=settings.retention_count,
            interval_seconds=settings.retention_interval_seconds,
            audit=audit,
            audit_days=settings.audit_retention_days,
        )
        await stack.enter_async_context(recovery.watching())
        await stack.enter_async_context(retention.pruning())
        await stack.enter_async_context(worker.working())

        answers = ExecutionAnswers(authoring, service)
        runs = Runs(
            service=service,
            control=control,
            forms={EXECUTION_FORM: answers, **conformance_tasks.forms(answers)},
        )
        running_tools = RunningTools(
            authoring=authoring,
            service=service,
            control=control,
            planner=Planner(runner=runner, clock=clock),
            runs=runs,
        )
        workflow_tools = WorkflowTools(authoring)
        completers = Completers(authoring=authoring, service=service)
        tools = [
            *NodeTypeTools(authoring.registry, vault).tools(),
            *AuthoringTools(authoring).tools(),
            *workflow_tools.reading_tools(),
            *PublishingTools(publishing).tools(),
            *workflow_tools.deleting_tools(),
            *PromptTools(prompts).tools(),
            *running_tools.tools(),
            *IntegrationTools(connections=integrations.connections, actions=integrations.actions, audit=audit).tools(),
            *InspectionTools(authoring=authoring, service=service, runs=runs).tools(),
        ]
        if settings.conformance_fixtures:
            tools += ConformanceTasks(authoring=authoring, service=service, runs=runs).tools()
        publishing.reserve(tool.name for tool in tools)
        execute = next(tool for tool in tools if tool.name == "execute_workflow")
        published = PublishedTools(publishing=publishing, execute=execute)
        run_action = next(tool for tool in tools if tool.name == "run_action")
        suite = ConformanceSuite(announcements) if settings.conformance_fixtures else None
        offers = put_together(
            tools=tools,
            tool_sources=[published, PinnedTools(actions=integrations.actions, run=run_action)],
            selection=Selection.of(settings.toolset, read_only=settings.read_only),
            prompts=guide_prompts(completers),
            prompt_sources=[PublishedPrompts(published), TemplatePrompts(prompts)],
            resources=[
                StoredResources(authoring=authoring, service=service, completers=completers),
                PromptResources(prompts),
                ExecutionApp(),
            ],
            suite=suite,
        )
        subscriptions = Subscriptions(announcements, offers)
        await stack.enter_async_context(subscriptions.running())
        mcp = build_mcp_server(
            version=VERSION,
            request_state_key=derived_key(secret, "request-state"),
            offers=offers,
            subscriptions=subscriptions,
            tasks=Tasks(
                service=service,
                control=control,
                answer=runs.answer,
                clock=clock,
                kept_days=settings.retention_days,
            ),
        )
        if suite is not None:
            suite.install(mcp)
        yield Services(
            clock=clock,
            database=database,
            audit=audit,
            identity=identity,
            authoring=authoring,
            publishing=publishing,
            executions=service,
            control=control,
            prompts=prompts,
            links=links,
            credentials=Credentials(vault=vault, http=sender, audit=audit),
            integrations=integrations,
            ai=ai,
            webhooks=WebhookIntake(
                authoring=authoring,
                service=service,
                vault=vault,
                secrets={name: secret.get_secret_value() for name, secret in settings.webhook_secrets.items()},
            ),
            conversations=conversations,
            mcp=mcp,
            offers=offers,
            subscriptions=subscriptions,
        )


def _claim(settings: Settings, stack: AsyncExitStack) -> None:
    """Keep other processes away from the data folder: each would take the other's executions for abandoned."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FileLock(settings.data_dir / LOCK_FILE, timeout=0))
    except Timeout:
        raise BadSettingsError(
            f"Another Jobsprint process uses the folder {settings.data_dir}.",
            fix="Connect your client to that one over HTTP, or set JOBSPRINT_DATA_DIR to another folder.",
        ) from None
    except OSError as error:
        raise BadSettingsError(
            f"The data folder {settings.data_dir} cannot be used: {error.strerror}.",
            fix="Set JOBSPRINT_DATA_DIR to a folder that can be written.",
        ) from error
