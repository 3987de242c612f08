"""One database under the service, on a real disk: starts, runs, failures, misses, other people's backups."""

import json
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, holding
from scheduler.instance import SERVICE_LOCK, instance_folder
from scheduler.known import Failure, Halt, Manual
from scheduler.outcomes import Postponed, Published
from scheduler.state import LastRun
from tests.scheduler.served_stories import (
    LIMITED_XML,
    NEXT_SLOT,
    NO_DISK,
    STOPPED,
    nightly,
    reconfigure,
    watched,
)
from tests.scheduler.stories import at, brief

PARTIAL = Published(4, "/srv/backups/data[0004]", 1409, "partial backup: 1 file is missing", ())


# --- the first start and the slot -----------------------------------------------------------------


def test_the_first_start_waits_for_the_next_slot(tmp_path: Path) -> None:
    story = nightly(tmp_path)

    assert story.sees("10 12:00") == "wait 01-11 02:30"
    assert story.app.journal() == ""


def test_a_slot_that_comes_due_is_run_once(tmp_path: Path) -> None:
    story = watched(tmp_path)

    assert story.sees("11 02:29") == "wait 01-11 02:30"
    run = story.begins("11 02:30")

    assert brief(run) == "run 01-11 02:30 attempt 1 missed 0"
    assert story.sees("11 02:31") == "wait -"


