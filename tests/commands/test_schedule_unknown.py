"""schedule --missed-since: what is not known any more, and very many slots."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK
from scheduler.answers import Attempt, Evidence, Fate, RuleOfThen
from scheduler.lookback import look_back
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
from tests.engine.stories import KEEP, App
from tests.fakes import StoryClock
from tests.scheduler.served_stories import Story
from tests.scheduler.stories import at, known_at


@pytest.fixture
def ask(terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(terminal, app, monkeypatch)


def test_what_rotation_has_removed_is_not_called_missed(ask: Ask, app: App) -> None:
    app.configure({**DAILY, KEEP: "2"})
    nights(app, "05", "06", "07", "08")
    assert app.sets() == ["data[0003]", "data[0004]"]

    printed = ask("--missed-since", "2026-01-01", now="08 12:00")

    assert ": 2 served, 6 not known any more" in printed.out
    (line,) = slots_of(printed)
    assert line == (
        "Thu 2026-01-01 02:30:00 +01:00 to Tue 2026-01-06 02:30:00 +01:00, 6 slots  "
        "not known any more: older than set 3, and nothing else tells of it"
    )


def test_a_set_that_was_taken_away_is_not_called_missed(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "06", "07", "08")
    shutil.rmtree(app.destination / "data[0002]")
    shutil.rmtree(app.destination / "data[0004]")

    printed = ask("--missed-since", "2026-01-05", now="08 12:00")

    assert ": 2 served, 2 not known any more" in printed.out
    assert "set 2 is not there any more" in printed.out
    assert "set 4 is not there any more" in printed.out


def test_a_set_that_cannot_be_read_is_not_called_missed(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "06")
    (app.package / "Logs" / DATABASE_LOCK).unlink()
    (app.destination / "data[0002]" / "manifest.json").write_bytes(b"")

    printed = ask("--missed-since", "2026-01-05", "--json", now="06 12:00")

    assert counts(printed) == {"served": 1, "not known any more": 1}


@pytest.mark.parametrize(
    "before",
    [HOURLY, {**DAILY, "Scheduler/Daily/Hour": "04:00:00"}, {"Scheduler/Frequency": "Never"}],
)
def test_a_schedule_that_was_another_one_then_had_other_slots(
    ask: Ask, app: App, before: Mapping[str, str]
) -> None:
    app.configure(before)
    nights(app, "05")
    app.configure(KEEP_ALL)
    nights(app, "08", "10")

    printed = ask("--missed-since", "2026-01-05 03:00", "--json", now="10 12:00")

    assert counts(printed) == {"served": 2, "missed": 1, "not known any more": 2}
    assert fates(printed) == {"09": "missed"}


def test_with_nothing_on_the_disk_nothing_is_known(ask: Ask) -> None:
    printed = ask("--missed-since", "2026-01-05")

    assert ": 6 not known any more" in printed.out
    assert "neither a set nor the history nor the service's state tells of it" in printed.out


def test_a_backup_folder_that_cannot_be_read_is_said(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05")
    shutil.rmtree(app.destination)

    printed = ask("--missed-since", "2026-01-05")

    assert printed.code == 0
    assert "note      the backup folder" in printed.out
    assert "not known any more: the backup folder" in printed.out
    assert ": 6 not known any more" in printed.out


def test_slots_between_attempts_are_not_known_while_the_sets_cannot_be_seen() -> None:
    known = known_at("07 12:00")
    attempt = Attempt(at("05 02:30"), at("05 02:30"), postponed=True, code=0, text="")
    evidence = Evidence(
        known=known,
        remembered=False,
        served_now=False,
        sets=(),
        attempts=(attempt,),
        highest=0,
        blind="not mounted",
        events_since=at("01 00:00"),
        may_postpone=False,
        rule_of=lambda _: RuleOfThen(is_same=True, may_postpone=False),
    )

    past = look_back(evidence, at("05 00:00"), at("07 12:00"))

    assert [(one.fate, one.why) for one in past.not_fine()] == [(Fate.UNKNOWN, "not mounted")] * 2


# --- many -----------------------------------------------------------------------------------------


def test_thousands_of_missed_slots_are_one_line_and_all_in_json(ask: Ask, app: App) -> None:
    app.configure(HOURLY)
    app.backup(scheduled=at("01 00:00"), clock=StoryClock(at("01 00:00")))
    app.backup(scheduled=at("2026-07-01 00:00"), clock=StoryClock(at("2026-07-01 00:00")))

    words = ("--missed-since", "2026-01-01")
    printed = ask(*words, now="2026-07-01 00:30")
    rows = ask(*words, "--json", now="2026-07-01 00:30").json

    (line,) = slots_of(printed)
    assert line.startswith(
        "Thu 2026-01-01 01:00:00 +01:00 to Tue 2026-06-30 23:00:00 +02:00, 4342 "
    )
    assert len(rows["slots"]) == rows["groups"][0]["count"] == 181 * 24 - 1 - 1


def test_many_groups_are_cut_to_the_newest(ask: Ask, app: App) -> None:
    app.configure({**HOURLY, "Scheduler/Hourly/Every": "12", "Advanced/SetNumber/Enable": "False"})
    Story(app, app.package.parent / "state").look("2025-10-01 12:00")
    app.backup(scheduled=at("2025-10-02 00:00"), clock=StoryClock(at("2025-10-02 00:00")))
    history = app.history()
    history["backup4d"] = [
        {
            "structurePath": app.layout.key,
            "event": "backup",
            "scheduledDate": f"2025-11-{day:02d}T{hour}:00:00Z",
            "startingDate": f"2025-11-{day:02d}T{hour}:00:00Z",
            "endingDate": f"2025-11-{day:02d}T{hour}:00:01Z",
            "status": 1409,
            "error": f"on the {day}th at {hour}",
        }
        for day in range(1, 31)
        for hour in (11, 23)
    ]
    (app.destination / "backupHistory.json").write_text(json.dumps(history))

    printed = ask("--missed-since", "2025-11-01", now="2025-12-01 00:30")

    assert "  11 earlier lines are left out; --json has all" in printed.out
    assert len(slots_of(printed)) == 51


@pytest.mark.parametrize("moment", ["0001-01-01", "1970-01-01"])
def test_a_question_about_ancient_times_is_answered_at_once(
    ask: Ask, app: App, moment: str
) -> None:
    app.configure(HOURLY)
    app.backup(scheduled=at("05 00:00"), clock=StoryClock(at("05 00:00")))

    printed = ask("--missed-since", moment)

    assert printed.code == 0
    assert "not counted  not known any more: older than set 1" in printed.out
    assert "those of long ago not counted" in printed.out


def test_sets_of_impossible_dates_tell_nothing(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "05", "06")
    manifest = Path(app.destination / "data[0002]" / "manifest.json")
    text = manifest.read_text()
    assert '"scheduled": "2026-01-06T01:30:00+00:00"' in text
    manifest.write_text(
        text.replace('"scheduled": "2026-01-06T01:30:00', '"scheduled": "9999-12-31T23:30:00')
    )

    printed = ask("--missed-since", "2026-01-05", "--json", now="06 12:00")

    assert counts(printed) == {"served": 1, "not known any more": 1}


def test_what_is_older_than_ten_years_is_said_not_to_be_looked_at(ask: Ask, app: App) -> None:
    app.configure(KEEP_ALL)
    nights(app, "2015-01-05", "2015-01-06")

    printed = ask("--missed-since", "2015-01-05")

    assert "more than ten years ago, which is not looked at" in printed.out
    assert "older than" not in printed.out
