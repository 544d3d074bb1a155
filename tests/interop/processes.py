"""Child processes of the interop tests: started on free loopback ports, and stopped whatever happens."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

HOST = "127.0.0.1"

T = TypeVar("T")


class StartFailed(Exception):
    """A program ended, or did not become ready in time; the message carries the tail of its log."""


def wait_for(what: str, probe: Callable[[], T | None], seconds: float, process: Process | None = None) -> T:
    """Polls `probe` until it returns something true; StartFailed when `process` ends or the deadline passes first."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if process is not None and process.ended():
            raise StartFailed(f"{process.name} ended (status {process.child.returncode}) before: {what}\n{process.tail()}")
        if time.monotonic() > deadline:
            raise StartFailed(f"not within {seconds:.0f} s: {what}" + (f"\n{process.tail()}" if process else ""))
        time.sleep(0.05)


def accepts(port: int, host: str = HOST) -> bool:
    """True when something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def free_port(*neighbours: int, host: str = HOST) -> int:
    """A port P such that P and every P+n for n in `neighbours` can be bound now.

    Drawn below the kernel's ephemeral range, so that no outgoing connection takes it before the program binds it.
    """
    # A generator of its own: a test run that seeds `random` must not make every run try the same ports.
    numbers = random.SystemRandom()
    for _ in range(200):
        port = numbers.randrange(20000, 32000)
        sockets: list[socket.socket] = []
        try:
            for n in (0, *neighbours):
                s = socket.socket()
                sockets.append(s)
                # Some of Apache's listeners cannot be bound to one address, so the port must be free on all of them.
                s.bind(("0.0.0.0" if host == HOST else host, port + n))
            return port
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise StartFailed("no free port found between 20000 and 32000")


class Process:
    """A child in its own process group. It dies with this process, however this one ends."""

    _all: ClassVar[list[Process]] = []

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        pipes: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                # setpriv: even when this process is killed with -9, the kernel ends the child.
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else out,
                stderr=out,
                env=os.environ | (env or {}),
                cwd=cwd,
                start_new_session=True,
            )
        Process._all.append(self)

    @property
    def pid(self) -> int:
        """The program's own process id."""
        return self.child.pid

    def ended(self) -> bool:
        """True once the child is gone."""
        return self.child.poll() is not None

    def tail(self, size: int = 4000) -> str:
        """The end of what the child wrote to its log."""
        try:
            data = self.log.read_bytes()
        except OSError:
            data = b""
        return f"--- {self.log} ---\n" + data[-size:].decode("utf-8", "replace")

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit status (negative: the signal that ended it)."""
        if not self.ended():
            self._signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.child.wait()
        return self._gone()

    def kill(self) -> int:
        """SIGKILL at once, as a power cut for the program."""
        self._signal(signal.SIGKILL)
        self.child.wait()
        return self._gone()

    def _gone(self) -> int:
        self._signal(signal.SIGKILL)  # what the child may have left in its group
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self in Process._all:
            Process._all.remove(self)
        return self.child.returncode

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)


class Workspace:
    """A temporary folder that goes away with the test run, unless it was asked to stay."""

    _all: ClassVar[list[Workspace]] = []

    def __init__(self, prefix: str = "libmq-interop-", keep: bool | None = None) -> None:
        self.keep = bool(os.environ.get("MQ_KEEP")) if keep is None else keep
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        Workspace._all.append(self)

    def remove(self) -> None:
        """Deletes the folder now."""
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)
        if self in Workspace._all:
            Workspace._all.remove(self)


def stop_all() -> None:
    """Kills every child still running and removes every workspace; called at exit as well."""
    for process in reversed(Process._all[:]):
        process.kill()
    for workspace in Workspace._all[:]:
        workspace.remove()


def _ended_by_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def handle_signals() -> None:
    """SIGTERM and SIGHUP end this program through `SystemExit`, so that `stop_all` runs. For programs, not for libraries."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended_by_signal)


atexit.register(stop_all)
