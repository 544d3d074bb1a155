"""A store folder goes from one broker to the other and back, after a clean stop and after SIGKILL.

Apache 4.9.7 opens what 5.5.0 and ours write, with these limits, which are its own: it cuts the log at a record of the second
kind (topics of more than 127 bytes, as only %RETRY% and %DLQ% topics of long groups have), so the folder must hold none; it
drops what it does not know from the files in `config/` when it next writes them (attributes of topics and groups, consumption
in order, retry policies) and knows nothing of the files that only 5.x has (timers, pop, static topics); it puts no tags into
the index, so that the files have other entries where messages have tags.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop import apache, capture_store, ours, peers, reader, remoting, store
from tests.interop.peers import Peer, body, sha256
from tests.interop.processes import wait_for
from tests.interop.test_vectors import STORES

SLOTS = 5000
CONF = {
    "mappedFileSizeCommitLog": 256 << 10,
    "maxHashSlotNum": SLOTS,
    "maxIndexNum": 4 * SLOTS,
    "messageDelayLevel": "1s 5s 10s",
}


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"count": 8, "tags": "TagA", "keys": "key-{i}", "size": 300},
    "big": {"count": 4, "size": 60_000, "keys": "big"},
    "batch": {"count": 6, "size": 50, "mode": "batch", "batch": 6, "tags": "TagB"},
}


class Running:
    """A broker of some kind on a given folder."""

    def __init__(self, namesrv: str, broker: apache.Broker | ours.Broker) -> None:
        self.namesrv, self.broker, self.ended = namesrv, broker, False

    def stop(self) -> None:
        """A clean stop, which must succeed; afterwards everything in the folder fits together."""
        status = self.broker.stop()
        assert status in ((0,) if isinstance(self.broker, ours.Broker) else (0, 143)), self._tail()
        self.ended = True

    def kill(self) -> None:
        """SIGKILL."""
        self.broker.kill()
        self.ended = True

    def _tail(self) -> str:
        return self.broker.process.tail() if self.broker.process else ""


@contextmanager
def running(kind: str, work: Path, data: Path, conf: dict[str, Any], java: Peer) -> Iterator[Running]:
    """A broker on `data`; killed at the end unless it was stopped before."""
    number = len(list(work.iterdir()))
    home = work / f"{kind}-{number}"
    if kind == "libmq":
        broker: apache.Broker | ours.Broker = ours.Broker(home, conf=conf, data=data)
        broker.start()
        it = Running(broker.namesrv, broker)
        server = None
    else:
        version = kind.removeprefix("apache-")
        server = apache.NameServer(work / f"namesrv-{number}", version).start()
        broker = apache.Broker(home, server.address, version, conf, data)
        it = Running(server.address, broker)
        broker.start()
    try:
        yield it
    finally:
        java.call("forget", namesrv=it.namesrv)
        if not it.ended:
            it.kill()
        if server:
            server.kill()


class Journal:
    """What was sent, and must be found by every later owner of the folder."""

    def __init__(self, java: Peer, go: Peer, word: str) -> None:
        self.java, self.go, self.word = java, go, word
        self.sent: dict[str, list[str]] = {}  # topic → hashes of bodies
        self.rounds = 0

    def write(self, it: Running, exactly_once: bool) -> None:
        """One round of messages of all kinds; a group consumes the plain ones, and only those of this round.

        Where the owner before was killed, offsets that it had not yet written are forgotten, and messages may come again.
        """
        self.rounds += 1
        prefix = f"round-{self.rounds}-"
        plain: list[str] = []
        for peer in (self.java, self.go):
            peer.call("producer", name=prefix, group="P", namesrv=it.namesrv)
            for name, options in KINDS.items():
                peer.send(prefix, f"{self.word}-{name}", prefix=f"{prefix}{peer.name}-", **options)
                bodies = [sha256(body(i, f"{prefix}{peer.name}-", options["size"])) for i in range(options["count"])]
                self.sent.setdefault(f"{self.word}-{name}", []).extend(bodies)
                plain += bodies if name == "plain" else []
            peer.call("close", name=prefix)
        name = f"{self.word}-{self.rounds}"
        self.java.call("consumer", name=name, group=f"G-{self.word}", topic=f"{self.word}-plain", namesrv=it.namesrv)
        found = self.java.wait_messages(name, lambda found: {m["sha256"] for m in found} >= set(plain))
        self.java.call("close", name=name)
        if exactly_once:
            assert Counter(m["sha256"] for m in found) == Counter(plain), "the committed offsets were not kept"
        else:
            assert {m["sha256"] for m in found} <= set(self.sent[f"{self.word}-plain"])

    def check(self, it: Running) -> None:
        """Everything is there, each once, in queues without gaps, and keys find their message."""
        for topic, sent in self.sent.items():
            records = reader.read_topic(it.namesrv, topic)
            assert Counter(sha256(store.plain_body(r) or b"") for r in records) == Counter(sent), topic
            queues: dict[int, list[int]] = {}
            for r in records:
                queues.setdefault(r.queue, []).append(r.queue_offset)
            assert all(offsets == list(range(len(offsets))) for offsets in queues.values()), (topic, queues)
        self.java.call("producer", name="query", namesrv=it.namesrv, group="P")
        for number in range(1, self.rounds + 1):
            key = "key-3"
            found = self.java.call("query", name="query", topic=f"{self.word}-plain", key=key)["messages"]
            assert len(found) == 2 * self.rounds
            bodies = {sha256(body(3, f"round-{number}-{peer}-", 300)) for peer in ("java", "go")}
            assert {m["sha256"] for m in found} >= bodies
        self.java.call("close", name="query")


# Apache's alone show that the tests are right.
CHAINS = [
    ("apache-5.5.0-to-apache-4.9.7", "kill"),
    ("libmq-to-apache-5.5.0-to-libmq", "stop"),
    ("libmq-to-apache-5.5.0-to-libmq", "kill"),
    ("libmq-to-apache-4.9.7-to-libmq", "stop"),
    ("libmq-to-apache-4.9.7-to-libmq", "kill"),
    ("apache-4.9.7-to-libmq-to-apache-4.9.7", "kill"),
]


@pytest.mark.parametrize(("chain", "end"), CHAINS)
def test_from_broker_to_broker(java: Peer, go: Peer, work: Path, unique: str, chain: str, end: str) -> None:
    data = work / "store"
    journal = Journal(java, go, unique)
    kinds = chain.split("-to-")
    for number, kind in enumerate(kinds):
        with running(kind, work, data, CONF, java) as it:
            if number:
                journal.check(it)
            journal.write(it, exactly_once=end == "stop" or number == 0)
            if end == "stop" or number == len(kinds) - 1:
                it.stop()
                assert store.faults(data, SLOTS) == [], kind
                assert not (data / "abort").exists()
            else:
                it.kill()
                assert (data / "abort").exists()


def without_crc(data: Path, log_file: int) -> list[int]:
    """Offsets of the records that do not end in a right `__CRC32#`."""
    wrong = []
    for record in store.read_log(data)[0]:
        start = record.offset // log_file * log_file
        raw = (data / "commitlog" / f"{start:020}").read_bytes()[record.offset - start :][: record.size]
        digits = str(zlib.crc32(raw[:-20]) & 0x7FFFFFFF)[::-1].ljust(10, "0")
        if raw[-20:] != b"__CRC32#\x01" + digits.encode() + b"\x02":
            wrong.append(record.offset)
    return wrong


@pytest.mark.parametrize("chain", ["apache-5.5.0-to-libmq-to-apache-5.5.0", "libmq-to-apache-5.5.0-to-libmq"])
def test_records_that_end_in_a_crc_go_over(java: Peer, go: Peer, work: Path, unique: str, chain: str) -> None:
    """Both write the property, and both demand it of what the other has written, in a log that is scanned from its start."""
    data, journal = work / "store", Journal(java, go, unique)
    conf = CONF | {"enabledAppendPropCRC": "true", "forceVerifyPropCRC": "true"}
    for number, kind in enumerate(chain.split("-to-")):
        with running(kind, work, data, conf, java) as it:
            if number:
                journal.check(it)
            journal.write(it, exactly_once=number == 0)
            it.kill()
        log_file = next((data / "commitlog").iterdir()).stat().st_size
        assert len(store.read_log(data)[0]) > 20 * (number + 1)
        assert without_crc(data, log_file) == [], kind


@pytest.mark.parametrize(("kind", "name"), [("apache-5.5.0", "killed"), ("libmq", "clean"), ("libmq", "killed")])
def test_golden_stores_are_opened(java: Peer, work: Path, kind: str, name: str) -> None:
    expected = json.loads((STORES / name / "expected.json").read_text())
    slots = expected["settings"]["maxHashSlotNum"]
    data = work / "store"
    store.unpack(STORES / name / "store", data)
    wanted: dict[str, list[tuple[Any, ...]]] = {}
    for m in expected["messages"]:
        message = (m["queue"], m["queue_offset"], m["offset"], m["properties"], m["body_sha256"])
        wanted.setdefault(m["topic"], []).append(message)
    with running(kind, work, data, expected["settings"], java) as it:
        for topic, messages in wanted.items():
            if topic == store.SCHEDULE_TOPIC:
                continue  # its queues are the broker's own
            records = reader.read_topic(it.namesrv, topic)
            found = [(r.queue, r.queue_offset, r.offset, r.properties, sha256(r.body)) for r in records]
            assert sorted(found, key=str) == sorted(messages, key=str), topic
        # Queues go on behind what was there; the group that had consumed all goes on behind that; keys find old messages.
        java.call("producer", name=name, namesrv=it.namesrv, group="P")
        sent = java.send(name, "Plain", count=4, prefix="new-")
        ends = {int(queue): end for queue, end in expected["queues"]["Plain"].items()}
        assert all(r["offset"] == ends[r["queue"]] for r in sent), (sent, ends)
        java.call("consumer", name=f"{name}-all", namesrv=it.namesrv, group="G-all", topic="Plain")
        deliveries = java.wait_messages(f"{name}-all", lambda found: len(found) >= 4)
        assert {m["body"][:4] for m in deliveries} == {"new-"}
        by_key = java.call("query", name=name, topic="Big", key="shared")["messages"]
        assert len(by_key) == sum(m["topic"] == "Big" and "shared" in (m["keys"] or "") for m in expected["messages"])
        for open_one in (name, f"{name}-all"):
            java.call("close", name=open_one)
        it.stop()
    assert store.faults(data, slots) == []


MORE = 5
# Messages that the broker itself makes when `capture_store.fill` has run.
FOLLOWING = {"Delay": 2, "%RETRY%G-retry": 12, "%DLQ%G-dead": 1}


def fill(java: Peer, go: Peer, it: Running, data: Path) -> None:
    """Messages of all kinds; returns when the delayed and returned ones are where they belong."""
    capture_store.fill(java, go, it.namesrv)
    go.call("close", name="p")

    def settled() -> bool:
        found = Counter(r.topic for r in store.read_log(data)[0])
        return all(found[topic] >= count for topic, count in FOLLOWING.items())

    wait_for("delayed and returned messages are delivered", settled, 60)
    for topic in FOLLOWING:
        wait_for(f"{topic} is registered", lambda topic=topic: remoting.route(it.namesrv, topic), 60)


@pytest.fixture
def fresh_java() -> Iterator[Peer]:
    """A Java peer that remembers no consumer of another test."""
    peer = peers.java_peer()
    yield peer
    peer.close()


def contents(it: Running, topics: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every message of the topics as a broker gives it, with where it stands."""
    return {
        topic: sorted(
            (r.queue, r.queue_offset, r.offset, r.sys_flag, r.reconsume_times, sorted(r.properties.items()), sha256(r.body))
            for r in reader.read_topic(it.namesrv, topic)
        )
        for topic in topics
    }


