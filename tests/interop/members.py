"""Members of a consumer group: Apache's clients and ours, each a process of its own that can be killed or frozen."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Protocol

from tests.harness.runner import Runner, RunnerDied, RunnerError, body_of, message
from tests.interop import peers, remoting
from tests.interop.peers import Fields, Peer, PeerFailed
from tests.interop.processes import wait_for

GET_CONSUMER_LIST_BY_GROUP = 38


class Member(Protocol):
    """A process with at most one consumer. `mark` is the part of its client id that no other member has."""

    kind: str
    pid: int
    mark: str

    def join(self, namesrv: str, group: str, topic: str, quick: bool = False) -> None:
        """Starts a consumer; a `quick` one tells brokers every second that it lives."""

    def leave(self) -> None:
        """Closes the consumer."""

    def produce(self, namesrv: str, group: str) -> None:
        """Opens the producer."""

    def stop_producing(self) -> None:
        """Closes the producer."""

    def send(self, topic: str, word: str, number: int) -> str:
        """Sends `text(word, number)`; returns the broker that acknowledged it, or an error that is `SEND_FAILED`."""

    def found(self) -> list[Fields]:
        """All deliveries of this process so far: queue, offset, broker and body of each."""

    def drain(self) -> list[Fields]:
        """The deliveries since the last call, which are not kept; not to be mixed with `found`."""

    def end(self) -> None:
        """Ends the process, also a frozen one."""


SEND_FAILED = (PeerFailed, RunnerError, RunnerDied, FutureTimeout)


def text(word: str, number: int) -> str:
    """The body of a message of the load."""
    return f"{word}-{number:06d}:"


class Theirs:
    """Apache's Java or Go client."""

    def __init__(self, peer: Peer) -> None:
        self.kind, self.pid = peer.name, peer.process.pid
        self.peer = peer
        # The Java client's id carries the name of its consumer, the Go client's too.
        self.mark = f"{'go' if peer.name == 'go' else 'java'}-{self.pid}-member"

    def join(self, namesrv: str, group: str, topic: str, quick: bool = False) -> None:
        """See `Member`. The Go client's heartbeat cannot be set."""
        more = {"heartbeat_ms": 1000} if quick else {}
        self.peer.call("consumer", name="member", namesrv=namesrv, group=group, topic=topic, alone=True, **more)

    def leave(self) -> None:
        """See `Member`."""
        self.peer.call("close", name="member")

    def produce(self, namesrv: str, group: str) -> None:
        """See `Member`."""
        self.peer.call("producer", name="load", namesrv=namesrv, group=group, timeout_ms=10_000)

    def stop_producing(self) -> None:
        """Closes the producer."""
        self.peer.call("close", name="load")

    def send(self, topic: str, word: str, number: int) -> str:
        """See `Member`."""
        (receipt,) = self.peer.send("load", topic, prefix=f"{word}-", first=number)
        return str(receipt["broker"])

    def found(self) -> list[Fields]:
        """See `Member`."""
        return self.peer.messages("member")

    def drain(self) -> list[Fields]:
        """See `Member`."""
        return self.peer.take("member")

    def end(self) -> None:
        """See `Member`."""
        self.peer.kill()


class Ours:
    """A runner of the scenario harness: our client in one of the languages."""

    def __init__(self, language: str, log: Path) -> None:
        self.kind = language
        self.runner = Runner(language, log)
        self.pid = self.runner.pid
        self.mark = f"{language}-{self.pid}"
        self._found: list[Fields] = []
        self._joined = 0

    def join(self, namesrv: str, group: str, topic: str, quick: bool = False) -> None:
        """See `Member`."""
        self._joined += 1
        name = f"member-{self._joined}"
        settings = {"instance_name": self.mark} | ({"heartbeat_broker_interval": "1s"} if quick else {})
        self.runner.call("client.open", client=name, namesrv=namesrv, settings=settings)
        self.runner.call(
            "consumer.open",
            consumer=name,
            client=name,
            group=group,
            subscriptions={topic: "*"},
            settings={"consume_from_where": "FIRST"},
            behaviour={},
        )

    def leave(self) -> None:
        """See `Member`."""
        self.runner.call("client.close", client=f"member-{self._joined}")

    def produce(self, namesrv: str, group: str) -> None:
        """See `Member`."""
        settings = {"instance_name": f"{self.mark}-load", "poll_name_server_interval": "1s"}
        self.runner.call("client.open", client="load", namesrv=namesrv, settings=settings)
        self.runner.call("producer.open", producer="load", client="load", group=group, settings={"send_timeout": "10s"})

    def stop_producing(self) -> None:
        """See `Member`."""
        self.runner.call("client.close", client="load")

    def send(self, topic: str, word: str, number: int) -> str:
        """See `Member`. The receipt names no broker."""
        sent = message(topic, text(word, number).encode())
        self.runner.call("send", producer="load", message=sent, mode="sync")
        return ""

    def found(self) -> list[Fields]:
        """See `Member`."""
        self._found += self.drain()
        return self._found

    def drain(self) -> list[Fields]:
        """See `Member`."""
        found: list[Fields] = []
        for number in range(1, self._joined + 1):
            with contextlib.suppress(TimeoutError):
                while True:
                    event = self.runner.event(f"member-{number}", 0)
                    if event["event"] == "message":
                        m = event["message"]
                        delivery = {"queue": m["queue_id"], "offset": m["queue_offset"], "broker": m["broker_name"]}
                        found.append(delivery | {"body": body_of(m).decode()})
        return found

    def end(self) -> None:
        """See `Member`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_for("its last lines are read", lambda: not self.runner.alive, 60)
        self.runner.close()


def make(kind: str, work: Path) -> Member:
    """A new process: java, older, go, or the name of one of our languages."""
    match kind:
        case "java":
            return Theirs(peers.java_peer())
        case "older":
            return Theirs(peers.java_peer(version=peers.OLDER))
        case "go":
            return Theirs(peers.go_peer())
        case language:
            return Ours(language, work / f"{language}.log")


def ids_of(broker: str, group: str) -> list[str]:
    """The ids of a group's members, as the broker tells them to each of them."""
    answer = remoting.call(broker, GET_CONSUMER_LIST_BY_GROUP, {"consumerGroup": group})
    return sorted(json.loads(answer.body)["consumerIdList"]) if answer.code == 0 else []


def shares(queues: int, ids: Iterable[str]) -> dict[str, set[int]]:
    """What each member gets of one broker's queues by Apache's AllocateMessageQueueAveragely."""
    members = sorted(ids)
    count, rest = divmod(queues, len(members))
    shares: dict[str, set[int]] = {}
    at = 0
    for index, member in enumerate(members):
        size = count + (index < rest)
        shares[member] = set(range(at, at + size))
        at += size
    return shares
