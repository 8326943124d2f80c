"""``jobsprint users``: accounts, managed by the server's operator."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from workflow.errors import JobsprintError
from workflow.identity import LOCAL_ID

if TYPE_CHECKING:
    from server.auth.services import AuthServices

CLIENT = "jobsprint users"

users = typer.Typer(no_args_is_help=True, help="Manage the accounts of this server.")

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
Name = Annotated[str | None, typer.Option(help="What to call the user; by default the start of the address.")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
Again = Annotated[bool, typer.Option("--undo", help="Let the user in again.")]


@users.command()
def add(email: Email, name: Name = None, password_stdin: FromInput = False) -> None:
    """Make an account. The first gets the workspace that the server had without accounts."""

    async def work(auth: AuthServices, password: str) -> None:
        user = await auth.accounts.add(email=email, password=password, name=name, client=CLIENT)
        owned = await auth.users.standing(user.id, LOCAL_ID)
        has_local = f", and owns the workspace {LOCAL_ID!r}" if owned else ""
        _say(f"{user.email} has an account now{has_local}.")

    _run_with_password(work, password_stdin)


@users.command()
def password(email: Email, password_stdin: FromInput = False) -> None:
    """Give a user another password; their sessions end."""

    async def work(auth: AuthServices, password: str) -> None:
        user = await auth.accounts.reset_password(email, password, client=CLIENT)
        _say(f"{user.email} has another password now; their sessions have ended.")

    _run_with_password(work, password_stdin)


@users.command("list")
def list_users() -> None:
    """List the accounts."""

    async def work(auth: AuthServices) -> None:
        for user in await auth.users.all():
            state = "disabled" if user.disabled_at else "elsewhere" if user.password_hash is None else "active"
            _say(f"{user.email}\t{user.name}\t{state}\t{user.created_at:%Y-%m-%d}")

    _run(work)


@users.command()
def disable(email: Email, undo: Again = False) -> None:
    """Disable a user; their sessions end, their work stays."""

    async def work(auth: AuthServices) -> None:
        user = await auth.accounts.set_disabled(email, is_disabled=not undo, client=CLIENT)
        _say(f"{user.email} can log in again." if undo else f"{user.email} is disabled; their sessions have ended.")

    _run(work)


def _run_with_password(work: Callable[[AuthServices, str], Awaitable[None]], from_input: bool) -> None:
    if from_input:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        from server.settings.settings import BadSettingsError

        _fail(
            BadSettingsError("There is no terminal to ask for the password on.", fix="Send it with --password-stdin.")
        )
    _run(lambda auth: work(auth, password))


def _run(work: Callable[[AuthServices], Awaitable[None]]) -> None:
    from server.commands.accounts import opened_accounts
    from server.commands.logs import configure_logging
    from server.settings.settings import Settings

    async def main() -> None:
        async with opened_accounts(Settings.load()) as auth:
            await work(auth)

    try:
        configure_logging("warning", "text")
        asyncio.run(main())
    except JobsprintError as error:
        _fail(error)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _fail(error: JobsprintError) -> NoReturn:
    """Say what is wrong and end."""
    sys.stderr.write(f"jobsprint: {error.message}{f' {error.fix}' if error.fix else ''}\n")
    raise typer.Exit(1) from error
