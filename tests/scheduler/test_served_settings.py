"""Edited, broken, missing and returning settings of one served database."""

import os
import shutil
from pathlib import Path

import pytest

from scheduler.known import Owed
from tests.scheduler.served_stories import HOUR, break_settings, nightly, reconfigure, watched
from tests.scheduler.stories import at, brief

REFUSED = (
    b"<Preferences4D><Backup><Settings><Advanced><SetNumber><Value>many</Value></SetNumber>"
    b"</Advanced></Settings></Backup></Preferences4D>"
)


def test_an_edit_is_taken_up_and_journaled_once(tmp_path: Path) -> None:
    story = watched(tmp_path)

    reconfigure(story, {HOUR: "04:00:00"})

    assert story.sees("10 18:00") == "wait 01-11 04:00"
    assert story.sees("10 18:01") == "wait 01-11 04:00"
    (entry,) = story.entries("Settings")
    assert f"Settings taken up : {story.app.package / 'Settings' / 'backup.4DSettings'}" in entry


def test_a_file_written_again_with_the_same_bytes_is_no_edit(tmp_path: Path) -> None:
    story = watched(tmp_path)

    reconfigure(story, {})
    story.look("10 18:00")

    assert story.app.journal() == ""


def test_the_edited_schedule_is_remembered_across_a_restart(tmp_path: Path) -> None:
    story = watched(tmp_path)
    reconfigure(story, {HOUR: "04:00:00"})
    story.look("10 18:00")

    assert story.restart().sees("10 18:01") == "wait 01-11 04:00"
    assert len(story.entries("Settings")) == 1


def test_a_slot_due_at_the_edit_is_served_still(tmp_path: Path) -> None:
    story = watched(tmp_path)
    reconfigure(story, {HOUR: "04:00:00"})

    story.served.refresh(story_now := at("11 02:30:05"))

    assert isinstance(story.known.trouble, Owed)
    decision = story.served.decide(story_now)
    assert decision is not None
    assert brief(decision) == "run 01-11 02:30 attempt 1 missed 0"


def test_turning_backups_off_ends_them(tmp_path: Path) -> None:
    story = watched(tmp_path)

    reconfigure(story, {"Scheduler/Frequency": "Never"})

    assert story.sees("10 18:00") == "wait -"


# --- broken edits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<Preferences4D><Backup>",
        b"<!DOCTYPE x><Preferences4D/>",
        bytes(range(256)) * 9,
        REFUSED,
    ],
    ids=["empty", "half", "doctype", "garbage", "refused"],
)
def test_a_broken_edit_keeps_the_last_good_settings(tmp_path: Path, content: bytes) -> None:
    story = watched(tmp_path)

    break_settings(story, content)

    assert story.sees("10 18:00") == "wait 01-11 02:30"
    assert story.served.problem is not None
    assert brief(story.begins("11 02:30")) == "run 01-11 02:30 attempt 1 missed 0"


def test_a_broken_edit_is_journaled_once_with_file_and_reason(tmp_path: Path) -> None:
    story = watched(tmp_path)
    file = break_settings(story)

    for minute in range(5):
        story.look(f"10 18:0{minute}")

    (entry,) = story.entries("Settings")
    assert "Settings refused; the last good settings stay in force" in entry
    assert f"Reason : {file}" in entry


def test_a_second_broken_edit_is_journaled_too(tmp_path: Path) -> None:
    story = watched(tmp_path)
    break_settings(story)
    story.look("10 18:00")

    break_settings(story, b"now it is not XML at all")
    story.look("10 18:01")

    assert len(story.entries("Settings")) == 2


def test_the_good_edit_after_a_broken_one_is_taken_up(tmp_path: Path) -> None:
    story = watched(tmp_path)
    break_settings(story)
    story.look("10 18:00")

    reconfigure(story, {HOUR: "04:00:00"})

    assert story.sees("10 18:01") == "wait 01-11 04:00"
    assert story.served.problem is None


def test_the_same_mistake_made_again_is_journaled_again(tmp_path: Path) -> None:
    story = watched(tmp_path)
    break_settings(story)
    story.look("10 18:00")
    reconfigure(story, {})
    story.look("10 18:01")

    break_settings(story)
    story.look("10 18:02")

    first, between, again = story.entries("Settings")
    assert "Settings usable again" in between
    assert "Settings refused" in first
    assert "Settings refused" in again


def test_settings_broken_at_the_start_are_awaited(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    break_settings(story)

    assert story.sees("10 12:00") == "nothing known"
    reconfigure(story, {})

    assert story.sees("10 12:01") == "wait 01-11 02:30"


def test_a_restart_under_a_broken_edit_keeps_the_last_good_settings(tmp_path: Path) -> None:
    story = watched(tmp_path)
    break_settings(story)

    assert story.restart().sees("11 02:20") == "wait 01-11 02:30"

    assert story.served.problem is not None
    reconfigure(story, {HOUR: "04:00:00"})
    assert story.sees("11 02:21") == "wait 01-11 04:00"


def test_a_restart_without_any_settings_file_keeps_the_last_good_settings(tmp_path: Path) -> None:
    story = watched(tmp_path)
    (story.app.package / "Settings" / "backup.4DSettings").unlink()

    assert story.restart().sees("11 02:20") == "wait 01-11 02:30"


def test_a_damaged_copy_of_the_last_good_settings_is_not_trusted(tmp_path: Path) -> None:
    story = watched(tmp_path)
    (copy,) = story.state_folder.glob("*.4DSettings")
    copy.write_bytes(copy.read_bytes()[:100])
    break_settings(story)

    assert story.restart().sees("11 02:20") == "nothing known"


def test_settings_that_only_a_closer_look_shows_as_changed_are_taken_up(tmp_path: Path) -> None:
    story = watched(tmp_path)
    file = story.app.package / "Settings" / "backup.4DSettings"
    facts = file.stat()
    text = file.read_bytes()

    # what a network file system may show: the same size and times, other bytes
    with file.open("r+b") as stream:
        stream.write(text.replace(b"02:30:00", b"04:00:00"))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    assert story.sees("10 18:00") == "wait 01-11 04:00"


# --- missing --------------------------------------------------------------------------------------


def test_a_package_that_appears_later_is_served_from_then_on(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    away = tmp_path / "on another disk"
    story.app.package.rename(away)
    assert story.sees("10 12:00") == "nothing known"

    away.rename(story.app.package)

    assert story.sees("10 12:01") == "wait 01-11 02:30"


def test_nothing_is_created_where_a_package_is_missing(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    shutil.rmtree(story.app.package)

    story.look("10 12:00")

    assert not story.app.package.exists()


def test_a_settings_file_that_goes_away_leaves_the_last_good_settings_in_force(
    tmp_path: Path,
) -> None:
    story = watched(tmp_path)
    (story.app.package / "Settings" / "backup.4DSettings").unlink()

    assert story.sees("10 18:00") == "wait 01-11 02:30"
    assert story.served.problem is not None
    assert len(story.entries("Settings")) == 1
