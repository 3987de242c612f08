"""open-check: what is proof of damage is restored when the settings say so, what is a doubt never is."""

import re
import shutil
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, holding
from tests.commands.opening import backed_up, check, live, put_aside
from tests.commands.terminal import Terminal, damage
from tests.docs.pages import page
from tests.engine.opening_stories import (
    AUTOMATIC,
    DAMAGES,
    DOUBTS,
    NEVER,
    NO_RESTART,
    database,
    real_data,
)
from tests.engine.stories import App, patterned, tree

ENTRY = "*** Automatic Full Backup Restore\nStarting:  "


@pytest.fixture
def app(tmp_path: Path) -> App:
    return database(tmp_path)


# --- good -------------------------------------------------------------------------------------------


def test_a_good_data_file_is_said_in_one_line_with_what_was_looked_at(
    terminal: Terminal, app: App
) -> None:
    printed = check(terminal, app)

    assert (printed.code, printed.err) == (0, "")
    first, second = printed.out.splitlines()
    assert first.startswith(f"OK: {app.data_file}: 256.0 KiB, header good, at operation 10, ")
    assert "5 operations more than the data: 4D integrates them by itself" in second


def test_nothing_is_written_by_a_look_alone(terminal: Terminal, app: App) -> None:
    app.backup()
    before = tree(app.package)

    assert check(terminal, app, "--no-restore").code == 0
    app.data_file.unlink()
    gone = tree(app.package)
    printed = check(terminal, app, "--no-restore")

    assert printed.code == 1
    assert "DAMAGED" in printed.err
    assert tree(app.package) == gone
    assert set(before) - set(gone) == {b"Data/data.4DD"}


def test_it_needs_neither_settings_nor_sets_nor_the_backup_volume(
    terminal: Terminal, app: App
) -> None:
    shutil.rmtree(app.destination)
    app.layout.settings_file.write_bytes(b"<broken")

    printed = check(terminal, app)

    assert printed.code == 0
    assert "nothing is restored automatically until they can be read" in printed.err


def test_a_broken_service_file_keeps_no_application_from_starting(
    terminal: Terminal, app: App
) -> None:
    terminal.service_file.write_text("<broken")

    assert check(terminal, app).code == 0


def test_while_a_backup_runs_a_good_data_file_is_good(terminal: Terminal, app: App) -> None:
    app.backup()
    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup"):
        assert check(terminal, app).code == 0


def test_a_data_file_nobody_knows_the_header_of_is_let_through(
    terminal: Terminal, app: App
) -> None:
    app.data_file.write_bytes(patterned(3000))
    app.backup()

    printed = check(terminal, app)

    assert printed.code == 0
    assert "that is no damage when the data is encrypted" in printed.err


# --- doubts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DOUBTS))
def test_a_doubt_is_told_once_and_nothing_is_restored(
    terminal: Terminal, app: App, name: str
) -> None:
    backed_up(terminal, app)
    DOUBTS[name](app.data_file)
    before = live(app)

    printed = check(terminal, app)
    check(terminal, app)

    assert printed.code == 0
    assert "doubt: " in printed.err
    assert live(app) == before
    assert app.journal().count("*** Opening check\n") == 1
    assert "Doubt : " in app.journal()


# --- damaged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_damage_is_restored_and_kept_aside(terminal: Terminal, app: App, name: str) -> None:
    good = backed_up(terminal, app)
    DAMAGES[name](app.data_file)
    log = app.log.read_bytes()

    printed = check(terminal, app)
    after = check(terminal, app)

    assert (printed.code, after.code) == (0, 0)
    assert "RESTORED" in printed.out
    assert app.data_file.read_bytes() == good
    assert app.log.read_bytes() == log
    (aside,) = put_aside(app)
    assert (name == "missing") != (aside / "Data" / "data.4DD").exists()
    assert f"{ENTRY}" in app.journal()
    assert "\nResult: OK\n" in app.journal()
    assert f"Replaced files : {aside}" in app.journal()
    (event,) = [row for row in app.history()["backup4d"] if row["event"] == "restore"]
    assert (event["automatic"], event["status"], event["set"]) == (True, 0, "data[0001]")


@pytest.mark.parametrize("name", sorted(set(DAMAGES) - {"zeroed"}))
def test_damage_is_seen_without_an_earlier_look(terminal: Terminal, app: App, name: str) -> None:
    app.backup()
    good = app.data_file.read_bytes()
    DAMAGES[name](app.data_file)

    assert check(terminal, app).code == 0
    assert app.data_file.read_bytes() == good


