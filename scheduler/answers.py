"""What became of slots that have passed, from what is left on the disk; never more than that can tell.

Rotation removes sets and the history forgets: where nothing is left to tell, the answer is that it is not
known any more. Pure, but for `Evidence.rule_of`, which may look at a set's manifest when it is asked.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import assert_never

from engine.errors import Code
from scheduler.decide import ON_TIME
from scheduler.known import Failure, Halt, Known, Owed, Serving, local_words
from scheduler.screen import duration_words
from scheduler.slots import Slot
from settings.model import RetryAtNextSlot

# as `status` has it: a retry may come first
_LATE = timedelta(minutes=15)


class Fate(Enum):
    """What became of a slot, in the words that are shown."""

    SERVED = "served"
    POSTPONED = "postponed"
    MADE_UP = "made up for later"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"
    MISSED = "missed"
    UNKNOWN = "not known any more"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one slot, and how that is known."""

    slot: Slot
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """`count` slots in a row of which the same is known; `count` is None when they were not counted."""

    first: Slot
    last: Slot
    count: int | None
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class Made:
    """A set that is there; `scheduled` is its slot, None when a person asked for it."""

    number: int
    scheduled: datetime | None
    started: datetime
    ended: datetime
    complete: bool

    @property
    def place(self) -> datetime:
        """Where it stands among the slots."""
        return self.scheduled or self.started


@dataclass(frozen=True, slots=True)
class RuleOfThen:
    """Whether the schedule a set was made under is that of today, and whether unchanged data was not saved."""

    is_same: bool
    may_postpone: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run for a slot that published nothing: postponed, failed or stopped, as the history tells."""

    scheduled: datetime
    started: datetime
    postponed: bool
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is left.

    `known` is `remembered` by the service, and `served_now` when it runs. `sets` are ordered by number;
    `highest` is the highest number ever given, as far as anything tells. `blind` says why the sets cannot
    be seen, None when they can. The history is complete from `events_since` on; `may_postpone`: backups of
    unchanged data are not made. `rule_of` tells what a set was made under.
    """

    known: Known
    remembered: bool
    served_now: bool
    sets: tuple[Made, ...]
    attempts: tuple[Attempt, ...]
    highest: int
    blind: str | None
    events_since: datetime
    may_postpone: bool
    rule_of: Callable[[Made], RuleOfThen]

    def oldest(self) -> datetime:
        """From when on anything at all may be left to tell; the end of time when nothing is."""
        places = [made.place for made in self.sets]
        places += [attempt.scheduled for attempt in self.attempts]
        if self.remembered:
            places.append(self.known.answered_until)
        if isinstance(self.known.running, Serving):
            places.append(self.known.running.slot.at)
        if self.known.trouble is not None:
            places.append(self.known.trouble.slot.at)
        return min(places, default=datetime.max.replace(tzinfo=UTC))