GET_ALL_TOPIC_CONFIG, UPDATE_AND_CREATE_TOPIC, GET_ALL_CONSUMER_OFFSET = 21, 17, 43
UPDATE_AND_CREATE_GROUP, GET_ALL_GROUP_CONFIG = 200, 201
# What all versions know of a topic and of a group, none of it as a broker would set it by itself.
SET_TOPIC = {
    "topicName": "Set",
    "readQueueNums": 3,
    "writeQueueNums": 2,
    "perm": 4,
    "order": True,
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": 1,
}
SET_GROUP = {
    "groupName": "G-set",
    "consumeEnable": False,
    "consumeFromMinEnable": False,
    "consumeBroadcastEnable": False,
    "notifyConsumerIdsChangedEnable": False,
    "retryQueueNums": 3,
    "retryMaxTimes": 5,
    "brokerId": 0,
    "whichBrokerWhenConsumeSlowly": 2,
}


def ask(it: Running, code: int, ext: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """The body of a broker's answer."""
    answer = remoting.call(it.broker.address, code, ext, body)
    assert answer.code == 0, f"{code}: {answer.code} {answer.remark}"
    return answer.body


def make_settings(it: Running) -> None:
    """A topic and a group that are set up in their own way."""
    words = {name: str(value).lower() for name, value in SET_TOPIC.items() if name not in ("topicName", "topicFilterType")}
    ext = words | {"topic": "Set", "topicFilterType": "SINGLE_TAG", "defaultTopic": "TBW102"}
    ask(it, UPDATE_AND_CREATE_TOPIC, ext)
    ask(it, UPDATE_AND_CREATE_GROUP, body=json.dumps(SET_GROUP).encode())


def settings_of(it: Running, topics: list[str]) -> dict[str, dict[str, Any]]:
    """How topics and groups are set up, as far as all versions know it."""
    found = remoting.loads(ask(it, GET_ALL_TOPIC_CONFIG))["topicConfigTable"]
    groups = remoting.loads(ask(it, GET_ALL_GROUP_CONFIG))["subscriptionGroupTable"]
    wanted = {name: {key: found[name][key] for key in SET_TOPIC} for name in [*topics, "Set"]}
    return wanted | {name: {key: group[key] for key in SET_GROUP} for name, group in groups.items() if name.startswith("G-")}


def positions(table: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Of the groups of these tests: `topic@group` → queue → offset."""
    return {name: {str(q): n for q, n in queues.items()} for name, queues in table.items() if "@G-" in name}


def wait_committed(it: Running, group: str, topic: str, count: int) -> None:
    """Until a group has committed all messages of a topic; what a client says when it ends may come too late or not at all."""

    def committed() -> bool:
        table = positions(remoting.loads(ask(it, GET_ALL_CONSUMER_OFFSET))["offsetTable"])
        return sum(table.get(f"{topic}@{group}", {}).values()) == count

    wait_for(f"{group} has committed {count} messages of {topic}", committed, 60)


@pytest.mark.parametrize(
    "chain",
    [
        "libmq-to-apache-5.5.0-to-libmq",
        "apache-5.5.0-to-libmq-to-apache-5.5.0",
        "libmq-to-apache-4.9.7-to-libmq",
        "apache-4.9.7-to-libmq-to-apache-4.9.7",
    ],
)
def test_all_that_a_store_holds_goes_over(fresh_java: Peer, go: Peer, work: Path, chain: str) -> None:
    """Compressed bodies of each kind, batches, delayed messages, retries, dead letters, settings, groups half way."""
    java, data = fresh_java, work / "store"
    conf = CONF | {"mappedFileSizeCommitLog": capture_store.LOG_FILE}
    topics = ["Plain", "Big", "Batch", "Zlib", "Lz4", "Zstd", "Props", "Delay", "%RETRY%G-retry", "%DLQ%G-dead"]
    before: dict[str, list[tuple[Any, ...]]] = {}
    settings_before: dict[str, dict[str, Any]] = {}
    positions_before: dict[str, dict[str, int]] = {}
    for number, kind in enumerate(chain.split("-to-")):
        with running(kind, work, data, conf, java) as it:
            if number:
                found = contents(it, topics)
                assert found == before
                assert settings_of(it, topics) == settings_before
                assert positions(remoting.loads(ask(it, GET_ALL_CONSUMER_OFFSET))["offsetTable"]) == positions_before
                assert any(flags & 1 for *_, flags, _, _, _ in found["Big"]), "nothing was compressed"
                assert found["%DLQ%G-dead"] and found["%RETRY%G-retry"]
                # What the groups had read is not given again; what they had not is.
                for group in ("G-all", "G-retry"):
                    java.call("consumer", name=f"{group}-{number}", namesrv=it.namesrv, group=group, topic="Plain")
                    wanted = [f"more-{number}-{i:06d}" for i in range(MORE)]
                    given = java.wait_messages(f"{group}-{number}", lambda found: len(found) >= MORE)
                    assert sorted(m["body"][: len(wanted[0])] for m in given) == wanted, group
                    wait_committed(it, group, "Plain", len(before["Plain"]))
                    java.call("close", name=f"{group}-{number}")
                java.call("producer", name="key", namesrv=it.namesrv, group="P-key")
                by_key = java.call("query", name="key", topic="Big", key="shared")["messages"]
                assert len(by_key) == 8
                java.call("close", name="key")
            else:
                fill(java, go, it, data)
                make_settings(it)
                for group in ("G-all", "G-retry"):
                    java.call("consumer", name=f"{group}-again", namesrv=it.namesrv, group=group, topic="Plain")
                    wait_committed(it, group, "Plain", 12)
                    java.call("close", name=f"{group}-again")
            java.call("producer", name="more", namesrv=it.namesrv, group="P-more")
            java.send("more", "Plain", count=MORE, size=100, prefix=f"more-{number + 1}-", keys="more-{i}")
            java.call("close", name="more")
            before, settings_before = contents(it, topics), settings_of(it, topics)
            # 4.9.7 keeps `order`, but does not take it from whoever makes the topic.
            order = not chain.startswith("apache-4.9.7")
            assert settings_before["Set"] == SET_TOPIC | {"order": order} and settings_before["G-set"] == SET_GROUP
            it.stop()
        positions_before = positions(store.consumer_offsets(data))
        assert len(positions_before) > 5
        assert store.faults(data, SLOTS) == [], kind
        assert len(list((data / "commitlog").iterdir())) > 2
        checked = subprocess.run(
            [str(ours.binary()), "store", "check", str(data), "--json", *settings(conf)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, f"after {kind}: {checked.stdout}{checked.stderr}"


def settings(conf: dict[str, Any]) -> list[str]:
    """The same settings for `mq store`."""
    return [word for key, value in conf.items() for word in ("--set", f"{key}={value}")]


def derived(data: Path) -> tuple[dict[str, bytes], list[bytes]]:
    """The bytes of all consume queue files by their names, and those of the index files, whose names are times."""
    queues = data / "consumequeue"
    files = {p.relative_to(queues).as_posix(): p.read_bytes() for p in sorted(queues.rglob("*")) if p.is_file()}
    return files, [p.read_bytes() for p in sorted((data / "index").iterdir())]


def index_entries(files: list[bytes]) -> list[tuple[int, int]]:
    """(hash of the key, log offset) of all entries in the order of the files, whether a chain reaches them or not."""
    entries = []
    for data in files:
        (count,) = struct.unpack_from(">i", data, 36)
        start = 40 + 4 * SLOTS + 20  # the first entry stays empty
        entries += [entry[:2] for entry in struct.iter_unpack(">iqii", data[start : start + 20 * (count - 1)])]
    return entries


def built_by_both(java: Peer, work: Path, origin: Path, conf: dict[str, Any], kind: str) -> tuple[Any, Any]:
    """Queues and index that ours and another broker build anew from one log."""
    found = []
    for name in ("libmq", kind):
        copy = work / f"copy-{name}"
        shutil.copytree(origin, copy)
        shutil.rmtree(copy / "consumequeue")
        shutil.rmtree(copy / "index")
        for file in ("checkpoint", "mq-recovery"):
            (copy / file).unlink()
        (copy / "abort").touch()
        log = store.read_log(copy)
        with running(name, work, copy, conf, java) as it:
            wait_for("queues and index are built", lambda copy=copy: not store.faults(copy, SLOTS), 60)
            it.stop()
        assert store.read_log(copy)[0][len(log[0]) :] == [], f"{name} has added to the log"
        assert store.read_log(copy) == log, f"{name} changed the log"
        found.append(derived(copy))
    ours_files, theirs = found
    assert len(theirs[0]) > 1
    assert sorted(ours_files[0]) == sorted(theirs[0])
    for name, data in theirs[0].items():
        if kind == "apache-4.9.7" and name.startswith(store.SCHEDULE_TOPIC):
            # 4.9.7 recovers the log before it knows the delay levels: its units have the tag's hash for the due time.
            units = [[unit[:2] for unit in struct.iter_unpack(">qiq", files)] for files in (ours_files[0][name], data)]
            assert units[0] == units[1], name
        else:
            assert ours_files[0][name] == data, name
    # And both have what was there before.
    assert derived(origin)[0] == ours_files[0]
    return ours_files[1], theirs[1]


@pytest.mark.parametrize("kind", ["apache-5.5.0", "apache-4.9.7"])
def test_both_build_the_same_files_from_one_log(fresh_java: Peer, go: Peer, work: Path, kind: str) -> None:
    """Consume queues and index are taken away; what either side builds anew from the log is the same, byte for byte."""
    java, data = fresh_java, work / "store"
    conf = CONF | {"mappedFileSizeCommitLog": capture_store.LOG_FILE}
    with running("libmq", work, data, conf, java) as it:
        fill(java, go, it, data)
        it.stop()
    ours_index, theirs = built_by_both(java, work, data, conf, kind)
    if kind == "apache-5.5.0":
        assert ours_index == theirs, "the index differs"
        return
    # 4.9.7 leaves the tags out.
    tags = {(r.offset, f"T#{r.properties['TAGS']}") for r in store.read_log(data)[0] if "TAGS" in r.properties}
    topics = {r.offset: r.topic for r in store.read_log(data)[0]}
    tag_entries = Counter((store.index_hash(topics[offset], text), offset) for offset, text in tags)
    assert tag_entries
    assert Counter(index_entries(ours_index)) == Counter(index_entries(theirs)) + tag_entries
    without = [entry for entry in index_entries(ours_index) if entry not in tag_entries]
    assert without == index_entries(theirs), "the index differs in more than tags"


def test_without_tags_4_9_7_builds_the_same_index(fresh_java: Peer, go: Peer, work: Path) -> None:
    """The files with their slots and chains, byte for byte, over several files of the log and of the index."""
    java, data = fresh_java, work / "store"
    conf = CONF | {"mappedFileSizeCommitLog": capture_store.LOG_FILE, "maxIndexNum": 150}
    with running("libmq", work, data, conf, java) as it:
        for peer in (java, go):
            peer.call("producer", name="p", namesrv=it.namesrv, group="P")
            peer.send("p", "Plain", count=120, size=500, keys="key-{i} shared", prefix=f"{peer.name}-")
            peer.send("p", "Batch", mode="batch", count=20, batch=20, keys="batch-{i}")
            peer.call("close", name="p")
        it.stop()
    ours_index, theirs = built_by_both(java, work, data, conf, "apache-4.9.7")
    assert len(theirs) > 3
    assert ours_index == theirs, "the index differs"
