"""Where the logs are after a restore, and what is said of them."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.logplan import LogMode
from engine.restore import Restored
from engine.restorelogs import LogWish
from engine.restoring import restore_recorded
from engine.selection import Selection
from engine.sets import StoredSet, take_inventory
from tests.engine.logs import DATALINK, OTHER_DATALINK, changes, data_file, link_block, log
from tests.engine.place_stories import restore_in_place, told_of
from tests.engine.stories import PARIS, App, make_app, tree

CURRENT, SET = LogMode.CURRENT, LogMode.SET
_SECRET = b"encrypted, so nobody knows"


@pytest.fixture
def app(tmp_path: Path) -> App:
    """Ten operations are in the data and in the log."""
    app = make_app(tmp_path)
    work(app, 10)
    return app


def work(app: App, last: int, *, first: int = 1, datalink: bytes = DATALINK) -> None:
    """4D wrote so many operations; its log begins with `first`."""
    app.data_file.write_bytes(data_file(last, [link_block(datalink)]))
    app.log.write_bytes(log(*changes(first, last), datalink=datalink))


def stored(app: App, number: int) -> tuple[Path, tuple[StoredSet, ...]]:
    sets = take_inventory(app.destination, "data", app.data_file).sets
    return next(one.folder for one in sets if one.number == number), sets


def restore_beside(app: App, target: Path, *, number: int = 1, mode: LogMode = CURRENT) -> Restored:
    folder, sets = stored(app, number)
    wish = LogWish(mode, PARIS, app.layout, sets)
    return restore_recorded(folder, target, told_of(app, app.layout), wish=wish)


def said(restored: Restored) -> str:
    assert restored.logs is not None
    return "\n".join(restored.logs.plan.sentences)


def test_in_place_the_live_log_that_carries_the_data_on_stays_as_it_is(app: App) -> None:
    app.backup()
    work(app, 25)
    live = app.log.stat()
    newest = app.log.read_bytes()

    restored = restore_in_place(app, mode=CURRENT)

    assert app.log.read_bytes() == newest
    assert app.log.stat().st_ino == live.st_ino
    assert app.data_file.read_bytes() == data_file(10, [link_block(DATALINK)])
    assert "4D integrates 15 operations by itself" in said(restored)
    assert "the chain is unbroken" in said(restored)
    assert "Log : the chain is unbroken" in app.journal()


def test_in_a_new_folder_it_is_copied_with_owner_and_time(app: App, tmp_path: Path) -> None:
    app.backup()
    work(app, 25)
    app.log.chmod(0o640)

    restored = restore_beside(app, tmp_path / "back")

    back = tmp_path / "back" / "Data" / "data.journal"
    assert back.read_bytes() == app.log.read_bytes()
    assert back.stat().st_mode == app.log.stat().st_mode
    assert back.stat().st_mtime_ns == app.log.stat().st_mtime_ns
    assert "15 operations" in said(restored)


@pytest.mark.parametrize("in_place", [True, False])
def test_asked_for_the_log_of_the_set_is_placed_and_no_other(
    app: App, tmp_path: Path, in_place: bool
) -> None:
    own = app.log.read_bytes()
    app.backup()
    work(app, 25)
    newest = app.log.read_bytes()

    restored = (
        restore_in_place(app, mode=SET)
        if in_place
        else restore_beside(app, tmp_path / "back", mode=SET)
    )

    folder = app.package if in_place else tmp_path / "back"
    assert (folder / "Data" / "data.journal").read_bytes() == own
    assert "as asked for" in said(restored)
    if in_place:
        assert restored.aside is not None
        assert (restored.aside / "Data" / "data.journal").read_bytes() == newest


def renew_twice(app: App) -> list[bytes]:
    """4D renews its log after the backups of sets 1 and 2; what it wrote between them is in set 2."""
    app.backup()
    work(app, 20, first=11)
    between = app.log.read_bytes()
    app.backup()
    work(app, 25, first=21)
    return [between, app.log.read_bytes()]


@pytest.mark.parametrize("in_place", [True, False])
def test_logs_from_before_the_live_one_are_placed_in_order_to_be_integrated(
    app: App, tmp_path: Path, in_place: bool
) -> None:
    (app.package / "Data").chmod(0o750)
    if os.geteuid() == 0:
        for place in (app.package / "Data", app.data_file):
            os.chown(place, 1234, 1235)
    between, live = renew_twice(app)
    log_before = app.log.stat().st_ino

    restored = (
        restore_in_place(app, number=1, mode=CURRENT)
        if in_place
        else restore_beside(app, tmp_path / "back")
    )

    data = (app.package if in_place else tmp_path / "back") / "Data"
    folder = data / "Logs to integrate"
    assert [p.name for p in folder.iterdir()] == ["data-0001.journal"]
    assert (folder / "data-0001.journal").read_bytes() == between
    assert (data / "data.journal").read_bytes() == live
    assert (app.log.stat().st_ino == log_before) or not in_place
    assert "the chain is unbroken" in said(restored)
    facts, above = folder.stat(), (app.package / "Data").stat()
    assert (facts.st_mode, facts.st_uid, facts.st_gid) == (
        above.st_mode,
        above.st_uid,
        above.st_gid,
    )


def test_restoring_again_puts_the_earlier_logs_aside(app: App) -> None:
    renew_twice(app)
    restore_in_place(app, number=1, mode=CURRENT)

    restored = restore_in_place(app, number=1, mode=SET)

    assert restored.aside is not None
    assert app.log.read_bytes() == log(*changes(1, 10))
    again = restore_in_place(app, number=1, mode=CURRENT)
    assert (app.package / "Data" / "Logs to integrate" / "data-0001.journal").exists()
    assert again.logs is not None


def test_without_a_live_log_the_set_s_own_is_placed_and_what_is_missing_is_said(app: App) -> None:
    own = app.log.read_bytes()
    app.backup()
    app.log.unlink()

    restored = restore_in_place(app, mode=CURRENT)

    assert app.log.read_bytes() == own
    assert "the live log is not at hand" in said(restored)


def test_a_torn_live_log_counts_up_to_its_last_whole_record(app: App, tmp_path: Path) -> None:
    app.backup()
    work(app, 25)
    whole = app.log.read_bytes()
    app.log.write_bytes(whole + b"d4bd torn")

    beside = restore_beside(app, tmp_path / "back")
    restored = restore_in_place(app, mode=CURRENT)

    assert (tmp_path / "back" / "Data" / "data.journal").read_bytes() == whole
    assert app.log.read_bytes() == whole + b"d4bd torn"
    assert "are no whole record" in said(beside)
    assert "are no whole record" in said(restored)


def test_the_log_of_another_data_file_is_never_placed(app: App) -> None:
    own = app.log.read_bytes()
    app.backup()
    work(app, 25, datalink=OTHER_DATALINK)
    foreign = app.log.read_bytes()

    restored = restore_in_place(app, mode=CURRENT)

    assert app.log.read_bytes() == own
    assert restored.aside is not None
    assert (restored.aside / "Data" / "data.journal").read_bytes() == foreign
    assert "it belongs to another data file" in said(restored)


def test_without_the_data_in_the_selection_the_log_is_not_touched(app: App) -> None:
    app.backup()
    work(app, 25, datalink=OTHER_DATALINK)
    before = tree(app.package / "Data")

    restore_in_place(app, selection=Selection(("Project",)), mode=CURRENT)

    assert tree(app.package / "Data") == before


def test_a_live_log_that_is_a_link_is_copied_through_it(app: App, tmp_path: Path) -> None:
    app.backup()
    work(app, 25)
    goal = tmp_path / "elsewhere.journal"
    app.log.rename(goal)
    app.log.symlink_to(goal)

    restore_beside(app, tmp_path / "back")

    assert (tmp_path / "back" / "Data" / "data.journal").read_bytes() == goal.read_bytes()
    assert not (tmp_path / "back" / "Data" / "data.journal").is_symlink()


# --- logs that this program cannot read


@dataclass(frozen=True, slots=True)
class Sealed:
    """An application with an encrypted log of which a set holds the beginning."""

    app: App
    own: bytes
    live: bytes


@pytest.fixture
def sealed(app: App) -> Sealed:
    own = _SECRET * 100
    app.log.write_bytes(own)
    app.backup()
    live = own + b"what was done later"
    app.log.write_bytes(live)
    return Sealed(app, own, live)


@pytest.mark.parametrize("in_place", [True, False])
def test_an_encrypted_live_log_that_begins_like_the_saved_one_is_that_log(
    sealed: Sealed, tmp_path: Path, in_place: bool
) -> None:
    app = sealed.app

    restored = (
        restore_in_place(app, mode=CURRENT) if in_place else restore_beside(app, tmp_path / "back")
    )

    folder = app.package if in_place else tmp_path / "back"
    assert (folder / "Data" / "data.journal").read_bytes() == sealed.live
    assert "it begins byte for byte with the log that was saved with these data" in said(restored)
    assert "the log in set 1" not in said(restored)
    assert "byte for byte" in app.journal()


@pytest.mark.parametrize(
    "live",
    [b"other" * 1000, _SECRET * 99, b"x" + _SECRET * 100, b""],
    ids=["other", "cut", "shifted", "empty"],
)
def test_an_encrypted_live_log_that_begins_otherwise_is_not_placed(
    sealed: Sealed, live: bytes
) -> None:
    sealed.app.log.write_bytes(live)

    restored = restore_in_place(sealed.app, mode=CURRENT)

    assert sealed.app.log.read_bytes() == sealed.own
    assert "the live log is not placed" in said(restored)


def test_asked_for_the_log_of_the_set_an_encrypted_live_log_is_not_placed(sealed: Sealed) -> None:
    restore_in_place(sealed.app, mode=SET)

    assert sealed.app.log.read_bytes() == sealed.own