class Judge:
    """Answers for one slot after the other."""

    def __init__(self, evidence: Evidence, now: datetime) -> None:
        self._evidence = evidence
        self._now = now
        ordered = sorted(evidence.sets, key=lambda made: made.place)
        self._places = [made.place for made in ordered]
        self._ordered = ordered
        self._by_slot = {made.scheduled: made for made in ordered if made.scheduled is not None}
        self._scheduled = [made for made in ordered if made.scheduled is not None]
        self._scheduled_places = [made.place for made in self._scheduled]
        self._attempts: dict[datetime, list[Attempt]] = {}
        for attempt in evidence.attempts:
            self._attempts.setdefault(attempt.scheduled, []).append(attempt)
        self._late = sorted(evidence.attempts, key=lambda attempt: attempt.scheduled)
        self._late_places = [attempt.scheduled for attempt in self._late]
        self._joined: dict[int, Slot] = {}

    def judge(self, slots: Iterable[Slot]) -> list[Answer]:
        """What became of these slots, which are in order."""
        return [Answer(slot, *self._fate(slot)) for slot in slots]

    def _fate(self, slot: Slot) -> tuple[Fate, str]:
        for judged in (self._own_set, self._in_hand, self._own_attempts, self._other_run):
            if (fate := judged(slot)) is not None:
                return fate
        if self._evidence.remembered and slot.at > self._evidence.known.answered_until:
            return self._unanswered(slot)
        return self._between_sets(slot)

    # --- what tells of this very slot

    def _own_set(self, slot: Slot) -> tuple[Fate, str] | None:
        made = self._by_slot.get(slot.at)
        if made is None:
            return None
        partial = "" if made.complete else " (partial)"
        late = made.started - slot.at
        if late >= _LATE:
            return Fate.MADE_UP, f"set {made.number}{partial} was begun {duration_words(late)} late"
        return Fate.SERVED, f"set {made.number}{partial}"

    def _in_hand(self, slot: Slot) -> tuple[Fate, str] | None:
        """What the service is about to do, or has given up."""
        known = self._evidence.known
        match known.running:
            case Serving(slot=served) if served.at <= slot.at <= known.answered_until:
                return Fate.WAITING, "a backup for it is running"
        if known.trouble is None or not known.trouble.slot.at <= slot.at <= known.answered_until:
            return None
        match known.trouble:
            case Failure(code=code):
                return Fate.WAITING, f"failed with error {code}; a retry is still to come"
            case Owed():
                return Fate.WAITING, "stopped with the service; made right after the next start"
            case Halt(slot=failed, attempts=count, code=code) if failed.at == slot.at:
                return Fate.FAILED, f"all {count} attempts failed, the last with error {code}"
            case Halt():
                return Fate.MISSED, "error 1401: automatic backups are halted"
        assert_never(known.trouble)

    def _own_attempts(self, slot: Slot) -> tuple[Fate, str] | None:
        attempts = self._attempts.get(slot.at)
        return _fate_of(attempts[-1], len(attempts)) if attempts else None

    # --- what tells of it by the way

    def _other_run(self, slot: Slot) -> tuple[Fate, str] | None:
        """A run for an earlier slot that began, or went on, after this one came due."""
        at = bisect_right(self._scheduled_places, slot.at) - 1
        if at >= 0 and slot.at <= self._scheduled[at].ended:
            made = self._scheduled[at]
            if slot.at <= made.started:
                return (
                    Fate.MADE_UP,
                    f"set {made.number} was made later for all slots that had passed",
                )
            if self._joined.setdefault(made.number, slot) == slot:
                return Fate.MADE_UP, f"set {made.number} was being made when it came due"
            return Fate.MISSED, f"it came due while set {made.number} was being made"
        late = bisect_right(self._late_places, slot.at) - 1
        if late >= 0 and slot.at <= self._late[late].started:
            fate, why = _fate_of(self._late[late], 1)
            return fate, f"the backup that was to catch up: {why}"
        return None

    def _unanswered(self, slot: Slot) -> tuple[Fate, str]:
        evidence = self._evidence
        if evidence.served_now and self._now - slot.at < ON_TIME:
            return Fate.WAITING, "it has just come due"
        paused_until = evidence.known.paused_until
        if paused_until is not None and slot.at <= paused_until:
            until = local_words(paused_until, evidence.known.zone)
            return Fate.MISSED, f"automatic backups are paused until {until}"
        if isinstance(evidence.known.retry, RetryAtNextSlot):
            return Fate.MISSED, "no service has served it; settings: no catch-up"
        return Fate.MISSED, "no service has served it; one backup catches up when the service runs"

    def _between_sets(self, slot: Slot) -> tuple[Fate, str]:
        """No run is known: missed only when it is certain that no set has gone since."""
        evidence = self._evidence
        if evidence.blind is not None:
            return Fate.UNKNOWN, evidence.blind
        at = bisect_right(self._places, slot.at)
        if at == 0:
            oldest = (
                f"older than set {self._ordered[0].number}" if self._ordered else "there is no set"
            )
            return Fate.UNKNOWN, f"{oldest}, and nothing else tells of it"
        before, after = self._ordered[at - 1], self._ordered[at : at + 1]
        if gap := self._gap(before, after[0].number if after else evidence.highest + 1):
            return Fate.UNKNOWN, gap
        rules = [(made, evidence.rule_of(made)) for made in (before, *after)]
        for made, rule in rules:
            if not rule.is_same:
                why = f"set {made.number} was made under another schedule or in another zone"
                return Fate.UNKNOWN, why
        may_postpone = evidence.may_postpone or any(rule.may_postpone for _, rule in rules)
        if may_postpone and slot.at < evidence.events_since:
            why = "no set; it may have been postponed, and the history does not reach back so far"
            return Fate.UNKNOWN, why
        return Fate.MISSED, "no set, and the history tells of no attempt; see the Backup journal"

    def _gap(self, before: Made, following: int) -> str | None:
        """Sets that were made in between and are not there any more."""
        first, last = before.number + 1, following - 1
        if first > last:
            return None
        gone = f"set {first} is" if first == last else f"sets {first} to {last} are"
        return f"{gone} not there any more"


def _fate_of(attempt: Attempt, count: int) -> tuple[Fate, str]:
    if attempt.postponed:
        return Fate.POSTPONED, "nothing had changed since the last complete set"
    if attempt.code == Code.STOPPED:
        return Fate.STOPPED, f"error {attempt.code}: {attempt.text}"
    tries = f" in {count} attempts" if count > 1 else ""
    return Fate.FAILED, f"error {attempt.code}{tries}: {attempt.text}"


def group_answers(answers: Iterable[Answer]) -> list[AnswerGroup]:
    """Neighbours of which the same is known, as one."""
    groups: list[AnswerGroup] = []
    for (fate, why), members in groupby(answers, key=lambda one: (one.fate, one.why)):
        row = list(members)
        groups.append(AnswerGroup(row[0].slot, row[-1].slot, len(row), fate, why))
    return groups
