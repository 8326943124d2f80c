"""The command ``jobsprint``: ``serve`` over HTTP, ``stdio`` for one client that starts it itself."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from mcp.server.stdio import stdio_server

from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.assembly.foundation import VERSION
from server.commands.backup import backed_up, restored
from server.commands.doctor import examined
from server.commands.garbage import calm_garbage_collection
from server.commands.http_server import HttpServer, new_event_loop
from server.commands.logs import configure_logging
from server.commands.users import users
from server.commands.vault import rotated_vault
from server.commands.workers import work, worker_processes
from server.mcp.stdio_lines import AnsweredLines
from server.settings.settings import BadSettingsError, Settings
from storage.secrets.keys import new_key
from workflow.errors import JobsprintError

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Durable workflow automation that AI agents drive.")
vault = typer.Typer(no_args_is_help=True, help="The keys that credentials are encrypted with.")
cli.add_typer(vault, name="vault")

cli.add_typer(users, name="users")

Host = Annotated[str | None, typer.Option(help="Address to listen on; default JOBSPRINT_HOST.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one; default JOBSPRINT_PORT.")]
ReadOnly = Annotated[
    bool | None,
    typer.Option("--read-only", help="Give MCP clients only tools that change nothing.", show_default=False),
]
Toolset = Annotated[
    str | None,
    typer.Option(help="Give MCP clients the tools of authoring, of running, or all; default JOBSPRINT_TOOLSET."),
]

ConformanceFixtures = Annotated[
    bool, typer.Option("--conformance-fixtures", help="Also offer what the MCP conformance suite asks for.")
]


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    read_only: ReadOnly = None,
    toolset: Toolset = None,
    conformance_fixtures: ConformanceFixtures = False,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Worker processes beside this one, where a broker is set.")
    ] = 0,
) -> None:
    """Serve MCP, the REST API and webhooks over HTTP."""
    settings = _settings(
        host=host,
        port=port,
        read_only=read_only,
        toolset=toolset,
        conformance_fixtures=conformance_fixtures or None,
    )
    if workers and settings.broker_url is None:
        _fail(
            BadSettingsError(
                "Worker processes take executions from a broker, and none is set.",
                fix="Set JOBSPRINT_BROKER_URL, or leave --workers out: the server then runs executions itself.",
            )
        )
    listener = _listen(settings)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})

    async def run() -> None:
        async with (
            running_services(settings, has_http=True) as services,
            http_app(settings, services) as app,
            worker_processes(workers, grace=services.grace),
            calm_garbage_collection(),
        ):

            def stop() -> None:
                services.grace.begin()
                services.leaving.begin()

            server = HttpServer(
                settings,
                app,
                on_stop=stop,
                is_first_run=services.identity is not None and await services.identity.first_run.is_on(),
            )
            await server.serve(sockets=[listener])

    _run(run)


@cli.command()
def stdio(read_only: ReadOnly = None, toolset: Toolset = None) -> None:
    """Serve MCP on standard input and output."""
    settings = _settings(read_only=read_only, toolset=toolset)

    async def run() -> None:
        async with (
            running_services(settings, has_http=False) as services,
            stdio_server() as (incoming, outgoing),
            calm_garbage_collection(),
        ):
            messages = AnsweredLines(incoming, outgoing)
            await services.mcp.run(messages, outgoing, services.mcp.create_initialization_options())

    _run(run)


@cli.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Executions at once; default JOBSPRINT_WORKER_CONCURRENCY."),
    ] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run executions from a broker (JOBSPRINT_BROKER_URL), without serving HTTP or MCP."""
    settings = _settings()

    async def run() -> None:
        async with calm_garbage_collection():
            await work(
                settings,
                concurrency=concurrency or settings.worker_concurrency,
                parent=sys.stdin.buffer if with_parent else None,
            )

    _run(run)


@cli.command()
def doctor() -> None:
    """Check the database, the broker, Redis and the secrets that the settings name, and say what is wrong."""
    settings = _settings()

    async def run() -> None:
        worst = "well"
        async for symptom in examined(settings):
            sys.stdout.write(f"{symptom}\n")
            worst = max(worst, symptom.verdict, key=("well", "look", "wrong").index)
        if worst == "wrong":
            raise typer.Exit(1)

    _run(run)


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also the keys of the data folder: then the file is a secret itself.")
    ] = False,
) -> None:
    """Write the database and its large values to one file, also while a server runs."""
    settings = _settings()
    _say_what(lambda: backed_up(settings, file, with_keys=with_keys))


@cli.command()
def restore(file: Annotated[Path, typer.Argument(help="A file that backup has written.")]) -> None:
    """Restore a backup into an empty data folder."""
    settings = _settings()
    _say_what(lambda: restored(settings, file))


@cli.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{VERSION}\n")


@vault.command("new-key")
def vault_new_key() -> None:
    """Print a new key, for JOBSPRINT_VAULT_KEYS or JOBSPRINT_VAULT_KEY_FILE."""
    sys.stdout.write(f"{new_key()}\n")


@vault.command("rotate")
def vault_rotate(
    make_key: Annotated[
        bool, typer.Option("--new-key", help="First put a new key in front of those in the file or keyring.")
    ] = False,
) -> None:
    """Encrypt every credential with the first key; a server may keep running. Can be interrupted and run again."""
    settings = _settings()

    async def run() -> None:
        lines, is_done = await rotated_vault(settings, make_key=make_key)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        if not is_done:
            raise typer.Exit(1)

    _run(run)


def main() -> None:
    """The console script."""
    cli()


def _settings(**overrides: Any) -> Settings:
    """The settings, with logging set up as they say."""
    try:
        settings = Settings.load(**{name: value for name, value in overrides.items() if value is not None})
    except JobsprintError as error:
        _fail(error)
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _say_what(work: Callable[[], list[str]]) -> None:
    """Do it, and print the lines that it returns."""
    try:
        lines = work()
    except JobsprintError as error:
        _fail(error)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    except JobsprintError as error:
        _fail(error)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        _fail(
            BadSettingsError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
                fix="Set JOBSPRINT_PORT (or --port) to a free port.",
            )
        )
    return listener


def _fail(error: JobsprintError) -> NoReturn:
    """Say what is wrong and end."""
    sys.stderr.write(f"jobsprint: {error.message}{f' {error.fix}' if error.fix else ''}\n")
    raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
