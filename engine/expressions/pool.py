"""Worker processes that run JavaScript, with limits that scripts cannot escape.

QuickJS itself checks a soft limit of CPU time. Some builtins never check it: for these the process is killed when the
hard limit of wall time is over. In both cases only this execution gets an error; a spare worker, already started,
replaces one that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from workflow.errors import ExpressionError

logger = logging.getLogger(__name__)

READ_AHEAD_BYTES = 4 << 20
"""The buffer for an answer; with asyncio's 64 KiB the pipe would stop many times for one answer."""

_HERE = Path(__file__).parent
_FIXES = {
    "expression_timeout": "Let it do less: look for a loop that does not end, or a regular expression that backtracks.",
    "expression_memory": "Let it build less at once.",
    "expression_stack": "Look for a function that calls itself without end.",
    "result_too_large": "Return less at once, for example in several executions, or aggregate before.",
    "expression_crashed": "Run it again; if it happens again, look for code in it that takes much time or memory.",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class SandboxLimits:
    """The limits of one call.

    ``cpu_seconds`` is the limit that QuickJS checks, ``grace_seconds`` the wall time after it until the process is
    killed, ``memory_bytes`` the limit of one context, ``process_bytes`` that of the process's address space.
    ``request_bytes`` of data go to a worker; ``answer_bytes``, with ``answer_values`` JSON values in them, come back.
    """

    cpu_seconds: float = 2.0
    grace_seconds: float = 2.0
    memory_bytes: int = 192 << 20
    process_bytes: int = 512 << 20
    request_bytes: int = 64 << 20
    answer_bytes: int = 32 << 20
    answer_values: int = 2_000_000


class ContextKey(NamedTuple):
    """Whose context it is: a workspace, and one execution in it. No two workspaces ever share one."""

    owner: str
    execution_id: str


CHECKS = ContextKey("", "")
"""The key of checks, which run nothing and keep nothing: each source is parsed in a context of its own."""


class _Worker:
    """One process; one call at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.executions: set[str] = set()

    @classmethod
    async def start(cls, limits: SandboxLimits) -> Self:
        engine = importlib.util.find_spec("_quickjs")
        if engine is None or engine.origin is None:
            raise RuntimeError("the package quickjs-ng is not installed")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-E",
            str(_HERE / "worker.py"),
            str(Path(engine.origin).parent),
            str(_HERE / "javascript"),
            str(limits.process_bytes),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={},
            limit=READ_AHEAD_BYTES,
            start_new_session=True,  # Ctrl-C at the terminal goes to the server alone, which then stops its workers
        )
        return cls(process)

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def call(self, header: bytes, text: bytes, *, most_bytes: int) -> tuple[bytes, bytes]:
        """The mark that says what came of the call, and its answer; ``worker`` describes both.

        Raises:
            EOFError: the process ended, or answered with more than ``most_bytes``.
        """
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            raise RuntimeError("the worker was started without pipes")
        try:
            requests.write(struct.pack(">II", len(header), len(text)) + header)
            requests.write(text)
            await requests.drain()
            length, mark = struct.unpack(">Ic", await answers.readexactly(5))
            if length > most_bytes:
                raise EOFError("the worker's answer is larger than it may be")  # so nothing of it is read
            answer = await answers.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise EOFError("the worker ended") from error
        return mark, answer

    async def last_words(self) -> str:
        """The text that the process wrote to standard error before it ended."""
        errors = self._process.stderr
        return (await errors.read(4_000)).decode(errors="replace").strip() if errors is not None else ""

    async def kill(self) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


class WorkerPool:
    """``size`` workers and one spare, already started; an async context manager that ends all of them."""

    def __init__(self, *, size: int, limits: SandboxLimits) -> None:
        self.limits = limits
        self._size = size
        self._idle: list[_Worker] = []
        self._spare: asyncio.Task[_Worker] | None = None
        self._free = asyncio.Semaphore(size)
        self._every: set[_Worker] = set()

    async def __aenter__(self) -> Self:
        self._idle = [await self._start() for _ in range(self._size)]
        self._spare = asyncio.create_task(self._start(), name="spare-worker")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._spare is not None:
            self._spare.cancel()
            await asyncio.gather(self._spare, return_exceptions=True)
        await asyncio.gather(*(worker.kill() for worker in list(self._every)))
        self._every.clear()

    @property
    def process_ids(self) -> list[int]:
        """The ids of all worker processes, with the spare one."""
        return [worker.process_id for worker in self._every]

    async def call(
        self, task: str, context: ContextKey, text: bytes, *, needs: Iterable[str] = (), is_plain: bool = False
    ) -> bytes:
        """Run ``task`` in the context of this key, with these of the worker's sources; ``worker`` describes them. What
        ``is_plain`` may run in a frozen context of its workspace.

        Raises:
            ExpressionError: it exceeded a limit (``expression_timeout``, ``expression_memory``,
                ``expression_stack``, ``result_too_large``), ended the process (``expression_crashed``), or failed.
        """
        limits = self.limits
        if len(text) > limits.request_bytes:
            raise limit_error("expression_memory", limits)
        header = orjson.dumps(
            {
                "task": task,
                "owner": context.owner,
                "context": context.execution_id,
                "is_plain": is_plain,
                "needs": sorted(needs),
                "seconds": limits.cpu_seconds,
                "bytes": limits.memory_bytes,
                "answer_bytes": limits.answer_bytes,
                "answer_values": limits.answer_values,
            }
        )
        async with self._worker(context) as worker:
            try:
                async with asyncio.timeout(limits.cpu_seconds + limits.grace_seconds):
                    mark, answer = await worker.call(header, text, most_bytes=limits.answer_bytes)
            except TimeoutError:
                raise limit_error("expression_timeout", limits) from None
            except EOFError:
                logger.warning("a JavaScript worker ended by itself: %s", await worker.last_words() or "no message")
                raise limit_error("expression_crashed", limits) from None
            if mark == b"+":
                worker.executions.add(context.execution_id)
        if mark != b"!":
            return answer
        failure = orjson.loads(answer)
        if failure["code"] == "expression_failed":
            raise ExpressionError(failure["message"], fix="Correct the JavaScript; the message says where it fails.")
        raise limit_error(failure["code"], limits)

    def forget(self, execution_id: str) -> None:
        """Stop preferring workers that have this execution's context: no call will use it again."""
        # A worker keeps its latest few contexts, so it drops this one when others come.
        for worker in self._every:
            worker.executions.discard(execution_id)

    @contextlib.asynccontextmanager
    async def _worker(self, context: ContextKey) -> AsyncIterator[_Worker]:
        """A worker for one call, preferably one that has the context; it is killed if the call is interrupted."""
        async with self._free:
            worker = next((each for each in self._idle if context.execution_id in each.executions), None)
            if worker is not None:
                self._idle.remove(worker)
            else:
                worker = self._idle.pop() if self._idle else await self._take_spare()
            try:
                yield worker
            except BaseException:
                await self._discard(worker)
                raise
            self._idle.append(worker)

    async def _take_spare(self) -> _Worker:
        spare, self._spare = self._spare, asyncio.create_task(self._start(), name="spare-worker")
        return await spare if spare is not None else await self._start()

    async def _discard(self, worker: _Worker) -> None:
        self._every.discard(worker)
        await asyncio.shield(worker.kill())

    async def _start(self) -> _Worker:
        worker = await _Worker.start(self.limits)
        self._every.add(worker)
        return worker


def limit_error(code: str, limits: SandboxLimits) -> ExpressionError:
    """The error of expressions that exceeded the limit with this code."""
    messages: dict[str, Any] = {
        "expression_timeout": f"The expressions of this node took longer than {limits.cpu_seconds:g} s.",
        "expression_memory": f"The expressions of this node needed more than {limits.memory_bytes >> 20} MB, or read "
        f"more than {limits.request_bytes >> 20} MB of items.",
        "result_too_large": f"The results are larger than {limits.answer_bytes >> 20} MB, or more than "
        f"{limits.answer_values} values.",
        "expression_stack": "An expression called functions too deeply.",
        "expression_crashed": "The process that evaluates expressions ended while it worked on this node.",
    }
    return ExpressionError(messages[code], code=code, fix=_FIXES[code])
