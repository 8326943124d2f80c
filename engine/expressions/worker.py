"""The process in which JavaScript runs. ``pool`` starts it as a script, with ``python -I -S -E``.

It imports nothing of Jobsprint, reads its sources, gives up all rights that it can give up, and then answers requests
from standard input on standard output, until standard input closes:

* request: two lengths (4 bytes each, big-endian), a JSON header, a text for the prelude's function;
* answer: a length (4 bytes), one byte ``=``, ``+`` or ``!``, the text: the result, or ``{"code", "message"}``. With
  ``+`` the execution has a context of its own here, which a later call of it may need.

The header: ``task`` (``evaluate``, ``script`` or ``check``), ``owner`` and ``context`` (a workspace and a key: calls
share a context where both are equal), ``is_plain``, ``needs`` (of :data:`SUPPLIES`, may be empty), ``seconds`` of CPU,
``bytes`` of memory, ``answer_bytes`` and ``answer_values``.

What ``is_plain`` runs in a frozen context of its workspace first: nothing in it can be changed, so executions may share
it, and its sources are compiled once. Whatever fails there runs again in the execution's own context, and that counts:
there it may write what is frozen here, and is not strict.

``check`` runs nothing of the text, and has a new context for each source that it looks at.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, BinaryIO

CONTEXTS_KEPT = 32
CONTEXT_MAX_BYTES = 16 << 20
"""A context that uses more than this after a call is dropped."""
KEPT_BYTES = 64 << 20
"""All contexts that are kept use at most this much: what one workspace leaves here must not be missing to the next."""

STACK_BYTES = 512 << 10

DIGITS_ALIKE = bytes(ord("0") if chr(code).isdigit() and code < 128 else ord(" ") for code in range(256))
LONG_NUMBER = b"0" * 16
"""Sixteen digits, as the smallest number has that is not safe: 9007199254740992."""
LARGEST_SAFE = 2**53 - 1
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
WHOLE_NUMBER = re.compile(STRING.pattern + rb"|(?<![\d.eE+-])(-?\d{16,})(e0)?(?![\d.eE])")

# x86-64 system calls that the loop, CPython's allocator and its exit need (asm/unistd_64.h): read, write, close,
# poll, mmap, mprotect, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn, sched_yield, mremap, madvise,
# nanosleep, getpid, exit, gettimeofday, futex, clock_gettime, clock_nanosleep, exit_group, getrandom.
ALLOWED_CALLS = (0, 1, 3, 7, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 35, 39, 60, 96, 202, 228, 230, 231, 318)


SUPPLIES = {
    "script.js": ("script.js",),
    "dates.js": ("dates.js", "zones.js", "zones.json"),
    "zones.js": ("zones.js", "zones.json"),
    "zones.json": ("zones.json",),
    "intl.js": ("intl.js", "locales.txt", "numbers.js", "collation.js", "dates.js", "zones.js", "zones.json"),
    "locales.txt": ("locales.txt",),
    "numbers.js": ("numbers.js",),
    "collation.js": ("collation.js",),
    "luxon.min.js": ("luxon.min.js", "intl.js", "locales.txt", "numbers.js", "dates.js", "zones.js", "zones.json"),
    "jmespath.js": ("jmespath.js",),
}
FROZEN_PARTS = {"script.js": (), "dates.js": ("Date",), "intl.js": ("Date", "Intl")}
"""The globals that a frozen context makes before it is frozen, by what a task needs. What needs more has no place in
one: the objects of luxon can be changed through its functions."""
"""The texts that a context gets when it needs one of them: those that it will need next as well."""


class Sources:
    """The JavaScript sources of contexts, read before the process gives up the right to open files.

    ``prelude`` runs in each new context; ``texts`` are given to contexts that need them.
    """

    def __init__(self, folder: str) -> None:
        def text(name: str) -> str:
            here = name in os.listdir(folder)
            with open(os.path.join(folder, name if here else f"vendor/{name}"), encoding="utf-8") as file:
                return file.read()

        self.grammar = text("grammar.js")
        parts = (self.grammar, *map(text, ("exact.js", "globals.js", "values.js", "scope.js", "freeze.js")))
        self.prelude = f"({text('prelude.js')})({','.join(parts)})"
        self.texts = {name: text(name) for name in SUPPLIES}


def new_context(engine: Any, *, memory_bytes: int) -> Any:
    """A context of QuickJS with a heap of its own; nothing in it can reach another one."""
    context = engine.Context()
    context.set_memory_limit(memory_bytes)
    context.set_max_stack_size(STACK_BYTES)
    return context


class Context:
    """One JavaScript context with the prelude, and the texts that calls have needed so far."""

    def __init__(self, engine: Any, sources: Sources, *, memory_bytes: int) -> None:
        self._texts = sources.texts
        self._supplied: set[str] = set()
        self.context = new_context(engine, memory_bytes=memory_bytes)
        self._run = self.context.eval(sources.prelude)
        self.used_bytes = 0

    def run(self, task: str, text: str, *, is_exact: bool, needs: Iterable[str], seconds: float) -> str:
        """The prelude's answer, a line for each result. ``needs`` are texts that the task is known to need."""
        self.context.set_time_limit(seconds)
        self._supply(needs)
        answer = str(self._run(task, text, is_exact))
        while answer.startswith("!"):
            # Something that nobody foresaw was needed. The task has no effect outside its context, so it runs again.
            self._supply(answer[1:].split(","))
            answer = str(self._run(task, text, is_exact))
        return answer

    def freeze(self, needs: Iterable[str]) -> None:
        """Make all that tasks with these needs use, and let nothing change it from now on."""
        self._supply(needs)
        self._run("freeze", ",".join(sorted({part for need in needs for part in FROZEN_PARTS[need]})))

    def try_frozen(self, task: str, text: str, *, is_exact: bool, seconds: float) -> str | None:
        """The answer, of a frozen context, where nothing failed."""
        self.context.set_time_limit(seconds)
        answer = str(self._run(task, text, is_exact))
        has_failed = answer.startswith(("!", "{")) or "\n{" in answer
        return None if has_failed else answer

    def _supply(self, needs: Iterable[str]) -> None:
        for name in (each for need in needs for each in SUPPLIES[need]):
            if name not in self._supplied:
                self._run("supply", name, self._texts[name])
                self._supplied.add(name)

    def measure(self) -> None:
        """Set ``used_bytes`` to what the context uses now."""
        self.used_bytes = int(self.context.memory()["memory_used_size"])


