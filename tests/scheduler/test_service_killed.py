"""The real service killed at random moments, hundreds of times: every slot is answered once, every set is whole."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.manifest import read_set_facts
from tests.engine.stories import KEEP_ENABLED, App, make_app, patterned
from tests.scheduler.accounts import (
    CAUGHT_UP,
    FAILED,
    JOINED,
    MISSED,
    NO_WORD,
    SERVED,
    Account,
    account_for,
    read_books,
)
from tests.scheduler.real import PROGRAM, environment, saved_state, visible, wait_until
from tests.scheduler.served_stories import AFTER_FAILURE, FREQUENCY, HOUR
from tests.scheduler.wallclock import Post, WallClock, on_duty

BEGIN = datetime(2026, 3, 10, 10, 5, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_COMMON = {AFTER_FAILURE: "00:00:02", KEEP_ENABLED: "False"}
_HOURLY = {**_COMMON, FREQUENCY: "Hourly", "Scheduler/Hourly/Every": "1"}
_DAILY = {**_COMMON, FREQUENCY: "Daily", "Scheduler/Daily/Every": "1", HOUR: "12:00:00"}
_SERVING = "serving 4 database(s)"


class SilentSlotsError(AssertionError):
    """Slots have passed of which neither a set nor the journal tells."""


@dataclass
class Ordeal:
    """One service that is killed and started again, while its clock goes on by hours."""

    post: Post
    chance: random.Random
    on_time: bool
    kills: int = 0
    in_start: int = 0
    in_runs: int = 0
    seen: set[Path] = field(default_factory=set)

    @property
    def clock(self) -> WallClock:
        return self.post.clock

    def round(self) -> None:
        """A start, a jump before or after it, and SIGKILL at a random moment."""
        before = self.post.words().stat().st_size
        is_down = self.chance.random() < 0.4
        if is_down:
            self._jump()
        real = self.post.start()
        if not is_down:
            real.wait_for(_SERVING, times=real.said().count(_SERVING) + 1)
            self._jump()
            real.process.send_signal(signal.SIGHUP)
        # the moment of the kill is drawn by lot: nothing is waited for here
        time.sleep(self.chance.choice((self.chance.uniform(0, 0.6), self.chance.uniform(0.3, 2.2))))
        assert real.process.poll() is None, f"the service ended by itself:\n{real.said()[-3000:]}"
        runs = real.children()
        real.process.kill()
        real.process.wait(30)
        self.kills += 1
        self.in_runs += bool(runs)
        words = self.post.words().read_bytes()[before:]
        self.in_start += _SERVING.encode() not in words
        if self.chance.random() < 0.5:  # else the next service meets the dying runs of this one
            self.clock.wait_until_alone(self.post.words())
        self.look_at_sets()

    def _jump(self) -> None:
        """To a moment or minutes after a full hour, mostly the next: on time, or late."""
        hours = self.chance.choice((0, 1, 1, 1, 1, 1, 2, 4))
        past = self.chance.choice(
            (timedelta(seconds=2), timedelta(minutes=self.chance.uniform(2, 55)))
        )
        now = self.clock.now()
        target = now.replace(minute=0, second=0, microsecond=0) + hours * _HOUR + past
        self.clock.move(max(target - now, timedelta(minutes=3)))

    def look_at_sets(self) -> None:
        """What one can see is whole, and what was once seen stays."""
        for app in self.post.apps:
            for name in visible(app):
                folder = app.destination / name
                if folder not in self.seen:
                    assert read_set_facts(folder).complete
                    self.seen.add(folder)
        assert [folder for folder in self.seen if not folder.is_dir()] == []

    def settle(self) -> None:
        """One last start that nobody disturbs, after a noon: there is something to do for all."""
        noon = self.clock.now().replace(hour=12, minute=2, second=0)
        self.clock.show(noon + _DAY)
        with on_duty(self.post) as duty:
            duty.look()
            wait_until(self.post.is_quiet, f"it never settles:\n{duty.real.said()[-3000:]}", 60)
            duty.look()
            assert self.post.is_quiet()
            assert duty.real.stop() == 0


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[WallClock]:
    clock = WallClock(tmp_path / "clock", BEGIN)
    yield clock
    clock.clear()


def _applications(folder: Path) -> list[App]:
    apps = []
    for name, rule in (("one", _HOURLY), ("two", _HOURLY), ("large", _HOURLY), ("daily", _DAILY)):
        (folder / name).mkdir()
        size = 4 << 20 if name == "large" else 3000
        apps.append(make_app(folder / name, rule, data=patterned(size)))
    return apps


def _endure(tmp_path: Path, clock: WallClock, *, kills: int, seed: int, on_time: bool) -> None:
    began = time.monotonic()
    apps = _applications(tmp_path)
    post = Post(clock, tmp_path / "state", apps)
    with on_duty(post) as duty:
        duty.look()
        since = {app: _answered_until(post, app) for app in apps}
    ordeal = Ordeal(post, random.Random(seed), on_time)

    for _ in range(kills):
        ordeal.round()
    ordeal.settle()

    accounts = _accounts(since, clock)
    _print_figures(ordeal, accounts, seed, time.monotonic() - began)
    _demand([fault for fault in _faults(accounts) if NO_WORD not in fault])
    ordeal.look_at_sets()
    for app in apps:
        _check_end(post, app, _slots(app, since[app], clock.now()))
    assert "Traceback" not in post.words().read_text()
    _demand(_faults(accounts))


def _accounts(since: Mapping[App, datetime], clock: WallClock) -> list[Account]:
    return [
        account_for(_slots(app, began, clock.now()), read_books(app), clock.moves)
        for app, began in since.items()
    ]


def _faults(accounts: Sequence[Account]) -> list[str]:
    return [fault for account in accounts for fault in account.faults]


def _demand(faults: Sequence[str]) -> None:
    """No faults at all; a silent slot has an error of its own."""
    if faults and all(NO_WORD in fault for fault in faults):
        raise SilentSlotsError("\n".join(faults))
    assert list(faults) == []


def _answered_until(post: Post, app: App) -> datetime:
    return datetime.fromisoformat(str(saved_state(post.state_folder, app)["answered_until"]))


def _slots(app: App, since: datetime, until: datetime) -> list[datetime]:
    """All that were due after `since`: every hour, or every day at noon."""
    is_daily = app.package.parent.name == "daily"
    slot = since.replace(hour=12 if is_daily else since.hour, minute=0, second=0, microsecond=0)
    found = []
    while slot <= until:
        if slot > since:
            found.append(slot)
        slot += _DAY if is_daily else _HOUR
    return found


def _check_end(post: Post, app: App, slots: Sequence[datetime]) -> None:
    numbers = [read_set_facts(app.destination / name).number for name in visible(app)]
    assert app.hidden() == []
    assert sorted(record["backupNumber"] for record in app.records()) == numbers
    assert sorted(post.state_folder.glob("*unusable*")) == []
    assert "set aside" not in app.journal()
    assert numbers
    assert _answered_until(post, app) >= slots[-1]
    command = [*PROGRAM, "verify", "--json", str(app.package)]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(json.loads(done.stdout)) == len(numbers)


def _print_figures(ordeal: Ordeal, accounts: Sequence[Account], seed: int, seconds: float) -> None:
    def count(answer: str) -> int:
        return sum(account.count(answer) for account in accounts)

    words = ordeal.post.words().read_text()
    figures = {
        "kills": ordeal.kills,
        "of these during the start": ordeal.in_start,
        "of these while a run was on": ordeal.in_runs,
        "slots": sum(len(account.answers) for account in accounts),
        "served by a set of their own": count(SERVED),
        "journaled as caught up": count(CAUGHT_UP),
        "answered by the run that was on": count(JOINED),
        "journaled as missed": count(MISSED),
        "journaled as failed": count(FAILED),
        "runs started": words.count("backup starts"),
        "retries started": words.count("backup starts: retry"),
        "complete sets": len(ordeal.seen),
        "faults": sum(len(account.faults) for account in accounts),
        "seconds": round(seconds),
        "seed": seed,
    }
    print()
    for name, figure in figures.items():
        print(f"{name:32} {figure:6}")
    for fault in _faults(accounts):
        print("FAULT", fault)


def test_six_kills_leave_every_slot_answered_and_every_set_whole(
    tmp_path: Path, clock: WallClock
) -> None:
    _endure(tmp_path, clock, kills=6, seed=4, on_time=True)


def test_runs_that_died_waiting_for_their_place_are_told_when_the_next_slot_comes_first(
    tmp_path: Path, clock: WallClock
) -> None:
    apps = _applications(tmp_path)
    post = Post(clock, tmp_path / "state", apps)
    with on_duty(post) as duty:
        duty.look()
        since = {app: _answered_until(post, app) for app in apps}
        clock.show(BEGIN.replace(hour=11, minute=0, second=2))
        duty.look()
        duty.kill()

    clock.move(1.5 * _HOUR)
    with on_duty(post) as duty:
        wait_until(post.is_quiet, "it never settles", 60)

    _demand(_faults(_accounts(since, clock)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_kills_leave_every_slot_answered_and_every_set_whole(
    tmp_path: Path, clock: WallClock
) -> None:
    _endure(tmp_path, clock, kills=200, seed=20260310, on_time=True)
