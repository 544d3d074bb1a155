"""``python3 -m tests.harness``: plays the scenarios and prints the matrix of languages and features."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests import scenarios as scenario_package

from .broker import ROOT, ApacheBroker, OurBroker
from .matrix import Cell, feature_table, print_matrix, write_table
from .runner import LANGUAGES, WITHOUT
from .scenario import SCENARIOS, Broker, Scenario, World


def play(scenario: Scenario, world: World, language: str | None) -> Cell:
    """Plays one scenario in one language (or in all) and tells how it went."""
    who = language or "all"
    reason = scenario.skip.get(who)
    if reason:
        return Cell(scenario.name, scenario.feature, who, world.broker.kind, "skipped", reason)
    start = time.monotonic()
    try:
        scenario.play(world, *([language] if language else []))
    except Exception as error:
        traceback.print_exc()
        return Cell(
            scenario.name, scenario.feature, who, world.broker.kind, "failed", f"{type(error).__name__}: {error}"
        )
    print(f"  {scenario.name} [{who}] ok, {time.monotonic() - start:.1f} s", flush=True)
    return Cell(scenario.name, scenario.feature, who, world.broker.kind, "passed", "")


def start_broker(kind: str, logs: Path) -> Broker:
    if kind == "libmq":
        return OurBroker(logs / "broker.log")
    return ApacheBroker(kind.removeprefix("apache-"), logs / f"{kind}.log")


def play_all(kind: str, languages: list[str], only: str, logs: Path) -> list[Cell]:
    print(f"scenarios on {kind}", flush=True)
    cells: list[Cell] = []
    broker = start_broker(kind, logs)
    world = World(broker, logs, languages)
    try:
        for scenario in SCENARIOS:
            if kind not in scenario.brokers or only not in scenario.name:
                continue
            for language in [None] if scenario.together else languages:
                cells.append(play(scenario, world, language))
    finally:
        world.close()
        broker.stop()
    return cells


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.harness", description=__doc__)
    parser.add_argument(
        "--broker", action="append", help="libmq, apache-5.5.0 or apache-4.9.7; may be given several times"
    )
    parser.add_argument("--language", action="append", choices=LANGUAGES)
    parser.add_argument("--only", default="", help="play the scenarios whose name contains this")
    parser.add_argument("--results", type=Path, help="write the cells as JSON")
    parser.add_argument("--table", choices=["check", "write"], help="compare or renew the feature table of README.md")
    arguments = parser.parse_args()
    for module in pkgutil.iter_modules(scenario_package.__path__):
        importlib.import_module(f"tests.scenarios.{module.name}")
    logs = Path(tempfile.mkdtemp(prefix="mq-scenarios-"))
    cells: list[Cell] = []
    for kind in arguments.broker or ["libmq"]:
        cells += play_all(kind, arguments.language or LANGUAGES, arguments.only, logs)
    print_matrix(cells)
    if arguments.results:
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps([vars(cell) for cell in cells], indent=1))
    failed = sum(cell.outcome == "failed" for cell in cells)
    if arguments.table and WITHOUT:
        print(f"README.md's feature table is not compared: this machine lacks {', '.join(sorted(set(WITHOUT)))}")
    elif arguments.table and not failed:
        failed += write_table(ROOT / "README.md", feature_table(cells), check=arguments.table == "check")
    passed = sum(cell.outcome == "passed" for cell in cells)
    skipped = sum(cell.outcome == "skipped" for cell in cells)
    print(f"logs: {logs}" if failed else "all as it should be")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
