"""``python3 -m tests.bench``: messages a second and per CPU second, of both brokers and of each language's client.

All in one run on one machine, so that ratios mean something; the raw figures go to ``build/bench.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.brokers import brokers
from tests.bench.figures import MAKERS
from tests.bench.languages import EVERY, languages
from tests.bench.latency import latency
from tests.harness.broker import ROOT

PARTS = ["brokers", "latency", "languages"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15, help="length of each measurement of a broker")
    parser.add_argument("--count", type=int, default=400_000, help="messages that each client sends and consumes")
    parser.add_argument("--part", choices=PARTS, action="append", help="repeatable; default: all")
    parser.add_argument("--broker", choices=list(MAKERS), action="append", help="repeatable; default: both")
    parser.add_argument("--client", choices=EVERY, action="append", help="of the part languages; repeatable")
    arguments = parser.parse_args()
    parts = arguments.part or PARTS
    makers = [MAKERS[name] for name in arguments.broker or MAKERS]
    print(f"{'':<50}{'messages/s':>14}{'/ broker CPU s':>14}{'/ client CPU s':>14}")
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mq-bench-") as name:
        if "brokers" in parts:
            raw["brokers"] = [asdict(figure) for figure in brokers(arguments.seconds, Path(name), makers)]
        if "latency" in parts:
            raw["latency"] = latency(arguments.seconds, Path(name), makers)
        if "languages" in parts:
            of_clients = languages(arguments.count, Path(name), makers, arguments.client or EVERY)
            raw["languages"] = [asdict(figure) for figure in of_clients]
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(raw, indent=1))
    print(f"raw figures: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
