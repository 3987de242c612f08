"""What the next operation does about a restore in place that died."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RestoreError
from engine.inplace import DOING, RECORD
from engine.lock import DATABASE_LOCK, holding
from engine.selection import Selection
from engine.swap import Exchange, Swap, write_swap
from tests.engine.place_stories import restore_in_place, traces
from tests.engine.stories import App, make_app

SINCE = "2026-01-10T02:00:00+00:00"


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path)


def die(app: App, **facts: Any) -> None:
    """As if a restore in place had died with these words in the lock."""
    with holding(app.package / "Logs" / DATABASE_LOCK, DOING) as lock:
        lock.note({"doing": DOING, "pid": 1, "since": SINCE, **facts})


def moved_aside(app: App) -> Path:
    """The data file is aside, as after the first half of an exchange."""
    record = app.package / "Replaced files (then)" / RECORD
    aside = record.parent / "data.4DD"
    record.parent.mkdir()
    building = app.package / ".backup4d-restoring-x" / "data.4DD"
    building.parent.mkdir()
    building.write_text("restored")
    inode = building.stat().st_ino
    write_swap(
        record, Swap((Exchange(app.data_file, building, aside, had_live=True, inode=inode),))
    )
    app.data_file.rename(aside)
    return record


def entries(app: App, title: str) -> list[str]:
    return [text for text in app.journal().split("\n\n") if text.strip().startswith(f"*** {title}")]


def test_a_backup_puts_back_what_a_dead_restore_has_moved(app: App) -> None:
    before = app.data_file.read_bytes()
    record = moved_aside(app)
    die(app, record=str(record), is_exchanging=True, rooms=[str(app.package)])

    folder = app.backup_set()

    assert app.data_file.read_bytes() == before
    assert not record.parent.exists()
    assert not list(app.package.glob(".backup4d-*"))
    assert len(entries(app, "Restore aborted")) == 1
    assert entries(app, "Full Backup aborted") == []
    assert "all files are where they were before it" in app.journal()
    assert "2026-01-10 03:00:00" in entries(app, "Restore aborted")[0]
    assert folder.exists()
    assert traces(app) is None


def test_a_restore_in_place_does_so_as_well(app: App) -> None:
    app.backup()
    before = app.data_file.read_bytes()
    record = moved_aside(app)
    die(app, record=str(record), is_exchanging=True)

    restored = restore_in_place(app, layout=app.layout)

    assert app.data_file.read_bytes() == before
    assert restored.aside is not None
    assert len(entries(app, "Restore aborted")) == 1


def test_it_is_told_once_also_when_what_follows_is_refused(app: App) -> None:
    app.backup()
    die(app, record=str(app.package / "Replaced files (then)" / RECORD))

    for _ in range(2):
        with pytest.raises(RestoreError, match="nothing in the set is"):
            restore_in_place(app, selection=Selection(("nowhere",)))

    assert len(entries(app, "Restore aborted")) == 1
    assert traces(app) is None


def test_one_that_died_while_it_built_is_told_and_tidied_up(app: App) -> None:
    (app.package / ".backup4d-restoring-x").mkdir()
    record = app.package / "Replaced files (then)" / RECORD
    die(app, record=str(record), rooms=[str(app.package)])

    app.backup()

    assert "before it exchanged a file; nothing was touched" in app.journal()
    assert not list(app.package.glob(".backup4d-*"))


def test_one_that_was_done_is_never_undone(app: App) -> None:
    record = app.package / "Replaced files (then)" / RECORD
    record.parent.mkdir()
    (record.parent / "old").write_text("old")
    die(app, record=str(record), is_exchanging=True)

    app.backup()

    assert (record.parent / "old").exists()
    (entry,) = entries(app, "Restore")
    assert "Result : OK" in entry
    assert f"Replaced files : {record.parent}" in entry


def test_what_cannot_be_undone_stops_every_operation_until_it_is(app: App) -> None:
    app.backup()
    record = moved_aside(app)
    app.data_file.write_text("4D made a new one")
    die(app, record=str(record), is_exchanging=True)

    for act in (app.backup, app.backup, lambda: restore_in_place(app)):
        with pytest.raises(RestoreError, match="not all files are back"):
            act()

    assert app.data_file.read_text() == "4D made a new one"
    assert traces(app) is not None
    assert app.sets() == ["data[0001]"]
    app.data_file.unlink()
    app.backup()
    assert app.sets() == ["data[0001]", "data[0002]"]


def test_a_record_that_cannot_be_used_stops_it_with_words(app: App) -> None:
    record = moved_aside(app)
    record.write_text("{}")
    die(app, record=str(record), is_exchanging=True)
    app.data_file.write_text("4D made a new one")

    with pytest.raises(RestoreError) as caught:
        app.backup()

    assert f"{record}, left by a restore in place that died, cannot be used" in str(caught.value)
    assert "move it back by hand" in caught.value.hint
    assert (record.parent / "data.4DD").exists()
    assert str(record) in app.journal()


@pytest.mark.parametrize(
    "facts",
    [
        {"record": 5, "is_exchanging": True},
        {"record": "\0", "is_exchanging": True, "rooms": ["\0", 5, "relative", None]},
        {"record": "/etc/passwd", "is_exchanging": True},
        {"record": ["/etc"], "rooms": "/"},
        {"record": "/nowhere/.backup4d-exchange.json", "since": 5},
        {},
    ],
)
def test_words_in_the_lock_that_make_no_sense_move_nothing(app: App, facts: dict[str, Any]) -> None:
    die(app, **facts)

    app.backup()

    assert app.sets() == ["data[0001]"]
    assert "nothing was touched" in app.journal()
    assert Path("/etc/passwd").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_does_not_rename_what_another_user_wrote_down(app: App, tmp_path: Path) -> None:
    folder = app.package / "hostile"
    folder.mkdir()
    target = tmp_path / "target"
    target.write_text("root's")
    row = {
        "live": str(folder / "mine"),
        "fresh": None,
        "aside": str(target),
        "had_live": True,
        "inode": 0,
    }
    record = folder / RECORD
    record.write_text(json.dumps({"backup4d-exchange": [row], "folders": []}))
    os.chown(record, 1234, 1234)
    die(app, record=str(record), is_exchanging=True)

    with pytest.raises(RestoreError, match="belongs to user 1234"):
        app.backup()

    assert target.read_text() == "root's"
