"""backup, list, show, verify, restore: what a person and a program read, with the exit codes."""

import json
from pathlib import Path

from engine.lock import DATABASE_LOCK, holding
from tests.commands.terminal import Terminal, damage
from tests.engine.stories import App, below, tree

ITEM = "/nowhere/letters"


# --- backup ---------------------------------------------------------------------------------------


def test_a_backup_is_told_in_words_with_its_folder(terminal: Terminal, app: App) -> None:
    printed = terminal.types("backup", app.package)

    assert printed.code == 0
    assert f"set 1 is complete: {app.destination / 'data[0001]'}" in printed.out
    assert "read back from the disk and equal" in printed.out
    assert "saving" in printed.err


def test_a_backup_is_told_to_a_program_as_one_document(terminal: Terminal, app: App) -> None:
    printed = terminal.types("backup", app.package, "--json")

    assert printed.code == 0
    assert printed.err == ""
    assert printed.json["number"] == 1
    assert printed.json["folder"] == str(app.destination / "data[0001]")
    assert printed.json["complete"] is True
    assert printed.json["removed"] == []


def test_what_rotation_removed_is_named(terminal: Terminal, app: App) -> None:
    for _ in range(3):
        terminal.types("backup", app.package)

    assert "removed by rotation: data[0001]" in terminal.types("backup", app.package).out


def test_a_partial_set_is_3_and_names_what_is_missing(terminal: Terminal, app: App) -> None:
    app.configure(attachments=[ITEM])

    printed = terminal.types("backup", app.package)

    assert printed.code == 3
    assert "set 1 is PARTIAL" in printed.out
    assert f"not found: {ITEM}" in printed.err
    assert "what to do:" in printed.err


def test_a_missing_data_file_is_1_and_says_what_to_do(terminal: Terminal, app: App) -> None:
    app.data_file.unlink()

    printed = terminal.types("backup", app.package)

    assert printed.code == 1
    assert str(app.package / "Data") in printed.err
    assert "Traceback" not in printed.all


def test_a_missing_destination_is_1407(terminal: Terminal, app: App) -> None:
    app.configure({"General/DestinationFolder": "/nowhere/at/all/"})

    printed = terminal.types("backup", app.package)

    assert printed.code == 1
    assert "error 1407" in printed.err
    assert "what to do:" in printed.err


def test_a_failure_is_told_to_a_program_too(terminal: Terminal, app: App) -> None:
    app.configure({"General/DestinationFolder": "/nowhere/at/all/"})

    printed = terminal.types("backup", app.package, "--json")

    assert printed.code == 1
    assert printed.json["code"] == 1407
    assert printed.json["exit"] == 1
    assert printed.json["hint"]


def test_another_operation_on_the_database_is_6(terminal: Terminal, app: App) -> None:
    with holding(app.package / "Logs" / DATABASE_LOCK, "a test"):
        printed = terminal.types("backup", app.package)

    assert printed.code == 6
    assert "error 1417" in printed.err
    assert app.sets() == []


# --- list and show --------------------------------------------------------------------------------


def test_sets_are_listed_newest_last(terminal: Terminal, app: App) -> None:
    app.backup()
    app.backup()

    printed = terminal.types("list", app.package)

    assert printed.code == 0
    assert [line.split()[0] for line in printed.out.splitlines()] == ["set", "1", "2"]


def test_a_list_for_programs_has_numbers_and_folders(terminal: Terminal, app: App) -> None:
    app.backup()

    (row,) = terminal.types("list", app.package, "--json").json

    assert row["number"] == 1
    assert Path(row["folder"]).is_dir()
    assert row["content_bytes"] > 0


def test_no_set_yet_is_no_failure_of_list(terminal: Terminal, app: App) -> None:
    assert terminal.types("list", app.package).out == "there is no set yet\n"
    assert terminal.types("list", app.package, "--json").json == []


