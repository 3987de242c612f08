"""status: how a database does, in words and as JSON, with and without a running service."""

import os
from pathlib import Path

import pytest

from engine.errors import StoppedError
from engine.host import HostClock
from engine.lock import DATABASE_LOCK, holding
from engine.stop import StopRequest
from tests.commands.terminal import Terminal, application, damage
from tests.engine.stories import App
from tests.scheduler.served_stories import NO_DISK, Story
from tests.scheduler.stories import at


def failed(app: App, terminal: Terminal) -> Story:
    """The service served this database on some night of January, and failed."""
    app.configure({"Scheduler/Frequency": "Daily", "Scheduler/Daily/Hour": "02:30:00"})
    story = Story(app, terminal.state)
    story.look("10 12:00")
    story.fails("11 02:30")
    return story


def test_a_database_that_does_well_is_0(terminal: Terminal, app: App) -> None:
    terminal.types("backup", app.package)

    with terminal.service_running():
        printed = terminal.types("status", app.package)

    assert printed.code == 0
    assert "last backup" in printed.out
    assert ", ok: complete set 1" in printed.out
    assert "last good   set 1" in printed.out
    assert "TROUBLE" not in printed.out


def test_a_schedule_without_a_service_needs_a_person(terminal: Terminal, app: App) -> None:
    terminal.types("backup", app.package)

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "service       not running" in printed.out
    assert "TROUBLE     the service is not running" in printed.out


def test_slots_that_passed_since_the_last_good_set_are_counted(
    terminal: Terminal, app: App
) -> None:
    app.backup()

    with terminal.service_running():
        printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "scheduled backup(s) have passed since the last good set" in printed.out


def test_a_running_service_is_named(terminal: Terminal, app: App) -> None:
    with terminal.service_running():
        printed = terminal.types("status", app.package)

    assert f"running, process {os.getpid()}, since 2026-01-10 12:00:00" in printed.out


def test_without_any_set_a_person_is_needed(terminal: Terminal, app: App) -> None:
    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "there is nothing to restore" in printed.out
    assert "there is no complete set yet" in printed.out


def test_the_last_failure_is_told_with_its_number(terminal: Terminal, app: App) -> None:
    failed(app, terminal)

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "error 1407" in printed.out
    assert NO_DISK.text in printed.out


def test_a_failed_manual_backup_is_the_last_one(terminal: Terminal, app: App) -> None:
    terminal.types("backup", app.package)
    stop = StopRequest()
    stop.ask()
    with pytest.raises(StoppedError):
        app.backup(stop=stop, clock=HostClock())

    row = terminal.types("status", app.package, "--json").json["databases"][0]

    assert row["last"]["code"] == 1406
    assert row["last_good"]["number"] == 1
    assert row["trouble"]


def test_a_partial_set_is_not_the_last_good_one(terminal: Terminal, app: App) -> None:
    app.backup()
    app.configure(attachments=["/nowhere/letters"])
    app.backup()

    row = terminal.types("status", app.package, "--json").json["databases"][0]

    assert row["last_good"]["number"] == 1
    assert row["sets"] == 2
    assert row["trouble"]


def test_a_running_backup_is_told(terminal: Terminal, app: App) -> None:
    lock = app.package / "Logs" / DATABASE_LOCK
    with holding(lock, "a backup", "2026-01-10T12:00:00+00:00"):
        printed = terminal.types("status", app.package)

    assert "running     a backup, since 2026-01-10" in printed.out


def test_refused_settings_are_trouble_and_what_is_known_is_still_told(
    terminal: Terminal, app: App
) -> None:
    failed(app, terminal)
    file = app.package / "Settings" / "backup.4DSettings"
    file.write_bytes(b"<Preferences4D>")

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert f"TROUBLE     {file}" in printed.out
    assert "error 1407" in printed.out
    assert "the last good settings stay in force" in printed.out


def test_the_databases_of_the_service_file_are_told_one_by_one(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    (tmp_path / "two").mkdir()
    other = application(tmp_path / "two")
    terminal.serve(app, other)
    terminal.types("backup", app.package)

    with terminal.service_running():
        rows = terminal.types("status", "--json").json["databases"]

    assert [row["database"] for row in rows] == [str(app.package), str(other.package)]
    assert [bool(row["trouble"]) for row in rows] == [False, True]


def test_one_missing_database_does_not_hide_the_others(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()

    printed = terminal.types("status", tmp_path / "gone", app.package)

    assert printed.code == 1
    assert str(tmp_path / "gone") in printed.out
    assert "last good   set 1" in printed.out


@pytest.mark.parametrize("content", [b"{half", b"\0" * 100, b"[" * 100_000])
def test_a_damaged_state_is_trouble_not_an_error(
    terminal: Terminal, app: App, content: bytes
) -> None:
    app.backup()
    story = failed(app, terminal)
    story.state_file.write_bytes(content)

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "the service's state cannot be read" in printed.out
    assert "Traceback" not in printed.all


def test_a_missing_backup_folder_is_trouble(terminal: Terminal, app: App) -> None:
    app.destination.rmdir()

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert f"the backup folder {app.destination} cannot be read" in printed.out


def test_an_unreadable_set_is_trouble(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    app.backup()
    (folder / "manifest.json").write_bytes(b"")

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "data[0001] is no usable set" in printed.out


def test_status_changes_nothing_on_the_disk(terminal: Terminal, app: App) -> None:
    app.backup()
    story = failed(app, terminal)
    before = story.state_file.read_bytes(), app.journal()

    terminal.types("status", app.package)

    assert (story.state_file.read_bytes(), app.journal()) == before


def test_a_pending_retry_is_what_comes_next(terminal: Terminal, app: App) -> None:
    story = failed(app, terminal)
    assert story.known.trouble is not None
    assert story.known.answered_until >= at("11 02:30")

    row = terminal.types("status", app.package, "--json").json["databases"][0]

    assert row["plan"]
    assert row["next"].endswith("Z")


def test_a_damaged_archive_is_found_by_verify_not_by_status(terminal: Terminal, app: App) -> None:
    terminal.types("backup", app.package)
    damage(app.destination / "data[0001]")

    with terminal.service_running():
        assert terminal.types("status", app.package).code == 0
