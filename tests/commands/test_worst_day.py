"""What a person meets on the worst day: the volume is away, one set is broken, the target is the wrong one."""

from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, holding
from tests.commands.terminal import Terminal
from tests.engine.stories import ERASE_BEFORE, KEEP, TIMEOUT, App, tree


def break_manifest(folder: Path) -> None:
    """A directory where the manifest was: every read of it fails, as on a bad sector."""
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def test_one_broken_set_does_not_hide_the_others(terminal: Terminal, app: App) -> None:
    good, broken = app.backup_set(), app.backup_set()
    break_manifest(broken)

    listed = terminal.types("list", app.package)
    made = terminal.types("backup", app.package)

    assert listed.code == 0
    assert str(good) in listed.out
    assert broken.name in listed.err
    assert made.code == 0


def test_when_no_set_can_be_used_nobody_says_that_there_is_none(
    terminal: Terminal, app: App
) -> None:
    break_manifest(app.backup_set())

    printed = terminal.types("restore", app.package)

    assert printed.code == 5
    assert "the newest set, data[0001], cannot be read" in printed.err


@pytest.mark.parametrize("command", ["list", "show", "verify", "restore"])
def test_a_volume_that_is_away_is_not_an_empty_backup_folder(
    terminal: Terminal, app: App, command: str
) -> None:
    app.backup()
    with holding(app.package / "Logs" / DATABASE_LOCK, "a test") as lock:
        lock.remember({**lock.memory, "separate": True})

    printed = terminal.types(command, app.package)

    assert printed.code == 1
    assert "is not mounted" in printed.err


def test_status_knows_of_a_failure_that_could_be_written_nowhere_else(
    terminal: Terminal, app: App
) -> None:
    app.backup()
    app.data_file.unlink()
    terminal.types("backup", app.package)
    (app.destination / "backupHistory.json").unlink()

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "error 1409: the data file" in printed.out


@pytest.mark.parametrize("place", ["set", "package", "here"])
def test_a_restore_goes_to_no_place_where_it_would_be_lost_or_in_the_way(
    terminal: Terminal, app: App, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app.backup_set()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    targets = {"set": folder / "x", "package": app.package / "Restored", "here": Path()}
    before = tree(app.destination), tree(app.package / "Data")

    printed = terminal.types("restore", app.package, "--to", targets[place])

    assert printed.code == 2
    assert (tree(app.destination), tree(app.package / "Data")) == before


def test_sets_removed_before_a_backup_that_failed_are_named_in_the_journal(
    terminal: Terminal, app: App
) -> None:
    app.configure({KEEP: "2", ERASE_BEFORE: "True", TIMEOUT: "00:00:01"})
    first = app.backup_set()
    app.backup()
    (app.package / "Data" / "data.4DD").chmod(0o000)
    (app.package / "Data" / "data.journal").unlink()
    (app.package / "Data" / "data.journal").mkdir()

    printed = terminal.types("backup", app.package)

    assert printed.code == 1
    assert f"Deleted before writing : {first}" in app.journal()
