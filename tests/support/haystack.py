"""Everything that a server leaves behind or answers, to look for secrets in."""

from __future__ import annotations

import base64
import io
import logging
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import asyncpg

from server.commands.logs import JsonFormatter, TextFormatter, configure_logging
from tests.support.services import POSTGRESQL_URL, need


@dataclass(slots=True)
class Haystack:
    """Pieces of what was seen, each with where it was seen."""

    pieces: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, where: str, what: bytes | str) -> None:
        """Something that was seen."""
        self.pieces.append((where, what.encode() if isinstance(what, str) else what))

    def found(self, secrets: dict[str, str]) -> list[str]:
        """Where which of the secrets are, in any form."""
        forms = {name: forms_of(secret) for name, secret in secrets.items()}
        return [
            f"{name} in {where}"
            for where, what in self.pieces
            for name, needles in forms.items()
            if any(needle in what for needle in needles)
        ]

    def add_folder(self, folder: Path) -> None:
        """Every file in it: the database, its write-ahead log, large values."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.add(f"file {path.relative_to(folder)}", path.read_bytes())

    async def add_postgresql(self, url: str) -> None:
        """Every row of every table."""
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch(
                "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'"
            )
            for (table,) in tables:
                for row in await connection.fetch(f"SELECT * FROM {table}"):  # noqa: S608 - its own name
                    for name, value in row.items():
                        self.add(f"{table}.{name}", value if isinstance(value, bytes) else str(value))
        finally:
            await connection.close()


def forms_of(secret: str) -> list[bytes]:
    """The secret as it may be written somewhere. Independent of what hides it."""
    plain = secret.encode()
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), plain.hex()}
    encoded = {base64.b64encode(plain)[:-4], base64.urlsafe_b64encode(plain)[:-4]}
    return [text.encode() for text in texts] + sorted(encoded)


@contextmanager
def logged(haystack: Haystack) -> Iterator[None]:
    """Have every log line of the level debug, as text and as JSON, fall into the haystack at the end."""
    root = logging.getLogger()
    before, level, stderr = root.handlers[:], root.level, sys.stderr
    levels = {name: logging.getLogger(name).level for name in ("httpx2", "httpcore2", "alembic", "mcp", "aiosqlite")}
    sys.stderr, as_text = io.StringIO(), io.StringIO()
    try:
        configure_logging("debug", "json")
        as_json, sys.stderr = sys.stderr, stderr
        second = logging.StreamHandler(as_text)
        second.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        assert isinstance(root.handlers[0].formatter, JsonFormatter)
        root.addHandler(second)
        root.debug("From here on every line of the level debug is kept.")
        yield
    finally:
        sys.stderr = stderr
        root.handlers[:] = before
        root.setLevel(level)
        for name, each in levels.items():
            logging.getLogger(name).setLevel(each)
        for kind, lines in (("JSON", as_json), ("text", as_text)):
            assert "debug" in lines.getvalue().lower(), "there is no log to look at"
            for number, line in enumerate(lines.getvalue().splitlines()):
                haystack.add(f"{kind} log, line {number}: {line[:120]}", line)


@asynccontextmanager
async def postgresql_of_ones_own() -> AsyncIterator[str]:
    """The URL of an empty database, dropped at the end."""
    need("PostgreSQL")
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(POSTGRESQL_URL)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRESQL_URL.rpartition('/')[0]}/{name}"
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()
