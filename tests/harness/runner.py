"""One language runner: a child process that is asked over stdin and answers over stdout, a JSON object a line."""

from __future__ import annotations

import base64
import itertools
import json
import os
import queue
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

RUNNERS = Path(__file__).resolve().parent.parent / "runners"
WITHOUT = os.environ.get("MQ_WITHOUT", "").split()
"""What this machine lacks, as `.ci/lacking` tells."""
LANGUAGES = [name for name in ("python", "node", "cpp", "dotnet", "php", "c") if name not in WITHOUT]
PATIENCE = 60.0
"""Longest time in seconds that an answer may take; every wait ends by then."""


class RunnerError(Exception):
    """The error that a runner reported, with the fields of the error table."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(f"{fields.get('code')}: {fields.get('message')}")
        self.fields = fields
        self.code: str = fields.get("code", "")
        self.message: str = fields.get("message", "")


class RunnerDied(Exception):
    """The runner's process ended while something was expected of it."""


class Runner:
    """Speaks to one runner process; safe to use from several threads."""

    def __init__(self, language: str, log: Path) -> None:
        command = RUNNERS / language / "run"
        if not command.exists():
            raise FileNotFoundError(f"{command} is missing: the language has no runner")
        self.language = language
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [str(command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self._ids = itertools.count(1)
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._events: dict[str, queue.Queue[dict[str, Any]]] = {}
        self._dead: Exception | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """The runner's own process id: its `run` script hands over to it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._dead is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                answer = json.loads(line)
            except ValueError:
                self._log.write(b"not JSON on stdout: " + line)
                continue
            if "id" in answer:
                with self._lock:
                    future = self._pending.pop(answer["id"], None)
                if future is not None:
                    future.set_result(answer)
            else:
                self._channel(answer.get("consumer", answer.get("event", ""))).put(answer)
        self._process.wait()
        self._dead = RunnerDied(f"the {self.language} runner ended with status {self._process.returncode}")
        with self._lock:
            pending, self._pending = self._pending, {}
        for future in pending.values():
            future.set_exception(self._dead)

    def _channel(self, name: str) -> queue.Queue[dict[str, Any]]:
        with self._lock:
            return self._events.setdefault(name, queue.Queue())

    def start(self, op: str, **fields: Any) -> Future[dict[str, Any]]:
        """Sends a request; the future gets the whole answer line."""
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            if self._dead:
                raise self._dead
            number = next(self._ids)
            self._pending[number] = future
            line = json.dumps({"id": number, "op": op, **fields}).encode() + b"\n"
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except OSError as error:
                raise RunnerDied(f"the {self.language} runner does not listen any more") from error
        return future

    def call(self, op: str, patience: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Sends a request and waits for its result; raises what the runner reports."""
        answer = self.start(op, **fields).result(patience)
        if "error" in answer:
            raise RunnerError(answer["error"])
        return answer.get("ok") or {}

    def event(self, channel: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The next event of a consumer (by its handle) or of a kind such as ``log``."""
        try:
            return self._channel(channel).get(timeout=patience)
        except queue.Empty:
            raise TimeoutError(f"{self.language}: no event from {channel} within {patience} s") from None

    def close(self) -> None:
        """Ends the process: politely, then for sure."""
        try:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._log.close()


def message(topic: str, body: bytes, **fields: Any) -> dict[str, Any]:
    """A message as runners take it."""
    return {"topic": topic, "body": base64.b64encode(body).decode(), **fields}


def body_of(received: dict[str, Any]) -> bytes:
    """The body of a message as runners report it."""
    return base64.b64decode(received["body"])
