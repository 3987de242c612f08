"""What to do now about one database: one pure decision, with its reason in plain words.

Made for every heartbeat and for a timer set to `Wait.until`. The caller carries the decision out, tells
after.py what came of it, and asks again; `Missed`, `ClockDamage` and `PauseOver` want an entry in the
Backup journal and are answered by `after_missed`, `after_clock_damage` and `after_pause`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from scheduler.known import (
    LONGEST_PAUSE,
    Failure,
    Halt,
    Known,
    Manual,
    Owed,
    Running,
    Serving,
    attempts_allowed,
    local_words,
    retry_delay,
)
from scheduler.slots import MissedSlots, Slot, missed_slots, next_slot
from settings.explain import describe_schedule
from settings.model import (
    Daily,
    Hourly,
    Monthly,
    Never,
    RetryAtNextSlot,
    Schedule,
    Unschedulable,
    Weekly,
)

# The heartbeat comes every 15 to 30 s: a start this late is still a start on time.
ON_TIME = timedelta(seconds=60)

_TICK = timedelta(microseconds=1)
_LONGEST_PERIOD_DAYS = 31


@dataclass(frozen=True, slots=True)
class Run:
    """Begin the `attempt`-th attempt (1 is the first) for `slot`, the first one not yet served.

    It answers for all slots up to `covers_until`. `missed` of them were due while nobody could serve
    them: more than 0 makes this a catch-up, and `slot` the first missed one.
    """

    slot: Slot
    covers_until: datetime
    attempt: int
    missed: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until` (None: before something changes); `slot` is what is awaited."""

    until: datetime | None
    slot: Slot | None
    reason: str


@dataclass(frozen=True, slots=True)
class Halted:
    """Error 1401 stands; `next_slot` will pass unserved (None when there is none)."""

    reason: str
    next_slot: Slot | None


@dataclass(frozen=True, slots=True)
class Missed:
    """These slots are not served: journal them, then `after_missed`."""

    slots: MissedSlots
    reason: str


@dataclass(frozen=True, slots=True)
class ClockDamage:
    """The state lies too far in the future to be true: journal it, then `after_clock_damage`."""

    reason: str


@dataclass(frozen=True, slots=True)
class PauseOver:
    """The pause a person asked for has ended: journal it, then `after_pause`."""

    reason: str


Decision = Run | Wait | Halted | Missed | ClockDamage | PauseOver


def decide(known: Known, now: datetime) -> Decision:
    """What to do at `now`, given everything known."""
    if known.running is not None:
        return Wait(None, None, _running_words(known, known.running))
    if known.answered_until - now > tolerance(known.schedule):
        return ClockDamage(
            f"slots up to {local_words(known.answered_until, known.zone)} count as served, but it is"
            f" {local_words(now, known.zone)}: the clock was wrong; slots count from now on"
        )
    if known.paused_until is not None:
        return _decide_paused(known, known.paused_until, now)
    match known.trouble:
        case Halt() as halt:
            return _decide_halted(known, halt, now)
        case Owed() as owed:
            return _decide_owed(known, owed, now)
        case Failure() | None:
            coming = _next(known)
            due = _due(known, now) if coming and coming.at <= now else None
            return _decide_due(known, due, now) if due else _decide_retry(known, coming, now)
    assert_never(known.trouble)


def tolerance(schedule: Schedule) -> timedelta:
    """How far ahead of now a served slot may lie after an honest correction of the clock.

    One period and a day, at most a month and a day: a clock that was a year ahead must not stop backups
    for longer, whatever the period.
    """
    return timedelta(days=min(_period_days(schedule), 31) + 1)


def _period_days(schedule: Schedule) -> int:
    match schedule:
        case Never() | Unschedulable() | Hourly():
            return 1
        case Daily(every=every):
            return every
        case Weekly(every=every):
            return every * 7
        case Monthly(every=every):
            return every * _LONGEST_PERIOD_DAYS
    assert_never(schedule)


# --- slots that are due ---------------------------------------------------------------------------


def _due(known: Known, now: datetime) -> MissedSlots | None:
    return missed_slots(known.schedule, known.answered_until, now, known.anchor, known.zone)


def _next(known: Known) -> Slot | None:
    return next_slot(known.schedule, known.answered_until, known.anchor, known.zone)


def _decide_paused(known: Known, until: datetime, now: datetime) -> Missed | Wait | PauseOver:
    words = f"automatic backups are paused until {local_words(until, known.zone)}"
    if until - now > LONGEST_PAUSE:
        longest = f"no pause is longer than {LONGEST_PAUSE.days} days: the clock was wrong"
        return PauseOver(f"{words}, and {longest}; they go on now")
    if due := _due(known, min(now, until)):
        return Missed(due, words)
    if now >= until:
        return PauseOver("the pause has ended; automatic backups go on")
    coming = _next(known)
    return Wait(until if coming is None else min(until, coming.at), coming, words)


