"""Logs on standard error, as text for people or as one JSON object per line for programs."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import orjson

from workflow.redaction import redacted_text


class TextFormatter(logging.Formatter):
    """One line per record, and its traceback; secrets are hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return redacted_text(super().format(record))


class JsonFormatter(logging.Formatter):
    """One object per record: ``time`` (UTC), ``level``, ``logger``, ``message``, ``exception`` if there is one; secrets
    are hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        content = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted_text(record.getMessage()),
        }
        if record.exc_info:
            content["exception"] = redacted_text(self.formatException(record.exc_info))
        return orjson.dumps(content, option=orjson.OPT_UTC_Z).decode()


def configure_logging(level: str, style: Literal["text", "json"]) -> None:
    """Send everything of ``level`` and above to standard error; standard output is left to the protocol of stdio."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if style == "json" else TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These log every request or statement at the level info; httpcore2 logs the headers of every answer at debug, and
    # some answers repeat the secrets of their requests.
    # The broker's client logs a traceback whenever a connection ends; we log one line.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    for noisy in ("httpx2", "httpcore2", "alembic", "mcp", "aiosqlite"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
