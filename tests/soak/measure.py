"""What processes hold: memory of their own, threads, sockets, open files; and whether that stays what it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
# What a process may hold more at the end than when it had warmed up: pools grow to their limits, connections are being renewed.
MORE_FILES = 8
MORE_THREADS = 64  # `consume_thread_max`: listeners of Python have a thread each, as many as a backlog ever needed
MORE_MEMORY = 48 * MIB
FACTOR = 1.5
PER_DELIVERY = 1024
"""A runner remembers the id of each message that it was given, to count deliveries; its language's heap rounds that up."""


@dataclass(frozen=True)
class Sample:
    """One look at a process. `memory` is anonymous memory in bytes: mapped store files are the kernel's to keep or drop."""

    memory: int
    threads: int
    files: int
    sockets: int

    @staticmethod
    def of(pid: int) -> Sample | None:
        """None when the process is gone."""
        process = Path("/proc") / str(pid)
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            links = [_link(process / "fd" / name) for name in os.listdir(process / "fd")]
            sockets = sum(link.startswith("socket:") for link in links)
            return Sample(
                1024 * sum(int(status[name].split()[0]) for name in ("RssAnon", "VmSwap")),
                int(status["Threads"]),
                len(links) - sockets,
                sockets,
            )
        except (OSError, KeyError):
            return None

    def grown_to(self, later: Sample, deliveries: int, own_memory: bool) -> list[str]:
        """What is more than it may be."""
        limit = int(self.memory * FACTOR) + MORE_MEMORY + PER_DELIVERY * deliveries
        found = []
        if own_memory and later.memory > limit:
            found.append(f"memory grew from {self.memory // MIB} to {later.memory // MIB} MiB (at most {limit // MIB})")
        for what, before, after, more in (
            ("threads", self.threads, later.threads, MORE_THREADS),
            ("files", self.files, later.files, MORE_FILES),
            ("sockets", self.sockets, later.sockets, MORE_FILES),
        ):
            if after > before + more:
                found.append(f"{what} grew from {before} to {after}")
        return found


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