def _decide_halted(known: Known, halt: Halt, now: datetime) -> Missed | Halted:
    words = (
        f"error 1401: {halt.attempts} attempts for the {_slot_words(known, halt.slot)} backup failed,"
        f" the last with error {halt.code}; no automatic backup until the service restarts, a manual"
        " backup succeeds or the settings change"
    )
    if due := _due(known, now):
        return Missed(due, words)
    return Halted(words, _next(known))


def _decide_owed(known: Known, owed: Owed, now: datetime) -> Run | Missed:
    """One run for what is owed and for all that has come due since."""
    due = _due(known, now)
    late = _late(known, due, now) if due else None
    if late and isinstance(known.retry, RetryAtNextSlot):
        missed_words = _missed_words(known, late.count, late)
        return Missed(late, f"{missed_words}; settings: no catch-up")
    missed = owed.missed
    if late:
        missed = max(1, missed) + late.count
    first = _slot_words(known, owed.slot)
    words = f"the {first} backup was due and is still owed"
    if missed > 1:
        words = f"catch-up: {missed} missed since {first}"
    return Run(owed.slot, due.last.at if due else known.answered_until, 1, missed, words)


def _late(known: Known, due: MissedSlots, now: datetime) -> MissedSlots | None:
    """Those of the due slots that are no longer served on time."""
    return _due(known, due.last.at - _TICK) if now - due.last.at < ON_TIME else due


def _decide_due(known: Known, due: MissedSlots, now: datetime) -> Run | Missed:
    late = _late(known, due, now)
    reason = f"{_slot_words(known, due.first)} backup ({describe_schedule(known.schedule)})"
    if late:
        missed_words = _missed_words(known, late.count, late)
        if isinstance(known.retry, RetryAtNextSlot):
            return Missed(late, f"{missed_words}; settings: no catch-up")
        reason = f"catch-up: {missed_words}"
    if isinstance(known.trouble, Failure):
        failed = _slot_words(known, known.trouble.slot)
        reason += f"; the retry of the {failed} backup is dropped, the slot comes first"
    return Run(due.first, due.last.at, 1, late.count if late else 0, reason)


def _missed_words(known: Known, missed: int, due: MissedSlots) -> str:
    first = _slot_words(known, due.first)
    return f"the {first} backup was missed" if missed == 1 else f"{missed} missed since {first}"


# --- no slot is due -------------------------------------------------------------------------------


def _decide_retry(known: Known, coming: Slot | None, now: datetime) -> Run | Wait:
    failure = known.trouble
    if coming is None or not isinstance(failure, Failure):
        return _wait_for(known, coming)
    if failure.failed_attempts >= attempts_allowed(known.retry):
        return _wait_for(known, coming)  # the settings allow fewer attempts than before
    retry_at = _retry_at(known, failure, now)
    if coming.at <= retry_at:
        waited = _wait_for(known, coming)
        failed = _slot_words(known, failure.slot)
        return Wait(coming.at, coming, f"{waited.reason}; no retry of the {failed} backup before")
    return _retry_or_wait(known, failure, retry_at, now)


def _retry_or_wait(known: Known, failure: Failure, retry_at: datetime, now: datetime) -> Run | Wait:
    words = (
        f"retry {failure.failed_attempts} of {attempts_allowed(known.retry) - 1} of the"
        f" {_slot_words(known, failure.slot)} backup at {local_words(retry_at, known.zone)},"
        f" after error {failure.code}"
    )
    if now < retry_at:
        return Wait(retry_at, failure.slot, words)
    return Run(failure.slot, known.answered_until, failure.failed_attempts + 1, 0, words)


def _wait_for(known: Known, coming: Slot | None) -> Wait:
    if coming is None:
        return Wait(None, None, f"no next backup: {describe_schedule(known.schedule)}")
    why = f"; {coming.reason}" if coming.reason else ""
    when = local_words(coming.at, known.zone)
    return Wait(coming.at, coming, f"next backup {when} ({describe_schedule(known.schedule)}{why})")


def _retry_at(known: Known, failure: Failure, now: datetime) -> datetime:
    delay = retry_delay(known.retry) or timedelta()
    if failure.last_failed_at - now > delay:
        return now  # the clock was set back since: how long ago it failed is not known
    return failure.last_failed_at + delay


# --- words ----------------------------------------------------------------------------------------


def _slot_words(known: Known, slot: Slot) -> str:
    return local_words(slot.at, known.zone)


def _running_words(known: Known, running: Running) -> str:
    began = local_words(running.began, known.zone)
    match running:
        case Serving(slot=slot):
            return f"the {_slot_words(known, slot)} backup is running since {began}"
        case Manual():
            return f"a manual backup is running since {began}"
    assert_never(running)
