"""A double of an MCP server that is a program, and dies on request.

Run as ``python mortal_program.py FOLDER``. In its folder it keeps what it did (``ledger``), what it was asked
(``attempts``) and its process id (``pid``), and reads when it is to die (``dies``): at its start, or in the next call,
before or after it has done it.

It speaks the protocol of 2025-06-18 by itself, without the SDK: it is started a hundred times.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOLS = [
    {"name": "write", "inputSchema": TEXT},
    {"name": "read", "inputSchema": TEXT, "annotations": {"readOnlyHint": True}},
]
METHOD_NOT_FOUND = -32601


class Mortal:
    """The server; ``folder`` is where it keeps everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def serve(self) -> None:
        """Answer every line of stdin on stdout."""
        self._die_at("start")
        (self._folder / "pid").write_text(str(os.getpid()))
        for line in sys.stdin:
            message = json.loads(line)
            if "id" in message:
                answer = {"jsonrpc": "2.0", "id": message["id"], **self._answer(message["method"], message)}
                sys.stdout.write(f"{json.dumps(answer)}\n")
                sys.stdout.flush()

    def _answer(self, method: str, message: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                server = {"name": "mortal", "version": "1"}
                result: Any = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
            case "ping":
                result = {}
            case "tools/list":
                result = {"tools": TOOLS}
            case "tools/call":
                self._call(message["params"]["name"])
                result = {"content": [{"type": "text", "text": "done"}]}
            case _:
                return {"error": {"code": METHOD_NOT_FOUND, "message": f"There is no method {method!r}."}}
        return {"result": result}

    def _call(self, tool: str) -> None:
        self._note("attempts", tool)
        self._die_at("before")
        self._note("ledger", tool)
        self._die_at("after")

    def _die_at(self, moment: str) -> None:
        """End at once, where this is the moment to do so; once."""
        order = self._folder / "dies"
        if order.exists() and order.read_text() == moment:
            order.unlink()
            os._exit(3)

    def _note(self, name: str, text: str) -> None:
        """A line that is on the disk before anything else happens."""
        with (self._folder / name).open("a") as file:
            file.write(f"{text}\n")


if __name__ == "__main__":
    Mortal(Path(sys.argv[1])).serve()