class Loop:
    """Contexts by workspace and key, and the loop over requests."""

    def __init__(self, engine: Any, sources: Sources) -> None:
        self._engine = engine
        self._sources = sources
        self._contexts: OrderedDict[tuple[str, ...], Context] = OrderedDict()
        self._next: Context | None = None

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer until the requests end."""
        while True:
            lengths = requests.read(8)
            if len(lengths) < 8:
                return
            header_bytes, text_bytes = struct.unpack(">II", lengths)
            header = json.loads(requests.read(header_bytes))
            mark, data = self._answer(header, requests.read(text_bytes))
            answers.write(struct.pack(">I", len(data)) + mark)
            answers.write(data)
            answers.flush()
            if self._next is None:  # while nobody waits for it: a context for the next execution
                self._next = Context(self._engine, self._sources, memory_bytes=header["bytes"])

    def _answer(self, header: dict[str, Any], text: bytes) -> tuple[bytes, bytes]:
        try:
            if header["task"] == "check":
                return b"=", self._checked(header, text)
            mark, found = self._run(header, text)
            answer = with_whole_numbers(found.encode("utf-8", "surrogatepass"))
            if len(answer) > header["answer_bytes"] or has_more_values(answer, header["answer_values"]):
                return b"!", _failure("result_too_large", "")
        except MemoryError:
            return b"!", _failure("expression_memory", "")
        except self._engine.StackOverflow as error:
            return b"!", _failure("expression_stack", str(error))
        except self._engine.JSException as error:
            return b"!", _failure(_code_of(str(error)), str(error))
        return mark, answer

    def _run(self, header: dict[str, Any], text: bytes) -> tuple[bytes, str]:
        task, request, is_exact, seconds = header["task"], text.decode(), has_large_numbers(text), header["seconds"]
        if header["is_plain"] and FROZEN_PARTS.keys() >= set(header["needs"]):
            began = time.process_time()
            answer = self._run_frozen(header, request, is_exact=is_exact)
            if answer is not None:
                return b"=", answer
            seconds = max(seconds / 2, seconds - (time.process_time() - began))
        key = (header["owner"], header["context"])
        context = self._contexts.pop(key, None)
        if context is None:
            context, self._next = self._next, None
        if context is None:
            context = Context(self._engine, self._sources, memory_bytes=header["bytes"])
        answer = context.run(task, request, is_exact=is_exact, needs=header["needs"], seconds=seconds)
        self._keep(key, context)
        return b"+", answer

    def _run_frozen(self, header: dict[str, Any], request: str, *, is_exact: bool) -> str | None:
        """The answer of the workspace's frozen context, or ``None`` where something failed there."""
        needs = {"script.js", *header["needs"]}
        key = (header["owner"], "", *sorted(needs))
        context = self._contexts.pop(key, None)
        if context is None:
            context = Context(self._engine, self._sources, memory_bytes=header["bytes"])
            context.freeze(needs)
        answer = context.try_frozen(header["task"], request, is_exact=is_exact, seconds=header["seconds"])
        self._keep(key, context)
        return answer

    def _keep(self, key: tuple[str, ...], context: Context) -> None:
        context.measure()
        if context.used_bytes <= CONTEXT_MAX_BYTES:
            self._contexts[key] = context
            self._make_room()

    def _make_room(self) -> None:
        """Drop the contexts that were not used for longest, where there are too many or too large ones."""
        kept_bytes = sum(each.used_bytes for each in self._contexts.values())
        while len(self._contexts) > CONTEXTS_KEPT or kept_bytes > KEPT_BYTES:
            kept_bytes -= self._contexts.popitem(last=False)[1].used_bytes

    def _checked(self, header: dict[str, Any], text: bytes) -> bytes:
        """Why each of the sources, ``[kind, source]`` with a function's name in ``grammar.js``, is none; or null."""
        found: list[Any] = []
        for kind, source in json.loads(text):
            context = new_context(self._engine, memory_bytes=header["bytes"])
            context.set_time_limit(header["seconds"])
            check = context.eval(
                f"((forms) => (kind, text) => JSON.stringify(forms[kind](JSON.parse(text))))({self._sources.grammar})"
            )
            try:
                found.append(json.loads(check(kind, json.dumps(source))))
            except self._engine.StackOverflow:
                found.append("SyntaxError: it is nested too deeply")
        return json.dumps(found).encode()