def test_only_the_data_files_come_back(terminal: Terminal, app: App) -> None:
    attachments = ["./Data/data.4DIndx", "./Data/", "./Resources/"]
    for name in ("External Data/a/blob", "data.4DSyncData", "data.4DSyncHeader", "other.txt"):
        file = app.package / "Data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"of the set")
    (app.package / "Resources").mkdir()
    (app.package / "Resources" / "a.txt").write_bytes(b"of the set")
    app.configure(AUTOMATIC, attachments=attachments)
    backed_up(terminal, app)
    package = app.package
    files = [p for p in package.rglob("*") if p.is_file() and "Logs" not in p.parts]
    kept = [p for p in files if p.suffix != ".4DSettings" and p != app.log]
    for file in kept:
        file.write_bytes(b"later")

    printed = check(terminal, app)

    back = {str(p.relative_to(package)) for p in kept if p.read_bytes() != b"later"}
    assert printed.code == 0
    assert back == {
        "Data/data.4DD",
        "Data/data.4DIndx",
        "Data/data.4DSyncData",
        "Data/data.4DSyncHeader",
        "Data/External Data/a/blob",
    }


def test_an_index_of_later_data_goes_aside_when_the_set_has_none(
    terminal: Terminal, app: App
) -> None:
    index = app.package / "Data" / "data.4DIndx"
    app.configure(AUTOMATIC, attachments=[])
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)

    assert check(terminal, app).code == 0

    assert not index.exists()
    assert (put_aside(app)[0] / "Data" / "data.4DIndx").exists()


def test_without_automatic_restart_it_says_to_start_again_once(
    terminal: Terminal, tmp_path: Path
) -> None:
    app = database(tmp_path / "another", NO_RESTART)
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 7
    assert "start the application again" in printed.err
    assert check(terminal, app).code == 0


def test_without_automatic_restore_it_names_the_command_that_does_it(
    terminal: Terminal, app: App
) -> None:
    good = backed_up(terminal, app)
    app.configure(NEVER)
    DAMAGES["cut"](app.data_file)
    before = live(app)

    printed = check(terminal, app)
    check(terminal, app)

    assert printed.code == 1
    assert live(app) == before
    command = f"restore {app.package} --in-place --part data"
    assert f"set 1 of 2026-01-10 02:30:00 can be restored: backup4d {command}" in printed.err
    assert app.journal().count("*** Opening check\n") == 1
    assert terminal.types(*command.split()).code == 0
    assert app.data_file.read_bytes() == good
    assert check(terminal, app).code == 0


# --- programs ---------------------------------------------------------------------------------------


def test_json_of_a_good_look_and_of_a_restore(terminal: Terminal, app: App) -> None:
    app.backup()
    good = check(terminal, app, "--json").json
    DAMAGES["cut"](app.data_file)
    bad = check(terminal, app, "--json", "--no-restore").json
    restored = check(terminal, app, "--json").json

    assert (good["state"], good["damage"], good["last_operation"], good["exit"]) == (
        "good",
        [],
        10,
        0,
    )
    assert (bad["state"], bad["restored"], bad["set"], bad["exit"]) == ("damaged", False, 1, 1)
    assert (restored["state"], restored["set"], restored["exit"]) == ("restored", 1, 0)
    assert restored["set_aside"] == str(put_aside(app)[0])


def test_every_line_of_the_journal_and_key_of_the_history_is_on_the_page(
    terminal: Terminal, app: App
) -> None:
    backed_up(terminal, app)
    damage(app.backup_set())
    for change, wreck in ((NEVER, "cut"), (AUTOMATIC, "cut"), (AUTOMATIC, "empty")):
        app.configure(change)
        DAMAGES[wreck](app.data_file)
        check(terminal, app)
    app.data_file.write_bytes(real_data(3))
    check(terminal, app)

    text = page("journal-and-history.md")
    lines = app.journal().splitlines()
    told = {re.split(r" ?: | \d", line)[0] for line in lines if line and line[0] != "\t"}
    keys = {key for row in app.history()["backup4d"] for key in row}
    assert {"Passed over", "Doubt", "Reason", "*** Opening check"} <= told
    assert {beginning for beginning in told if beginning not in text} == set()
    assert "automatic" in keys
    assert {key for key in keys if f"`{key}`" not in text} == set()
