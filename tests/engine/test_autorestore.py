"""The automatic restore itself, alone under the lock."""

from pathlib import Path

from engine.autorestore import data_in_set, restore_automatically, selection_of
from engine.datalook import Seen
from engine.logplan import LogMode
from engine.opencheck import State, Verdict
from engine.opening import remember_good
from engine.openrecord import Record, load_record
from engine.restorelogs import LogWish
from tests.engine.opening_stories import database, seen
from tests.engine.place_stories import told_of
from tests.engine.stories import PARIS, tree


def test_what_another_process_has_restored_meanwhile_is_left(tmp_path: Path) -> None:
    app = database(tmp_path)
    app.backup()
    before = tree(app.package / "Data")
    wish = LogWish(LogMode.CURRENT, PARIS, app.layout)
    told = told_of(app, app.layout)

    brought = restore_automatically(
        app.layout,
        app.destination,
        wish,
        told,
        lambda: Verdict(State.GOOD, seen()),
        lambda _: None,
    )

    assert brought is None
    assert tree(app.package / "Data") == before


def test_names_with_the_signs_of_patterns_are_only_names(tmp_path: Path) -> None:
    app = database(tmp_path)
    odd = app.data_file.with_name("data[1-9]*.4DD")
    app.data_file.rename(odd)
    app.log.rename(odd.with_suffix(".journal"))
    for name in ("data5x.4DD.txt", "data5.4DIndx"):
        odd.with_name(name).write_bytes(b"of somebody else")
    odd.with_suffix(".4DIndx").write_bytes(b"index")
    app.configure(attachments=["./Data/"])

    held = data_in_set(app.backup_set())

    assert isinstance(held.found, Seen)
    assert sorted(selection_of(held).patterns) == [
        "Data/data[[]1-9][*].4DD",
        "Data/data[[]1-9][*].4DIndx",
        "Data/data[[]1-9][*].journal",
    ]


def test_one_that_was_begun_and_is_found_done_counts_as_restored(tmp_path: Path) -> None:
    app = database(tmp_path)
    logs = app.package / "Logs"
    now = app.clock.now()

    remember_good(app.layout, Record(begun=1), seen(), now, "")
    after = load_record(logs)
    remember_good(app.layout, after, seen(), app.clock.now(), "")

    assert (after.restored, after.is_confirmed, after.begun) == (now, True, 0)
    assert load_record(logs).restored == now
