"""Fixtures that tests of several rooms use."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import SandboxLimits, WorkerPool
from engine.nodes.registry import NodeRegistry, load_registry
from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from tests.support import server_process
from tests.support.databases import drop_schemas
from tests.support.engine import EngineHarness
from tests.support.http_target import HttpTarget, serving
from tests.support.preloaded import preloaded
from tests.support.server_process import ServerProcess

WEBHOOK_SECRET = "It's a Secret to Everybody"
_PRELOADED = pytest.StashKey[ExitStack]()
_JOBSPRINT = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Where pytest has workers the command is loaded once, and forked from then on. No certificate is trusted: to load
    those of the machine takes each client longer than most tests take, and none talks to the world."""
    if hasattr(config, "workerinput"):
        server_process.JOBSPRINT = config.workerinput["jobsprint"]
    elif config.getoption("numprocesses", None):
        stack = config.stash[_PRELOADED] = ExitStack()
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "certificates").mkdir()
        os.environ["SSL_CERT_DIR"] = str(folder / "certificates")
        os.environ.pop("SSL_CERT_FILE", None)
        config.stash[_JOBSPRINT] = stack.enter_context(preloaded(folder))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of the command."""
    node.workerinput["jobsprint"] = node.config.stash[_JOBSPRINT]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that it was loaded in ends."""
    if _PRELOADED in config.stash:
        config.stash[_PRELOADED].close()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop that Jobsprint runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def _schemas_are_dropped(anyio_backend: str) -> AsyncIterator[None]:
    """Those that tests take after each other."""
    yield
    await drop_schemas()


@pytest.fixture(scope="session")
def registry() -> NodeRegistry:
    """Every node type."""
    return load_registry()


@pytest.fixture(scope="session")
async def pool(anyio_backend: str) -> AsyncIterator[WorkerPool]:
    """Workers with limits so short that tests can overrun them."""
    limits = SandboxLimits(cpu_seconds=0.5, grace_seconds=1.0, memory_bytes=64 << 20)
    async with WorkerPool(size=1, limits=limits) as pool:
        yield pool


@pytest.fixture
async def harness(registry: NodeRegistry, pool: WorkerPool) -> AsyncIterator[EngineHarness]:
    """An engine to run definitions in."""
    rules = AddressRules(allowed=(), is_loopback_allowed=True)
    async with OutboundHttp(rules=rules, max_connections=10, max_response_bytes=100_000, user_agent="test") as http:
        yield EngineHarness(registry=registry, pool=pool, evaluator=Evaluator(pool=pool), http=http)


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    """An HTTP server for the workflows' requests."""
    async with serving(HttpTarget()) as target:
        yield target


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server that tests share: each makes workflows of its own."""
    settings = {"JOBSPRINT_WEBHOOK_SECRETS": f'{{"github": "{WEBHOOK_SECRET}"}}', "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path_factory.mktemp("server"), settings) as server:
        yield server


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of the test's own."""
    return tmp_path / "data"


def pytest_collection_finish() -> None:
    """What was imported and collected stays for good: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
