"""The answer of inspect_execution from one Starlette route, without MCP: ``POST / {"execution_id"}``.

``python -m benchmarks.mcp_servers.bare_route DATA_FOLDER``
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecutions
from engine.executions.reader import ExecutionReader
from server.commands.garbage import calm_garbage_collector
from server.commands.http_server import new_event_loop
from storage.clock import SystemClock
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.executions.blobs import BlobStore
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from storage.ids import UuidFactory
from tools.executions.views import execution_summary, overview
from workflow.identity import LOCAL_ID


async def serve(data_dir: Path) -> None:
    """Serve until the process is ended."""
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    lease = Lease(owner=new_id(), seconds=60)
    async with (
        Database(f"sqlite:///{data_dir / 'jobsprint.db'}") as database,
        SqlExecutionStore(database, blobs=BlobStore(data_dir / "blobs"), lease=lease) as store,
    ):
        announcements = Announcements(bus=InProcessEventBus(), clock=clock, new_id=new_id)
        reader = ExecutionReader(store=store, local=LocalExecutions(), remote=None, announcements=announcements)

        async def inspect(request: Request) -> Response:
            """The overview of an execution, with nothing done to it: no secrets looked for, no tokens counted."""
            asked = orjson.loads(await request.body())
            inspection = await reader.inspect(LOCAL_ID, asked["execution_id"])
            body = orjson.dumps({**execution_summary(inspection.execution), **overview(inspection)})
            return Response(body, media_type="application/json")

        app = Starlette(routes=[Route("/", inspect, methods=["POST"])])
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        calm_garbage_collector()
        await uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None)).serve(sockets=[listener])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