def _code_of(message: str) -> str:
    """The code of the limit that quickjs-ng's message is about."""
    if "interrupted" in message:
        return "expression_timeout"
    if "out of memory" in message or message.strip() in ("", "null"):
        return "expression_memory"
    if "stack" in message:
        return "expression_stack"
    return "expression_failed"


def _failure(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message[:500]}).encode()


def has_large_numbers(text: bytes) -> bool:
    """Whether JSON has whole numbers in it that JavaScript's numbers may not hold; true also for some without."""
    return LONG_NUMBER in text.translate(DIGITS_ALIKE) and any(found[1] for found in WHOLE_NUMBER.finditer(text))


def with_whole_numbers(answer: bytes) -> bytes:
    """The lines of JSON with whole numbers as they are meant: those with the mark ``e0`` (``exact.js``) are exact.

    Others of that size come from JavaScript's numbers, which are floats there.
    """
    if LONG_NUMBER not in answer.translate(DIGITS_ALIKE):
        return answer
    return WHOLE_NUMBER.sub(_whole_number, answer)


def _whole_number(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return found[0]
    if found[2]:
        return found[1]
    return found[1] if abs(int(found[1])) <= LARGEST_SAFE else found[1] + b".0"


def has_more_values(answer: bytes, most: int) -> bool:
    """Whether JSON has more than so many values: small texts make large lists."""
    if answer.count(b",") + answer.count(b"[") + answer.count(b"{") <= most:
        return False
    outside = STRING.sub(b"", answer)
    return outside.count(b",") + outside.count(b"[") + outside.count(b"{") > most


def give_up_rights(memory_bytes: int) -> None:
    """Limit everything that this process does from now on; even builtins that never return cannot escape."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    if sys.platform == "linux":
        _restrict_on_linux(filter_calls=os.uname().machine == "x86_64")


def _restrict_on_linux(*, filter_calls: bool) -> None:
    """Have the kernel kill this process when its parent ends, and refuse other system calls (prctl(2), seccomp(2))."""
    import ctypes

    set_death_signal, set_no_new_privileges, set_seccomp, filter_mode = 1, 38, 22, 2
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if not filter_calls:
        return
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050001
    x86_64 = 0xC000003E

    def step(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    count = len(ALLOWED_CALLS)
    program = b"".join(
        [
            step(load, 0, 0, 4),  # the architecture
            step(equal, 0, count + 1, x86_64),
            step(load, 0, 0, 0),  # the call's number
            *(step(equal, count - place, 0, call) for place, call in enumerate(ALLOWED_CALLS)),
            step(answer, 0, 0, refuse),
            step(answer, 0, 0, allow),
        ]
    )
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    description = Program(len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(set_no_new_privileges, 1, 0, 0, 0) or libc.prctl(
        set_seccomp, filter_mode, ctypes.byref(description), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the system-call filter was refused")


def main() -> None:
    """``worker.py <folder of _quickjs> <folder of the JavaScript> <bytes of address space>``."""
    library_folder, source_folder, memory_bytes = sys.argv[1:4]
    sys.path.append(library_folder)
    import _quickjs

    os.environ["TZ"] = "UTC0"
    time.tzset()  # the engine's own dates are in UTC, whatever the machine's zone is
    loop = Loop(_quickjs, Sources(source_folder))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    give_up_rights(int(memory_bytes))
    loop.serve(requests, answers)


if __name__ == "__main__":
    main()
