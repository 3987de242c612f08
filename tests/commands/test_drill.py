"""`backup4d drill`: the proof by hand, in words and as JSON, with what the service file says where nothing is said."""

from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.context import make_context
from scheduler.environment import read_environment
from scheduler.install_look import needs_of
from settings.service_model import Drill, ServedDatabase
from tests.commands.terminal import Terminal, damage
from tests.engine.stories import App


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def program(folder: Path, script: str) -> Path:
    file = folder / "check"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def ask(terminal: Terminal, app: App, drill: str) -> None:
    """The service file asks for drills."""
    terminal.service_file.write_text(
        f"<Backup4DService><TimeZone>UTC</TimeZone><Databases><Database><Package>{app.package}</Package>"
        f"</Database></Databases><Drill><EveryDays>7</EveryDays>{drill}</Drill></Backup4DService>"
    )


def test_a_drill_by_hand_says_what_it_proved(terminal: Terminal, app: App, scratch: Path) -> None:
    app.backup_set()
    check = program(scratch.parent, "echo all tables read")

    printed = terminal.types("drill", app.package, "--scratch", scratch, "--check", check)

    assert printed.code == 0
    assert "set 1 can be restored: 8 files" in printed.out
    assert f"read back from {scratch}, every file equal to the manifest" in printed.out
    assert f"check program {check}: good: all tables read" in printed.out
    assert "*** Restore drill" in app.journal()
    assert ", set 1, took 0." in terminal.types("status", app.package).out
    assert list(scratch.iterdir()) == []


def test_programs_read_json(terminal: Terminal, app: App, scratch: Path) -> None:
    folder = app.backup_set()

    printed = terminal.types("drill", folder, "--scratch", scratch, "--json")

    row = printed.json
    assert (row["number"], row["set"], row["files"], row["proven"]) == (1, str(folder), 8, True)
    assert (row["check"], row["check_said"]) == (None, "")
    assert "*** Restore drill" not in app.journal()


def test_the_service_file_says_where_and_with_what(
    terminal: Terminal, app: App, scratch: Path
) -> None:
    app.backup_set()
    check = program(scratch.parent, 'echo "$1"')
    ask(
        terminal,
        app,
        f"<Scratch>{scratch}</Scratch><Check><Program>{check}</Program><Argument>of the file</Argument></Check>",
    )

    printed = terminal.types("drill", app.package)

    assert printed.code == 0
    assert "good: of the file" in printed.out


def test_without_a_scratch_folder_it_is_wrong_use(terminal: Terminal, app: App) -> None:
    app.backup_set()

    printed = terminal.types("drill", app.package)

    assert printed.code == 2
    assert "--scratch" in printed.err


@pytest.mark.parametrize(("place", "code"), [("backups", 4), ("app/Data", 4), ("nowhere", 1)])
def test_a_scratch_that_was_typed_wrong_is_refused_and_is_no_failed_drill(
    terminal: Terminal, app: App, tmp_path: Path, place: str, code: int
) -> None:
    app.backup_set()

    printed = terminal.types("drill", app.package, "--scratch", tmp_path / place)

    assert printed.code == code
    assert "what to do: " in printed.err
    assert "*** Restore drill" not in app.journal()


def test_a_damaged_set_is_told_with_its_exit_code(
    terminal: Terminal, app: App, scratch: Path
) -> None:
    damage(app.backup_set())

    printed = terminal.types("drill", app.package, "--scratch", scratch)

    assert printed.code == 5
    assert "error 1411" in printed.err
    status = terminal.types("status", app.package)
    assert status.code == 1
    assert "TROUBLE     the restore drill of " in status.out
    row = terminal.types("status", app.package, "--json").json["databases"][0]["drill"]
    assert (row["last"]["code"], row["last"]["set"], row["proven"]) == (1411, 1, None)


def test_the_newest_complete_set_is_taken_and_another_when_it_is_named(
    terminal: Terminal, app: App, scratch: Path
) -> None:
    app.backup_set()
    app.configure(attachments=["/nowhere/letters"])
    app.backup_set()

    usual = terminal.types("drill", app.package, "--scratch", scratch)
    named = terminal.types("drill", app.package, "--set", "2", "--scratch", scratch)

    assert "set 1 can be restored" in usual.out
    assert "set 2 can be restored" in named.out


def test_without_a_complete_set_there_is_nothing_to_prove(
    terminal: Terminal, app: App, scratch: Path
) -> None:
    assert terminal.types("drill", app.package, "--scratch", scratch).code == 5
    app.configure(attachments=["/nowhere/letters"])
    app.backup_set()

    printed = terminal.types("drill", app.package, "--scratch", scratch)

    assert printed.code == 5
    assert "no complete set" in printed.err


def test_installing_opens_the_scratch_folder_for_the_service(
    terminal: Terminal, app: App, scratch: Path
) -> None:
    context = make_context(read_environment(state_folder=terminal.state), terminal.service_file)
    entry = ServedDatabase(app.package, None, drill=Drill(timedelta(days=7), scratch))

    assert needs_of(context, entry).folders[-1] == scratch
    assert scratch not in needs_of(context, ServedDatabase(app.package, None)).folders
