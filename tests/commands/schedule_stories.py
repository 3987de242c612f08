"""What the stories about `schedule` are told with: the command at a time and in a zone of the story."""

from pathlib import Path
from typing import Protocol

import pytest

from tests.commands.terminal import DAILY, Printed, Terminal
from tests.engine.stories import App
from tests.fakes import StoryClock
from tests.scheduler.stories import at

PARIS = "Europe/Paris"
EVERY_OTHER_MONDAY = {
    "Scheduler/Frequency": "Weekly",
    "Scheduler/Weekly/Every": "2",
    "Scheduler/Weekly/Monday/Save": "True",
    "Scheduler/Weekly/Monday/Hour": "08:00:00",
}
KEEP_ALL = {**DAILY, "Advanced/SetNumber/Enable": "False"}
HOURLY = {"Scheduler/Frequency": "Hourly", "Scheduler/Hourly/Every": "1"}


class Ask(Protocol):
    """Types `backup4d schedule` for one application."""

    def __call__(self, *words: str | Path, now: str = ..., zone: str = ...) -> Printed: ...


def asking(terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A service in Paris, on the tenth of January at noon when nothing else is said."""

    def types(*words: str | Path, now: str = "10 12:00", zone: str = PARIS) -> Printed:
        terminal.service_file.write_text(
            f"<Backup4DService><TimeZone>{zone}</TimeZone></Backup4DService>"
        )
        monkeypatch.setattr("scheduler.context.HostClock", lambda: StoryClock(at(now)))
        return terminal.types("schedule", app.package, *words)

    return types


def slots_of(printed: Printed) -> list[str]:
    """The lines of the list."""
    assert printed.code == 0, printed
    return [line.strip() for line in printed.out.splitlines() if line.startswith("  ")]


def nights(app: App, *days: str) -> None:
    """A set on time on each of these nights of January."""
    for day in days:
        app.backup(scheduled=at(f"{day} 02:30"), clock=StoryClock(at(f"{day} 02:30")))


def fates(printed: Printed) -> dict[str, str]:
    """Day of January (and hour, when it is not that of the night) to what became of its slot."""
    found = {}
    for row in printed.json["slots"]:
        day, clock = row["local"][8:10], row["local"][11:16]
        found[day if clock == "02:30" else f"{day} {clock}"] = row["fate"]
    return found


def counts(printed: Printed) -> dict[str, int]:
    return {fate: count for fate, count in printed.json["counts"].items() if count}
