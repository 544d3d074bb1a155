"""A small client of the remoting protocol: enough to ask a NameServer what it knows, and to name recorded frames.

It is independent of libmq on purpose: the tests must not trust the code that they test.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

QUERY_CONSUMER_OFFSET = 14
UPDATE_AND_CREATE_TOPIC = 17
GET_ROUTEINFO_BY_TOPIC = 105
GET_BROKER_CLUSTER_INFO = 106

JSON = "JSON"
ROCKETMQ = "ROCKETMQ"


class BadFrame(Exception):
    """Bytes that are no remoting frame."""


@dataclass
class Frame:
    """One RemotingCommand. `flag` bit 0: an answer; bit 1: one-way."""

    code: int
    opaque: int = 0
    flag: int = 0
    remark: str | None = None
    language: str = "OTHER"
    version: int = 479
    ext: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    encoding: str = JSON

    @property
    def is_answer(self) -> bool:
        """Bit 0 of the flag."""
        return bool(self.flag & 1)

    @property
    def is_oneway(self) -> bool:
        """Bit 1 of the flag."""
        return bool(self.flag & 2)

    def encode(self) -> bytes:
        """The frame with a JSON header."""
        header = json.dumps(
            {
                "code": self.code,
                "extFields": self.ext,
                "flag": self.flag,
                "language": self.language,
                "opaque": self.opaque,
                "serializeTypeCurrentRPC": JSON,
                "version": self.version,
            }
        ).encode()
        return struct.pack(">II", 4 + len(header) + len(self.body), len(header)) + header + self.body

    @staticmethod
    def decode(raw: bytes) -> Frame:
        """`raw` is a whole frame with its four length bytes."""
        if len(raw) < 8:
            raise BadFrame(f"{len(raw)} bytes")
        length, word = struct.unpack_from(">II", raw)
        header_length = word & 0xFFFFFF
        if length != len(raw) - 4 or header_length > length - 4:
            raise BadFrame(f"length {length}, header {header_length}, of {len(raw)} bytes")
        header, body = raw[8 : 8 + header_length], raw[8 + header_length :]
        match word >> 24:
            case 0:
                h = json.loads(header)
                return Frame(
                    h["code"], h["opaque"], h["flag"], h.get("remark"), h.get("language", ""), h.get("version", 0),
                    {k: str(v) for k, v in (h.get("extFields") or {}).items()}, body, JSON,
                )  # fmt: skip
            case 1:
                return _decode_binary(header, body)
            case other:
                raise BadFrame(f"header encoding {other}")


_LANGUAGES = [
    "JAVA",
    "CPP",
    "DOTNET",
    "PYTHON",
    "DELPHI",
    "ERLANG",
    "RUBY",
    "OTHER",
    "HTTP",
    "GO",
    "PHP",
    "OMS",
    "RUST",
    "NODE_JS",
]


def _decode_binary(header: bytes, body: bytes) -> Frame:
    code, language, version, opaque, flag, remark_length = struct.unpack_from(">hbhiii", header)
    at = 17
    remark = header[at : at + remark_length].decode() if remark_length > 0 else None
    at += remark_length
    (ext_length,) = struct.unpack_from(">i", header, at)
    at += 4
    end = at + ext_length
    ext: dict[str, str] = {}
    while at < end:
        (n,) = struct.unpack_from(">h", header, at)
        key = header[at + 2 : at + 2 + n].decode()
        at += 2 + n
        (n,) = struct.unpack_from(">i", header, at)
        ext[key] = header[at + 4 : at + 4 + n].decode()
        at += 4 + n
    name = _LANGUAGES[language] if 0 <= language < len(_LANGUAGES) else str(language)
    return Frame(code, opaque, flag, remark, name, version, ext, body, ROCKETMQ)


def read_exactly(s: socket.socket, n: int) -> bytes:
    """`n` bytes, or EOFError when the other side closes first."""
    parts = []
    while n > 0:
        part = s.recv(n)
        if not part:
            raise EOFError("connection closed")
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def loads(body: bytes) -> Any:
    """JSON as fastjson writes it: object keys may be bare numbers."""
    return json.loads(re.sub(rb"([{,])\s*(\d+)\s*:", rb'\1"\2":', body))


def call(address: str, code: int, ext: dict[str, str] | None = None, body: bytes = b"", timeout: float = 5) -> Frame:
    """One request on a connection of its own. OSError or EOFError when there is no answer."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout) as s:
        s.sendall(Frame(code, opaque=1, ext=ext or {}, body=body).encode())
        while True:
            head = read_exactly(s, 4)
            frame = Frame.decode(head + read_exactly(s, struct.unpack(">I", head)[0]))
            if frame.is_answer and frame.opaque == 1:
                return frame


def cluster(namesrv: str) -> dict[str, dict[str, str]]:
    """Broker name → broker id → address, as the NameServer knows them."""
    answer = call(namesrv, GET_BROKER_CLUSTER_INFO)
    if answer.code != 0:
        raise OSError(f"{namesrv}: cluster info answered {answer.code}: {answer.remark}")
    table = loads(answer.body).get("brokerAddrTable") or {}
    return {name: data["brokerAddrs"] for name, data in table.items()}


def route(namesrv: str, topic: str) -> dict[str, Any] | None:
    """The topic's TopicRouteData; None when there is none."""
    answer = call(namesrv, GET_ROUTEINFO_BY_TOPIC, {"topic": topic, "acceptStandardJsonOnly": "true"})
    return loads(answer.body) if answer.code == 0 else None


def create_topic(broker: str, topic: str, queues: int) -> None:
    """Asks a broker for a topic; OSError when it refuses."""
    ext = {
        "topic": topic,
        "defaultTopic": "TBW102",
        "readQueueNums": str(queues),
        "writeQueueNums": str(queues),
        "perm": "6",
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
    }
    answer = call(broker, UPDATE_AND_CREATE_TOPIC, ext)
    if answer.code != 0:
        raise OSError(f"{broker}: topic {topic} was refused with {answer.code}: {answer.remark}")


def committed(broker: str, group: str, topic: str, queue: int) -> int | None:
    """The offset that a group has committed of a queue; None when the broker knows of none."""
    ext = {"consumerGroup": group, "topic": topic, "queueId": str(queue), "setZeroIfNotFound": "false"}
    answer = call(broker, QUERY_CONSUMER_OFFSET, ext)
    return int(answer.ext["offset"]) if answer.code == 0 else None
