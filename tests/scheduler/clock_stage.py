"""Databases under the real service and a clock that is moved: every step says what must come of it, and is printed.

For each database a step names the journal's words and the sets that are new; anything else fails the story.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from scheduler.timer import HEARTBEAT
from tests.engine.stories import KEEP_ENABLED, App, make_app, verified
from tests.scheduler.accounts import Books, account_for, read_books
from tests.scheduler.real import saved_state, wait_until
from tests.scheduler.served_stories import AFTER_FAILURE, FREQUENCY, HOUR
from tests.scheduler.wallclock import OnDuty, Post, WallClock, on_duty

UTC_ZONE = ZoneInfo("UTC")
TUESDAY = datetime(2026, 3, 10, 10, 5, tzinfo=UTC)
_COMMON = {AFTER_FAILURE: "00:00:02", KEEP_ENABLED: "False"}
PERIODS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
# the longest silence of a healthy service: one missed heart after a clock was set back, and the look itself
PATIENCE = 2.2 * HEARTBEAT.total_seconds() + 8
_SECONDS = re.compile(r"(\d\d:\d\d):\d\d")
_NOW = re.compile(r"but it is [-0-9]+ \d\d:\d\d: ")

Slots = Callable[[str, datetime, datetime], Sequence[datetime]]


def rules(hour: str, weekday: str) -> dict[str, dict[str, str]]:
    """Every hour, every day at this hour, every week on this day at this hour."""
    return {
        "hourly": {**_COMMON, FREQUENCY: "Hourly", "Scheduler/Hourly/Every": "1"},
        "daily": {**_COMMON, FREQUENCY: "Daily", "Scheduler/Daily/Every": "1", HOUR: hour},
        "weekly": {
            **_COMMON,
            FREQUENCY: "Weekly",
            "Scheduler/Weekly/Every": "1",
            f"Scheduler/Weekly/{weekday}/Save": "True",
            f"Scheduler/Weekly/{weekday}/Hour": hour,
        },
    }


def slots_at_noon(name: str, since: datetime, until: datetime) -> list[datetime]:
    """After `since`: every hour; every day at noon; every Tuesday at noon; in UTC."""
    period, noon = PERIODS[name], TUESDAY.replace(hour=12, minute=0)
    number = (since - noon) // period + 1
    found = []
    while (slot := noon + number * period) <= until:
        found.append(slot)
        number += 1
    return found


def made(slot: str) -> str:
    """A set is there."""
    return f"set for {slot}"


def all_three(slot: str) -> dict[str, list[str]]:
    return {name: [made(slot)] for name in PERIODS}


def caught_up(count: int, first: str) -> list[str]:
    """A catch-up as the journal tells of it, and its set."""
    missed = f"Missed : {count} scheduled backup(s), the first at {first}"
    return [f"Scheduled backup missed; {missed}; Now : one backup catches up", made(first)]


def clock_was_wrong(served_until: str) -> list[str]:
    words = f"slots up to {served_until} count as served, but it is NOW"
    return [f"Settings; Clock : {words}: the clock was wrong; slots count from now on"]


def _to_the_minute(words: str) -> str:
    """The service looks some seconds later than the clock moves."""
    return _NOW.sub("but it is NOW: ", _SECONDS.sub(r"\1", words))


@dataclass
class Stage:
    """The databases, the service when it is up, and how much of their books was told."""

    post: Post
    apps: dict[str, App]
    nudge: bool
    zone: ZoneInfo = UTC_ZONE
    slots: Slots = slots_at_noon
    duty: OnDuty | None = None
    seen: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)

    @property
    def clock(self) -> WallClock:
        return self.post.clock

    @property
    def on(self) -> OnDuty:
        """The service that is up."""
        assert self.duty is not None
        return self.duty

    def say(self, words: str) -> None:
        print(f"{self.local(self.clock.now(), '%Y-%m-%d %H:%M:%S %Z')}  {words}", flush=True)

    def local(self, at: datetime, form: str = "") -> str:
        """An instant as the stories write it; the zone's short name where it changes."""
        plain = "%Y-%m-%d %H:%M" if self.zone == UTC_ZONE else "%Y-%m-%d %H:%M %Z"
        return at.astimezone(self.zone).strftime(form or plain)

    @contextmanager
    def service(self, what: str = "the service starts", **expected: list[str]) -> Iterator[None]:
        """The service runs while the block lasts; at its end it is killed."""
        self.say(f"# {what}")
        with on_duty(self.post) as self.duty:
            self.check(expected)
            yield
            pause = self.on.heart.longest_pause()
            assert pause < PATIENCE
            self.say(f"# the service is killed; it never was silent for more than {pause:.0f} s")
            self.on.kill()
        self.duty = None

    def move(self, what: str, by: timedelta, **expected: list[str]) -> None:
        """Move the clock while the service runs; by its next look it has done what it should."""
        self.say(f"# {what}")
        before = self.clock.now()
        self.clock.move(by)
        self._say_due(before)
        self.see(**expected)

    def until(self, wall: str, **expected: list[str]) -> None:
        """Move the clock to a local time."""
        self._show(datetime.fromisoformat(wall).replace(tzinfo=self.zone), expected)

    def until_again(self, wall: str, **expected: list[str]) -> None:
        """Move the clock to a local time that is there twice, the second time."""
        self._show(datetime.fromisoformat(wall).replace(tzinfo=self.zone, fold=1), expected)

    def _show(self, local: datetime, expected: dict[str, list[str]]) -> None:
        what = f"the clock goes on to {local:%Y-%m-%d %H:%M:%S %Z}"
        self.move(what, local - self.clock.now(), **expected)

    def _say_due(self, before: datetime) -> None:
        for name in self.apps:
            due = self.slots(name, before, self.clock.now())
            if due:
                span = self.local(due[0]) + (f" to {self.local(due[-1])}" if len(due) > 1 else "")
                self.say(f"  {name:6}  passed over {len(due)} slot(s), {span}")

    def see(self, **expected: list[str]) -> None:
        """What the service's next look brings about."""
        moved = time.monotonic()
        if self.nudge:
            self.on.look()
        else:  # a second later: a look that was on when the clock moved does not count
            late = self.on.heart.beat_after(moved + 1, PATIENCE) + 1
            self.say(f"  the service looked {late:.0f} s later, by itself")
        self.check(expected)

    def check(self, expected: Mapping[str, list[str]]) -> None:
        """Wait until no run is on or due; then this is what is new for each database, and nothing else."""
        wait_until(self.post.is_quiet, f"never quiet:\n{self.on.real.said()[-3000:]}", 60)
        news = {name: self._news(name) for name in self.apps}
        for name, lines in news.items():
            for line in lines:
                self.say(f"  {name:6}  {line}")
        if not any(news.values()):
            self.say("  nothing is made, nothing is journaled")
        assert news == {name: expected.get(name, []) for name in self.apps}

    def _news(self, name: str) -> list[str]:
        books = self.books(name)
        fresh = books.made[self.seen.get(name, 0) :]
        said = books.said[self.told.get(name, 0) :]
        self.seen[name], self.told[name] = len(books.made), len(books.said)
        words = [_to_the_minute(one.told()) for one in said if one.title != "Full Backup"]
        assert all(one.complete for one in fresh)
        return [*words, *(made(self.local(one.scheduled)) for one in fresh if one.scheduled)]

    def books(self, name: str) -> Books:
        return read_books(self.apps[name], self.zone)

    def balance(self, since: datetime) -> None:
        """Every slot from `since` till now has its answer and none has two sets, all of them whole.

        Where the journal says that the clock was wrong, only what follows is asked.
        """
        for name in self.apps:
            slots = self.slots(name, since, self.clock.now())
            account = account_for(slots, _corrected(self.books(name)), self.clock.moves)
            assert account.faults == (), name
            self.say(f"  {name:6}  {len(slots)} slot(s), each answered once")
        self.whole()

    def whole(self) -> None:
        """Sets verify, history and state agree with them, nothing half-made lies about."""
        for name, app in self.apps.items():
            numbers = [one.number for one in self.books(name).made]
            assert [verified(app.destination / folder).good for folder in app.sets()] == [
                True for _ in numbers
            ]
            assert app.hidden() == []
            if numbers:
                assert [row["backupNumber"] for row in app.records()] == numbers
            assert saved_state(self.post.state_folder, app)["trouble"] is None
        assert list(self.post.state_folder.glob("*unusable*")) == []
        assert "Traceback" not in self.post.words().read_text()


def _corrected(books: Books) -> Books:
    """What was made and said after the clock was last found to have been wrong."""
    wrong = [at for at, said in enumerate(books.said) if "; Clock : " in said.told()]
    first = wrong[-1] + 1 if wrong else 0
    earlier = sum(said.title == "Full Backup" for said in books.said[:first])
    return Books(books.made[earlier:], books.said[first:], books.zone)


def make_stage(
    folder: Path, shows: datetime, databases: Mapping[str, Mapping[str, str]], *, nudge: bool
) -> Stage:
    """A stage whose clock shows this instant; nothing runs yet. `nudge`: the service is told to look."""
    clock = WallClock(folder / "clock", shows)
    apps = {}
    for name, rule in databases.items():
        (folder / name).mkdir()
        apps[name] = make_app(folder / name, rule)
    story = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::test_")[2].partition("[")[0]
    print(f"\n\n=== {story.partition(' ')[0].replace('_', ' ')}")
    return Stage(Post(clock, folder / "state", list(apps.values())), apps, nudge)
