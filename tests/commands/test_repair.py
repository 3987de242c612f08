"""repair: what a person and a program read, the exit codes, the journal and the history."""

import shutil
from pathlib import Path

import pytest

from tests.commands.terminal import Terminal, damage
from tests.engine.parity_stories import contents, no_par2, protect
from tests.engine.stories import App

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")


@pytest.fixture
def folder(app: App) -> Path:
    """A set all of whose files are protected."""
    folder = app.backup_set()
    protect(folder, *sorted(file.name for file in folder.iterdir()), spare=40)
    return folder


def test_a_damaged_set_is_repaired_and_told(terminal: Terminal, app: App, folder: Path) -> None:
    before = contents(folder)
    damage(folder)

    printed = terminal.types("repair", app.package)

    assert printed.code == 0
    assert contents(folder) == before
    assert "data[0001]: damaged: data[0001].tar.zst: frame" in printed.out
    assert "  data[0001].tar.zst repaired: its SHA-256 is the one in SHA256SUMS" in printed.out
    assert "data[0001]: repaired, verified again, and good" in printed.out


def test_a_repair_is_journaled_and_in_the_history(
    terminal: Terminal, app: App, folder: Path
) -> None:
    damage(folder)

    terminal.types("repair", app.package)

    entry = app.journal().split("*** Repair\n")[1]
    assert f"Set : {folder}\n" in entry
    assert "Damaged : data[0001].tar.zst: frame" in entry
    assert "Repaired : data[0001].tar.zst\n" in entry
    assert "Result : OK, repaired and verified again\n" in entry
    event = app.history()["backup4d"][-1]
    assert (event["event"], event["status"], event["set"]) == ("repair", 0, "data[0001]")


def test_a_whole_set_is_left_and_that_is_said(terminal: Terminal, app: App, folder: Path) -> None:
    before = contents(folder)

    printed = terminal.types("repair", app.package)

    assert (printed.code, printed.out) == (0, "data[0001]: good; nothing was damaged\n")
    assert contents(folder) == before
    assert "Result : nothing was damaged" in app.journal()


def test_a_set_without_recovery_data_is_5_and_journaled(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    damage(folder)

    printed = terminal.types("repair", app.package)

    assert printed.code == 5
    assert f"NOT REPAIRED: {folder} is damaged and has no recovery data" in printed.out
    assert "what to do:" in printed.out
    assert "Error reported : 1411" in app.journal()
    assert "Result : still damaged" in app.journal()


def test_too_much_damage_is_5_and_changes_nothing(
    terminal: Terminal, app: App, folder: Path
) -> None:
    for file in folder.glob("*.vol*.par2"):
        file.unlink()
    damage(folder)
    before = contents(folder)

    printed = terminal.types("repair", app.package)

    assert printed.code == 5
    assert "has 0 whole recovery blocks, but" in printed.out
    assert contents(folder) == before


def test_par2_that_is_missing_is_5_with_the_package_to_install(
    terminal: Terminal, app: App, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(folder)
    no_par2(monkeypatch)

    printed = terminal.types("repair", app.package)

    assert printed.code == 5
    assert "what to do: apt install par2, then try again" in printed.out


def test_a_set_without_manifest_is_repaired_by_folder_database_and_number(
    terminal: Terminal, app: App, folder: Path
) -> None:
    before = contents(folder)
    for words in ((folder,), (app.package,), (app.package, "--set", "1")):
        (folder / "manifest.json").unlink()

        assert terminal.types("repair", *words).code == 0
        assert contents(folder) == before


def test_a_set_named_by_its_folder_is_not_journaled(
    terminal: Terminal, app: App, folder: Path
) -> None:
    damage(folder)

    assert terminal.types("repair", folder).code == 0
    assert "*** Repair" not in app.journal()


def test_a_program_reads_what_was_damaged_and_repaired(
    terminal: Terminal, app: App, folder: Path
) -> None:
    damage(folder)

    printed = terminal.types("repair", app.package, "--json")

    (row,) = printed.json
    assert (printed.code, printed.err) == (0, "")
    assert row["good"] is True
    assert row["repaired"] == ["data[0001].tar.zst"]
    assert len(row["damage_before"]) == 1
    assert (row["damage_after"], row["error"], row["code"]) == ([], None, 0)


def test_a_database_without_sets_is_told(terminal: Terminal, app: App) -> None:
    printed = terminal.types("repair", app.package)

    assert printed.code == 5
    assert "this database has no set" in printed.err
