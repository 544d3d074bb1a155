"""Both brokers under the same loads: sends one by one, with a window, in lists, and a backlog that is consumed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Broker, Figure, Maker, bench, cpu_seconds, run
from tests.harness.broker import create_topic
from tests.interop import apache

# Seconds of load before a measurement; a JVM, broker or load, first has to compile what is hot.
WARM_UP, JVM_WARM_UP = 4.0, 20.0
TOPIC = "Load"  # "BenchmarkTest" is a system topic


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


def brokers(seconds: float, folder: Path, makers: list[Maker]) -> list[Figure]:
    figures: list[Figure] = []
    for make in makers:
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
                    ("lists", ["--threads", "16", "--batch", "32"], "16 tasks, lists of 32"),
                ]:
                    create_topic(broker.namesrv, topic, 8)
                    load_time = str(int(seconds * 3) + 30)
                    ours = bench(broker, "produce", topic, "--size", str(size), "--seconds", load_time, *options)
                    figures.append(measure(f"mq bench, {what}, {size} B", broker, topic, ours, seconds))
                if size == 128:
                    count = str(broker.backlog("window"))
                    command = bench(broker, "consume", "window", "--group", "drain", "--count", count)
                    figures.append(run("drain a backlog with mq bench", broker, command))
    return figures
