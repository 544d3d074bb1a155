"""Captures the store folders of tests/vectors/store: Apache's broker 5.5.0 writes them, Apache's clients fill them.

python3 -m tests.interop.capture_store FOLDER
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from tests.interop import apache, peers, processes, store
from tests.interop.peers import Peer
from tests.interop.processes import Workspace, wait_for

# Small files, so that a small store has several of each kind and much of the layout.
LOG_FILE = 64 << 10
INDEX_SLOTS, INDEX_ENTRIES = 500, 150
CONF = {
    "mappedFileSizeCommitLog": LOG_FILE,
    "maxHashSlotNum": INDEX_SLOTS,
    "maxIndexNum": INDEX_ENTRIES,
    "messageDelayLevel": "1s 5s 10s",
}
# What a store does not need, or what another program may write as it likes.
LEAVE_OUT = ("rocksdbstore/", "compaction/", "lock", "abort.bak")


def fill(java: Peer, go: Peer, namesrv: str) -> None:
    """Messages of all kinds, and consumers that commit, fail, give up."""
    java.call("producer", name="p", namesrv=namesrv, group="P")
    go.call("producer", name="p", namesrv=namesrv, group="P-go")
    java.send("p", "Plain", count=6, tags="TagA", keys="key-{i}", prefix="java-", size=100)
    go.send("p", "Plain", count=6, first=6, tags="TagB", keys="key-{i}", prefix="go-", size=100)
    java.send("p", "Big", count=8, size=20_000, keys="big-{i}")  # clients compress it
    java.call("producer", name="raw", namesrv=namesrv, group="P-raw", compress_over=1 << 20)
    java.send("raw", "Big", count=8, size=20_000, keys="raw-{i} shared")
    java.send("p", "Batch", mode="batch", count=6, batch=6, tags="TagC", keys="batch-{i}")
    for kind in ("ZLIB", "LZ4", "ZSTD"):
        java.call("producer", name=kind, namesrv=namesrv, group=f"P-{kind}", compress_type=kind)
        java.send(kind, kind.capitalize(), size=6000, keys=kind)
    properties = {"colour": "blue", "grüße": "Überraschung 🎉"}
    java.send("p", "Props", tags="TagÄ", keys="one two three", properties=properties)
    java.send("p", "Delay", delay_level=1, keys="late")
    go.send("p", "Delay", delay_level=2, keys="later")

    def consume(group: str, topic: str, count: int, **options: Any) -> None:
        java.call("consumer", name=group, group=group, topic=topic, namesrv=namesrv, **options)
        java.wait_messages(group, lambda found: len(found) >= count)

    consume("G-all", "Plain", 12)
    consume("G-tag", "Plain", 6, expression="TagB")
    consume("G-delay", "Delay", 2)
    consume("G-retry", "Plain", 24, fail_times=1, retry_level=1)
    consume("G-dead", "Props", 1, fail_times=9, retry_level=1, max_reconsume=0)
    for group in ("G-all", "G-tag", "G-delay", "G-retry", "G-dead"):
        java.call("close", name=group)


def describe(folder: Path) -> dict[str, Any]:
    """What a reader of this store must find."""
    records, end = store.read_log(folder)
    queues: dict[str, dict[str, int]] = {}
    for r in records:
        if r.in_queue:
            queues.setdefault(r.topic, {})[str(r.queue)] = r.queue_offset + 1
    return {
        "settings": CONF,
        "log_end": end,
        "queues": queues,
        "consumer_offsets": store.consumer_offsets(folder),
        "messages": [
            {
                "offset": r.offset,
                "size": r.size,
                "topic": r.topic,
                "queue": r.queue,
                "queue_offset": r.queue_offset,
                "sys_flag": r.sys_flag,
                "born_time": r.born_time,
                "born_host": r.born_host,
                "store_time": r.store_time,
                "store_host": r.store_host,
                "reconsume_times": r.reconsume_times,
                "tags": r.properties.get("TAGS"),
                "keys": r.properties.get("KEYS"),
                "properties": r.properties,
                "body_size": len(r.body),
                "body_crc": r.body_crc,
                "body_sha256": hashlib.sha256(r.body).hexdigest(),
            }
            for r in records
        ],
    }


def keep(folder: Path, target: Path) -> None:
    """Puts the folder and what is in it under `target`."""
    shutil.rmtree(target, ignore_errors=True)
    store.pack(folder, target / "store", LEAVE_OUT)
    expected = describe(folder)
    messages = ",\n".join(json.dumps(m, ensure_ascii=False) for m in expected.pop("messages"))
    head = json.dumps(expected, indent=1, ensure_ascii=False).removesuffix("\n}")
    (target / "expected.json").write_text(f'{head},\n "messages": [\n{messages}\n ]\n}}\n')


def main() -> int:
    """The program."""
    processes.handle_signals()
    target = Path(sys.argv[1])
    work = Workspace("capture-store-").path
    with apache.Cluster(conf=CONF, data=work / "store") as cluster:
        java, go = peers.java_peer(), peers.go_peer()
        fill(java, go, cluster.namesrv.address)
        go.close()
        log = cluster.broker.data / "commitlog"

        # In the middle of writing: the process is gone, and the queues and the index may lack what the log has.
        def flood() -> None:
            with contextlib.suppress(peers.PeerFailed):  # the broker dies under it; that is the point
                java.send("p", "Flood", mode="async", count=2000, size=500, keys="flood-{i}")

        sender = threading.Thread(target=flood)
        files = len(list(log.iterdir()))
        copy = work / "clean"
        cluster.broker.stop()
        shutil.copytree(cluster.broker.data, copy)
        wrong = store.faults(copy, INDEX_SLOTS)
        if wrong:
            raise SystemExit("\n".join(wrong))
        keep(copy, target / "clean")
        cluster.broker.start()
        sender.start()
        wait_for("the log grows by two files", lambda: len(list(log.iterdir())) >= files + 2, 60)
        cluster.broker.kill()
        keep(cluster.broker.data, target / "killed")
        sender.join(60)
        java.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
