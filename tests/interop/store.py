"""Reads a store folder of Apache's layout, and checks that log, consume queues and index agree.

Independent of libmq on purpose, like `remoting`, and only what the tests need: simple consume queues, the file index, JSON
configuration.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop import remoting

MAGIC_V1, MAGIC_V2, MAGIC_BLANK = 0xDAA320A7, 0xDAA320AB, 0xCBD43194
UNIT = 20
SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"


@dataclass
class Record:
    """One message of the commit log."""

    offset: int
    size: int
    topic: str
    queue: int
    queue_offset: int
    flag: int
    sys_flag: int
    born_time: int
    born_host: str
    store_time: int
    store_host: str
    reconsume_times: int
    prepared_offset: int
    body: bytes = field(repr=False)
    body_crc: int = 0
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def in_queue(self) -> bool:
        """False for prepared and rolled back transactional messages, which have no place in a queue."""
        return self.sys_flag & 0xC in (0, 8)

    def index_keys(self) -> list[str]:
        """What the index is asked for: the unique key and the words of KEYS."""
        unique = self.properties.get("UNIQ_KEY")
        return [*([unique] if unique else []), *self.properties.get("KEYS", "").split()]


def java_hash(text: str) -> int:
    """String.hashCode, over UTF-16 units."""
    h = 0
    data = text.encode("utf-16-be")
    for (unit,) in struct.iter_unpack(">H", data):
        h = (31 * h + unit) & 0xFFFFFFFF
    return h - (1 << 32) if h & 0x80000000 else h


def _host(data: bytes, at: int, v6: bool) -> tuple[str, int]:
    n = 16 if v6 else 4
    address = socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, data[at : at + n])
    (port,) = struct.unpack_from(">i", data, at + n)
    return (f"[{address}]:{port}" if v6 else f"{address}:{port}"), at + n + 4


def _record(data: bytes, at: int) -> Record:
    size, magic, crc, queue, flag, queue_offset, offset, sys_flag, born = struct.unpack_from(">iIiiiqqiq", data, at)
    p = at + 48
    born_host, p = _host(data, p, bool(sys_flag & 0x10))
    (stored,) = struct.unpack_from(">q", data, p)
    store_host, p = _host(data, p + 8, bool(sys_flag & 0x20))
    reconsumed, prepared, body_length = struct.unpack_from(">iqi", data, p)
    p += 16
    body = data[p : p + body_length]
    p += body_length
    if magic == MAGIC_V1:
        topic_length, p = data[p], p + 1
    else:
        topic_length, p = struct.unpack_from(">H", data, p)[0], p + 2
    topic = data[p : p + topic_length].decode()
    p += topic_length
    (properties_length,) = struct.unpack_from(">H", data, p)
    text = data[p + 2 : p + 2 + properties_length].decode()
    if p + 2 + properties_length != at + size:
        raise ValueError(f"record at {offset}: fields end at {p + 2 + properties_length - at}, size is {size}")
    properties = dict(pair.split("\x01", 1) for pair in text.split("\x02") if pair)
    return Record(
        offset, size, topic, queue, queue_offset, flag, sys_flag, born, born_host, stored, store_host, reconsumed, prepared,
        body, crc, properties,
    )  # fmt: skip


def parse(data: bytes) -> list[Record]:
    """Records one behind the other, as the answer to a pull carries them."""
    records, at = [], 0
    while at < len(data):
        records.append(_record(data, at))
        at += records[-1].size
    return records


def plain_body(record: Record) -> bytes | None:
    """The body as its sender gave it; None when it is compressed in a way that the standard library does not know."""
    if not record.sys_flag & 1:
        return record.body
    return zlib.decompress(record.body) if record.sys_flag & 0x700 in (0, 0x300) else None


def read_log(folder: Path) -> tuple[list[Record], int]:
    """All records up to the first place where there is none, and that place."""
    records: list[Record] = []
    end = 0
    for file in sorted((folder / "commitlog").iterdir()):
        start, data, at = int(file.name), file.read_bytes(), 0
        if start != end and records:
            return records, end
        while True:
            if at + 8 > len(data):
                end = start + len(data)
                break
            size, magic = struct.unpack_from(">iI", data, at)
            if magic == MAGIC_BLANK:
                end = start + len(data)
                break
            if magic not in (MAGIC_V1, MAGIC_V2) or at + size > len(data):
                return records, start + at
            record = _record(data, at)
            if record.offset != start + at or (record.body and zlib.crc32(record.body) & 0x7FFFFFFF != record.body_crc):
                return records, start + at
            records.append(record)
            at += size
    return records, end


def read_queue(folder: Path, topic: str, queue: int) -> dict[int, tuple[int, int, int]]:
    """Queue offset → (log offset, size, tags code), of the units that are written."""
    units = {}
    path = folder / "consumequeue" / topic / str(queue)
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        data = file.read_bytes().rstrip(b"\0")
        data += bytes(-len(data) % UNIT)
        for i, unit in enumerate(struct.iter_unpack(">qiq", data)):
            if unit[1] > 0:
                units[int(file.name) // UNIT + i] = unit
    return units


def read_index(folder: Path, slots: int = 5_000_000) -> set[tuple[int, int]]:
    """(hash of topic#key, log offset) of every entry that its slot's chain reaches."""
    found: set[tuple[int, int]] = set()
    path = folder / "index"
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        with file.open("rb") as f:
            head = f.read(40)
            _, _, _, _, used, count = struct.unpack(">qqqqii", head)
            if used == 0:
                continue
            heads = {n: v for n, (v,) in enumerate(struct.iter_unpack(">i", f.read(4 * slots))) if v}
            f.seek(40 + 4 * slots)
            entries = list(struct.iter_unpack(">iqii", f.read(20 * count)))
        for slot, at in heads.items():
            while 0 < at < count:
                key_hash, offset, _, before = entries[at]
                if key_hash % slots == slot:
                    found.add((key_hash, offset))
                if before >= at:
                    break
                at = before
    return found


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A file of `config/`, or an empty object."""
    path = folder / "config" / name
    loaded: dict[str, Any] = remoting.loads(path.read_bytes()) if path.is_file() else {}
    return loaded


def consumer_offsets(folder: Path) -> dict[str, dict[str, int]]:
    """`topic@group` → queue id → offset."""
    table: dict[str, dict[str, int]] = read_json(folder, "consumerOffset.json").get("offsetTable", {})
    return table


def index_hash(topic: str, key: str) -> int:
    """What an index entry holds for a key."""
    h = java_hash(f"{topic}#{key}")
    return abs(h) if h != -(1 << 31) else 0


def faults(folder: Path, slots: int = 5_000_000) -> list[str]:
    """What does not fit together; empty for a store that was stopped cleanly."""
    wrong = []
    records, _ = read_log(folder)
    index = read_index(folder, slots)
    queues: dict[tuple[str, int], dict[int, tuple[int, int, int]]] = {}
    for r in records:
        if not r.in_queue:
            continue
        at = (r.topic, r.queue)
        units = queues.setdefault(at, read_queue(folder, *at))
        unit = units.pop(r.queue_offset, None)
        tags = java_hash(r.properties["TAGS"]) if "TAGS" in r.properties else 0
        if unit is None:
            wrong.append(f"{at}: no unit for offset {r.queue_offset} (log {r.offset})")
        elif unit[:2] != (r.offset, r.size) or (r.topic != SCHEDULE_TOPIC and unit[2] != tags):
            wrong.append(f"{at}: unit {r.queue_offset} is {unit}, wanted {(r.offset, r.size, tags)}")
        wrong += [f"{at}: key {key!r} of log {r.offset} is not in the index"
                  for key in r.index_keys() if (index_hash(r.topic, key), r.offset) not in index]  # fmt: skip
    wrong += [f"{at}: units without a record: {sorted(units)}" for at, units in queues.items() if units]
    return wrong


SIZES = "sizes.json"


def pack(store: Path, target: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Copies a store folder for keeping: files lose the zeros at their end, `sizes.json` remembers how long they were."""
    sizes = {}
    for file in sorted(p for p in store.rglob("*") if p.is_file()):
        name = file.relative_to(store).as_posix()
        if name.startswith(leave_out):
            continue
        data = file.read_bytes()
        sizes[name] = len(data)
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.rstrip(b"\0"))
    (target / SIZES).write_text(json.dumps(sizes, indent=1) + "\n")


def unpack(packed: Path, target: Path) -> None:
    """The store folder that `pack` was given, in a new folder."""
    for name, size in json.loads((packed / SIZES).read_text()).items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packed / name, place)
        with place.open("r+b") as f:
            f.truncate(size)
