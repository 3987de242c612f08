"""schedule: when the next backups are due and why then, in words and as JSON."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest

from engine.history import utc_text
from scheduler.cron import croniter
from scheduler.instance import SERVICE_LOCK, instance_folder
from scheduler.state import save_state
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
from tests.fakes import StoryClock
from tests.scheduler.served_stories import Story
from tests.scheduler.stories import at

LORD_HOWE = "Australia/Lord_Howe"
MONTH_END = {
    "Scheduler/Frequency": "Monthly",
    "Scheduler/Monthly/Every": "1",
    "Scheduler/Monthly/Day": "31",
    "Scheduler/Monthly/Hour": "03:00:00",
}
NO_DAY = {"Scheduler/Frequency": "Weekly", "Scheduler/Weekly/Monday/Save": "False"}
NEVER = {"Scheduler/Frequency": "Never"}


@pytest.fixture
def ask(terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(terminal, app, monkeypatch)


# --- the list -------------------------------------------------------------------------------------


def test_the_schedule_its_zone_and_the_next_ten_slots_are_told(ask: Ask) -> None:
    printed = ask()

    assert "schedule  every day at 02:30" in printed.out
    assert "zone      Europe/Paris, from the service file" in printed.out
    assert "counted" not in printed.out
    assert slots_of(printed)[0] == "Sun 2026-01-11 02:30:00 +01:00"
    assert len(slots_of(printed)) == 10


def test_as_many_slots_as_are_asked_for_are_shown(ask: Ask) -> None:
    assert len(slots_of(ask("--next", "20"))) == 20
    assert len(slots_of(ask("--next", "10000"))) == 10_000


def test_a_slot_at_the_very_moment_is_shown_with_from(ask: Ask) -> None:
    assert slots_of(ask("--next", "1", "--from", "2026-02-01 02:30"))[0].startswith(
        "Sun 2026-02-01"
    )
    assert slots_of(ask("--next", "1", "--from", "2026-02-01T02:30:01"))[0].startswith("Mon")
    assert slots_of(ask("--next", "1", "--from", "2026-02-01T01:30:00Z"))[0].startswith("Sun")
    assert slots_of(ask("--next", "1", "--from", "2026-02-01T01:31+00:00"))[0].startswith("Mon")


NIGHTS = [
    (
        PARIS,
        DAILY,
        "2026-03-29",
        (
            "Sun 2026-03-29 03:00:00 +02:00  every day; 02:30 does not exist on 2026-03-29 in Europe/Paris; "
            "served at 03:00, the first instant after the gap"
        ),
    ),
    (
        PARIS,
        DAILY,
        "2026-10-25",
        (
            "Sun 2026-10-25 02:30:00 +02:00  every day; 02:30 occurs twice on 2026-10-25 in Europe/Paris; "
            "first occurrence"
        ),
    ),
    (
        PARIS,
        {**HOURLY, "Scheduler/Hourly/StartingAt": "00:30:00"},
        "2026-10-25T02:30+01:00",
        (
            "Sun 2026-10-25 02:30:00 +01:00  2 hours after 00:30 (every hour); 02:30 occurs twice on "
            "2026-10-25 in Europe/Paris; second occurrence"
        ),
    ),
    (
        LORD_HOWE,
        {**DAILY, "Scheduler/Daily/Hour": "02:15:00"},
        "2026-10-04",
        (
            "Sun 2026-10-04 02:30:00 +11:00  every day; 02:15 does not exist on 2026-10-04 in "
            "Australia/Lord_Howe; served at 02:30, the first instant after the gap"
        ),
    ),
    (
        LORD_HOWE,
        {**DAILY, "Scheduler/Daily/Hour": "01:45:00"},
        "2026-04-05",
        (
            "Sun 2026-04-05 01:45:00 +11:00  every day; 01:45 occurs twice on 2026-04-05 in "
            "Australia/Lord_Howe; first occurrence"
        ),
    ),
]


@pytest.mark.parametrize(("zone", "changes", "seen_from", "expected"), NIGHTS)
def test_a_night_on_which_clocks_change_is_explained(
    ask: Ask, app: App, zone: str, changes: Mapping[str, str], seen_from: str, expected: str
) -> None:
    app.configure(changes)

    explained = ask("--next", "1", "--explain", "--from", seen_from, "--zone", zone)
    plain = ask("--next", "1", "--from", seen_from, zone=zone)

    assert slots_of(explained) == [expected]
    assert slots_of(plain)[0] in expected.replace("every day; ", "").replace(
        "2 hours after 00:30 (every hour); ", ""
    )


def test_the_last_day_of_a_short_month_is_explained(ask: Ask, app: App) -> None:
    app.configure(MONTH_END)

    slots = slots_of(ask("--next", "2", "--explain", "--from", "2026-02-01"))

    assert slots == [
        (
            "Sat 2026-02-28 03:00:00 +01:00  day 31 of every month; "
            "day 31 does not exist in this month; last day taken"
        ),
        "Tue 2026-03-31 03:00:00 +02:00  day 31 of every month",
    ]


def test_hours_are_explained_by_the_grid_of_the_day_they_belong_to(ask: Ask, app: App) -> None:
    app.configure(
        {
            **HOURLY,
            "Scheduler/Hourly/Every": "5",
            "Scheduler/Hourly/StartingAt": "22:00:00",
        }
    )

    slots = slots_of(ask("--next", "2", "--explain", now="10 20:00"))

    assert slots[0].endswith("22:00:00 +01:00  start of the day's grid at 22:00")
    assert slots[1].endswith(
        "03:00:00 +01:00  5 hours after 22:00 of the day before (every 5 hours)"
    )


# --- every N --------------------------------------------------------------------------------------


def test_weeks_are_counted_as_the_service_remembers(ask: Ask, app: App, terminal: Terminal) -> None:
    app.configure(EVERY_OTHER_MONDAY)
    Story(app, terminal.state).look("2025-12-30 12:00")

    printed = ask("--next", "2", "--explain", now="13 12:00")

    assert (
        "counted   from the week of 2026-01-05: a day with a backup due, as the service remembers"
        in printed.out
    )
    assert slots_of(printed) == [
        "Mon 2026-01-19 08:00:00 +01:00  Monday of every 2 weeks, counted from the week of 2026-01-05",
        "Mon 2026-02-02 08:00:00 +01:00  Monday of every 2 weeks, counted from the week of 2026-01-05",
    ]


def test_the_state_is_that_of_the_service_for_this_database_alone(
    ask: Ask, app: App, terminal: Terminal
) -> None:
    app.configure(EVERY_OTHER_MONDAY)
    own = instance_folder(terminal.state, app.package)
    Story(app, own).look("2025-12-30 12:00")
    (own / SERVICE_LOCK).touch()

    assert "as the service remembers" in ask("--next", "1", now="13 12:00").out


def test_without_a_state_weeks_are_counted_from_the_newest_set(ask: Ask, app: App) -> None:
    app.configure(EVERY_OTHER_MONDAY)
    app.backup(scheduled=at("05 08:00"), clock=StoryClock(at("05 08:00")))

    printed = ask("--next", "1", now="10 12:00")

    assert "from the week of 2026-01-05: the slot of the newest set" in printed.out
    assert slots_of(printed) == ["Mon 2026-01-19 08:00:00 +01:00"]


def test_with_nothing_known_weeks_are_counted_from_the_first_that_fits(ask: Ask, app: App) -> None:
    app.configure(EVERY_OTHER_MONDAY)

    printed = ask("--next", "1", now="10 12:00")

    assert "from the week of 2026-01-12: the first that fits from now on" in printed.out
    assert slots_of(printed) == ["Mon 2026-01-12 08:00:00 +01:00"]
    # seen from another day it is the same series
    later = ask("--next", "1", "--from", "2026-01-13", now="10 12:00")
    assert slots_of(later) == ["Mon 2026-01-26 08:00:00 +01:00"]


def test_a_changed_schedule_is_counted_anew(ask: Ask, app: App, terminal: Terminal) -> None:
    app.configure({**DAILY, "Scheduler/Daily/Every": "2"})
    Story(app, terminal.state).look("09 12:00")
    app.configure({**DAILY, "Scheduler/Daily/Every": "3"})

    printed = ask("--next", "2")

    assert "the service remembers another schedule" in printed.out
    assert [line[4:14] for line in slots_of(printed)] == ["2026-01-11", "2026-01-14"]


def test_weeks_are_counted_from_a_monday_and_months_by_their_name(ask: Ask, app: App) -> None:
    thursday = {"Scheduler/Weekly/Thursday/Save": "True", "Scheduler/Weekly/Monday/Save": "False"}
    app.configure({**EVERY_OTHER_MONDAY, **thursday})
    assert "counted   from the week of 2026-01-12: " in ask(now="12 12:00").out

    app.configure({**MONTH_END, "Scheduler/Monthly/Every": "3"})
    assert "counted   from 2026-01: " in ask(now="12 12:00").out


def test_the_offsets_of_old_have_seconds(ask: Ask) -> None:
    (line,) = slots_of(ask("--next", "1", "--from", "0001-02-01"))

    assert line == "Thu 0001-02-01 02:30:00 +00:09:21"


# --- an independent judge -------------------------------------------------------------------------

JUDGED = [
    (DAILY, "30 2 * * *"),
    (MONTH_END, "0 3 l * *"),
    ({**HOURLY, "Scheduler/Hourly/Every": "6"}, "0 */6 * * *"),
    (
        {
            **EVERY_OTHER_MONDAY,
            "Scheduler/Weekly/Every": "1",
            "Scheduler/Weekly/Thursday/Save": "True",
            "Scheduler/Weekly/Thursday/Hour": "08:00:00",
        },
        "0 8 * * mon,thu",
    ),
]


@pytest.mark.parametrize(("changes", "expression"), JUDGED)
def test_the_slots_are_those_of_cron(
    ask: Ask, app: App, changes: Mapping[str, str], expression: str
) -> None:
    app.configure(changes)

    rows = ask("--next", "500", "--json", now="2026-01-10 13:00", zone="UTC").json["slots"]

    judge = croniter(expression, datetime(2026, 1, 10, 12, tzinfo=UTC), ret_type=datetime)
    expected = [utc_text(moment) for moment in islice(judge.all_next(datetime), 500)]
    assert [row["at"] for row in rows] == expected


# --- for programs ---------------------------------------------------------------------------------


def test_the_answer_for_programs(ask: Ask) -> None:
    row = ask("--next", "1", "--from", "2026-03-29", "--json").json

    assert row["schedule"] == "every day at 02:30"
    assert (row["zone"], row["is_scheduled"], row["counted"]) == (PARIS, True, None)
    assert row["from"] == "2026-03-28T23:00:00.000Z"
    assert row["notes"] == ["the service is not running: no automatic backup will be made"]
    (slot,) = row["slots"]
    assert slot["at"] == "2026-03-29T01:00:00.000Z"
    assert slot["local"] == "2026-03-29T03:00:00+02:00"
    assert (slot["weekday"], slot["wall"]) == ("Sun", "2026-03-29T02:30:00")
    assert slot["reason"].startswith("02:30 does not exist")
    assert slot["rule"].startswith("every day; 02:30 does not exist")


# --- schedules that have no slots, and what keeps slots from being served -------------------------


def test_no_schedule_is_somebodys_wish(ask: Ask, app: App) -> None:
    app.configure(NEVER)

    for words in ((), ("--explain",), ("--missed-since", "2026-01-01")):
        printed = ask(*words)
        assert printed.code == 0
        assert "schedule  never automatically" in printed.out
        assert "note" not in printed.out
    assert ask("--json").json["is_scheduled"] is False


def test_a_schedule_without_a_day_needs_a_person(ask: Ask, app: App) -> None:
    app.configure(NO_DAY)

    printed = ask()

    assert printed.code == 1
    assert "schedule  not scheduled, because " in printed.out
    assert ask("--json").code == 1


def test_refused_settings_are_4(ask: Ask, app: App) -> None:
    app.configure({"Advanced/SetNumber/Value": "-1"})

    assert ask().code == 4
    assert ask("--missed-since", "2026-01-01").code == 4


def test_slots_of_a_running_service_have_no_note(ask: Ask, terminal: Terminal) -> None:
    with terminal.service_running():
        assert "note" not in ask().out


def test_a_retry_that_comes_first_is_told(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app, terminal.state)
    story.look("10 12:00")
    story.fails("11 02:30")

    printed = ask(now="11 02:30:30")

    assert "note      retry 1 of 1 of the 2026-01-11 02:30 backup" in printed.out


def test_a_backup_that_comes_before_all_slots_is_told(
    ask: Ask, app: App, terminal: Terminal
) -> None:
    Story(app, terminal.state).look("08 12:00")

    stopped = ask("--zone", "UTC")
    with terminal.service_running():
        running = ask()

    catch_up = "catch-up: 2 missed since 2026-01-09 02:30"
    assert f"note      as soon as it runs: {catch_up}" in stopped.out
    assert f"note      now: {catch_up}" in running.out


def test_slots_within_a_pause_are_marked(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app, terminal.state)
    story.look("10 12:00")
    state = story.remembered()
    known = replace(state.known, paused_until=at("12 02:30"))
    save_state(story.state_file, replace(state, known=known))

    printed = ask("--next", "3")

    assert "note      automatic backups are paused until 2026-01-12 02:30" in printed.out
    assert slots_of(printed) == [
        "Sun 2026-01-11 02:30:00 +01:00  not served: paused until 2026-01-12 02:30",
        "Mon 2026-01-12 02:30:00 +01:00  not served: paused until 2026-01-12 02:30",
        "Tue 2026-01-13 02:30:00 +01:00",
    ]


def test_a_state_of_the_far_future_moves_no_slot(ask: Ask, app: App, terminal: Terminal) -> None:
    Story(app, terminal.state).look("2031-01-01 12:00")

    printed = ask("--next", "1")

    assert "the clock was wrong; slots count from now on" in printed.out
    assert slots_of(printed) == ["Sun 2026-01-11 02:30:00 +01:00"]


def test_a_damaged_state_is_told(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app, terminal.state)
    story.look("10 12:00")
    story.state_file.write_bytes(b"{half")

    printed = ask()

    assert "note      the service's state cannot be read" in printed.out
    assert len(slots_of(printed)) == 10
