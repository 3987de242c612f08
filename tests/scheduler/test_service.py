"""The deciding thread of the service, without processes: overdue heartbeats, debounced edits, one bad database."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import scheduler.service as module
from scheduler.looking import Seen
from scheduler.notify import Notifier
from scheduler.recall import Host
from scheduler.served import Served
from scheduler.service import Service
from scheduler.timer import HEARTBEAT, Timer
from scheduler.watch import Watch
from settings.paths import PathMap
from settings.service_model import ServedDatabase
from tests.fakes import StoryClock
from tests.scheduler.served_stories import nightly
from tests.scheduler.stories import PARIS, at


class DeadTimer(Timer):
    """A timer whose heartbeat never comes; it notes what it is asked for."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.renewals = 0
        self.wakes: list[datetime | None] = []

    def wake_at(self, instant: datetime | None) -> None:
        self.wakes.append(instant)

    def renew(self) -> None:
        self.renewals += 1

    def stop(self) -> None:
        pass


class BrokenDatabase(Served):
    """One that a mistake in the program has hit."""

    def take(self, seen: Seen, now: datetime) -> None:
        raise RuntimeError("a mistake")


class Steady:
    """A service file that is never edited."""

    problem: str | None = None
    entries: tuple[ServedDatabase, ...] = ()
    file = Path("/nonexistent/service.xml")

    def __init__(self, host: Host) -> None:
        self.host = host

    def look(self) -> bool:
        return False


class Shop:
    """A service on these databases with a timer that is dead and a watch that works."""

    def __init__(self, folder: Path, *databases: Served) -> None:
        self.clock = StoryClock(at("10 12:00"))
        host = Host(folder / "state", PARIS, PathMap())
        self.service = Service(databases, Steady(host), self.clock, Notifier(None))
        self.timer = DeadTimer(lambda: None)
        self.watch = Watch(lambda: None)

    def serve_one(self) -> bool:
        return self.service._serve_one(self.timer, self.watch)


def test_an_overdue_heartbeat_starts_the_timer_afresh_and_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OVERDUE_SECONDS", 0.01)
    shop = Shop(tmp_path, nightly(tmp_path).served)

    assert shop.serve_one()
    shop.watch.stop()

    assert shop.timer.renewals == 1
    assert shop.timer.wakes == [at("11 02:30")]


def test_the_heartbeat_is_overdue_only_after_two_that_did_not_come() -> None:
    assert HEARTBEAT * 2 < timedelta(seconds=module._OVERDUE_SECONDS) < timedelta(minutes=1)


def test_an_edit_is_looked_at_when_the_editor_is_done(tmp_path: Path) -> None:
    shop = Shop(tmp_path, nightly(tmp_path).served)
    shop.service._inbox.put("edited")

    assert shop.serve_one()
    shop.watch.stop()

    (wake,) = shop.timer.wakes
    assert wake is not None
    assert timedelta(seconds=1) < wake - at("10 12:00") < timedelta(seconds=2)


def test_a_stop_ends_the_loop(tmp_path: Path) -> None:
    shop = Shop(tmp_path, nightly(tmp_path).served)
    shop.service.ask_stop()

    assert not shop.serve_one()
    shop.watch.stop()


def test_a_mistake_with_one_database_leaves_the_others_served_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    story = nightly(tmp_path)
    host = Host(tmp_path / "state", PARIS, PathMap())
    broken = BrokenDatabase(ServedDatabase(tmp_path / "broken", None), host)
    shop = Shop(tmp_path, broken, story.served)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            shop.service.ask_look()
            assert shop.serve_one()
    shop.watch.stop()

    # between two looks, the one that a newly watched folder asks for
    assert (shop.timer.wakes[0], shop.timer.wakes[2]) == (at("11 02:30"), at("11 02:30"))
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_the_settings_of_every_database_are_watched(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    shop = Shop(tmp_path, story.served)
    shop.service.ask_look()

    assert shop.serve_one()
    shop.watch.stop()

    assert story.app.package / "Settings" in shop.watch._folders


def test_an_edit_between_the_first_reading_and_the_watching_is_seen(tmp_path: Path) -> None:
    story = nightly(tmp_path)
    shop = Shop(tmp_path, story.served)
    shop.service.ask_look()
    assert shop.serve_one()

    assert shop.serve_one()  # waits for ever when nobody asked for a second look
    shop.watch.stop()

    first, again = shop.timer.wakes
    assert first == at("11 02:30")
    assert again is not None
    assert again < first
