"""A live log that is emptied where it stands, not replaced: what was shipped of it stays, and what happened is told."""

import os
from pathlib import Path

import pytest

from engine.livelog import read_facts_behind
from engine.logfile import LogFacts
from engine.streamer import HeldError, Streamer
from tests.engine import logs
from tests.engine.stories import App
from tests.engine.stream_stories import (
    add,
    shipped,
    shipping_app,
    streamer,
    told,
    until_quiet,
)

HEADER = 24


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


@pytest.fixture
def one(app: App) -> Streamer:
    """A service that has shipped thirty operations and goes on."""
    add(app, 11, 30)
    found = streamer(app)
    until_quiet(found)
    return found


def emptied(app: App, to: int = HEADER) -> bytes:
    """The same file, so much shorter; what it held."""
    was, inode = app.log.read_bytes(), app.log.stat().st_ino
    os.truncate(app.log, to)
    assert app.log.stat().st_ino == inode
    return was


def looks(one: Streamer, count: int) -> list[str]:
    """What kept each look from being done, empty where nothing did."""
    said = []
    for _ in range(count):
        try:
            one.look()
            said.append("")
        except HeldError as error:
            said.append(str(error))
    return said


def test_emptied_to_its_header_it_is_a_new_log_and_what_was_shipped_stays(
    app: App, one: Streamer
) -> None:
    was = emptied(app)

    said = looks(one, 3)
    add(app, 31, 40)
    until_quiet(one)

    assert "it is looked at again" in said[0]
    assert said[2] == ""
    assert shipped(app) == [was, app.log.read_bytes()]
    assert told(app)[0].closing is not None
    assert any("Piece 1 ends at operation 30 : " in event for event in one.take_events())


@pytest.mark.parametrize("is_seen_empty", [False, True])
def test_emptied_and_written_again_between_two_looks_it_is_not_taken_for_the_same(
    app: App, one: Streamer, is_seen_empty: bool
) -> None:
    was = emptied(app)
    if is_seen_empty:
        looks(one, 1)
    add(app, 31, 80)  # longer than what was shipped

    looks(one, 3)

    assert shipped(app) == [was, app.log.read_bytes()]


def test_operations_that_went_with_it_before_they_were_shipped_are_told(
    app: App, one: Streamer
) -> None:
    was = app.log.read_bytes()
    add(app, 31, 35)
    emptied(app)
    add(app, 36, 40)

    looks(one, 3)

    assert shipped(app) == [was, app.log.read_bytes()]
    assert any("operations between the two were not seen" in one for one in one.take_events())


def test_emptied_to_nothing_it_is_held_and_told_until_there_is_a_log_again(
    app: App, one: Streamer
) -> None:
    was = emptied(app, 0)

    said = looks(one, 3)
    app.log.write_bytes(logs.log(logs.record(30, logs.OPEN)))
    add(app, 31, 33)
    looks(one, 3)

    assert all("it is empty" in words for words in said)
    assert shipped(app) == [was, app.log.read_bytes()]


def test_counting_anew_it_is_told_as_that(app: App, one: Streamer) -> None:
    was = emptied(app)
    add(app, 1, 60)

    looks(one, 3)

    assert shipped(app) == [was, app.log.read_bytes()]
    assert any("one that counts anew" in event for event in one.take_events())


@pytest.mark.parametrize("cut", [1, 60])
def test_cut_back_a_little_it_is_told_and_shipped_anew(app: App, one: Streamer, cut: int) -> None:
    was = emptied(app, app.log.stat().st_size - cut)

    looks(one, 3)

    assert shipped(app)[0] == was
    assert shipped(app)[1] == app.log.read_bytes()[: len(shipped(app)[1])]
    assert any("it is shorter than what was shipped" in event for event in one.take_events())


def test_emptied_while_nobody_looked_it_is_told_by_the_next_service(
    app: App, one: Streamer
) -> None:
    one.let_go()
    was = emptied(app)
    add(app, 31, 33)
    later = streamer(app)

    looks(later, 3)

    assert shipped(app) == [was, app.log.read_bytes()]
    assert any("Piece 1 ends at operation 30 : " in event for event in later.take_events())


@pytest.mark.parametrize("to", [0, HEADER, 500])
def test_emptied_while_it_is_read_nothing_false_is_told(
    app: App, one: Streamer, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    """After the look at what is new in it, and before that is read."""
    was = app.log.read_bytes()
    add(app, 31, 35)

    def emptying(descriptor: int, at: int, size: int) -> LogFacts:
        facts = read_facts_behind(descriptor, at, size)
        os.truncate(app.log, to)
        return facts

    monkeypatch.setattr("engine.streamer.read_facts_behind", emptying)
    said = looks(one, 1)
    monkeypatch.undo()

    assert "became shorter while it was read" in said[0]
    assert shipped(app) == [was]
    looks(one, 3)
    assert shipped(app)[0] == was
