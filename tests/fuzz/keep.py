"""Keeps the best of what runs have found as seeds: python3 -m tests.fuzz.keep, after tests/fuzz/run.

libFuzzer chooses from the seeds and build/fuzz/TARGET the few that together reach everything that all of them reach; of
these as many are kept, small and large, as the bounds of a target allow. Seeds that are there stay.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MAX_SIZE, MAX_FILES, MAX_BYTES = 2048, 30, 12 << 10


def binaries() -> Path:
    """Where tests/fuzz/run builds."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "fuzz"
    words = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout.split()
    return target / words[words.index("host:") + 1] / "release"


def new_ones(target: str, folder: Path) -> list[bytes]:
    """Inputs that reach what others do not, the smallest first."""
    seeds = HERE / "corpus" / target
    options = ["-set_cover_merge=1", f"-max_len={MAX_SIZE}", "-timeout=20", "-rss_limit_mb=1024"]
    found = ROOT / "build/fuzz" / target
    subprocess.run([binaries() / target, *options, folder, seeds, found], capture_output=True, check=True)
    known = {seed.read_bytes() for seed in seeds.iterdir()}
    return sorted((data for file in folder.iterdir() if (data := file.read_bytes()) not in known), key=len)


def bounded(inputs: list[bytes]) -> list[bytes]:
    """Some of them, evenly chosen, that the bounds allow."""
    for count in range(min(len(inputs), MAX_FILES), 0, -1):
        chosen = [inputs[n * len(inputs) // count] for n in range(count)]
        if sum(map(len, chosen)) <= MAX_BYTES:
            return chosen
    return []


def main() -> int:
    """The program."""
    for seeds in sorted((HERE / "corpus").iterdir()):
        with tempfile.TemporaryDirectory() as folder:
            kept = bounded(new_ones(seeds.name, Path(folder)))
        for data in kept:
            (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        print(f"{seeds.name}: {len(kept)} inputs of {sum(map(len, kept))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
