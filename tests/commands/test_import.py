"""The command import: a backup that 4D made becomes a set, with its number and its date, and nothing less than whole."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.history import HISTORY
from engine.journal import current_journal
from engine.manifest import iterate_members, read_manifest
from engine.member import Role
from tests.commands.terminal import Terminal
from tests.engine.fourd_stories import archive, blocks, content, flipped
from tests.engine.logs import changes, log
from tests.engine.stories import App

WRITTEN = datetime(2024, 8, 12, 22, 0, 2, tzinfo=UTC)
DATA = content(400_000, 21)
SETS_KEPT = 3  # the default of SetNumber
LOG = log(*changes(1, 5))


@pytest.fixture
def old(app: App, tmp_path: Path) -> Path:
    """A backup of 4D's, with its log archive, in a folder of its own."""
    folder = tmp_path / "old"
    folder.mkdir()
    base = app.layout.data_file.stem
    files = {
        f"./{base}.4DD::DataFile": DATA,
        f"./{base}.4DIndx::C:\\app\\": content(70_000, 22),
        "./Project/App.4DProject::": b"{}",
        "./Project/Sources/catalog.4DCatalog::": b"<catalog/>",
        "./Settings/settings.4DSettings::": b"<settings/>",
    }
    file = folder / f"{base}[0007].4BK"
    file.write_bytes(archive(files))
    (folder / f"{base}[0006].4BL").write_bytes(archive({f"./{base}.journal::": LOG}))
    for one in folder.iterdir():
        os.utime(one, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    return file


def set_of(app: App, number: int = 7) -> Path:
    return app.destination / f"{app.layout.data_file.stem}[{number:04d}]"


def test_it_is_a_set_like_any_other(terminal: Terminal, app: App, old: Path) -> None:
    printed = terminal.types("import", app.package, old)

    assert printed.code == 0, printed.all
    manifest = read_manifest(set_of(app))
    assert (manifest.facts.number, manifest.facts.ended) == (7, WRITTEN)
    assert manifest.facts.complete
    assert "imported from" in manifest.facts.tool
    roles = {one.path: one.role for one in iterate_members(set_of(app))}
    base = os.fsencode(app.layout.data_file.stem)
    assert roles[b"Data/" + base + b".4DD"] is Role.DATA
    assert roles[b"Project/Sources/catalog.4DCatalog"] is Role.STRUCTURE
    assert terminal.types("verify", set_of(app)).code == 0


def test_it_is_restored_as_4d_saved_it(
    terminal: Terminal, app: App, old: Path, tmp_path: Path
) -> None:
    terminal.types("import", app.package, old)

    printed = terminal.types("restore", set_of(app), "--to", tmp_path / "new")

    assert printed.code == 0, printed.all
    base = app.layout.data_file.stem
    assert (tmp_path / "new/Data" / f"{base}.4DD").read_bytes() == DATA
    assert (tmp_path / "new/Data" / f"{base}.journal").read_bytes() == LOG
    assert (tmp_path / "new/Settings/settings.4DSettings").read_bytes() == b"<settings/>"


def test_the_archives_stay_as_they_are(terminal: Terminal, app: App, old: Path) -> None:
    before = {one: one.read_bytes() for one in old.parent.iterdir()}

    terminal.types("import", app.package, old)

    assert {one: one.read_bytes() for one in old.parent.iterdir()} == before
    assert not [one for one in app.destination.iterdir() if one.name.startswith(".backup4d-r")]


def test_history_and_journal_tell_it(terminal: Terminal, app: App, old: Path) -> None:
    terminal.types("import", app.package, old)

    document = json.loads((app.destination / HISTORY).read_text())
    (record,) = document[app.layout.key]
    assert (record["backupNumber"], record["endingDate"]) == (7, "2024-08-12T22:00:02.000Z")
    assert document["backup4d"][-1]["event"] == "import"
    journal = current_journal(app.package / "Logs")
    assert journal is not None
    text = journal.read_text()
    assert "*** Import" in text
    assert str(old) in text


def test_its_date_is_that_of_4ds_history(terminal: Terminal, app: App, old: Path) -> None:
    record = {
        "backupPath": f"Macintosh HD:Backups:{old.name}",
        "backupNumber": 7,
        "startingDate": "2023-01-02T03:04:05.000Z",
        "endingDate": "2023-01-02T03:04:05.000Z",
        "duration": 5000,
    }
    (old.parent / HISTORY).write_text(json.dumps({"x": [record]}))

    (row,) = terminal.types("import", "--json", app.package, old).json

    assert (row["started"], row["ended"]) == (
        "2023-01-02T03:04:05.000Z",
        "2023-01-02T03:04:10.000Z",
    )
    assert row["date_known_by"].startswith(HISTORY)


def test_the_next_backup_has_a_higher_number(terminal: Terminal, app: App, old: Path) -> None:
    terminal.types("import", app.package, old)

    terminal.types("backup", app.package)

    assert set_of(app, 8).is_dir()
    assert set_of(app, 7).is_dir()


def test_one_that_rotation_will_remove_is_told(terminal: Terminal, app: App, old: Path) -> None:
    first = terminal.types("import", app.package, old)
    for _ in range(SETS_KEPT):
        terminal.types("backup", app.package)
    assert not set_of(app).exists()

    printed = terminal.types("import", app.package, old)

    assert "by rotation" not in first.all
    assert printed.code == 0
    assert "the next backup removes this one by rotation" in printed.err


def test_a_damaged_archive_is_not_imported(terminal: Terminal, app: App, old: Path) -> None:
    data = old.read_bytes()
    at, stored = blocks(data)[3]
    old.write_bytes(flipped(data, at + 48 + stored // 2))

    printed = terminal.types("import", app.package, old)

    assert printed.code == 5
    assert "is damaged; nothing was imported" in printed.err
    assert not set_of(app).exists()
    assert [one.name for one in app.destination.glob(".backup4d-*") if one.is_dir()] == []


def test_an_old_backup_with_a_high_number_is_refused(
    terminal: Terminal, app: App, old: Path
) -> None:
    """Rotation goes by numbers: three of them would push three newer sets out at the next backup."""
    terminal.types("backup", app.package)

    printed = terminal.types("import", app.package, old)

    assert printed.code == 4
    assert "by its number it is newer than set 1, by its date older" in printed.err
    assert not set_of(app).exists()


def test_a_date_can_be_told(terminal: Terminal, app: App, old: Path) -> None:
    (row,) = terminal.types(
        "import", "--json", app.package, old, "--date", "2019-05-06 07:08:09"
    ).json

    assert row["ended"] == "2019-05-06T07:08:09.000Z"
    assert row["date_known_by"] == "what was typed"


def test_a_set_is_never_replaced(terminal: Terminal, app: App, old: Path) -> None:
    terminal.types("import", app.package, old)

    printed = terminal.types("import", app.package, old)

    assert printed.code == 4
    assert "is there already" in printed.err


@pytest.mark.parametrize(
    "name", ["data.4BK", "data[0007-0002].4BK", "data[0000].4BK", "data[0007].4BL"]
)
def test_what_is_not_named_like_a_backup_is_refused(
    terminal: Terminal, app: App, old: Path, name: str
) -> None:
    file = old.with_name(name)
    old.rename(file)

    assert terminal.types("import", app.package, file).code == 4


def test_another_databases_data_file_is_refused(terminal: Terminal, app: App, old: Path) -> None:
    old.write_bytes(archive({"./Other.4DD::DataFile": b"x"}))

    printed = terminal.types("import", app.package, old)

    assert printed.code == 4
    assert "its data file is Other.4DD" in printed.err
