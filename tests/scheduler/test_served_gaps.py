"""No slot without its answer: what years of made-up machines and people once showed to be forgotten."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.host import HostClock
from scheduler.outcomes import ending_from_json, ending_to_json
from scheduler.runner import ReadClock
from tests.scheduler.served_stories import (
    FREQUENCY,
    HOUR,
    NO_DISK,
    Story,
    reconfigure,
    watched,
)
from tests.scheduler.stories import at


def served_under_a_wrong_clock(folder: Path, first: str, second: str) -> Story:
    """Two backups at times that were not true; the clock was corrected on the tenth, and the service saw it."""
    story = watched(folder)
    for now, slot in ((first, "11 02:30"), (second, second)):
        story.begins(now)
        story.served.finished(story.publishes(now, slot=slot), at(now))
    story.look("10 13:00")
    return story


# --- sets of a clock that was ahead ---------------------------------------------------------------


def test_sets_of_a_clock_a_year_ahead_hide_no_missed_slot_at_the_next_start(
    tmp_path: Path,
) -> None:
    story = served_under_a_wrong_clock(tmp_path, "2027-01-10 12:00", "2027-01-11 02:30")

    assert story.restart().sees("12 12:00") == "run 01-11 02:30 attempt 1 missed 2"


def test_sets_of_a_clock_days_ahead_hide_no_missed_slot_at_the_next_start(tmp_path: Path) -> None:
    story = served_under_a_wrong_clock(tmp_path, "13 12:00", "14 02:30")

    assert story.restart().sees("12 12:00") == "run 01-11 02:30 attempt 1 missed 2"


def test_they_hide_none_when_their_time_has_come(tmp_path: Path) -> None:
    story = served_under_a_wrong_clock(tmp_path, "13 12:00", "14 02:30")

    assert story.restart().sees("15 12:00") == "run 01-11 02:30 attempt 1 missed 5"


def test_what_a_stop_left_owed_is_made_in_spite_of_them(tmp_path: Path) -> None:
    story = served_under_a_wrong_clock(tmp_path, "2027-01-10 12:00", "2027-01-11 02:30")
    story.begins("11 02:30")
    story.served.owe()

    assert story.restart().sees("11 02:31") == "run 01-11 02:30 attempt 1 missed 0"


# --- settings that are taken up while a slot is due -----------------------------------------------


def test_a_catch_up_is_journaled_though_settings_were_edited_before_the_start(
    tmp_path: Path,
) -> None:
    story = watched(tmp_path)
    reconfigure(story, {HOUR: "04:00:00"})

    run = story.restart().begins("13 12:00")

    assert (run.slot.at, run.missed) == (at("11 02:30"), 3)
    (entry,) = story.entries("Scheduled backup missed")
    assert "Missed : 3 scheduled backup(s), the first at 2026-01-11 02:30:00" in entry


def test_what_came_due_in_a_long_run_is_journaled_when_settings_are_edited_during_it(
    tmp_path: Path,
) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    reconfigure(story, {HOUR: "04:00:00"})

    story.look("13 03:00")

    (entry,) = story.entries("Scheduled backup missed")
    assert "Missed : the backup of 2026-01-13 02:30:00" in entry  # that of the 12th is the run's
    assert "another backup of this database was running" in entry
    story.served.finished(NO_DISK, at("13 03:01"))
    assert story.sees("13 03:02") == "run 01-11 02:30 attempt 2 missed 0"


def test_what_is_owed_is_journaled_when_backups_are_turned_off(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    story.served.owe()
    reconfigure(story, {FREQUENCY: "Never"})

    assert story.restart().sees("11 02:35") == "wait -"

    (entry,) = story.entries("Scheduled backup missed")
    assert "Missed : the backup of 2026-01-11 02:30:00" in entry
    assert "Reason : automatic backups were turned off" in entry


# --- a machine that slept between the end of a run and the word of it -----------------------------


@pytest.mark.parametrize(
    ("ended", "then"),
    [
        (
            "11 02:31:05",
            "run 01-12 02:30 attempt 1 missed 0",
        ),  # the machine slept: the slot is nobody's yet
        ("12 02:30:01", "wait 01-13 02:30"),  # it ran on through the slot, and answers for it
        ("10 02:00", "wait 01-13 02:30"),  # a clock that was set: nothing is known but now
        (None, "wait 01-13 02:30"),
    ],
)
def test_a_slot_that_passed_after_the_end_of_a_run_is_not_that_runs(
    tmp_path: Path, ended: str | None, then: str
) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")
    story.begins("11 02:31")
    ending = replace(NO_DISK, ended=None if ended is None else at(ended))

    story.served.finished(ending, at("12 02:30:02"))

    assert story.sees("12 02:30:03") == then


def test_when_a_run_ended_goes_through_the_pipe() -> None:
    ending = replace(NO_DISK, ended=at("11 02:31:05"))
    assert ending_from_json(json.loads(json.dumps(ending_to_json(ending)))) == ending
    assert ending_from_json(ending_to_json(NO_DISK)) == NO_DISK


def test_a_run_ends_when_its_last_deed_is_told_not_when_its_process_does() -> None:
    clock = ReadClock()
    assert clock.read is None

    told = clock.now()

    assert clock.read == told <= HostClock().now()
