"""A piece on the disk: its ledger stays small, what is planted in its place is not written to, large logs go on."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

import engine.streampiece
from engine.streamcopies import shipped_logs
from engine.streamer import HeldError
from tests.engine.stories import App
from tests.engine.stream_stories import (
    add,
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


def test_a_ledger_stays_small_however_often_something_is_shipped(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.streampiece, "_MOST_LINES", 5)
    one = streamer(app)
    sizes = []
    for number in range(11, 60):
        add(app, number, number)
        one.look()
        sizes.append(len((stream_of(app) / "0001.ledger").read_bytes().splitlines()))
    one.let_go()

    assert max(sizes) <= 7
    assert shipped(app) == [app.log.read_bytes()]
    assert streamer(app).look().end == app.log.stat().st_size


def test_stretches_that_are_full_are_followed_by_others_and_all_are_looked_at_by_a_restart(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.streampiece, "GROUP_BYTES", 500)
    one = streamer(app)
    for number in range(11, 40):
        add(app, number, number)
        one.look()
    one.let_go()
    starts = {entry.start for entry in told(app)[0].entries}
    add(app, 40, 45)

    again = streamer(app)
    until_quiet(again)

    assert len(starts) > 3
    assert again.take_events() == ()
    assert shipped(app) == [app.log.read_bytes()]


@pytest.mark.parametrize("name", ["0001.journal", "0001.ledger"])
@pytest.mark.parametrize("how", ["link", "fifo", "folder"])
def test_what_is_planted_in_the_place_of_a_piece_is_not_written_to(
    app: App, tmp_path: Path, name: str, how: str
) -> None:
    one = streamer(app)
    one.look()
    file, other = stream_of(app) / name, tmp_path / "other"
    other.write_bytes(file.read_bytes())
    before = other.read_bytes()
    file.unlink()
    if how == "link":
        file.symlink_to(other)
    elif how == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    add(app, 11, 12)

    for each in (one, streamer(app)):
        with pytest.raises(HeldError):
            each.look()

    assert other.read_bytes() == before


def test_an_empty_log_is_followed_from_its_header_on(app: App) -> None:
    records = app.log.read_bytes()[24:]
    app.log.write_bytes(app.log.read_bytes()[:24])
    one = streamer(app)
    assert (one.look().end, one.look().last) == (24, None)

    with app.log.open("ab") as stream:
        stream.write(records)

    assert one.look().last == 10
    assert shipped(app) == [app.log.read_bytes()]


def test_a_restore_compares_every_stretch_and_takes_what_stands_before_the_damage(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.streampiece, "GROUP_BYTES", 500)
    one = streamer(app)
    for number in range(11, 60):
        add(app, number, number)
        one.look()
    one.let_go()
    ends = [entry.end for entry in told(app)[0].entries]
    data = stream_of(app) / "0001.journal"
    content = bytearray(data.read_bytes())
    content[ends[2] - 20] ^= 1
    data.write_bytes(content)

    with ExitStack() as stack:
        (found,) = shipped_logs(app.destination, "data", app.data_file, stack)
        assert not isinstance(found.reader, str)
        size = found.reader.size

    assert len(ends) > 6
    assert size == ends[1]
    assert found.damage is not None
    assert (
        f"it is damaged behind byte {ends[1]}: bytes {ends[1]} to {ends[2]} do not" in found.damage
    )
    assert "by its ledger operation 59 was shipped" in found.damage
