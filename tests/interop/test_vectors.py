"""The kept frames and stores are what their indexes say, read by the small independent readers of this folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.interop import store
from tests.interop.remoting import Frame

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
WIRE, STORES = VECTORS / "wire", VECTORS / "store"


def test_frames_match_their_index() -> None:
    index = json.loads((WIRE / "index.json").read_text())
    assert sorted(entry["file"] for entry in index) == sorted(file.name for file in WIRE.glob("*.bin"))
    for entry in index:
        frame = Frame.decode((WIRE / entry["file"]).read_bytes())
        answer = entry["direction"] == "response"
        assert frame.is_answer == answer, entry
        assert frame.code == (entry["response_code"] if answer else entry["code"]), entry
        assert (frame.encoding, frame.language, frame.version) == (entry["encoding"], entry["language"], entry["version"]), (
            entry
        )


@pytest.mark.parametrize("name", ["clean", "killed"])
def test_stores_match_what_is_expected_of_them(name: str, work: Path) -> None:
    expected = json.loads((STORES / name / "expected.json").read_text())
    store.unpack(STORES / name / "store", work)
    records, end = store.read_log(work)
    assert end == expected["log_end"]
    assert [(r.offset, r.topic, r.queue, r.queue_offset, hashlib.sha256(r.body).hexdigest()) for r in records] == [
        (m["offset"], m["topic"], m["queue"], m["queue_offset"], m["body_sha256"]) for m in expected["messages"]
    ]
    assert store.consumer_offsets(work) == expected["consumer_offsets"]
    assert store.faults(work, expected["settings"]["maxHashSlotNum"]) == []
    assert (work / "abort").exists() == (name == "killed")
