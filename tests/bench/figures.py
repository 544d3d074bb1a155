"""What is measured: processes, brokers, and a figure with its line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.broker import MQ
from tests.interop import apache

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Figure:
    """One measurement."""

    what: str
    broker: str
    messages: int
    seconds: float
    broker_cpu: float
    client_cpu: float

    def line(self) -> str:
        per = [self.messages / max(1e-9, n) for n in (self.seconds, self.broker_cpu, self.client_cpu)]
        return f"{self.what:<42}{self.broker:<8}" + "".join(f"{number:>14,.0f}" for number in per)


class Broker:
    """A running broker with its process id."""

    def __init__(self, kind: str, namesrv: str, pid: int) -> None:
        self.kind, self.namesrv, self.pid = kind, namesrv, pid

    def messages(self, topic: str) -> int:
        """How many messages the topic has received."""
        return sum(queue["max_offset"] for queue in self._queues(topic))

    def backlog(self, topic: str) -> int:
        """How many messages of the topic are there; a disk that is nearly full takes the oldest."""
        return sum(queue["max_offset"] - queue["min_offset"] for queue in self._queues(topic))

    def _queues(self, topic: str) -> list[dict[str, int]]:
        command = [MQ, "admin", "topic", "status", topic, "-n", self.namesrv, "--json"]
        status = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        queues: list[dict[str, int]] = status["queues"]
        return queues


@contextmanager
def our_broker(folder: Path) -> Iterator[Broker]:
    command = [MQ, "broker", "--data", str(folder / "data"), "--port", "0", "--namesrv-port", "0"]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = time.monotonic() - start
    fields = dict(pair.split("=", 1) for pair in line.split()[1:])
    print(f"ours: ready after {ready * 1000:.0f} ms, {resident_mib(process.pid):.1f} MiB idle")
    try:
        yield Broker("ours", fields["namesrv"], process.pid)
        print(f"ours: {resident_mib(process.pid):.1f} MiB afterwards (mapped log files included)")
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def apache_broker(folder: Path) -> Iterator[Broker]:
    start = time.monotonic()
    namesrv = apache.NameServer(folder / "namesrv").start()
    # As its users run it: a gigabyte a log file and a heap that is no bottleneck.
    broker = apache.Broker(
        folder / "broker", namesrv.address, conf={"mappedFileSizeCommitLog": 1 << 30}, jvm=apache.FULL
    )
    try:
        broker.start()
        assert broker.process is not None
        pid = broker.process.pid
        print(f"Apache: ready after {time.monotonic() - start:.1f} s, {resident_mib(pid):.0f} MiB idle (broker alone)")
        yield Broker("Apache", namesrv.address, pid)
        print(f"Apache: {resident_mib(pid):.0f} MiB afterwards")
    finally:
        broker.stop()
        namesrv.stop()


Maker = Callable[[Path], AbstractContextManager[Broker]]
MAKERS: dict[str, Maker] = {"ours": our_broker, "apache": apache_broker}


def done(command: list[str], seconds: float = 300) -> dict[str, float]:
    """Runs a program that prints what it measured as one line of JSON."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {ended.returncode}\n{ended.stdout}{ended.stderr}"[-3000:])
    result: dict[str, float] = json.loads(ended.stdout)
    return result


def run(what: str, broker: Broker, command: list[str]) -> Figure:
    """The figure of a program that measures itself: a bench of ours, or one that reports as they do."""
    cpu = cpu_seconds(broker.pid)
    result = done(command)
    messages = next(result[key] for key in ("messages", "sent", "received") if key in result)
    used = cpu_seconds(broker.pid) - cpu
    figure = Figure(what, broker.kind, int(messages), result["seconds"], used, result["cpu_seconds"])
    print(figure.line(), flush=True)
    return figure


def bench(broker: Broker, what: str, topic: str, *options: str) -> list[str]:
    """The command line of `mq bench`."""
    return [MQ, "bench", what, topic, "-n", broker.namesrv, "--json", *options]
