"""The shipping of logs under the service: begun where it is asked for, held and told once, ended with the service."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import scheduler.shipping
from engine.host import HostClock
from scheduler.recall import Host
from scheduler.served import Served
from scheduler.shipping import Shipping
from settings.paths import PathMap
from settings.service_model import LogShipping, ServedDatabase
from tests.engine.stories import App
from tests.engine.stream_stories import add, renew, shipped, shipping_app, stream_of
from tests.scheduler.real import wait_until
from tests.scheduler.stories import PARIS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ASKED = LogShipping(timedelta(seconds=0.1))


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


@pytest.fixture
def database(app: App, tmp_path: Path) -> Served:
    entry = ServedDatabase(app.package, None, shipping=ASKED)
    served = Served(entry, Host(tmp_path / "state", PARIS, PathMap()))
    served.refresh(NOW)
    return served


@pytest.fixture
def shipping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shipping]:
    monkeypatch.setattr(scheduler.shipping, "HELD_SECONDS", 0.2)
    monkeypatch.setattr(scheduler.shipping, "HELD_LAGS", 0)
    monkeypatch.setattr("scheduler.shipper._HELD_SECONDS", 0.1)
    made = Shipping(HostClock())
    yield made
    made.stop()


def is_shipped(app: App) -> bool:
    return bool(list(app.destination.glob("*log-stream*/*.ledger"))) and shipped(app)[-1:] == [
        app.log.read_bytes()
    ]


def until_shipped(app: App) -> None:
    wait_until(lambda: is_shipped(app), "it is never shipped")


def until_told(shipping: Shipping, database: Served, app: App, words: str) -> None:
    def said() -> bool:
        shipping.look([database], NOW)
        return words in app.journal()

    wait_until(said, f"{words!r} is never journaled")


def test_a_log_is_shipped_while_it_is_asked_for_and_no_longer(
    app: App, database: Served, shipping: Shipping
) -> None:
    shipping.look([database], NOW)
    until_shipped(app)
    wait_until(
        lambda: shipping.row(database) == {"held": None, "seconds": None, "behind_seconds": None},
        "it counts as behind, though all is shipped",
    )
    add(app, 11, 20)
    until_shipped(app)

    database.entry = replace(database.entry, shipping=None)
    shipping.look([database], NOW)
    shipping.stop()
    add(app, 21, 30)

    assert shipping.row(database) is None
    assert not is_shipped(app)


def test_nothing_is_shipped_of_a_database_that_did_not_ask(
    app: App, database: Served, shipping: Shipping
) -> None:
    database.entry = replace(database.entry, shipping=None)

    shipping.look([database], NOW)

    assert shipping.row(database) is None
    assert list(app.destination.glob("*log-stream*")) == []


def test_a_hold_is_journaled_once_and_so_is_its_end(
    app: App, database: Served, shipping: Shipping
) -> None:
    log = app.log.read_bytes()
    app.log.unlink()
    until_told(shipping, database, app, f"Held : there is no log at {app.log}")
    row = shipping.row(database)
    assert row is not None
    assert "there is no log" in row["held"]
    for _ in range(5):
        shipping.look([database], NOW)

    app.log.write_bytes(log)
    until_told(shipping, database, app, "Shipped again")

    assert app.journal().count("*** Log shipping") == 2
    until_shipped(app)


def test_what_is_behind_counts_from_when_it_was_first_seen(
    app: App, database: Served, shipping: Shipping, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipping.look([database], NOW)
    until_shipped(app)
    monkeypatch.setattr("engine.streamer.room", lambda _: 0)
    add(app, 11, 20)
    until_told(shipping, database, app, "Held : no room")

    row = shipping.row(database)

    assert row is not None
    assert 0 < row["behind_seconds"] < 60


def test_a_renewal_is_journaled(app: App, database: Served, shipping: Shipping) -> None:
    shipping.look([database], NOW)
    until_shipped(app)
    renew(app, 10)

    until_told(shipping, database, app, "Piece 1 ends at operation 10 : the log was renewed")
    until_shipped(app)


def test_a_mistake_in_the_program_is_told_and_ends_no_shipping(
    app: App, database: Served, shipping: Shipping, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("engine.streamer.judge", lambda *_: 1 / 0)
        shipping.look([database], NOW)
        add(app, 11, 20)
        until_told(shipping, database, app, "this is a mistake in backup4d")

    until_shipped(app)


def test_another_backup_folder_is_shipped_to_from_then_on(
    app: App, database: Served, shipping: Shipping, tmp_path: Path
) -> None:
    shipping.look([database], NOW)
    until_shipped(app)
    moved = App(app.package, tmp_path / "elsewhere", app.clock)
    moved.destination.mkdir()
    moved.configure()
    moved.backup()
    database.refresh(NOW)

    shipping.look([database], NOW)

    until_shipped(moved)
    assert stream_of(moved).parent == moved.destination


def test_an_idle_log_is_let_go(app: App, database: Served, shipping: Shipping) -> None:
    shipping.look([database], NOW)
    until_shipped(app)

    def holds() -> bool:
        links = list(Path("/proc/self/fd").iterdir())
        return any(
            str(link.readlink()).startswith(str(app.package)) for link in links if link.is_symlink()
        )

    wait_until(lambda: not _raises(holds), "the log is held open for ever")


def _raises(look: object) -> bool:
    try:
        return bool(look())  # type: ignore[operator]
    except OSError:
        return True
