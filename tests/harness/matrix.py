"""The results of the scenarios as a matrix on the terminal and as the feature table in README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .runner import LANGUAGES

TITLES = {"python": "Python", "node": "Node.js", "cpp": "C++", "dotnet": ".NET", "php": "PHP", "c": "C"}
BEGIN, END = "<!-- features: made by the scenarios -->\n", "<!-- /features -->\n"
SIGNS = {"passed": "✓", "failed": "✗", "skipped": "–"}


@dataclass
class Cell:
    """How one scenario went in one language on one broker."""

    scenario: str
    feature: str
    language: str
    broker: str
    outcome: str
    reason: str


def print_matrix(cells: list[Cell]) -> None:
    """Prints one line a scenario and broker, and the reason of each cell that did not pass."""
    columns = [language for language in LANGUAGES if any(cell.language == language for cell in cells)]
    print(f"\n{'scenario':<34}{'broker':<14}" + "".join(f"{TITLES[name]:>9}" for name in columns))
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.scenario, cell.broker), {})[cell.language] = cell
    for (name, broker), row in rows.items():
        everyone = row.get("all")
        signs = [SIGNS[found.outcome] if (found := row.get(column, everyone)) else "" for column in columns]
        print(f"{name:<34}{broker:<14}" + "".join(f"{sign:>9}" for sign in signs))
    for cell in cells:
        if cell.outcome != "passed":
            print(f"{cell.outcome}: {cell.scenario} [{cell.language}, {cell.broker}]: {cell.reason}")


def feature_table(cells: list[Cell]) -> str:
    """The table of features as Markdown: a sign where every scenario of the feature passed."""
    features = list(dict.fromkeys(cell.feature for cell in cells))
    lines = ["| | " + " | ".join(TITLES[name] for name in LANGUAGES) + " |", "|---" * (len(LANGUAGES) + 1) + "|"]
    for feature in features:
        signs = []
        for language in LANGUAGES:
            mine = [cell for cell in cells if cell.feature == feature and cell.language in (language, "all")]
            outcomes = {cell.outcome for cell in mine}
            signs.append(SIGNS["failed" if "failed" in outcomes else "passed" if "passed" in outcomes else "skipped"])
        lines.append(f"| {feature} | " + " | ".join(signs) + " |")
    return "\n".join(lines) + "\n"


def write_table(readme: Path, table: str, check: bool) -> int:
    """Puts the table between its marks; with ``check`` only compares, and tells 1 if it differs."""
    text = readme.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        print(f"{readme} has no marks for the feature table")
        return 1
    wanted = head + begin + table + end + tail
    if wanted == text:
        return 0
    if check:
        print("README.md's feature table is not what the scenarios show; run `make features`")
        return 1
    readme.write_text(wanted)
    return 0
