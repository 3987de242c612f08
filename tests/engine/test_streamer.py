"""A look at a live log ships what is new and whole, and only of the log that it was before."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.manifest import iterate_members
from engine.streamer import HeldError, Streamer
from engine.streamfolder import STREAM_LOCK
from tests.engine import logs
from tests.engine.stories import App, make_app, pass_a_day
from tests.engine.stream_stories import (
    add,
    renew,
    shipped,
    shipping_app,
    stream_of,
    streamer,
    told,
    until_quiet,
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


@pytest.fixture
def one(app: App) -> Streamer:
    return streamer(app)


def held(one: Streamer) -> str:
    with pytest.raises(HeldError) as caught:
        one.look()
    return str(caught.value)


def test_the_whole_log_is_shipped_and_then_what_is_new(app: App, one: Streamer) -> None:
    assert one.look().last == 10
    add(app, 11, 30)

    stand = one.look()

    assert (stand.last, stand.grew, stand.unfinished) == (30, True, 0)
    assert shipped(app) == [app.log.read_bytes()]
    assert not one.look().grew


def test_a_record_that_is_being_written_is_held_back_until_it_is_whole(
    app: App, one: Streamer
) -> None:
    whole = app.log.read_bytes()
    new = logs.changes(11, 11)[0]
    for cut in range(1, len(new)):
        app.log.write_bytes(whole + new[:cut])
        stand = one.look()
        assert (stand.last, stand.unfinished) == (10, cut)
        assert shipped(app) == [whole]

    app.log.write_bytes(whole + new)

    assert one.look().last == 11


def test_a_restarted_service_goes_on_where_the_last_one_was(app: App, one: Streamer) -> None:
    one.look()
    add(app, 11, 12)

    stand = streamer(app).look()

    assert (stand.piece, stand.last) == (1, 12)
    assert len(told(app)) == 1


@pytest.mark.parametrize("left", [b"", b"d4bd half a record", bytes(5000)])
def test_what_a_crash_left_behind_the_told_records_is_cut_off(
    app: App, one: Streamer, left: bytes
) -> None:
    one.look()
    data, ledger = stream_of(app) / "0001.journal", stream_of(app) / "0001.ledger"
    with data.open("ab") as stream:
        stream.write(left)
    with ledger.open("ab") as stream:
        stream.write(b"0123456789abcdef {half a line")
    add(app, 11, 12)

    again = streamer(app)
    again.look()

    assert shipped(app) == [app.log.read_bytes()] == [data.read_bytes()]
    assert bool(again.take_events()) is bool(left)
    assert told(app)[0].good_bytes == ledger.stat().st_size


def test_told_bytes_that_a_crash_tore_are_shipped_anew(app: App, one: Streamer) -> None:
    one.look()
    add(app, 11, 12)
    one.look()
    data = stream_of(app) / "0001.journal"
    whole = data.read_bytes()
    data.write_bytes(whole[:-100] + bytes(100))

    again = streamer(app)
    again.look()

    assert data.read_bytes() == app.log.read_bytes()
    assert "Cut off" in again.take_events()[0]


def test_a_renewed_log_gets_a_piece_of_its_own_and_the_old_one_its_end(
    app: App, one: Streamer
) -> None:
    one.look()
    add(app, 11, 20)  # nobody has looked since
    old = renew(app, 20)
    add(app, 21, 22)

    stand = one.look()

    assert (stand.piece, stand.last) == (2, 22)
    assert shipped(app) == [old, app.log.read_bytes()]
    assert "the log was renewed" in one.take_events()[0]
    closing = told(app)[0].closing
    assert closing is not None
    assert closing.after_set == 1


def test_a_log_renewed_twice_between_two_looks_is_told_as_such(app: App, one: Streamer) -> None:
    one.look()
    renew(app, 10)
    add(app, 11, 20)
    renew(app, 20)
    again = streamer(app)

    assert "looked at again" in held(again)
    again.look()

    assert "operations between the two were not seen" in again.take_events()[0]
    assert shipped(app)[1] == app.log.read_bytes()


def test_a_log_set_back_or_gone_another_way_is_never_appended_to_what_was_shipped(
    app: App, one: Streamer
) -> None:
    short = app.log.read_bytes()
    add(app, 11, 20)
    one.look()
    first = app.log.read_bytes()
    app.log.write_bytes(short)

    assert "set back" in held(one)
    one.look()
    add(app, 11, 30, payload=b"others")
    one.look()

    assert shipped(app) == [first, app.log.read_bytes()]

    app.log.write_bytes(first + b"".join(logs.changes(21, 90)))
    assert "another way" in held(one)
    assert one.look().piece == 3
    assert shipped(app)[0] == first


def test_the_log_of_another_data_file_is_another_piece(app: App, one: Streamer) -> None:
    one.look()
    app.log.write_bytes(logs.log(*logs.changes(1, 5), datalink=logs.OTHER_DATALINK))

    assert "another data file" in held(one)

    assert one.look().piece == 2


def test_a_strange_sight_that_does_not_last_changes_nothing(app: App, one: Streamer) -> None:
    one.look()
    whole = app.log.read_bytes()
    app.log.write_bytes(whole[:100])
    held(one)
    app.log.write_bytes(whole)
    one.look()
    app.log.write_bytes(whole[:100])

    assert "looked at again" in held(one)
    assert len(told(app)) == 1


def test_the_same_log_put_back_as_another_file_goes_on(app: App, one: Streamer) -> None:
    one.look()
    copy = app.log.with_name("copy")
    copy.write_bytes(app.log.read_bytes())
    copy.replace(app.log)
    add(app, 11, 12)

    assert one.look().piece == 1
    assert shipped(app) == [app.log.read_bytes()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (bytes(4000), "bytes are zeros"),
        (b"x" * 4000, "its header is not known"),
        (b"70KB" + bytes(100), "an archive of 4D"),
    ],
)
def test_a_log_that_cannot_be_read_is_told_and_not_shipped(
    app: App, one: Streamer, content: bytes, words: str
) -> None:
    app.log.write_bytes(content)

    assert words in held(one)
    assert list(stream_of(app).glob("*.journal")) == []


def test_a_folder_in_the_place_of_the_log_is_told(app: App, one: Streamer) -> None:
    app.log.unlink()
    app.log.mkdir()

    assert "no regular file" in held(one)


def test_no_log_is_told(app: App, one: Streamer) -> None:
    app.log.unlink()

    assert "there is no log" in held(one)


def test_a_break_in_the_numbers_is_never_shipped(app: App, one: Streamer) -> None:
    one.look()
    add(app, 15, 16)

    assert "operation 10 is followed by 15" in held(one)
    assert told(app)[0].last == 10


def test_nothing_is_written_to_a_folder_no_backup_was_made_to(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    assert "holds no history" in held(streamer(app))
    assert list(app.destination.iterdir()) == []


def test_only_one_service_ships_a_log(app: App, one: Streamer) -> None:
    one.look()
    lock = os.open(stream_of(app) / STREAM_LOCK, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another service" in held(one)
    finally:
        os.close(lock)


def test_a_large_record_and_many_small_ones_are_shipped_whole(app: App, one: Streamer) -> None:
    add(app, 11, 11, payload=bytes(20 << 20))
    add(app, 12, 9000, payload=b"x" * 400)

    until_quiet(one)

    assert shipped(app) == [app.log.read_bytes()]
    assert shipped(app)[0] == app.log.read_bytes()
    again = streamer(app)
    assert again.look().end == app.log.stat().st_size
    assert again.take_events() == ()


def test_pieces_go_when_no_kept_set_leads_into_them(app: App, one: Streamer) -> None:
    one.look()
    renew(app, 10)
    one.look()  # piece 1 is closed after set 1
    names = []
    for _ in range(4):  # three are kept
        pass_a_day(app)
        app.backup()
        one.look()
        names.append([ledger.beginning.number for ledger in told(app)])

    # set 2 may have been under way then; when set 3 is the oldest, the piece goes
    assert app.sets() == ["data[0003]", "data[0004]", "data[0005]"]
    assert names == [[1, 2], [1, 2], [1, 2], [2]]
    assert any(event.startswith("Removed :") for event in one.take_events())


def test_no_piece_goes_while_a_set_cannot_be_read_that_may_lead_into_it(
    app: App, one: Streamer
) -> None:
    one.look()
    renew(app, 10)
    one.look()
    (app.destination / "data[0001]" / "manifest.json").write_bytes(b"{}")
    for _ in range(4):
        pass_a_day(app)
        app.backup()
        one.look()

    assert [ledger.beginning.number for ledger in told(app)] == [1, 2]


def test_a_stream_is_no_content_of_a_backup(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=logs.data_file(3))
    app.log.write_bytes(logs.log(*logs.changes(1, 3)))
    inside = App(app.package, app.package / "Backups", app.clock)
    inside.destination.mkdir()
    (inside.destination / "mine.log-stream-1").mkdir()
    inside.configure(attachments=("./Backups/",))
    inside.backup()
    streamer(inside).look()
    pass_a_day(app)

    found = {member.path for member in iterate_members(inside.backup_set())}

    assert b"Backups/mine.log-stream-1" in found
    assert not [path for path in found if b"log-stream-" in path and b"mine" not in path]


def test_the_reserve_for_the_next_backup_is_never_touched(
    app: App, one: Streamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.look()
    add(app, 11, 12)
    monkeypatch.setattr("engine.streamer.room", lambda _: 1 << 20)

    assert "left for the next backup" in held(one)
    assert told(app)[0].last == 10

    monkeypatch.setattr("engine.streamer.room", lambda _: 1 << 30)
    assert one.look().last == 12


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_write_that_fails_leaves_what_was_told_and_is_made_good(
    app: App, one: Streamer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    one.look()
    before = shipped(app)
    add(app, 11, 12)

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr("engine.streampiece.os.fdatasync", fail)
        assert "no room" in held(one) or number == errno.EIO
    assert shipped(app) == before
    assert [(stream_of(app) / "0001.journal").read_bytes()] == before, "the room is not given back"

    one.look()
    assert shipped(app) == [app.log.read_bytes()]
    assert (stream_of(app) / "0001.journal").read_bytes() == app.log.read_bytes()


def test_a_log_that_is_followed_counts_as_open_for_nobody(app: App, one: Streamer) -> None:
    """A restore in place is refused while a process has the log open; following it is no such use."""
    one.look()
    looker = "import sys, pathlib; from engine.openfiles import processes_using as p; print(p([pathlib.Path(sys.argv[1])]))"

    def users() -> str:
        words = [sys.executable, "-c", looker, str(app.log)]
        return subprocess.check_output(words, text=True, timeout=30)

    assert users().strip() == "()"
    with app.log.open("rb"):
        assert str(os.getpid()) in users()


def test_logs_that_are_renewed_while_there_is_no_room_are_all_shipped_afterwards(
    app: App, one: Streamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.look()
    olds = []
    with monkeypatch.context() as full:
        full.setattr("engine.streamer.room", lambda _: 0)
        for last in (20, 30, 40):
            add(app, last - 9, last)
            assert "left for the next backup" in held(one)
            olds.append(renew(app, last))
            held(one)
    add(app, 41, 50)

    assert one.look().piece == 4

    assert shipped(app) == [*olds, app.log.read_bytes()]
    assert all("the log was renewed" in event for event in one.take_events())


def test_an_old_log_that_cannot_be_read_any_more_holds_up_nothing(app: App, one: Streamer) -> None:
    one.look()
    with app.log.open("ab") as stream:
        stream.write(b"".join(logs.changes(15, 16)))  # damage: 11 to 14 are missing
    held(one)
    app.log.unlink()
    app.log.write_bytes(logs.log(*logs.changes(17, 20)))

    assert one.look().piece == 2
    assert any("could not be had" in event for event in one.take_events())
