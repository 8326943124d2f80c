"""The command ``jobsprint``: ``serve`` over HTTP, ``stdio`` for one client that starts it itself."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from server.commands.users import users
from workflow.errors import JobsprintError

if TYPE_CHECKING:
    from server.settings.settings import Settings

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
    from server.commands.serving import serve_http

    settings = _settings(
        host=host,
        port=port,
        read_only=read_only,
        toolset=toolset,
        conformance_fixtures=conformance_fixtures or None,
    )
    with _failures_said():
        serve_http(settings, workers=workers)


@cli.command()
def stdio(read_only: ReadOnly = None, toolset: Toolset = None) -> None:
    """Serve MCP on standard input and output."""
    from server.commands.serving import serve_stdio

    settings = _settings(read_only=read_only, toolset=toolset)
    with _failures_said():
        serve_stdio(settings)


@cli.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Executions at once; default JOBSPRINT_WORKER_CONCURRENCY."),
    ] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run executions from a broker (JOBSPRINT_BROKER_URL), without serving HTTP or MCP."""
    from server.commands.serving import run_worker

    settings = _settings()
    with _failures_said():
        run_worker(settings, concurrency=concurrency or settings.worker_concurrency, with_parent=with_parent)


@cli.command()
def doctor() -> None:
    """Check the database, the broker, Redis and the secrets that the settings name, and say what is wrong."""
    from server.commands.doctor import examined

    settings = _settings()

    async def run() -> None:
        worst = "well"
        async for symptom in examined(settings):
            sys.stdout.write(f"{symptom}\n")
            worst = max(worst, symptom.verdict, key=("well", "look", "wrong").index)
        if worst == "wrong":
            raise typer.Exit(1)

    with _failures_said():
        asyncio.run(run())


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also the keys of the data folder: then the file is a secret itself.")
    ] = False,
) -> None:
    """Write the database and its large values to one file, also while a server runs."""
    from server.commands.backup import backed_up

    settings = _settings()
    _say_what(lambda: backed_up(settings, file, with_keys=with_keys))


@cli.command()
def restore(file: Annotated[Path, typer.Argument(help="A file that backup has written.")]) -> None:
    """Restore a backup into an empty data folder."""
    from server.commands.backup import restored

    settings = _settings()
    _say_what(lambda: restored(settings, file))


@cli.command()
def version() -> None:
    """Print the version."""
    from server.version import VERSION

    sys.stdout.write(f"{VERSION}\n")


@vault.command("new-key")
def vault_new_key() -> None:
    """Print a new key, for JOBSPRINT_VAULT_KEYS or JOBSPRINT_VAULT_KEY_FILE."""
    from storage.secrets.keys import new_key

    sys.stdout.write(f"{new_key()}\n")


@vault.command("rotate")
def vault_rotate(
    make_key: Annotated[
        bool, typer.Option("--new-key", help="First put a new key in front of those in the file or keyring.")
    ] = False,
) -> None:
    """Encrypt every credential with the first key; a server may keep running. Can be interrupted and run again."""
    from server.commands.vault import rotated_vault

    settings = _settings()

    async def run() -> None:
        lines, is_done = await rotated_vault(settings, make_key=make_key)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        if not is_done:
            raise typer.Exit(1)

    with _failures_said():
        asyncio.run(run())


def main() -> None:
    """The console script. What commands import is kept: looking for garbage in it takes a quarter of their time."""
    gc.disable()
    cli()


def _settings(**overrides: Any) -> Settings:
    """The settings, with logging set up as they say."""
    from server.commands.logs import configure_logging
    from server.settings.settings import Settings

    with _failures_said():
        settings = Settings.load(**{name: value for name, value in overrides.items() if value is not None})
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _say_what(work: Callable[[], list[str]]) -> None:
    """Do it, and print the lines that it returns."""
    with _failures_said():
        lines = work()
    sys.stdout.write("".join(f"{line}\n" for line in lines))


@contextmanager
def _failures_said() -> Iterator[None]:
    try:
        yield
    except JobsprintError as error:
        _fail(error)


def _fail(error: JobsprintError) -> NoReturn:
    """Say what is wrong and end."""
    sys.stderr.write(f"jobsprint: {error.message}{f' {error.fix}' if error.fix else ''}\n")
    raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
