"""Runs that did not end by themselves: stopped with the service, halted after the last attempt, met by another."""

from pathlib import Path

from scheduler.outcomes import Failed
from tests.scheduler.served_stories import (
    LIMITED_XML,
    NEXT_SLOT,
    break_settings,
    reconfigure,
    watched,
)

BUSY = Failed(1417, 6, "a backup cannot start: a backup is running", "wait for it to end")


def test_a_run_stopped_with_the_service_is_made_right_after_the_next_start(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")

    story.served.owe()

    assert story.restart().sees("11 09:00") == "run 01-11 02:30 attempt 1 missed 0"


def test_it_is_so_too_when_failures_wait_for_the_next_slot(tmp_path: Path) -> None:
    story = watched(tmp_path, {NEXT_SLOT: "True"})
    story.begins("11 02:30")

    story.served.owe()

    assert story.restart().sees("11 09:00") == "run 01-11 02:30 attempt 1 missed 0"


def test_a_halt_is_journaled_when_it_begins(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")

    (entry,) = story.entries("Scheduled backups halted")

    assert "Error reported : 1401 all 2 attempts failed" in entry
    assert "Hint : mend what the last error says" in entry


def test_a_run_that_met_another_is_journaled_by_the_service(tmp_path: Path) -> None:
    story = watched(tmp_path)

    story.runs("11 02:30", BUSY)

    (entry,) = story.entries("Full Backup aborted")
    assert "Error reported : 1417 a backup cannot start" in entry


def test_settings_put_back_as_they_were_are_said_to_be_usable_again(tmp_path: Path) -> None:
    story = watched(tmp_path)
    break_settings(story)
    story.look("10 12:01")
    reconfigure(story, {})
    story.look("10 12:02")

    refused, again = story.entries("Settings")

    assert "the last good settings stay in force" in refused
    assert "Settings usable again" in again


def test_a_run_that_published_while_the_service_stopped_is_not_made_again(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    story.publishes("11 02:31", slot="11 02:30")

    story.served.owe()

    assert story.restart().sees("11 09:00") == "wait 01-12 02:30"


def test_a_run_that_died_with_the_service_is_the_last_attempt_that_status_tells_of(
    tmp_path: Path,
) -> None:
    story = watched(tmp_path, {NEXT_SLOT: "True"})
    story.runs("11 02:30", story.publishes("11 02:30", slot="11 02:30"))
    story.begins("12 02:30")

    assert story.restart().sees("12 02:40").startswith("wait")

    last = story.remembered().last
    assert last is not None
    assert (last.code, last.number) == (1409, None)
    assert "ended with the service" in last.text