def test_after_a_published_set_the_next_slot_is_awaited(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")

    story.served.finished(story.publishes("11 02:30", slot="11 02:30"), at("11 02:31"))

    assert story.sees("11 02:32") == "wait 01-12 02:30"
    assert story.remembered().last == LastRun(at("11 02:31"), 0, "complete", 1)


@pytest.mark.parametrize("ending", [Postponed("nothing changed"), STOPPED, PARTIAL], ids=str)
def test_what_is_no_failure_is_not_retried(tmp_path: Path, ending: Postponed | Published) -> None:
    story = watched(tmp_path)

    story.runs("11 02:30", ending)

    assert story.sees("11 12:00") == "wait 01-12 02:30"


# --- failures -------------------------------------------------------------------------------------


def test_a_failure_is_retried_once_after_the_delay(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")

    assert story.sees("11 02:30:59") == "wait 01-11 02:31"
    assert brief(story.begins("11 02:31")) == "run 01-11 02:30 attempt 2 missed 0"
    story.served.finished(NO_DISK, at("11 02:31:05"))

    assert story.sees("11 02:40") == "wait 01-12 02:30"


def test_when_all_attempts_are_used_up_no_automatic_backup_is_made(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")

    assert story.sees("11 03:00") == "halted, next 01-12 02:30"
    assert isinstance(story.remembered().known.trouble, Halt)


def test_a_halt_is_journaled_with_its_number_at_every_slot_that_passes(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")

    story.look("12 02:30")
    story.look("12 02:31")
    story.look("13 02:30")

    entries = story.entries("Scheduled backup missed")
    assert len(entries) == 2
    assert all("error 1401: 2 attempts" in entry for entry in entries)


def test_a_restart_ends_a_halt(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")

    assert story.restart().sees("11 12:00") == "wait 01-12 02:30"


def test_edited_settings_end_a_halt(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")

    reconfigure(story, {**LIMITED_XML, "Advanced/SetNumber/Value": "7"})

    assert story.sees("11 12:00") == "wait 01-12 02:30"


# --- backups that others make ---------------------------------------------------------------------


def test_a_manual_backup_drops_the_pending_retry(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")

    story.publishes("11 02:30:30", slot=None)

    assert story.sees("11 02:31") == "wait 01-12 02:30"


def test_a_manual_backup_ends_a_halt(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)
    story.fails("11 02:30")
    story.fails("11 02:31")
    assert story.sees("11 03:00").startswith("halted")

    story.publishes("11 04:00", slot=None)

    assert story.sees("11 04:01") == "wait 01-12 02:30"


def test_a_manual_backup_does_not_serve_the_next_slot(tmp_path: Path) -> None:
    story = watched(tmp_path)

    story.publishes("11 02:00", slot=None)

    assert story.sees("11 02:01") == "wait 01-11 02:30"


def test_the_services_own_set_is_not_taken_for_somebody_elses(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    published = story.publishes("11 02:30", slot="11 02:30")
    story.served.finished(published, at("11 02:31"))
    story.fails("12 02:30")

    assert story.sees("12 02:30:30") == "wait 01-12 02:31"


def test_a_slot_due_during_somebodys_backup_waits_for_its_end(tmp_path: Path) -> None:
    story = watched(tmp_path)

    with holding(story.app.package / "Logs" / DATABASE_LOCK, "a test"):
        assert story.sees("11 02:29") == "wait -"
        assert isinstance(story.known.running, Manual)
        assert story.sees("11 02:30:30") == "wait -"

    assert story.sees("11 02:31") == "wait 01-12 02:30"
    assert len(story.entries("Scheduled backup missed")) == 1


def test_a_manual_backup_that_failed_leaves_the_retry(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")

    with holding(story.app.package / "Logs" / DATABASE_LOCK, "a test"):
        assert story.sees("11 02:30:20") == "wait -"

    assert story.sees("11 02:30:40") == "wait 01-11 02:31"


# --- restarts -------------------------------------------------------------------------------------


def test_a_run_that_died_with_the_service_waits_for_its_retry(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")

    assert story.restart().sees("11 02:40") == "wait 01-11 02:41"
    assert brief(story.begins("11 02:41")) == "run 01-11 02:30 attempt 2 missed 0"


def test_a_slot_whose_set_appeared_before_the_death_is_served(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    story.publishes("11 02:30", slot="11 02:30")

    assert story.restart().sees("11 02:40") == "wait 01-12 02:30"


def test_a_set_of_an_earlier_slot_does_not_hide_the_death(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("11 02:30")
    published = story.publishes("11 02:30", slot="11 02:30")
    story.served.finished(published, at("11 02:31"))
    story.begins("12 02:30")

    assert story.restart().sees("12 02:40") == "wait 01-12 02:41"


def test_a_pending_retry_survives_a_restart(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")

    assert story.restart().sees("11 02:30:30") == "wait 01-11 02:31"


def test_a_retry_whose_time_passed_during_the_outage_is_due_at_once(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:30")

    assert story.restart().sees("11 09:00") == "run 01-11 02:30 attempt 2 missed 0"


def test_an_outage_is_caught_up_once_and_journaled_with_its_count(tmp_path: Path) -> None:
    story = watched(tmp_path)

    run = story.restart().begins("14 12:00")

    assert brief(run) == "run 01-11 02:30 attempt 1 missed 4"
    (entry,) = story.entries("Scheduled backup missed")
    assert "Missed : 4 scheduled backup(s), the first at 2026-01-11 02:30:00" in entry
    story.served.finished(story.publishes("14 12:00", slot="11 02:30"), at("14 12:01"))
    assert story.sees("14 12:02") == "wait 01-15 02:30"


def test_without_catch_up_an_outage_is_journaled_and_the_next_slot_awaited(tmp_path: Path) -> None:
    story = watched(tmp_path, {NEXT_SLOT: "True"})

    assert story.restart().sees("14 12:00") == "wait 01-15 02:30"

    (entry,) = story.entries("Scheduled backup missed")
    assert "Missed : 4 scheduled backups, from 2026-01-11 02:30:00 to 2026-01-14 02:30:00" in entry
    assert "no catch-up" in entry


def test_settings_edited_during_the_outage_count_from_the_start(tmp_path: Path) -> None:
    story = watched(tmp_path)

    reconfigure(story, {"Scheduler/Daily/Hour": "04:00:00"})

    assert story.restart().sees("10 18:00") == "wait 01-11 04:00"


# --- damaged memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{half", b"\0" * 999, b" " * (2 << 20)], ids=len)
def test_a_damaged_state_is_set_aside_journaled_and_rebuilt_from_the_sets(
    tmp_path: Path, content: bytes
) -> None:
    story = watched(tmp_path)
    story.publishes("11 02:30", slot="11 02:30")
    story.state_file.write_bytes(content)

    decision = story.restart().sees("13 12:00")

    assert decision == "run 01-12 02:30 attempt 1 missed 2"
    assert [p.name for p in story.state_folder.iterdir() if "unusable" in p.name] == [
        f"{story.state_file.name}.unusable-20260113T110000Z"
    ]
    (entry,) = story.entries("Settings")
    assert "State set aside" in entry


def test_a_state_of_a_newer_release_is_kept_and_not_guessed_at(tmp_path: Path) -> None:
    story = watched(tmp_path)
    newer = json.loads(story.state_file.read_text()) | {"version": 2, "answered_until": "later"}
    story.state_file.write_text(json.dumps(newer))

    assert story.restart().sees("10 18:00") == "wait 01-11 02:30"

    (aside,) = story.state_folder.glob("*.newer-*")
    assert json.loads(aside.read_text()) == newer


def test_a_state_that_cannot_even_be_moved_away_does_not_stop_the_service(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    story.state_file.mkdir(parents=True)
    (story.state_file / "somebody's file").touch()
    story.state_folder.joinpath(f"{story.state_file.name}.unusable-20260110T110000Z").touch()

    assert story.sees("10 12:00") == "wait 01-11 02:30"


def test_a_lost_state_is_rebuilt_from_the_sets(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.publishes("11 02:30", slot="11 02:30")
    story.state_file.unlink()

    assert story.restart().sees("11 12:00") == "wait 01-12 02:30"


def test_a_state_that_cannot_be_written_does_not_stop_the_service(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    story.state_folder.write_bytes(b"a file where the folder should be")

    assert story.sees("10 12:00") == "wait 01-11 02:30"
    assert brief(story.begins("11 02:30")) == "run 01-11 02:30 attempt 1 missed 0"


# --- the clock ------------------------------------------------------------------------------------


def test_a_clock_that_was_a_year_ahead_is_journaled_once_and_backups_go_on(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.begins("2027-01-10 12:00")
    story.served.finished(story.publishes("2027-01-10 12:00", slot=None), at("2027-01-10 12:01"))

    assert story.sees("20 12:00") == "wait 01-21 02:30"
    assert story.sees("20 12:01") == "wait 01-21 02:30"

    (entry,) = story.entries("Settings")
    assert "the clock was wrong" in entry


def test_a_retry_of_a_failure_in_the_future_is_not_waited_for(tmp_path: Path) -> None:
    story = watched(tmp_path)
    story.fails("11 02:31")

    assert isinstance(story.known.trouble, Failure)
    assert story.sees("11 00:00") == "run 01-11 02:30 attempt 2 missed 0"


def test_a_halt_is_journaled_when_it_begins(tmp_path: Path) -> None:
    story = watched(tmp_path, LIMITED_XML)

    story.fails("11 02:30")
    assert story.entries("Scheduled backups halted") == []
    story.fails("11 02:31")

    (entry,) = story.entries("Scheduled backups halted")
    assert "Error reported : 1401" in entry


def test_a_database_with_an_instance_of_its_own_is_left_to_it(tmp_path: Path) -> None:
    story = watched(tmp_path)
    home = instance_folder(story.state_folder, story.app.package)
    home.mkdir()

    with holding(home / SERVICE_LOCK, "the service"):
        assert story.sees("11 02:30") == "nothing known"
        assert story.served.problem is not None
        assert "backup4d@" in story.served.problem
        story.publishes("11 02:31", slot="11 02:30")

    assert story.sees("11 02:40") == "wait 01-12 02:30"
    assert story.served.problem is None
