"""Makes the first corpora from the frames and stores of tests/vectors: python3 -m tests.fuzz.seeds"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

from tests.interop import store
from tests.interop.remoting import Frame

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
MAX_SIZE, MAX_FILES = 2048, 40


def keep(target: str, seeds: Iterable[bytes]) -> None:
    """Writes small seeds, each once, named by what is in them."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    kept = {hashlib.sha256(seed).hexdigest()[:16]: seed for seed in seeds if 0 < len(seed) <= MAX_SIZE}
    for name, seed in sorted(kept.items())[:MAX_FILES]:
        (folder / name).write_bytes(seed)


def main() -> None:
    """The program."""
    raw = [file.read_bytes() for file in sorted((VECTORS / "wire").glob("*.bin"))]
    frames = [Frame.decode(data) for data in raw]
    keep("frame", raw)
    keep("header", ("\n".join(f"{k}={v}" for k, v in frame.ext.items()).encode() for frame in frames))
    keep("body", (frame.body for frame in frames if frame.body[:1] == b"{"))
    pulled = [frame.body for frame in frames if frame.body[4:7] == b"\xda\xa3\x20"]
    log = (VECTORS / "store/clean/store/commitlog/00000000000000000000").read_bytes()
    records = store.parse(log[: 2130 + 321])
    keep("record", [*pulled, *(log[r.offset : r.offset + r.size] for r in records)])
    keep("batch", (frame.body for frame in frames if frame.code == 320))
    properties = ["\x02".join(f"{k}\x01{v}" for k, v in r.properties.items()) + "\x02" for r in records]
    keep("properties", [*(text.encode() for text in properties), b"TagA || TagB", b"*", b"%RETRY%group"])
    text = b"abc" * 300
    keep("compressed", [b"\0" + zlib.compress(text), *(bytes([kind]) + zlib.compress(b"") for kind in range(3))])
    keep("commit_log", [log[:2000], log[:600]])
    queue = (VECTORS / "store/clean/store/consumequeue/Plain/1/00000000000000000000").read_bytes()
    keep("consume_queue", [queue[:200], queue[:20]])
    index = sorted((VECTORS / "store/clean/store/index").iterdir())[0].read_bytes()
    keep("index", [index[:1700], index[:40]])
    checkpoint = (VECTORS / "store/clean/store/checkpoint").read_bytes()
    keep("checkpoint", [checkpoint[:40].ljust(40, b"\0") + b"mqr1"])
    names = ["consumerOffset.json", "delayOffset.json", "topics.json", "subscriptionGroup.json"]
    configs = [(VECTORS / "store/clean/store/config" / name).read_bytes() for name in names]
    deleted = b'[{"topic":"T","queueId":0,"nextOffset":7,"before":900}]'
    keep("config", [b"\0" + deleted, *(bytes([n + 1]) + text[:2000] for n, text in enumerate(configs))])
    settings = (
        "brokerName=a\nlistenPort=10911\nflushDiskType=SYNC_FLUSH\nmessageDelayLevel=1s 5s\ndeleteWhen=04;05\n",
        "namesrv=a:1;b:2\nsend_timeout=3s\ncompress_type=ZSTD\npull_batch_size=32\n",
        "1s 5s 10s 1m 2h 1d",
        "127.0.0.1:9876;[::1]:9876",
    )
    keep("settings", (text.encode() for text in settings))


if __name__ == "__main__":
    main()
