"""The checker: what became of each slot, kept by somebody who does not believe the scheduler.

In plain words, what is checked:

* The service knows one clock only, its machine's. A slot *comes due* when the service, free to decide (it
  runs, and no backup of that database does), sees that clock show the slot's time or a later one; also when
  a backup ends or edited settings are taken up at such a time. What the clock showed while nobody looked
  does not count by itself: a later look finds all slots passed over.
* Each slot that came due gets exactly one answer: one chain of attempts (which ends published, postponed,
  stopped by the user, given up after the last failure, or dropped for the next slot or a manual backup), or
  one entry in the Backup journal with a reason. A catch-up answers for all slots it names, a long run for
  one slot after its own.
* A clock that is set back and shows a slot's time again does not make it due again, as long as the newest
  answer lies no further ahead than the tolerance: one period and a day, from two days up to 32. Beyond that
  the clock was wrong: this must be said at the next look, and a new count begins at that moment. Slots are
  then counted afresh, also those whose time was answered for before.
* A new schedule or zone begins a new count in the same way, at the moment it is taken up. What was due before
  gets its answer then: in the journal, as one more slot of the run that is on, or owed: one run for all that
  is, which must say how many have passed. What is owed is journaled when the schedule is turned off.
* Being told to stop during a run is nobody's failure: that run is owed, and its attempts count afresh.

And, of every run: never two at once, none while paused or halted, no attempt too many, no retry before its
delay (unless the clock went back since), none for a slot that is not due; of every wait: not past the next slot.
"""

from bisect import bisect_left
from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.decide import Decision, Halted, Missed, Run, Wait
from scheduler.known import LONGEST_PAUSE
from settings.model import (
    Never,
    RetryAtNextSlot,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
)
from tests.scheduler.decade_chain import Chain, ChainState
from tests.scheduler.decade_oracle import Series, allowed, delay, first_day, tolerance
from tests.scheduler.decade_story import Story

ON_TIME = timedelta(seconds=60)
_REASONS = ("no catch-up", "paused", "error 1401", "was running", "turned off")

InForce = tuple[Schedule, RetryPolicy, ZoneInfo]


