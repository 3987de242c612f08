"""schedule: whatever is typed, a time that is meant or a message that names the option."""

from collections.abc import Mapping

import pytest

from tests.commands.schedule_stories import (
    EVERY_OTHER_MONDAY,
    HOURLY,
    PARIS,
    Ask,
    asking,
    slots_of,
)
from tests.commands.terminal import DAILY, Terminal
from tests.engine.stories import App

MONTH_END = {
    "Scheduler/Frequency": "Monthly",
    "Scheduler/Monthly/Every": "1",
    "Scheduler/Monthly/Day": "31",
    "Scheduler/Monthly/Hour": "03:00:00",
}


@pytest.fixture
def ask(terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(terminal, app, monkeypatch)


BAD = [
    ("--next", "0"),
    ("--next", "-3"),
    ("--next", "10001"),
    ("--next", "99999999999999999999"),
    ("--next", "ten"),
    ("--from", "yesterday"),
    ("--from", "2026-02-30"),
    ("--from", "2026-01-01 24:30"),
    ("--from", "0000-01-01"),
    ("--from", "2026-01-01Z"),
    ("--from", "2026-01-01T00:00+25:00"),
    ("--from", "٢٠٢٦-01-01"),
    ("--from", ""),
    ("--missed-since", "12:00"),
    ("--missed-since", "2026-01-10 12:01"),
    ("--zone", "Europe/Pari"),
    ("--zone", "Europe"),
    ("--zone", "../../etc/passwd"),
    ("--zone", ""),
    ("--zone", "x" * 5000),
    ("--missed-since", "2026-01-01", "--next", "3"),
    ("--missed-since", "2026-01-01", "--zone", "UTC"),
    ("--missed-since", "2026-01-01", "--from", "2026-01-01"),
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: " ".join(words)[:40])
def test_what_makes_no_sense_is_wrong_use_with_the_option_named(
    ask: Ask, words: tuple[str, ...]
) -> None:
    printed = ask(*words)

    assert printed.code == 2
    assert words[0] in printed.err
    assert "Traceback" not in printed.all


def test_a_misspelt_zone_is_answered_with_one_that_exists(ask: Ask) -> None:
    assert "write it as Europe/Paris" in ask("--zone", "europe/pariss").err
    assert "write it as Europe/Paris" in ask("--zone", "???").err


@pytest.mark.parametrize(
    "moment", ["0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31 23:59:59", "9999-12-24 00:00"]
)
@pytest.mark.parametrize("zone", [PARIS, "Pacific/Kiritimati", "America/Adak"])
@pytest.mark.parametrize("changes", [DAILY, HOURLY, MONTH_END, EVERY_OTHER_MONDAY])
def test_the_ends_of_the_calendar_harm_nothing(
    ask: Ask, app: App, changes: Mapping[str, str], zone: str, moment: str
) -> None:
    app.configure(changes)

    printed = ask("--from", moment, "--zone", zone, "--explain")

    assert printed.code == 0
    assert "there are no more" in printed.out or len(slots_of(printed)) == 10


@pytest.mark.parametrize(
    ("moment", "taken", "words"),
    [
        ("2026-03-29 02:30", "Sun 2026-03-29 03:00:00 +02:00", "does not exist"),
        ("2026-10-25 02:30", "Sun 2026-10-25 02:30:00 +02:00", "write +02:00 or +01:00 behind it"),
    ],
)
def test_a_moment_that_exists_twice_or_never_is_taken_as_a_slot_and_said(
    ask: Ask, moment: str, taken: str, words: str
) -> None:
    printed = ask("--from", moment)

    assert f"from {taken} on:" in printed.out
    assert any("note" in line and words in line for line in printed.out.splitlines())
