"""A piece of a stream whose ledger is gone: nothing proves what is in it, and nothing takes its place."""

from pathlib import Path

import pytest

from engine.streamlag import stream_lag
from tests.engine.stories import App
from tests.engine.stream_stories import (
    add,
    renew,
    shipped,
    shipping_app,
    stream_of,
    streamer,
    until_quiet,
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


def test_a_piece_that_has_lost_its_ledger_is_never_written_over(app: App) -> None:
    ship_all(app)
    was = (stream_of(app) / "0001.journal").read_bytes()
    (stream_of(app) / "0001.ledger").unlink()
    (app.package / "old.journal").write_bytes(renew(app, 10))
    add(app, 11, 12)
    one = streamer(app)

    stand = until_quiet(one)

    assert (stream_of(app) / "0001.journal").read_bytes() == was
    assert (stand.piece, shipped(app)) == (2, [app.log.read_bytes()])
    assert any("0001.journal has lost its ledger" in event for event in one.take_events())


def test_a_piece_that_never_had_a_byte_is_begun_again(app: App) -> None:
    """Of a service that died before it wrote the ledger."""
    ship_all(app)
    stream = stream_of(app)
    for file in stream.glob("0001.*"):
        file.unlink()
    (stream / "0001.journal").touch()
    one = streamer(app)

    assert until_quiet(one).piece == 1
    assert one.take_events() == ()


def ship_all(app: App) -> None:
    """By a service that ends then."""
    one = streamer(app)
    until_quiet(one)
    one.let_go()


def test_how_far_it_is_names_it(app: App) -> None:
    ship_all(app)
    (stream_of(app) / "0001.ledger").unlink()

    alone = stream_lag(app.layout, app.destination, app.clock.now())
    ship_all(app)
    after = stream_lag(app.layout, app.destination, app.clock.now())

    assert alone.problem == "nothing is shipped yet"
    assert (after.problem, after.piece, after.last) == (None, 2, 10)
    assert alone.lost == after.lost == (stream_of(app) / "0001.journal",)
