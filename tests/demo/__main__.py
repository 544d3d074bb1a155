"""``python3 -m tests.demo``: the package database of this machine, sent and consumed by every language.

Each language sends one message a package (its section is the tag, its name the key) to a topic of its own; a group in
each language consumes all topics; last, one group with a member in every language shares one topic. The program
fails if a message is missing, doubled or changed.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import runner as harness
from tests.harness.matrix import TITLES
from tests.harness.runner import WITHOUT, Runner, body_of

LANGUAGES = [name for name in harness.LANGUAGES if name != "c"]
"""Those that have a package of their own kind."""
STATUS = Path("/var/lib/dpkg/status")
PATIENCE = 120.0


@dataclass
class Package:
    """One stanza of the package database."""

    name: str
    section: str
    text: bytes


@dataclass
class Received:
    """What one consumer got from one topic."""

    bodies: Counter[tuple[str, bytes]] = field(default_factory=Counter)
    first: float = 0.0
    last: float = 0.0

    def add(self, key: str, body: bytes) -> None:
        now = time.monotonic()
        self.first = self.first or now
        self.last = now
        self.bodies[key, body] += 1

    @property
    def total(self) -> int:
        return sum(self.bodies.values())

    @property
    def checksum(self) -> str:
        return checksum(self.bodies)


def checksum(bodies: Counter[tuple[str, bytes]]) -> str:
    """CRC-32 over all keys and bodies in order, each as often as it came."""
    crc = 0
    for key, body in sorted(bodies.elements()):
        crc = zlib.crc32(body, zlib.crc32(key.encode(), crc))
    return f"{crc:08x}"


def read_packages(path: Path) -> list[Package]:
    """The installed packages of this machine."""
    packages = []
    for stanza in path.read_bytes().split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in stanza.split(b"\n") if b": " in line and line[:1] != b" ")
        if b"Package" in fields:
            section = fields.get(b"Section", b"none").decode()
            packages.append(Package(fields[b"Package"].decode(), section, stanza))
    return packages


def write_messages(packages: list[Package], path: Path) -> None:
    """The packages as lines that a runner's ``send_file`` reads."""
    with path.open("w") as out:
        for package in packages:
            body = base64.b64encode(package.text).decode()
            out.write(json.dumps({"body": body, "tag": package.section, "keys": [package.name]}) + "\n")


def collect(runner: Runner, consumer: str, into: dict[str, Received], wanted: int, done: threading.Event) -> None:
    """Takes messages until ``wanted`` have come (and a moment longer, for doubles) or ``done`` is set."""
    deadline = time.monotonic() + PATIENCE
    while not done.is_set() and time.monotonic() < deadline:
        total = sum(received.total for received in into.values())
        try:
            message = runner.event(consumer, 0.5)["message"]
        except TimeoutError:
            if total >= wanted:
                return
            continue
        into.setdefault(message["topic"], Received()).add(message["keys"][0], body_of(message))


def together(targets: list[threading.Thread]) -> None:
    for thread in targets:
        thread.start()
    for thread in targets:
        thread.join()


