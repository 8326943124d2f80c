"""The command ``jobsprint`` out of a process that has loaded it once: tests start it some two hundred times.

Python and its imports take longer to start than most of these tests take. So one process imports the command and
forks for every start: arguments, environment, folder, standard streams and signals are those of the caller. What
they call in its place is a script that needs no imports worth mentioning.

Run as ``python -m tests.support.preloaded SOCKET`` it is that process.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
"""prctl(2): what this process is sent when its parent has ended."""

_SCRIPT = """#!{python} -ESs
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
asked = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), os.getpid()]).encode()
fds = array.array("i", [0, 1, 2]).tobytes()
server.sendmsg([len(asked).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
server.sendall(asked)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
for fd in (0, 1, 2):
    os.close(fd)
os._exit(server.recv(1)[0])
"""


@contextmanager
def preloaded(folder: Path) -> Iterator[str]:
    """The path of the script to call in place of the command, until the context is left."""
    path = folder / "preloaded.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.preloaded", str(path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.read(1) == b"!", "nobody listens for callers of the command"
        script = folder / "jobsprint"
        script.write_text(_SCRIPT.format(python=sys.executable, path=str(path)))
        script.chmod(0o755)
        try:
            yield str(script)
        finally:
            process.terminate()


def forked_pid(script: str, caller_pid: int) -> int:
    """The fork that runs for a caller of the script; the caller itself where that is no such script."""
    noted = Path(script).with_name(f"{caller_pid}.pid")
    return int(noted.read_text()) if noted.exists() else caller_pid


class _Preloaded:
    """Forks for each connection, and keeps it until the fork has ended: with its caller a fork is killed."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._forks: dict[int, socket.socket] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._wakeup, wakeup = socket.socketpair()
        for each in (self._wakeup, wakeup):
            each.setblocking(False)
        self._ends = wakeup
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def serve(self) -> NoReturn:
        """Until the process is ended."""
        signal.set_wakeup_fd(self._ends.fileno())
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._start(self._listener.accept()[0])
                elif key.fileobj is self._wakeup:
                    self._wakeup.recv(1_000)
                    self._reap()
                else:
                    self._pass_on(key.data, key.fileobj)

    def _start(self, caller: socket.socket) -> None:
        size, ancillary, _, _ = caller.recvmsg(4, socket.CMSG_SPACE(3 * 4))
        streams = array.array("i")
        streams.frombytes(ancillary[0][2])
        asked = b""
        while len(asked) < int.from_bytes(size, "big"):
            asked += caller.recv(1 << 20)
        arguments, environment, folder, caller_pid = json.loads(asked)
        pid = os.fork()
        if pid == 0:
            caller.close()
            self._run(arguments, environment, folder, list(streams))
        (self._folder / f"{caller_pid}.pid").write_text(str(pid))
        for stream in streams:
            os.close(stream)
        self._forks[pid] = caller
        self._selector.register(caller, selectors.EVENT_READ, pid)

    def _run(self, arguments: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> NoReturn:
        from server.commands.cli import main

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        # What the other callers hold must end with them, not with this fork.
        for each in (self._listener, self._wakeup, self._ends, *self._forks.values()):
            each.close()
        self._selector.close()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["jobsprint", *arguments]
        for place, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
            setattr(sys, name, open(place, mode, buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # what Python would do with it
            sys.excepthook(*sys.exc_info())
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def _reap(self) -> None:
        for pid in list(self._forks):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                caller = self._forks.pop(pid)
                if caller in self._selector.get_map():
                    self._selector.unregister(caller)
                code = os.waitstatus_to_exitcode(status)
                with caller:
                    try:
                        caller.send(bytes([code if code >= 0 else 128 - code]))
                    except BrokenPipeError:  # the caller was killed
                        continue

    def _pass_on(self, pid: int, caller: Any) -> None:
        try:
            sent = caller.recv(1)
        except ConnectionResetError:
            sent = b""
        if not sent:
            self._selector.unregister(caller)
        os.kill(pid, sent[0] if sent else signal.SIGKILL)


def main() -> NoReturn:
    """Say that callers may come, load the command meanwhile, and serve."""
    preloaded = _Preloaded(Path(sys.argv[1]))
    sys.stdout.write("!")
    sys.stdout.flush()
    import server.commands.serving  # noqa: F401

    gc.collect()
    gc.freeze()
    preloaded.serve()


if __name__ == "__main__":
    main()
