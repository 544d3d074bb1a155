"""``python3 -m tests.bench``: messages a second and per CPU second, of both brokers and of each language's client.

All in one run on one machine, so that ratios mean something; the raw figures go to ``build/bench.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.harness.broker import MQ, ROOT, create_topic
from tests.harness.runner import LANGUAGES, Runner
from tests.interop import apache

TICKS = os.sysconf("SC_CLK_TCK")
# Seconds of load before a measurement; a JVM, broker or load, first has to compile what is hot.
WARM_UP, JVM_WARM_UP = 4.0, 20.0
TOPIC = "Load"  # "BenchmarkTest" is a system topic


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


def measure(
    what: str, broker: Broker, topic: str, command: list[str], seconds: float, env: dict[str, str] | None = None
) -> Figure:
    """Runs a load for ``seconds`` after a warm-up and counts what the broker received meanwhile."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while broker.messages(topic) == 0:
                if child.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)} sends nothing:\n{log.read().decode()[-2000:]}")
                time.sleep(0.1)
            time.sleep(JVM_WARM_UP if env or broker.kind == "Apache" else WARM_UP)
            before = (broker.messages(topic), time.monotonic(), cpu_seconds(broker.pid), cpu_seconds(child.pid))
            time.sleep(seconds)
            after = (broker.messages(topic), time.monotonic(), cpu_seconds(broker.pid), cpu_seconds(child.pid))
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    messages, took, broker_cpu, client_cpu = (b - a for a, b in zip(before, after, strict=True))
    figure = Figure(what, broker.kind, int(messages), took, broker_cpu, client_cpu)
    print(figure.line(), flush=True)
    return figure


def drain(broker: Broker, topic: str) -> Figure:
    """Consumes a backlog with ``mq bench consume``."""
    count = broker.backlog(topic)
    before = cpu_seconds(broker.pid)
    command = [MQ, "bench", "consume", topic, "--group", "drain", "--count", str(count), "-n", broker.namesrv, "--json"]
    done = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    figure = Figure(
        "drain a backlog with mq bench",
        broker.kind,
        done["messages"],
        done["seconds"],
        cpu_seconds(broker.pid) - before,
        done["cpu_seconds"],
    )
    print(figure.line(), flush=True)
    return figure


def brokers(seconds: float, folder: Path) -> list[Figure]:
    figures: list[Figure] = []
    for make in (our_broker, apache_broker):
        for size in (128, 1024):
            # Each size on a fresh broker, as the figures of others were taken.
            with make(folder / f"{make.__name__}-{size}") as broker:
                create_topic(broker.namesrv, TOPIC, 8)
                home = folder / f"producer-{broker.kind}-{size}"
                load = "org.apache.rocketmq.example.benchmark.Producer"
                arguments = ["-n", broker.namesrv, "-t", TOPIC, "-w", "64", "-s", str(size)]
                command, env = apache.java(load, apache.NEWEST, home, jvm=apache.FULL, args=arguments)
                figures.append(
                    measure(f"Apache's Producer, 64 threads, {size} B", broker, TOPIC, command, seconds, env)
                )
                for topic, options, what in [
                    ("sync", ["--threads", "64"], "64 tasks"),
                    ("window", ["--threads", "4", "--window", "256"], "4 × 256 in flight"),
                ]:
                    create_topic(broker.namesrv, topic, 8)
                    load_time = str(int(seconds * 3) + 30)
                    ours = [
                        MQ,
                        "bench",
                        "produce",
                        topic,
                        "--size",
                        str(size),
                        "--seconds",
                        load_time,
                        "-n",
                        broker.namesrv,
                    ]
                    figures.append(measure(f"mq bench, {what}, {size} B", broker, topic, [*ours, *options], seconds))
                if size == 128:
                    figures.append(drain(broker, "window"))
    return figures


def c_client(broker: Broker, count: int, folder: Path) -> list[Figure]:
    """The C ABI, through ffi/examples/bench.c."""
    target = Path(MQ).parent
    program = str(folder / "bench")
    source = str(ROOT / "ffi" / "examples" / "bench.c")
    (folder / "libmq.so.0").symlink_to(target / "libmq.so")
    compiler = ["cc", "-O2", "-o", program, source, f"-I{ROOT}/ffi/include", f"-L{target}", "-lmq", "-lpthread"]
    subprocess.run([*compiler, f"-Wl,-rpath,{folder}"], check=True)
    figures: list[Figure] = []
    modes = [("sync", 5, 64), ("async", 1, 256), ("push", 1, 1), ("push", 1, 32), ("pull", 1, 32)]
    for mode, share, parallel in modes:
        # What was sent without waiting is then consumed.
        topic = "c-sync" if mode == "sync" else "c-async"
        if mode in ("sync", "async"):
            create_topic(broker.namesrv, topic, 8)
        cpu = cpu_seconds(broker.pid)
        command = [program, broker.namesrv, topic, str(count // share), "128", mode, str(parallel)]
        done = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=300).stdout)
        used = cpu_seconds(broker.pid) - cpu
        figure = Figure(
            f"c, {mode} × {parallel}, 128 B",
            "ours",
            done.get("sent", done.get("received")),
            done["seconds"],
            used,
            done["cpu_seconds"],
        )
        print(figure.line(), flush=True)
        figures.append(figure)
    return figures


def languages(count: int, folder: Path) -> list[Figure]:
    with our_broker(folder / "languages") as broker:
        figures = c_client(broker, count, folder)
        for language in LANGUAGES:
            runner = Runner(language, folder / f"{language}.log")
            try:
                runner.call("client.open", client="c", namesrv=broker.namesrv, settings={})
                runner.call("producer.open", producer="p", client="c", group="senders", settings={})
                for mode, share in (("sync", 10), ("async", 1)):
                    topic = f"{language}-{mode}"
                    create_topic(broker.namesrv, topic, 8)
                    load = {"producer": "p", "topic": topic, "size": 128, "mode": mode, "window": 256}
                    runner.call("send_load", 300, count=count // 50, **load)
                    cpu = cpu_seconds(broker.pid)
                    done = runner.call("send_load", 300, count=count // share, **load)
                    figure = Figure(
                        f"{language}, {mode}, 128 B",
                        "ours",
                        done["sent"],
                        done["seconds"],
                        cpu_seconds(broker.pid) - cpu,
                        done["cpu_seconds"],
                    )
                    print(figure.line(), flush=True)
                    figures.append(figure)
                runner.call("client.close", client="c")
            finally:
                runner.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15, help="length of each measurement")
    parser.add_argument("--count", type=int, default=200_000, help="messages that each language sends")
    parser.add_argument("--part", choices=["brokers", "languages"], action="append")
    arguments = parser.parse_args()
    parts = arguments.part or ["brokers", "languages"]
    print(f"{'':<50}{'messages/s':>14}{'/ broker CPU s':>14}{'/ client CPU s':>14}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="mq-bench-") as name:
        if "brokers" in parts:
            figures += brokers(arguments.seconds, Path(name))
        if "languages" in parts:
            figures += languages(arguments.count, Path(name))
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    print(f"raw figures: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