def table(corner: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> None:
    widths = [max(len(line[n]) for _, line in [("", columns), *rows]) for n in range(len(columns))]
    print(f"{corner:<14}" + "  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for name, cells in rows:
        print(f"{name:<14}" + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


class Demo:
    """The whole job on one broker."""

    def __init__(self, packages: list[Package], folder: Path) -> None:
        self.packages = packages
        self.file = folder / "packages.jsonl"
        write_messages(packages, self.file)
        self.wanted = Counter((package.name, package.text) for package in packages)
        self.runners = {language: Runner(language, folder / f"{language}.log") for language in LANGUAGES}
        self.home = next(iter(self.runners.values()))
        started = time.monotonic()
        self.namesrv = self.home.call("broker.start", broker="demo", settings={})["address"]
        print(f"broker with its NameServer on {self.namesrv}, ready after {(time.monotonic() - started) * 1000:.0f} ms")
        for runner in self.runners.values():
            runner.call("client.open", client="demo", namesrv=self.namesrv, settings={})

    def topic(self, name: str, queues: int) -> str:
        self.home.call("broker.create_topic", broker="demo", topic=name, queues=queues)
        return name

    def produce(self, language: str, topic: str) -> tuple[int, float]:
        """Sends all packages from one language; how many were acknowledged, and in how many seconds."""
        runner = self.runners[language]
        runner.call("producer.open", producer=topic, client="demo", group=f"senders-{topic}", settings={})
        start = time.monotonic()
        answer = runner.call("send_file", PATIENCE, producer=topic, topic=topic, path=str(self.file), window=256)
        seconds = time.monotonic() - start
        runner.call("producer.close", producer=topic)
        return answer["sent"], seconds

    def pairs(self) -> bool:
        """From each language to each language."""
        count = len(self.packages)
        topics = {language: self.topic(f"packages-{language}", 4) for language in LANGUAGES}
        rates = {language: self.produce(language, topic) for language, topic in topics.items()}
        inboxes: dict[str, dict[str, Received]] = {language: {} for language in LANGUAGES}
        threads = []
        for language, runner in self.runners.items():
            subscriptions = {topic: "*" for topic in topics.values()}
            opened = {"client": "demo", "group": f"readers-{language}", "settings": {}, "behaviour": {}}
            runner.call("consumer.open", consumer="pairs", subscriptions=subscriptions, **opened)
            arguments = (runner, "pairs", inboxes[language], count * len(LANGUAGES), threading.Event())
            threads.append(threading.Thread(target=collect, args=arguments))
        together(threads)
        for runner in self.runners.values():
            runner.call("consumer.close", consumer="pairs")
        good = True
        rows = []
        for source, topic in topics.items():
            sent, seconds = rates[source]
            cells = [f"{sent}", f"{sent / seconds:,.0f}/s"]
            good &= sent == count
            for target in LANGUAGES:
                received = inboxes[target].get(topic, Received())
                same = received.bodies == self.wanted
                good &= same
                cells.append(f"{received.total} {received.checksum} {'ok' if same else 'WRONG'}")
            rows.append((TITLES[source], cells))
        speed = ["", ""]
        for target in LANGUAGES:
            times = inboxes[target].values()
            total = sum(received.total for received in times)
            seconds = max((r.last for r in times), default=0) - min((r.first for r in times), default=0)
            speed.append(f"{total / seconds:,.0f}/s" if seconds else "")
        print(f"\n{count} packages from each language to each language (checksum wanted: {checksum(self.wanted)})")
        table("from \\ to", ["sent", "rate", *(TITLES[name] for name in LANGUAGES)], [*rows, ("rate", speed)])
        return good

    def shared(self) -> bool:
        """One group with a member in every language."""
        topic = self.topic("packages-shared", 4 * len(LANGUAGES))
        count = len(self.packages)
        inboxes: dict[str, dict[str, Received]] = {language: {} for language in LANGUAGES}
        for runner in self.runners.values():
            opened = {"client": "demo", "group": "readers-shared", "settings": {}, "behaviour": {}}
            runner.call("consumer.open", consumer="shared", subscriptions={topic: "*"}, **opened)
        done = threading.Event()
        threads = [
            threading.Thread(target=collect, args=(runner, "shared", inboxes[language], sys.maxsize, done))
            for language, runner in self.runners.items()
        ]
        for thread in threads:
            thread.start()
        sent = sum(self.produce(language, topic)[0] for language in LANGUAGES)
        wanted = Counter({key: number * len(LANGUAGES) for key, number in self.wanted.items()})
        deadline = time.monotonic() + PATIENCE
        quiet_since = time.monotonic()
        before = -1
        while time.monotonic() < deadline:
            total = sum(received.total for inbox in inboxes.values() for received in inbox.values())
            if total != before:
                before, quiet_since = total, time.monotonic()
            elif total >= sent and time.monotonic() - quiet_since > 0.5:
                break
            done.wait(0.05)
        done.set()
        for thread in threads:
            thread.join()
        for runner in self.runners.values():
            runner.call("consumer.close", consumer="shared")
        got = {language: inbox.get(topic, Received()) for language, inbox in inboxes.items()}
        everything = sum((received.bodies for received in got.values()), Counter())
        good = everything == wanted and all(received.total for received in got.values())
        print(f"\none group, a member in every language, {sent} messages (checksum wanted: {checksum(wanted)})")
        share = [f"{received.total} ({received.total * 100 / max(1, sent):.0f} %)" for received in got.values()]
        verdict = f"{sum(everything.values())} {checksum(everything)} {'ok' if good else 'WRONG'}"
        table("member", [*(TITLES[name] for name in LANGUAGES), "together"], [("consumed", [*share, verdict])])
        return good and sent == count * len(LANGUAGES)

    def close(self) -> None:
        for runner in self.runners.values():
            if runner.alive:
                runner.call("client.close", client="demo")
            if runner is not self.home:
                runner.close()
        if self.home.alive:
            self.home.call("broker.stop", broker="demo")
        self.home.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--status", type=Path, default=STATUS, help="the package database")
    packages = read_packages(parser.parse_args().status)
    if not packages:
        print("the package database is empty")
        return 1
    if WITHOUT:
        print(f"LEFT OUT: this machine lacks {', '.join(WITHOUT)}")
    folder = Path(tempfile.mkdtemp(prefix="mq-demo-"))
    start = time.monotonic()
    demo = Demo(packages, folder)
    try:
        good = demo.pairs()
        good &= demo.shared()
    finally:
        demo.close()
    verdict = "all messages arrived, once and unchanged" if good else f"SOMETHING IS WRONG; logs: {folder}"
    print(f"\n{verdict}, {time.monotonic() - start:.1f} s")
    if good:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
