"""PostgreSQL, RabbitMQ and Redis of the test's own, which it may stop, kill and empty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port, is_listening
from tests.support.services import go_without

START_SECONDS = 60.0


def program(pattern_folder: str, name: str) -> str:
    """The path of a server's program, which distributions keep out of the PATH."""
    found = sorted(Path("/").glob(f"{pattern_folder}/{name}"))
    return str(found[-1]) if found else shutil.which(name) or go_without(f"{name} is not installed")


@dataclass(slots=True, kw_only=True)
class Service:
    """A server process; ``stop_signal`` ends it in order."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """What runs it in the foreground."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What it needs there beyond ours."""
        return {}

    def user(self) -> str | None:
        """Who runs it, where that cannot be root."""
        return None

    async def start(self) -> None:
        """Start it; return when it answers."""
        log = self.folder / f"{self.name}.log"
        process = self._process = await asyncio.to_thread(self._launch, log)
        async with asyncio.timeout(START_SECONDS):
            while not await self.answers():
                if process.poll() is not None:
                    raise AssertionError(f"{self.name} ended:\n{log.read_text()[-3000:]}")
                await asyncio.sleep(0.1)

    def _launch(self, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as lines:
            return subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=lines,
                cwd=self.folder,
                user=self.user(),
                start_new_session=True,
            )

    async def answers(self) -> bool:
        """Whether somebody listens on its port."""
        return await is_listening(self.port)

    async def end(self, number: signal.Signals | None = None) -> None:
        """Send it a signal, by default the one that stops it in order, and wait until it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        if number is signal.SIGKILL:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.send_signal(number or self.stop_signal)
        await asyncio.to_thread(self._process.wait, START_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class Postgresql(Service):
    """A cluster of the test's own."""

    name: str = "postgresql"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": without waiting for clients

    def user(self) -> str | None:
        """It refuses to be run by root."""
        return "postgres" if os.geteuid() == 0 else None

    def make(self) -> None:
        """Lay out its folder."""
        data = self.folder / "pg"
        data.mkdir()
        if self.user() is not None:
            owner = pwd.getpwnam("postgres")
            os.chown(data, owner.pw_uid, owner.pw_gid)
            for parent in [self.folder, *self.folder.parents]:
                if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        initdb = program("usr/lib/postgresql/*/bin", "initdb")
        subprocess.run(
            [initdb, "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"],
            check=True,
            capture_output=True,
            user=self.user(),
        )

    def command(self) -> Sequence[str]:
        """The postmaster."""
        postgres = program("usr/lib/postgresql/*/bin", "postgres")
        return [postgres, "-D", str(self.folder / "pg"), "-p", str(self.port), "-k", "", "-h", "127.0.0.1"]

    @property
    def url(self) -> str:
        """Its one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@dataclass(slots=True, kw_only=True)
class Redis(Service):
    """A server that keeps nothing on the disk."""

    name: str = "redis"

    def command(self) -> Sequence[str]:
        """The server."""
        redis = program("usr/bin", "redis-server")
        return [redis, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"


@dataclass(slots=True, kw_only=True)
class Rabbitmq(Service):
    """A node of the test's own."""

    name: str = "rabbitmq"
    dist_port: int = field(default_factory=free_port)

    def command(self) -> Sequence[str]:
        """The node."""
        return [program("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "rabbitmq-server")]

    def environment(self) -> Mapping[str, str]:
        """Its name, ports and folders."""
        plugins = self.folder / "enabled_plugins"
        plugins.write_text("[].")
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"chaos{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "rabbit-logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
        }

    @property
    def url(self) -> str:
        """Its first virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"
