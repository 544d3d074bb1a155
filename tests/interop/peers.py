"""The peers: Apache's Java and Go clients, each one process driven by JSON lines.

A command is an object with `id` and `op`; its answer carries the same `id`, `ok`, and `error` when it is not ok. Operations:

    producer  name namesrv group [compress_over compress_type(Java) timeout_ms alone(Java) heartbeat_ms(Java)]
    send      name topic [mode: sync|async|oneway|batch] [count first size prefix tags keys queue batch delay_level properties
              shard(Java): what the queue is chosen by]
              answers `sent`: a list of {status msg_id offset_msg_id broker queue offset}; `{i}` in keys is the message's number
    consumer  name namesrv group topic [expression expression_type from: first|last|timestamp timestamp model orderly fail_times
              retry_level max_reconsume work_ms alone(Java) heartbeat_ms(Java)]; every delivery is a line with `event: message`,
              and fails while reconsume_times < fail_times
    suspend, go_on  name                         (Java) of a consumer
    puller    name namesrv group topic [assign: queue ids; expression from auto_commit alone]
              (Java) the lite pull consumer; its operations: poll [timeout_ms] {messages}, seek queue offset|time|end|-,
              pause queues, resume queues, commit, position {committed}
    close     name
    forget    namesrv                            closes what is kept open to a NameServer that goes away
    offsets   name topic queue [time]            (Java) {min max earliest at_time}
    query     name topic key|msg_id [max]        (Java) {messages}
    admin     args                               (Java) one mqadmin command: {out failure}

The body of message i is `prefix`, six digits, ':' and letters up to `size`; see `body`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.interop import apache
from tests.interop.processes import Process, StartFailed, Workspace

HERE = Path(__file__).resolve().parent
BUILD = apache.TOOLS / "interop"
OLDER = "4.9.8"
"""The newest Java client of the 4.9 line; there is no broker of that version."""

Fields = dict[str, Any]


class PeerFailed(Exception):
    """A command was answered with an error, or what was awaited did not come."""


def body(number: int, prefix: str = "", size: int = 0) -> bytes:
    """What a peer sends as message `number`."""
    head = f"{prefix}{number:06d}:".encode()
    return head + bytes(97 + (number + i) % 26 for i in range(len(head), size))


def sha256(data: bytes) -> str:
    """Hexadecimal, as in the events."""
    return hashlib.sha256(data).hexdigest()


class Peer:
    """One running peer; any thread may call it, and it answers one call after the other."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self.workspace = Workspace(f"peer-{name}-")
        self.name = name
        log = self.workspace.path / "peer.log"
        self.process = Process(name, command, log=log, env=env, cwd=self.workspace.path, pipes=True)
        self._ready = False
        self._answers: dict[int, Fields] = {}
        self._events: list[Fields] = []
        self._news = threading.Condition()
        self._last = 0
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"{name}-reader", daemon=True)
        self._reader.start()
        self._until("it is ready", lambda: self._ready or None, 60)

    def _read(self) -> None:
        assert self.process.child.stdout is not None
        for line in self.process.child.stdout:
            message = json.loads(line)
            message["at"] = time.monotonic()
            with self._news:
                match message.get("event"):
                    case None:
                        self._answers[message["id"]] = message
                    case "ready":
                        self._ready = True
                    case _:
                        self._events.append(message)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _until(self, what: str, probe: Callable[[], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                if found := probe():
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    raise PeerFailed(f"{self.name}: not within {seconds:.0f} s: {what}\n{self.process.tail()}")
                if not self._reader.is_alive():
                    raise PeerFailed(f"{self.name} ended before: {what}\n{self.process.tail()}")
                self._news.wait(min(left, 1))

    def call(self, op: str, seconds: float = 90, **arguments: Any) -> Fields:
        """Runs one command and returns its answer; PeerFailed when it is not ok."""
        with self._writing:
            self._last += 1
            number = self._last
            assert self.process.child.stdin is not None
            line = json.dumps({"id": number, "op": op} | arguments) + "\n"
            try:
                self.process.child.stdin.write(line.encode())
                self.process.child.stdin.flush()
            except (OSError, ValueError) as error:
                raise PeerFailed(f"{self.name} does not listen: {error}\n{self.process.tail()}") from None
        answer: Fields = self._until(f"the answer to {line.strip()}", lambda: self._answers.pop(number, None), seconds)
        if not answer["ok"]:
            raise PeerFailed(f"{self.name}: {op} failed: {answer['error']}\n{self.process.tail()}")
        return answer

    def send(self, name: str, topic: str, **arguments: Any) -> list[Fields]:
        """The receipts, in the order of the messages; of a batch one each. Fails when one of them is not SEND_OK."""
        sent: list[Fields] = self.call("send", name=name, topic=topic, **arguments)["sent"]
        for receipt in sent:
            if receipt.get("status") != "SEND_OK":
                raise PeerFailed(f"{self.name}: send to {topic}: {receipt}")
        return sent

    def admin(self, *args: str) -> str:
        """What one mqadmin command printed (Java peer only)."""
        answer = self.call("admin", args=args)
        if answer["failure"] or "SubCommandException" in answer["out"] or " command failed" in answer["out"]:
            raise PeerFailed(f"mqadmin {' '.join(args)}: {answer['failure']}{answer['out']}")
        out: str = answer["out"]
        return out

    def messages(self, consumer: str) -> list[Fields]:
        """All deliveries to a consumer so far."""
        with self._news:
            return [e for e in self._events if e["consumer"] == consumer]

    def take(self, consumer: str) -> list[Fields]:
        """The deliveries to a consumer since the last call; they are not kept."""
        with self._news:
            taken = [e for e in self._events if e["consumer"] == consumer]
            self._events = [e for e in self._events if e["consumer"] != consumer]
            return taken

    def wait_messages(self, consumer: str, enough: Callable[[list[Fields]], bool], seconds: float = 60) -> list[Fields]:
        """Waits until the deliveries to a consumer satisfy `enough`; returns them."""

        def probe() -> list[Fields] | None:
            found = [e for e in self._events if e["consumer"] == consumer]
            return found if enough(found) else None

        try:
            found: list[Fields] = self._until("enough deliveries", probe, seconds)
            return found
        except PeerFailed as e:
            have = [(m["topic"], m["queue"], m["offset"], m.get("body")) for m in self.messages(consumer)]
            raise PeerFailed(f"{e}\ndelivered to {consumer} so far: {len(have)}: {have[:20]}") from None

    def kill(self) -> None:
        """SIGKILL; what it had told before is kept."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reader.join(10)
        self.close()

    def close(self) -> None:
        """Ends the peer by closing its input, which makes it shut its clients down; after 30 s by force."""
        if not self.process.ended() and self.process.child.stdin is not None:
            try:
                self.process.child.stdin.close()
                self.process.child.wait(30)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.process.kill()
        self._reader.join(5)
        self.workspace.remove()


def _built(name: str, sources: Sequence[Path], build: Callable[[Path], None]) -> Path:
    """The folder BUILD/name-HASH of these sources, built when it is not there."""
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]
    target: Path = BUILD / f"{name}-{digest}"
    if not target.is_dir():
        part = BUILD / f"{name}-{digest}.{os.getpid()}.part"
        part.mkdir(parents=True, exist_ok=True)
        build(part)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():  # else another run was faster
                raise
    return target


def _run(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StartFailed(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")


def java_peer(*, encoding: str = "JSON", version: str = apache.NEWEST) -> Peer:
    """Apache's Java client, of `apache.NEWEST` or `OLDER`; `encoding` is how it writes headers: JSON or ROCKETMQ."""
    sources = sorted((HERE / "java").glob("*.java"))
    library = apache.library(version)
    # The peer itself reads and writes JSON with what only the newer one has.
    json_jar = next(apache.library(apache.NEWEST).glob("fastjson2-[0-9]*.jar"))

    def build(target: Path) -> None:
        texts = [target / source.name for source in sources]
        for source, text in zip(sources, texts, strict=True):
            # Some classes have moved since.
            moved = ("rocketmq.remoting.protocol.", "rocketmq.common.protocol.") if version == OLDER else ("", "")
            text.write_text(source.read_text().replace(*moved))
        path = f"{library}/*:{json_jar}"
        _run(["javac", "-nowarn", "-d", str(target), "-cp", path, *map(str, texts)], HERE)

    classes = _built(f"java-{version}", sources, build)
    home = Workspace("peer-java-home-")
    # Queues are shared out again every second instead of every 20 s.
    jvm = [*apache.SMALL, "-Drocketmq.client.rebalance.waitInterval=1000"]
    command, env = apache.java("Peer", version, home.path, jvm=jvm, encoding=encoding, classes=[classes, json_jar])
    return Peer("java" if version == apache.NEWEST else "older", command, env)


def go_peer() -> Peer:
    """Apache's Go client."""
    folder = HERE / "go"

    def build(target: Path) -> None:
        _run(["go", "build", "-o", str(target / "peer"), "."], folder)

    program = _built("go", [folder / "main.go", folder / "go.mod", folder / "go.sum"], build) / "peer"
    home = Workspace("peer-go-home-")  # where the offsets of broadcasting consumers go
    return Peer("go", [str(program)], {"HOME": str(home.path)})


def cpp_peer() -> Peer:
    """Apache's C++ client, in the Python package that carries it; no other build of it is published."""
    folder = HERE / "cpp"
    pinned = folder / "requirements.txt"

    def build(target: Path) -> None:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        _run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), "-r", str(pinned)], HERE)

    installed = _built("cpp", [pinned], build)
    home = Workspace("peer-cpp-home-")  # where its logs go
    return Peer("cpp", [sys.executable, str(folder / "peer.py"), str(installed)], {"HOME": str(home.path)})


def node_peer() -> Peer:
    """ali-ons, a client in JavaScript that Alibaba Cloud's users know."""
    folder = HERE / "node"
    locked = [folder / "package.json", folder / "package-lock.json"]

    def build(target: Path) -> None:
        for file in locked:
            shutil.copy(file, target)
        _run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], target)

    installed = _built("node", locked, build)
    home = Workspace("peer-node-home-")
    return Peer("node", ["node", str(folder / "peer.js"), str(installed)], {"HOME": str(home.path)})
