"""Latency from sender to listener of both brokers at shares of the greatest load, with `mq bench latency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.figures import Maker, bench, done
from tests.harness.broker import create_topic

TOPIC = "Latency"
SHARES = (10, 50, 90)
JVM_WARM_UP = 20
# A fresh one takes no more, and what it cannot take fails.
JVM_WARM_UP_RATE = 3000


def latency(seconds: float, folder: Path, makers: list[Maker]) -> list[dict[str, Any]]:
    """Prints and returns the measurements; loads are shares of what each broker takes itself."""
    results: list[dict[str, Any]] = []
    for make in makers:
        with make(folder / f"latency-{make.__name__}") as broker:
            create_topic(broker.namesrv, TOPIC, 8)
            if broker.kind == "Apache":
                # A JVM first has to compile what is hot.
                done(bench(broker, "latency", TOPIC, "--rate", str(JVM_WARM_UP_RATE), "--seconds", str(JVM_WARM_UP)))
            loads = ["--load", ",".join(map(str, SHARES)), "--seconds", str(max(1, int(seconds)))]
            result: dict[str, Any] = done(bench(broker, "latency", TOPIC, *loads))
            print(f"{broker.kind}: {result['greatest']:,.0f} messages a second from sender to listener")
            for row in result["measurements"]:
                line = f"  at {row['load']:.0f} % ({row['rate']:,.0f}/s)"
                for name in ("send_ms", "end_to_end_ms"):
                    ms = row[name]
                    line += f"; {name}: p50 {ms['p50']:.2f}, p99 {ms['p99']:.2f}, p99.9 {ms['p999']:.2f}"
                print(line, flush=True)
            results.append({"broker": broker.kind, **result})
    return results
