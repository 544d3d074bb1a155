"""The soak: all clients send and consume while brokers and clients are stopped, killed and frozen at random.

    python3 -m tests.soak [--minutes N | --seconds N] [--seed S] [--report FILE]

Fails when an acknowledged message is not consumed, when one comes that nobody sent, or when a process that lived through the
run holds more memory, threads, sockets or files than after its start. The seed decides which faults come and when; how they
fall together with the load is the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.harness.runner import LANGUAGES
from tests.interop import members, ours, processes, remoting
from tests.interop.load import Load
from tests.interop.members import Member
from tests.interop.processes import StartFailed, Workspace, wait_for
from tests.soak.faults import FAULTS
from tests.soak.measure import MIB, Sample

TOPIC, QUEUES = "Soak", 16
PAUSE = 0.05
"""Seconds between two messages of each client."""
WARM = 5.0
"""Seconds after which a process is as large as it is meant to be, but for what the limits of growth allow."""
CALM = 0.2
"""Part of the run, at its end, without faults."""


class Soak:
    """The broker, the clients, what was sent and consumed, and what each process held."""

    def __init__(self, work: Path, rng: random.Random) -> None:
        self.work, self.rng = work, rng
        self.broker = ours.Broker(work / "broker", conf={"mappedFileSizeCommitLog": 16 << 20}).start()
        remoting.create_topic(self.broker.address, TOPIC, QUEUES)
        self.loads: list[Load] = []
        self.deliveries: dict[str, Counter[str]] = {"all": Counter(), "watcher": Counter()}
        self.faults: Counter[str] = Counter()
        self.first: dict[int, tuple[str, float, Sample]] = {}
        self.delivered_by: Counter[int] = Counter()
        self.members = {kind: self.start_member(kind) for kind in ("java", "go", *LANGUAGES)}
        # One that nothing is done to, in a group of its own: it must get everything too, and stay as large as it was.
        self.watcher = members.make("python", work)
        self.watcher.join(self.namesrv, "G-watcher", TOPIC)
        for member in self.members.values():
            load = Load(member, TOPIC, PAUSE)
            self.loads.append(load)
            load.start()

    @property
    def namesrv(self) -> str:
        """Stays the same over restarts of the broker."""
        return self.broker.namesrv

    def start_member(self, kind: str) -> Member:
        """A new process of that kind, which sends and consumes."""
        member = members.make(kind, self.work)
        member.produce(self.namesrv, f"P-{kind}")
        member.join(self.namesrv, "G-all", TOPIC)
        return member

    def replace(self, kind: str) -> None:
        """A new process takes the place of one that is gone."""
        member = self.start_member(kind)
        self.members[kind] = member
        next(load for load in self.loads if load.member.kind == kind).member = member

    def look(self) -> None:
        """Takes deliveries off the clients, and a first look at each process that has warmed up."""
        for member in self.members.values():
            self.collect(member)
        for m in self.watcher.drain():
            self.deliveries["watcher"][m["body"]] += 1
            self.delivered_by[self.watcher.pid] += 1
        now = time.monotonic()
        for name, pid in self.pids().items():
            if pid not in self.first and (sample := Sample.of(pid)):
                self.first[pid] = (name, now, sample)
            elif pid in self.first and now - self.first[pid][1] < WARM and (sample := Sample.of(pid)):
                self.first[pid] = (name, self.first[pid][1], sample)

    def collect(self, member: Member) -> None:
        """Takes the deliveries off one member."""
        for m in member.drain():
            self.deliveries["all"][m["body"]] += 1
            self.delivered_by[member.pid] += 1

    def pids(self) -> dict[str, int]:
        """Name → process, of all that runs now."""
        own = {kind: member.pid for kind, member in self.members.items()}
        return own | {"broker": self.broker.process.pid, "watcher": self.watcher.pid}

    def run(self, seconds: float) -> None:
        """Faults at random times, then calm; afterwards everything must have been consumed."""
        start = time.monotonic()
        next_fault = start + WARM
        while (now := time.monotonic()) < start + seconds:
            if next_fault <= now < start + (1 - CALM) * seconds:
                name, fault = self.rng.choice(FAULTS)
                self.faults[name] += 1
                print(f"{now - start:7.1f} s  {name}", flush=True)
                fault(self)
                next_fault = time.monotonic() + self.rng.uniform(0.5, 3)
            self.look()
            time.sleep(0.1)
        for load in self.loads:
            load.stop()
        acknowledged = {text for load in self.loads for text in load.acknowledged}

        def all_consumed() -> bool:
            self.look()
            return all(acknowledged <= counts.keys() for counts in self.deliveries.values())

        try:
            wait_for("all that was acknowledged is consumed", all_consumed, 90)
        except StartFailed:
            for group, counts in self.deliveries.items():
                lost = acknowledged - counts.keys()
                print(f"group {group}: {len(lost)} acknowledged messages were not consumed: {sorted(lost)[:10]}")

    def report(self) -> dict[str, object]:
        """What happened; `wrong` is empty when all is well."""
        wrong: list[str] = []
        acknowledged = {text for load in self.loads for text in load.acknowledged}
        failed = {text for load in self.loads for text, _ in load.failed}
        for group, counts in self.deliveries.items():
            if lost := acknowledged - counts.keys():
                wrong.append(f"group {group} did not get {len(lost)} acknowledged messages, such as {min(lost)}")
            if strange := counts.keys() - acknowledged - failed:
                wrong.append(f"group {group} got {len(strange)} messages that nobody sent, such as {min(strange)}")
        held = {}
        for name, pid in self.pids().items():
            name_then, _, before = self.first[pid]
            after = Sample.of(pid)
            if after is None:
                wrong.append(f"{name} is gone")
                continue
            own = name_then not in ("java", "go")  # the heaps of others are theirs
            wrong += [f"{name}: {text}" for text in before.grown_to(after, self.delivered_by[pid], own)]
            held[name] = {
                "memory MiB": f"{before.memory / MIB:.1f} {after.memory / MIB:.1f}",
                "threads": f"{before.threads} {after.threads}",
                "sockets": f"{before.sockets} {after.sockets}",
                "files": f"{before.files} {after.files}",
            }
        return {
            "acknowledged": len(acknowledged),
            "failed sends": len(failed),
            "faults": dict(self.faults),
            "delivered again": {g: sum(c.values()) - len(c) for g, c in self.deliveries.items()},
            "held after the start and at the end": held,
            "wrong": wrong,
        }

    def end(self) -> None:
        """Ends all processes."""
        for member in (*self.members.values(), self.watcher):
            member.end()
        self.broker.kill()


def main() -> int:
    """The program; see the top of this file."""
    parser = argparse.ArgumentParser(description="All clients under random faults.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10)
    length.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--report", type=Path, help="where to write the report as JSON")
    options = parser.parse_args()
    processes.handle_signals()
    # .NET collects no young object before there are as many as fit the processor's cache, which may be 100 MiB. With
    # four, growth that is no such garbage shows.
    for prefix in ("DOTNET", "COMPlus"):
        os.environ[f"{prefix}_GCgen0size"] = "400000"
    print(f"seed {options.seed}", flush=True)
    workspace = Workspace("soak-")
    soak = Soak(workspace.path, random.Random(options.seed))
    try:
        soak.run(options.seconds or options.minutes * 60)
        report = soak.report() | {"seed": options.seed}
        tail = soak.broker.process.tail(2000)
    finally:
        soak.end()
    workspace.remove()
    text = json.dumps(report, indent=1)
    print(text)
    if options.report:
        options.report.write_text(text + "\n")
    if report["wrong"]:
        print(tail)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
