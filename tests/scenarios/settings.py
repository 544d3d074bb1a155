"""The settings page: all that stands there is understood in every language, and what is wrong is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.harness.broker import ROOT
from tests.harness.scenario import OURS, World, refused, scenario

SECTIONS = ("Client", "Producer", "Push consumer", "Pull consumer")


@dataclass
class Setting:
    """One row of the page."""

    name: str
    java: str
    kind: str
    default: str
    free: bool
    """Whether any text will do."""


def page() -> dict[str, list[Setting]]:
    """The settings of clients, producers and consumers, as the page has them."""
    found: dict[str, list[Setting]] = {}
    section = ""
    for line in (ROOT / "core" / "SETTINGS.md").read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        row = re.match(r"\| `(\w+)` \| (\S*) \| (.*?) \| (\S*) \| ", line)
        if row and section in SECTIONS:
            name, java, kind, default = (part.replace("`", "") for part in row.groups())
            found.setdefault(section, []).append(
                Setting(
                    name, java, kind, default.replace("_", "") if kind.startswith("number") else default, kind == "text"
                )
            )
    return found


@scenario("Every setting, by both its names", brokers=OURS)
def every_setting(world: World, language: str) -> None:
    """Each setting of the page is taken by its name there and by Java's; a bad value is refused with the name."""
    settings = page()
    assert list(settings) == list(SECTIONS) and all(len(rows) > 10 for rows in settings.values()), settings.keys()
    runner = world.runner(language)
    topic = world.topic(queues=1)

    def given(section: str, java: bool) -> dict[str, str]:
        rows = [row for row in settings[section] if row.name not in ("namesrv", "group")]
        return {(row.java if java and row.java else row.name): row.default for row in rows}

    with world.client(language) as (_, client):
        opened: dict[str, dict[str, Any]] = {
            "Client": {"op": "client.open", "client": world.name("client"), "namesrv": world.namesrv},
            "Producer": {"op": "producer.open", "client": client, "group": world.name("group")},
            "Push consumer": {"op": "consumer.open", "client": client, "subscriptions": {topic: "*"}, "behaviour": {}},
            "Pull consumer": {"op": "pull.open", "client": client},
        }
        for section, fields in opened.items():
            for number, setting in enumerate(settings[section]):
                if not setting.free and setting.name != "namesrv":
                    name = setting.java if setting.java and number % 2 else setting.name
                    named = {"producer": "refused", "consumer": "refused", "group": "refused"}
                    # Node.js reads camel case as the library's own name, so either may be told.
                    error = refused(runner, "CONFIG", "nonsense", **{**named, **fields}, settings={name: "nonsense"})
                    assert f"'{name}'" in error.message or f"'{setting.name}'" in error.message, (name, error)
            for java in (False, True):
                name = world.name("opened")
                named = {"client": name} if section == "Client" else {"producer": name, "consumer": name}
                called = {**fields, **named, "group": world.name("group")}
                runner.call(**called, settings=given(section, java))
                close = {"Client": "client", "Producer": "producer", "Push consumer": "consumer"}.get(section, "pull")
                runner.call(f"{close}.close", **named)
