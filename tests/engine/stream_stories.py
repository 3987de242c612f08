"""What the stories about shipped logs are told with: an application with a real-shaped log, its stream, a look at both."""

from datetime import timedelta
from pathlib import Path

from engine.streamer import Stand, Streamer
from engine.streamfolder import ledgers, stream_folders
from engine.streamledger import Ledger
from tests.engine import logs
from tests.engine.stories import App, make_app


def shipping_app(folder: Path, last: int = 10) -> App:
    """An application with a set: its data hold operation `last`, as does its log."""
    app = make_app(folder, data=logs.data_file(last, [logs.link_block(logs.DATALINK)]))
    app.log.write_bytes(logs.log(logs.record(0, logs.OPEN), *logs.changes(1, last)))
    app.backup()
    return app


_made: list[Streamer] = []


def streamer(app: App) -> Streamer:
    """Let go when the test is over (conftest): each holds a log."""
    _made.append(Streamer(app.layout, app.destination, app.clock))
    return _made[-1]


def let_all_go() -> None:
    """Nothing is held any more."""
    while _made:
        _made.pop().let_go()


def add(app: App, first: int, last: int, payload: bytes = b"row") -> bytes:
    """4D goes on working; the bytes it appended."""
    new = b"".join(logs.changes(first, last, payload))
    with app.log.open("ab") as stream:
        stream.write(new)
    return new


def renew(app: App, last: int) -> bytes:
    """What 4D does at a backup with renewal: a marker, another file, the numbers carry on. The old log."""
    when = logs.START + timedelta(minutes=last)
    with app.log.open("ab") as stream:
        stream.write(logs.record(last, logs.BACKUP, when))
    old = app.log.read_bytes()
    app.log.unlink()
    app.log.write_bytes(logs.log(logs.record(last, logs.OPEN, when)))
    return old


def stream_of(app: App) -> Path:
    (folder,) = stream_folders(app.destination, "data", app.data_file)
    return folder


def told(app: App) -> list[Ledger]:
    """The ledgers of its pieces, in order."""
    found = [ledger for _, ledger in ledgers(stream_of(app))]
    assert all(isinstance(ledger, Ledger) for ledger in found)
    return [ledger for ledger in found if isinstance(ledger, Ledger)]


def shipped(app: App) -> list[bytes]:
    """What each piece holds for certain."""
    return [
        (stream_of(app) / f"{one.beginning.number:04d}.journal").read_bytes()[: one.end]
        for one in told(app)
    ]


def until_quiet(one: Streamer) -> Stand:
    """Looks until nothing more is shipped."""
    while (stand := one.look()).grew:
        pass
    return stand
