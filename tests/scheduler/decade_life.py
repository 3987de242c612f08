"""One database under the service, through everything that happens to its machine and its people.

The pure core (decide, after, known, and a state file at each restart) is driven as served.py and service.py do
it; time jumps from one event to the next. The ledger is told of everything, and checks.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from scheduler.after import (
    after_cancel,
    after_clock_damage,
    after_failure,
    after_manual_start,
    after_missed,
    after_pause,
    after_stop,
    after_success,
)
from scheduler.decide import ClockDamage, Decision, Halted, Missed, PauseOver, Run, Wait
from scheduler.known import Manual, Serving, watch
from scheduler.state import State, load_state, save_state
from settings.model import RetryPolicy, Schedule
from tests.scheduler.decade_core import Core
from tests.scheduler.decade_ledger import Ledger
from tests.scheduler.decade_story import BrokenPromiseError
from tests.scheduler.decade_world import (
    BEGIN,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Backup,
    ClockSet,
    Ending,
    Happening,
    Outage,
    Suspended,
    World,
    ZoneSet,
    between,
    some_ending,
    some_lateness,
    some_length,
    some_retry,
    some_schedule,
)

HEARTBEAT = timedelta(seconds=25)


class Life:
    """One database through the happenings of one world."""

    def __init__(
        self, world: World, rng: Random, tally: Counter[str], file: Path, core: Core
    ) -> None:
        self._world, self._rng, self._tally, self._core = world, rng, tally, core
        self._file = file
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._entries = 0
        self._now, self._offset, self._zone = BEGIN, timedelta(), world.zone
        self._asleep_until = BEGIN
        # the files
        self._settings: tuple[Schedule, RetryPolicy] = (some_schedule(rng), some_retry(rng))
        self._asked_pause: tuple[timedelta | None] | None = None
        self._sets: list[datetime | None] = []
        self._sets_kept = rng.choice((3, 3, 100_000))
        self._published = 0
        self._failing_until = BEGIN
        # what runs
        self._own: Backup | None = None
        self._manual: Backup | None = None
        # what the service holds in memory
        schedule, retry = self._settings
        self._known = watch(schedule, retry, self._zone, BEGIN)
        self._ledger = Ledger((schedule, retry, self._zone), BEGIN, tally)
        self._is_up, self._down_until = True, BEGIN
        self._number_seen: int | None = None
        self._number = 0
        self._taken_up = self._settings
        self._wake = 0
        self._died_after_publishing = False

    def live(self) -> None:
        """From the first start to the end of the world."""
        for happening in self._world.happenings:
            self._at(happening.at, partial(self._happens, happening))
        for days, event in (
            (40, self._manual_backup),
            (90, self._edit),
            (120, self._pause),
            (150, self._bad_times),
        ):
            self._again(days / self._world.haste, event)
        self._look()
        while self._agenda and self._agenda[0][0] < self._world.end:
            self._now, _, event = heapq.heappop(self._agenda)
            event()
        self._ledger.close()

    # --- time

    @property
    def _clock(self) -> datetime:
        return self._now + self._offset

    def _at(self, at: datetime, event: Callable[[], None]) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (at, self._entries, event))

    def _soon(self, after: timedelta, event: Callable[[], None]) -> None:
        self._at(self._now + after, event)

    def _awake(self, event: Callable[[], None]) -> Callable[[], None]:
        """What needs a machine that does not sleep."""

        def when_awake() -> None:
            if self._now < self._asleep_until:
                self._at(self._asleep_until + self._span(SECOND, HEARTBEAT), when_awake)
            else:
                event()

        return when_awake

    def _again(self, mean_days: float, event: Callable[[], None]) -> None:
        def happens() -> None:
            event()
            self._again(mean_days, event)

        self._soon(timedelta(days=self._rng.expovariate(1 / mean_days)), self._awake(happens))

    def _span(self, shortest: timedelta, longest: timedelta) -> timedelta:
        return between(self._rng, shortest, longest)

    def _heartbeat(self) -> None:
        self._soon(self._rng.random() * HEARTBEAT, self._awake(self._look))

    # --- the machine

    def _happens(self, happening: Happening) -> None:
        match happening:
            case Outage():
                self._breaks_off(happening.until, graceful=happening.graceful)
                self._at(happening.until, partial(self._comes_up, happening.zone))
            case Suspended(until=until):
                self._asleep_until = until
            case ClockSet(offset=offset):
                self._offset = offset
                # until the timer is started afresh, see service.py
                self._soon(self._rng.random() * 55 * SECOND, self._awake(self._look))
            case ZoneSet(zone=zone):
                self._zone = zone
                self._heartbeat()
        self._tally[type(happening).__name__] += 1

    def _breaks_off(self, until: datetime, *, graceful: bool) -> None:
        self._down_until = max(self._down_until, until)
        if self._is_up:
            self._goes_down(graceful=graceful)

    def _goes_down(self, *, graceful: bool) -> None:
        if graceful:
            own, ends = self._own, self._rng.random() < 0.2
            if own is not None and own.has_lock and ends:
                self._own_ends(own, "published", look=False)
            self._known = after_stop(self._known)
            self._ledger.stopped(self._clock)
        elif self._own is not None and self._own.has_lock and self._rng.random() < 0.2:
            self._publish(self._own)
            self._died_after_publishing = True
        if self._rng.random() < (0.1 if self._own is None else 0.5):
            self._edit()  # why people stop a service
        self._own = None
        save_state(self._file, State("package", self._known, number=self._number))
        self._is_up = False

    def _comes_up(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._comes_back()

    def _comes_back(self) -> None:
        if not self._is_up and self._now >= self._down_until:
            self._start()

    def _dies_during(self, own: Backup) -> None:
        if own is self._own:
            until = self._now + self._span(SECOND, 9 * DAY)
            self._breaks_off(until, graceful=self._rng.random() < 0.5)
            self._at(until, self._awake(self._comes_back))

    # --- the service, as in service.py and served.py

    def _start(self) -> None:
        now = self._clock
        state = load_state(self._file)
        assert state is not None
        self._ledger.looks(self._now, now)
        self._ledger.restarts(self._died_after_publishing, now)
        self._died_after_publishing = False
        self._number_seen = None
        unseen = self._sets[max(0, len(self._sets) - self._published + (state.number or 0)) :]
        self._number = max(self._published, state.number or 0)
        served = frozenset(slot for slot in unseen if slot is not None)
        proved = self._core.seen_in_sets(state.known, served, now)
        self._known = self._core.restarted(proved, now)
        self._is_up = True
        self._take_up(now)
        self._look()

    def _take_up(self, now: datetime) -> None:
        self._taken_up = self._settings
        schedule, retry = self._settings
        change = self._core.taken_up(self._known, schedule, retry, self._zone, now)
        self._known = change.known
        self._ledger.takes_up((schedule, retry, self._zone), change.missed, now)

    def _look(self) -> None:
        if not self._is_up:
            return
        now = self._clock
        self._ledger.looks(self._now, now)
        if self._settings is not self._taken_up or self._zone is not self._known.zone:
            self._take_up(now)
        self._notice_pause(now)
        self._notice_others(now)
        decision = self._decide(now)
        if isinstance(decision, Run):
            self._begin(decision, now)
        self._ledger.settles(decision, now)
        self._set_timer(decision, now)

    def _notice_pause(self, now: datetime) -> None:
        if self._asked_pause is None:
            return
        (length,) = self._asked_pause
        self._asked_pause = None
        until = None if length is None else now + length
        self._known = after_pause(self._known, until)
        self._ledger.pauses(until, now)

    def _notice_others(self, now: datetime) -> None:
        known, ledger = self._known, self._ledger
        if isinstance(known.running, Serving):
            return
        is_new = self._number_seen is not None and self._published != self._number_seen
        self._number_seen = self._published
        if is_new:
            self._number = self._published
            change = after_success(known, now)
            self._known = change.known
            ledger.manual_ends(True, change.missed, now)
        elif self._manual is not None and known.running is None:
            self._known = after_manual_start(known, now)
            ledger.manual_begins(now)
        elif self._manual is None and isinstance(known.running, Manual):
            change = after_cancel(known, now)
            self._known = change.known
            ledger.manual_ends(False, change.missed, now)

    def _decide(self, now: datetime) -> Decision:
        while True:
            decision = self._core.decide(self._known, now)
            match decision:
                case Missed():
                    self._ledger.misses(decision, now)
                    self._known = after_missed(self._known, decision)
                case ClockDamage():
                    self._ledger.clock_damage(now)
                    self._known = after_clock_damage(self._known, now)
                case PauseOver():
                    self._ledger.pause_over(now)
                    self._known = after_pause(self._known, None)
                case _:
                    return decision

    def _set_timer(self, decision: Decision, now: datetime) -> None:
        self._wake = wake = self._wake + 1
        match decision:
            case Wait(until=until) if until is not None:
                after = max(until - now, timedelta()) + some_lateness(self._rng)
            case Halted(next_slot=slot) if slot is not None:
                after = max(slot.at - now, timedelta()) + self._rng.random() * HEARTBEAT
            case _:
                return

        def wakes() -> None:
            if wake == self._wake:
                self._look()

        self._soon(after, self._awake(wakes))
        if self._rng.random() < 0.05:  # heartbeats must change nothing
            self._soon(self._rng.random() * after, self._awake(self._look))
        if self._rng.random() < 0.01:  # somebody backs up just before the slot
            self._soon(after * (1 - 0.01 * self._rng.random()), self._awake(self._manual_backup))

    # --- runs

    def _begin(self, run: Run, now: datetime) -> None:
        self._ledger.begins(run, now)
        if self._own is not None:
            raise BrokenPromiseError(f"{now}: a second run begins")
        self._known = self._core.started(self._known, run, now)
        own = self._own = Backup(run.slot.at, some_length(self._rng), self._some_ending())
        waits = self._rng.random() < 0.05  # for others on the same device
        self._soon(
            self._span(SECOND, HOUR) if waits else SECOND,
            self._awake(lambda: self._own_begins(own)),
        )
        if self._rng.random() < (0.2 if own.lasts > HOUR else 0.01):
            self._soon(self._rng.random() * own.lasts, self._awake(self._edit))
        if self._world.haste > 1 and self._rng.random() < 0.05:
            self._soon(self._rng.random() * own.lasts, self._awake(lambda: self._dies_during(own)))

    def _own_begins(self, own: Backup) -> None:
        if own is not self._own:
            return
        if self._manual is not None:
            own.ending = "failed"  # the lock is held
            own.lasts = SECOND
        own.has_lock = True
        self._soon(own.lasts, self._awake(lambda: self._own_ends(own, own.ending)))

    def _own_ends(self, own: Backup, ending: Ending, *, look: bool = True) -> None:
        if own is not self._own:
            return
        now = self._clock
        self._ledger.looks(self._now, now)
        self._own = None
        if ending == "published":
            self._number = self._number_seen = self._publish(own)
            change = self._core.succeeded(self._known, now)
        elif ending == "failed":
            change = after_failure(self._known, 1409, now)
        else:
            change = after_cancel(self._known, now)
        self._known = change.known
        self._ledger.ends(ending, change.missed, now)
        if look:
            self._look()

    def _publish(self, backup: Backup) -> int:
        self._published += 1
        self._sets = [*self._sets, backup.slot][-self._sets_kept :]
        return self._published

    def _some_ending(self) -> Ending:
        return some_ending(self._rng, is_bad_time=self._now < self._failing_until)

    # --- people

    def _manual_backup(self) -> None:
        if self._manual is not None or (self._own is not None and self._own.has_lock):
            return
        self._tally["manual backups"] += 1
        manual = self._manual = Backup(None, some_length(self._rng), self._some_ending())
        self._heartbeat()
        self._soon(manual.lasts, self._awake(self._manual_ends))

    def _manual_ends(self) -> None:
        assert self._manual is not None
        if self._manual.ending == "published":
            self._publish(self._manual)
        self._manual = None
        self._heartbeat()

    def _edit(self) -> None:
        schedule, retry = self._settings
        kind = self._rng.random()
        if kind < 0.6:
            schedule = some_schedule(self._rng)
        if kind > 0.4:
            retry = some_retry(self._rng)
        self._settings = (schedule, retry)
        self._tally["edits"] += 1
        self._heartbeat()

    def _pause(self) -> None:
        self._asked_pause = (self._span(10 * MINUTE, 31 * DAY),)
        self._tally["pauses"] += 1
        self._heartbeat()
        if self._rng.random() < 0.3:
            self._soon(self._span(MINUTE, 10 * DAY), self._awake(self._resume))

    def _resume(self) -> None:
        self._asked_pause = (None,)
        self._heartbeat()

    def _bad_times(self) -> None:
        self._failing_until = self._now + self._span(HOUR, 20 * DAY)