def test_an_unreadable_set_is_named_in_the_list(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    (folder / "manifest.json").write_bytes(b"\xff" * 100)

    printed = terminal.types("list", app.package)

    assert printed.code == 5
    assert "data[0001] is no usable set" in printed.err


def test_show_names_every_file_of_the_newest_set(terminal: Terminal, app: App) -> None:
    app.backup()
    app.backup()

    printed = terminal.types("show", app.package)

    assert printed.code == 0
    assert printed.out.startswith("set 2 of ")
    assert "data.4DD" in printed.out
    assert "SHA-256" in printed.out


def test_show_takes_a_number_or_the_folder_of_a_set(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    app.backup()

    assert terminal.types("show", app.package, "--set", "1").out.startswith("set 1 of ")
    assert terminal.types("show", folder).out.startswith("set 1 of ")


def test_show_for_programs_lists_the_contents(terminal: Terminal, app: App) -> None:
    app.backup()

    contents = terminal.types("show", app.package, "--json").json["contents"]

    (data,) = [row for row in contents if row["path"].endswith("data.4DD")]
    assert data["size"] == app.data_file.stat().st_size
    assert data["type"] == "file"


def test_a_number_that_is_not_there_is_5_and_names_those_that_are(
    terminal: Terminal, app: App
) -> None:
    app.backup()

    for command in ("show", "verify", "restore"):
        printed = terminal.types(command, app.package, "--set", "9")
        assert printed.code == 5
        assert "there is no set 9" in printed.err
        assert "the sets are 1" in printed.err


def test_without_any_set_there_is_nothing_to_verify(terminal: Terminal, app: App) -> None:
    printed = terminal.types("verify", app.package)

    assert printed.code == 5
    assert "has no set" in printed.err


# --- verify ---------------------------------------------------------------------------------------


def test_good_sets_are_told_one_by_one(terminal: Terminal, app: App) -> None:
    app.backup()
    app.backup()

    printed = terminal.types("verify", app.package)

    assert printed.code == 0
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == [
        "data[0001]",
        "data[0002]",
    ]


def test_a_damaged_set_is_5_and_says_so(terminal: Terminal, app: App) -> None:
    damage(app.backup_set())

    printed = terminal.types("verify", app.package)

    assert printed.code == 5
    assert "data[0001]: DAMAGED (error 1411)" in printed.out
    assert "what to do:" in printed.out


def test_a_set_whose_manifest_is_damaged_is_verified_and_bad(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    app.backup()
    (folder / "manifest.json").write_bytes(b"{}")

    printed = terminal.types("verify", app.package, "--json")

    assert printed.code == 5
    assert {row["good"] for row in printed.json} == {True, False}


# --- restore --------------------------------------------------------------------------------------


def test_a_restored_folder_holds_what_was_saved(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    target = tmp_path / "back"

    printed = terminal.types("restore", app.package, "--to", target)

    assert printed.code == 0
    assert f"restored to {target}" in printed.out
    saved, back = tree(app.package), tree(target)
    assert below(back, b"Project") == below(saved, b"Project")


def test_a_restore_is_told_to_a_program(terminal: Terminal, app: App, tmp_path: Path) -> None:
    folder = app.backup_set()

    row = terminal.types("restore", folder, "--to", tmp_path / "back", "--json").json

    assert row["compared"] is True
    assert row["set"] == str(folder)
    assert row["target"] == str(tmp_path / "back")


def test_without_to_the_folder_stands_beside_the_set(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()

    terminal.types("restore", app.package)

    assert (folder.parent / "data[0001] restored").is_dir()


def test_a_folder_with_something_in_it_is_never_restored_into(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    target = tmp_path / "occupied"
    target.mkdir()
    (target / "letter").write_text("mine")

    printed = terminal.types("restore", app.package, "--to", target)

    assert printed.code == 1
    assert f"{target} exists already" in printed.err
    assert [p.name for p in target.iterdir()] == ["letter"]


def test_a_damaged_set_is_not_restored(terminal: Terminal, app: App, tmp_path: Path) -> None:
    damage(app.backup_set())

    printed = terminal.types("restore", app.package, "--to", tmp_path / "back")

    assert printed.code == 5
    assert not (tmp_path / "back").exists()


# --- what they leave in the journal ---------------------------------------------------------------


def test_verify_and_restore_are_journaled(terminal: Terminal, app: App, tmp_path: Path) -> None:
    app.backup()
    terminal.types("verify", app.package)
    terminal.types("restore", app.package, "--to", tmp_path / "back")

    assert "*** Verification" in app.journal()
    assert "*** Restore" in app.journal()


def test_json_never_has_other_words_around_it(terminal: Terminal, app: App) -> None:
    app.backup()

    for command in ("list", "show", "verify", "status"):
        json.loads(terminal.types(command, app.package, "--json").out)
