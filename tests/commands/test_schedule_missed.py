"""schedule --missed-since: what became of slots that have passed, and what is not known any more."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.errors import EngineError
from engine.stop import StopRequest
from scheduler.state import save_state
from tests.commands.schedule_stories import (
    HOURLY,
    KEEP_ALL,
    Ask,
    asking,
    counts,
    fates,
    nights,
    slots_of,
)
from tests.commands.terminal import DAILY, Terminal
from tests.engine.stories import ONLY_IF_CHANGED, App
from tests.fakes import StoryClock
from tests.scheduler.served_stories import ATTEMPTS, LIMITED, NEXT_SLOT, NO_DISK, Story
from tests.scheduler.stories import at


@pytest.fixture
def ask(terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(terminal, app, monkeypatch)


def test_a_night_without_a_set_between_two_that_have_one_was_missed(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "06", "08")

    printed = ask("--missed-since", "2026-01-05", "--json", now="08 12:00")

    assert fates(printed) == {"07": "missed"}
    assert counts(printed) == {"served": 3, "missed": 1}


def test_missed_slots_are_told_in_words(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "08")

    printed = ask("--missed-since", "2026-01-05", now="08 12:00")

    assert "since Mon 2026-01-05 00:00:00 +01:00: 2 served, 2 missed" in printed.out
    assert [line.partition("  ")[0] for line in slots_of(printed)] == [
        "Tue 2026-01-06 02:30:00 +01:00",
        "Wed 2026-01-07 02:30:00 +01:00",
    ]
    assert (
        "missed: no set, and the history tells of no attempt; see the Backup journal" in printed.out
    )


def test_when_nothing_was_missed_nothing_is_listed(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "06")

    printed = ask("--missed-since", "2026-01-05 02:30", now="06 12:00")

    assert slots_of(printed) == []
    assert ": 2 served" in printed.out
    assert "no slot has passed" in ask("--missed-since", "2026-01-06 03:00", now="06 12:00").out


def test_one_backup_that_catches_up_makes_up_for_all_before_it(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05")
    app.backup(scheduled=at("06 02:30"), clock=StoryClock(at("08 09:00")))

    printed = ask("--missed-since", "2026-01-05", "--json", now="08 12:00")

    assert counts(printed) == {"served": 1, "made up for later": 3}
    assert fates(printed) == dict.fromkeys(["06", "07", "08"], "made up for later")
    assert printed.json["slots"][0]["why"] == "set 2 was begun 2 days 6 h late"
    assert printed.json["slots"][1]["why"] == "set 2 was made later for all slots that had passed"


def test_a_slot_served_by_a_retry_was_not_missed(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05")
    app.backup(scheduled=at("06 02:30"), clock=StoryClock(at("06 02:44")))

    assert counts(ask("--missed-since", "2026-01-05", "--json", now="06 12:00")) == {"served": 2}


def test_of_slots_that_come_due_during_a_run_the_first_is_answered_for(ask: Ask, app: App) -> None:
    app.configure(HOURLY)
    slow = StoryClock(at("10 02:00"), tick=timedelta(minutes=20))
    app.backup(scheduled=at("10 02:00"), clock=slow)
    assert slow.instant > at("10 04:00")

    found = fates(ask("--missed-since", "2026-01-10 02:00", "--json", now="10 05:00:30"))

    assert found["10 03:00"] == "made up for later"
    assert found["10 04:00"] == "missed"


# --- what the history tells -----------------------------------------------------------------------


def test_failed_and_stopped_backups_are_told_with_their_error(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05")
    hidden = app.data_file.rename(app.data_file.with_name("away"))
    for _ in range(2):
        with pytest.raises(EngineError):
            nights(app, "06")
    hidden.rename(app.data_file)
    stop = StopRequest()
    stop.ask()
    with pytest.raises(EngineError):
        app.backup(scheduled=at("07 02:30"), clock=StoryClock(at("07 02:30")), stop=stop)
    nights(app, "08")

    printed = ask("--missed-since", "2026-01-05", now="08 12:00")

    failed, stopped = slots_of(printed)
    assert failed.startswith("Tue 2026-01-06 02:30:00 +01:00  failed: error 1409 in 2 attempts: ")
    assert stopped.startswith("Wed 2026-01-07 02:30:00 +01:00  stopped: error 1406: stopped by the")


def test_a_postponed_backup_was_not_missed(ask: Ask, app: App) -> None:
    app.configure({**KEEP_ALL, ONLY_IF_CHANGED: "True"})
    nights(app, "05", "06")
    assert app.sets() == ["data[0001]"]

    assert counts(ask("--missed-since", "2026-01-05", "--json", now="06 12:00")) == {
        "served": 1,
        "postponed": 1,
    }


def test_a_lost_history_may_hide_that_a_backup_was_postponed(ask: Ask, app: App) -> None:
    app.configure({**KEEP_ALL, ONLY_IF_CHANGED: "True"})
    nights(app, "05", "06")
    (app.destination / "backupHistory.json").unlink()

    printed = ask("--missed-since", "2026-01-05", now="06 12:00")

    assert ": 1 served, 1 not known any more" in printed.out
    assert "the history does not reach back so far" in printed.out


def test_a_full_history_does_not_tell_of_what_it_has_dropped(ask: Ask, app: App) -> None:
    app.configure({**KEEP_ALL, ONLY_IF_CHANGED: "True"})
    nights(app, "05", "07")
    history = app.history()
    (event,) = history["backup4d"]
    history["backup4d"] = [event] * 500
    (app.destination / "backupHistory.json").write_text(json.dumps(history))

    printed = ask("--missed-since", "2026-01-05", "--json", now="07 12:00")

    assert counts(printed) == {"served": 1, "postponed": 1, "not known any more": 1}


@pytest.mark.parametrize(
    "rows",
    [None, 7, [1, None, {}], [{"event": "backup", "scheduledDate": "soon", "status": "x"}]],
)
def test_an_odd_history_harms_nothing(ask: Ask, app: App, rows: Any) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "07")
    (app.destination / "backupHistory.json").write_text(json.dumps({"backup4d": rows}))

    assert fates(ask("--missed-since", "2026-01-05", "--json", now="07 12:00")) == {"06": "missed"}


# --- what the service remembers -------------------------------------------------------------------


def test_slots_that_no_service_was_there_for_were_missed(
    ask: Ask, app: App, terminal: Terminal
) -> None:
    app.configure(KEEP_ALL)
    Story(app, terminal.state).look("04 12:00")
    shutil.rmtree(app.destination)

    printed = ask("--missed-since", "2026-01-03", "--json", now="07 12:00")

    assert counts(printed) == {"missed": 3, "not known any more": 2}
    assert fates(printed) == dict.fromkeys(["05", "06", "07"], "missed")
    assert "one backup catches up when the service runs" in printed.json["slots"][0]["why"]


def test_a_retry_that_is_still_to_come_is_waiting(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app.configure(KEEP_ALL), terminal.state)
    story.look("10 12:00")
    story.runs("11 02:30", NO_DISK)

    printed = ask("--missed-since", "2026-01-11", "--json", now="11 02:30:30")

    assert fates(printed) == {"11": "waiting"}


def test_a_slot_that_has_just_come_due_is_waiting_for_a_running_service(
    ask: Ask, app: App, terminal: Terminal
) -> None:
    Story(app, terminal.state).look("10 12:00")

    with terminal.service_running():
        waiting = ask("--missed-since", "2026-01-10 12:00", "--json", now="11 02:30:20")
        missed = ask("--missed-since", "2026-01-10 12:00", "--json", now="11 02:40")

    assert fates(waiting) == {"11": "waiting"}
    assert fates(missed) == {"11": "missed"}


def test_what_the_service_has_in_hand_is_waiting(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app, terminal.state)
    story.look("09 12:00")
    story.begins("11 09:00")
    words = ("--missed-since", "2026-01-10", "--json")

    with terminal.service_running():
        running = fates(ask(*words, now="11 09:01"))
    story.served.owe()
    owed = fates(ask(*words, now="11 09:01"))

    assert running == {"10": "waiting", "11": "waiting"}
    assert owed == running


def test_the_retry_of_a_catch_up_is_awaited_by_all_it_makes_up_for(
    ask: Ask, app: App, terminal: Terminal
) -> None:
    story = Story(app, terminal.state)
    story.look("09 12:00")
    story.fails("11 09:00")

    found = fates(ask("--missed-since", "2026-01-10", "--json", now="11 09:00:30"))

    assert found == {"10": "waiting", "11": "waiting"}


def test_a_halt_is_a_failure(ask: Ask, app: App, terminal: Terminal) -> None:
    app.configure({**DAILY, LIMITED: "True", ATTEMPTS: "1"})
    story = Story(app, terminal.state)
    story.look("10 12:00")
    story.fails("11 02:30")

    with terminal.service_running():
        story.look("12 03:00")
        printed = ask("--missed-since", "2026-01-11", now="12 04:00")

    first, second = slots_of(printed)
    assert "failed: all 1 attempts failed, the last with error 1407" in first
    assert second.endswith("missed: error 1401: automatic backups are halted")


def test_without_catch_up_nobody_is_promised_one(ask: Ask, app: App, terminal: Terminal) -> None:
    app.configure({**DAILY, NEXT_SLOT: "True"})
    Story(app, terminal.state).look("10 12:00")

    (line,) = slots_of(ask("--missed-since", "2026-01-11", now="11 03:00"))

    assert line.endswith("missed: no service has served it; settings: no catch-up")


def test_a_pause_is_given_as_the_reason(ask: Ask, app: App, terminal: Terminal) -> None:
    story = Story(app, terminal.state)
    story.look("10 12:00")
    state = story.remembered()
    paused = replace(state.known, paused_until=at("11 12:00"))
    save_state(story.state_file, replace(state, known=paused))

    lines = slots_of(ask("--missed-since", "2026-01-11", now="12 03:00"))

    assert "paused until 2026-01-11 12:00" in lines[0]
    assert "paused" not in lines[1]


def test_a_catch_up_that_failed_made_up_for_nothing(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05")
    app.data_file.rename(app.data_file.with_name("away"))
    with pytest.raises(EngineError):
        app.backup(scheduled=at("06 02:30"), clock=StoryClock(at("07 09:00")))

    printed = ask("--missed-since", "2026-01-05", now="07 12:00")

    first, second = slots_of(printed)
    assert "06 02:30:00 +01:00  failed: error 1409: " in first
    assert "07 02:30:00 +01:00  failed: the backup that was to catch up: error 1409: " in second


def test_what_happened_to_another_database_tells_nothing(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "07")
    row = {
        "structurePath": "/srv/other.4DProject",
        "event": "postponed",
        "scheduledDate": "2026-01-06T01:30:00Z",
        "startingDate": "2026-01-06T01:30:00Z",
        "status": 0,
    }
    history = {**app.history(), "backup4d": [row]}
    (app.destination / "backupHistory.json").write_text(json.dumps(history))

    assert fates(ask("--missed-since", "2026-01-05", "--json", now="07 12:00")) == {"06": "missed"}


def test_sets_of_another_zone_had_other_slots(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "07")

    printed = ask("--missed-since", "2026-01-05", "--json", now="07 12:00", zone="UTC")

    assert set(counts(printed)) == {"not known any more"}