class Ledger:
    """The books of one database. Every method is told what the service did, and the time on its clock."""

    def __init__(self, settings: InForce, now: datetime, tally: Counter[str]) -> None:
        self.tally = tally
        self._schedule, self._retry, self._zone = schedule, retry, zone = settings
        self._anchor = first_day(schedule, now, zone)
        self._count_from(now)
        self._due: list[datetime] = []
        self._chain: Chain | None = None
        self._manual_since: datetime | None = None
        self._is_halted = False
        self._paused_until: datetime | None = None
        self._offset = timedelta()
        self._went_back = False
        story = Story()
        self._note, self._must = story.note, story.must
        self._note(now, f"watching: {schedule}, {retry}, {zone.key}")

    # --- looking

    def looks(self, true: datetime, now: datetime) -> None:
        """The service looks at its clock."""
        offset = now - true
        if offset < self._offset:
            self._went_back = True
        self._offset = offset

    def settles(self, decision: Decision, now: datetime) -> None:
        """The decision that stands after all misses were told; a `Run` has begun already."""
        if self._is_running or isinstance(decision, Run):
            return
        self._come_due(now)
        self._must(not self._due, now, "nobody answers for", self._due, decision)
        ahead = self._answered - now
        self._must(ahead <= tolerance(self._schedule), now, "slots stay away", decision)
        coming = self._series.peek()
        if isinstance(decision, Wait) and coming is not None:
            awaited = decision.until
            in_time = awaited is not None and awaited <= coming
            self._must(in_time, now, "sleeps past", coming, decision)
        if self._paused_until is None:
            is_told = isinstance(decision, Halted)
            self._must(is_told == self._is_halted, now, "halted or not?", decision)
            may_wait = self._is_halted or not self._waits_wrongly(now)
            self._must(may_wait, now, "a run is due", self._chain, decision)

    def _waits_wrongly(self, now: datetime) -> bool:
        chain = self._in("failed")
        if chain is None:
            return self._in("owed") is not None
        return (
            not isinstance(self._schedule, Never | Unschedulable)
            and chain.failed_at is not None
            and chain.failed < allowed(self._retry)
            and now >= chain.failed_at + delay(self._retry)
        )

    # --- slots that nobody serves

    def misses(self, missed: Missed, now: datetime) -> None:
        """Told by `decide`: nobody may miss a slot unless paused, halted, or without catch-up."""
        self._come_due(now)
        if self._paused_until is None and not self._is_halted:
            self._must(isinstance(self._retry, RetryAtNextSlot), now, "dropped", missed)
            self._must(now - missed.slots.last.at >= ON_TIME, now, "dropped in time", missed)
        self._journal(missed, now)

    def _journal_all(self, missed: tuple[Missed, ...], now: datetime) -> None:
        for entry in missed:
            self._journal(entry, now)

    def _journal(self, missed: Missed, now: datetime) -> None:
        self._note(now, missed)
        slots, place = missed.slots, bisect_left(self._due, missed.slots.first.at)
        named = self._due[place : place + slots.count]
        is_due = bool(named) and (named[0], named[-1]) == (slots.first.at, slots.last.at)
        self._must(is_due, now, "journaled but not due, or answered before", missed, self._due)
        self._must(len(named) == slots.count, now, "wrong count", missed)
        self._must(bool(missed.reason.strip()), now, "missed for no reason")
        why = next((word for word in _REASONS if word in missed.reason), missed.reason)
        self._answer(place, slots.count)
        self.tally[f"missed: {why}"] += slots.count

    def clock_damage(self, now: datetime) -> None:
        """The service says that its clock was wrong, and counts from now."""
        self._note(now, "clock damage")
        ahead = self._answered - now
        words = "the clock is called wrong, but the newest answer is of"
        self._must(ahead > tolerance(self._schedule), now, words, self._answered)
        self.tally["clock damage"] += 1
        self._count_from(now)

    # --- runs

    def begins(self, run: Run, now: datetime) -> None:
        """A run is accepted."""
        self._note(now, run)
        self._come_due(now)
        self._must(not self._is_running, now, "two runs at once")
        may_run = self._paused_until is None and not self._is_halted
        self._must(may_run, now, "runs though paused or halted")
        if run.attempt > 1:
            self._retries(run, now)
        elif chain := self._in("owed"):
            self._serves_owed(chain, run, now)
        else:
            self._serves_due(run, now)
        assert self._chain is not None
        self._chain.state = "running"
        self.tally["attempts"] += 1

    def _retries(self, run: Run, now: datetime) -> None:
        chain = self._in("failed")
        self._must(not self._due, now, "a slot is due, and comes before the retry", self._due)
        self._must(chain is not None, now, "nothing to retry")
        assert chain is not None
        assert chain.failed_at is not None
        is_next = (run.slot.at, run.attempt) == (chain.slot, chain.failed + 1)
        self._must(is_next, now, "not the next attempt of", chain)
        self._must(run.attempt <= allowed(self._retry), now, "one attempt too many")
        soon = now - chain.failed_at < delay(self._retry)
        self._must(self._went_back or not soon, now, "too early")
        self.tally["retries"] += 1

    def _serves_due(self, run: Run, now: datetime) -> None:
        is_due = bool(self._due) and run.slot.at == self._due[0]
        self._must(is_due, now, "not due, or served before", self._due)
        self._drop_retry("dropped for the next slot")
        self._chain = Chain(self._due[0], "running")
        late = self._take_all_due(self._chain, run, now)
        self._must(run.missed == late, now, "wrong count of late slots; it is", late)
        self.tally["catch-ups"] += late > 0

    def _serves_owed(self, chain: Chain, run: Run, now: datetime) -> None:
        self._must(run.slot.at == chain.slot, now, "another one is owed", chain)
        self._take_all_due(chain, run, now)
        words = "covered without a word, or wrong count of owed slots; it is"
        self._must(run.missed == chain.passed, now, words, chain.passed)
        self.tally["catch-ups"] += chain.passed > 0
        chain.passed = 0  # told

    def _take_all_due(self, chain: Chain, run: Run, now: datetime) -> int:
        """The run answers for all that is due; how many of them are late."""
        if not self._due:
            return 0
        last, count = self._due[-1], len(self._due)
        self._must(last <= run.covers_until <= now, now, "does not cover all that is due", last)
        late = self._late(now)
        may_catch_up = not isinstance(self._retry, RetryAtNextSlot)
        self._must(late == 0 or may_catch_up, now, "catches up though told not to")
        chain.take(count - late, late)
        self._answer(0, count)
        return late

    def _late(self, now: datetime) -> int:
        is_last_in_time = now - self._due[-1] < ON_TIME
        return len(self._due) - is_last_in_time

    def ends(self, ending: str, missed: tuple[Missed, ...], now: datetime) -> None:
        """A run ended: 'published', 'postponed', 'stopped' or 'failed'; `missed` is what was journaled."""
        self._note(now, ending)
        chain = self._chain
        assert chain is not None
        self._come_due(now)
        if self._due:
            self._join(chain)
        self._journal_all(missed, now)
        self._must(not self._due, now, "forgotten in a long run", self._due)
        if ending == "failed":
            self._failed(chain, now)
        else:
            self._conclude(ending)

    def _failed(self, chain: Chain, now: datetime) -> None:
        chain.failed += 1
        self.tally["failures"] += 1
        chain.state, chain.failed_at, self._went_back = "failed", now, False
        if chain.failed >= allowed(self._retry):
            self._conclude("given up")
            self._is_halted = isinstance(self._retry, RetryUpTo)
            self.tally["halts"] += self._is_halted

    # --- backups of others

    def manual_begins(self, now: datetime) -> None:
        """The service noticed one."""
        self._note(now, "manual backup noticed")
        self._must(not self._is_running, now, "two runs at once")
        self._manual_since = now

    def manual_ends(self, succeeded: bool, missed: tuple[Missed, ...], now: datetime) -> None:
        """It noticed the end of one, maybe of one whose beginning it did not see."""
        self._note(now, f"manual backup over, success: {succeeded}")
        if self._manual_since is not None:
            self._come_due(now)
            served_now = bool(self._due) and self._due[0] <= self._manual_since
            self._must(not (served_now and missed), now, "was due before", missed)
            self._journal_all(missed, now)
            self._must(served_now or not self._due, now, "forgotten", self._due)
        self._manual_since = None
        if succeeded:
            self._is_halted = False
            self._drop_retry("dropped for a manual backup")

    # --- what people do

    def pauses(self, until: datetime | None, now: datetime) -> None:
        """A pause begins, or (None) is ended early."""
        self._note(now, f"paused until {until}")
        self._paused_until = until

    def pause_over(self, now: datetime) -> None:
        """The service says that the pause has ended."""
        self._note(now, "the pause is over")
        until = self._paused_until
        assert until is not None
        self._must(now >= until or until - now > LONGEST_PAUSE, now, "not before", until)
        self._paused_until = None

    def takes_up(self, settings: InForce, missed: tuple[Missed, ...], now: datetime) -> None:
        """Edited settings, or another zone after a restart."""
        schedule, retry, zone = settings
        self._is_halted = False
        if (schedule, zone) != (self._schedule, self._zone):
            self._note(now, f"taken up: {schedule}, {retry}, {zone.key}")
            self._close_count(schedule, missed, now)
            if schedule != self._schedule:
                self._anchor = first_day(schedule, now, zone)
            self._schedule, self._zone = schedule, zone
            self._count_from(now)
        else:
            self._must(not missed, now, "missed, and nothing has changed", missed)
        self._retry = retry

    def _close_count(self, new: Schedule, missed: tuple[Missed, ...], now: datetime) -> None:
        """Each slot of the old count is journaled, with the run that is on, or owed from now on."""
        self._come_due(now)
        if self._due and (running := self._in("running")):
            self._join(running)
        for entry in missed:
            if "turned off" in entry.reason:
                self._owe_due(now)
                self._turned_off(entry, now)
            else:
                self._journal(entry, now)
        self._must(not (self._due and self._is_closed(now)), now, "without a word", self._due)
        self._owe_due(now)
        if isinstance(new, Never | Unschedulable):
            self._drop_retry("dropped, schedule turned off")
            owed = self._in("owed")
            self._must(owed is None, now, "dropped without a word", owed)

    def _is_closed(self, now: datetime) -> bool:
        """Nobody may owe what is still due: a run is on that it came after, or a pause is."""
        first = self._due[0]
        if self._in("running") or (self._manual_since is not None and first > self._manual_since):
            return True
        may_owe = not isinstance(self._retry, RetryAtNextSlot) or self._late(now) == 0
        is_paused = self._paused_until is not None and first <= self._paused_until
        return is_paused or not may_owe

    def _owe_due(self, now: datetime) -> None:
        """What is due is served still, and the run must say how many have passed."""
        if not self._due:
            return
        self._drop_retry("dropped for the next slot")
        self._chain = self._in("owed") or Chain(self._due[0], "owed")
        self._chain.owe(self._due, self._late(now))
        self._answer(0, len(self._due))

    def _turned_off(self, missed: Missed, now: datetime) -> None:
        """What is owed is journaled instead, with all that passed."""
        self._note(now, missed)
        chain, slots = self._in("owed"), missed.slots
        self._must(chain is not None, now, "nothing is owed", missed)
        assert chain is not None
        named = (slots.first.at, slots.last.at, slots.count)
        self._must(
            named == chain.untold, now, "wrong slots, or wrong count; owed are", *chain.untold
        )
        self._conclude("missed: turned off")

    def _join(self, chain: Chain) -> None:
        """A run answers for one slot after its own."""
        chain.slots["joined"] += 1
        self._answer(0, 1)

    # --- the service itself

    def stopped(self, now: datetime) -> None:
        """It was told to stop; a run that had not ended is owed."""
        self._note(now, "service stops")
        if running := self._in("running"):
            running.stop()

    def restarts(self, published: bool, now: datetime) -> None:
        """It starts again; `published` says that a run that died had published its set already."""
        self._note(now, f"service starts; died after publishing: {published}")
        self._manual_since = None
        if running := self._in("running"):
            if published:
                self._conclude("published")
            else:
                self._failed(running, now)
        self._is_halted = False

    def close(self) -> None:
        """The end of the story: what is still in somebody's hands, and whether the sums are right."""
        if self._chain is not None:
            self._conclude("in hand at the end")
        self.tally["in hand at the end"] += len(self._due)

    # --- keeping the books

    @property
    def _is_running(self) -> bool:
        return self._manual_since is not None or self._in("running") is not None

    def _in(self, state: ChainState) -> Chain | None:
        return self._chain if self._chain is not None and self._chain.state == state else None

    def _count_from(self, begin: datetime) -> None:
        self._series = Series(self._schedule, self._anchor, self._zone, begin)
        self._answered = begin

    def _come_due(self, now: datetime) -> None:
        for slot in self._series.take(now):
            self._due.append(slot)
            self.tally["slots"] += 1

    def _answer(self, place: int, count: int) -> None:
        answered = self._due[place : place + count]
        if answered:
            self._answered = max(self._answered, answered[-1])
        del self._due[place : place + count]

    def _drop_retry(self, why: str) -> None:
        if self._in("failed"):
            self._conclude(why)

    def _conclude(self, ending: str) -> None:
        assert self._chain is not None
        self._chain.conclude(ending, self.tally)
        self._chain = None
