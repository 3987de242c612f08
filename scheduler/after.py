"""What is known after something happened: small pure moves from one `Known` to the next.

An attempt and a success are different facts: a slot whose run began stays in `running` until the run
ends, and a restart turns it into a failed attempt. Slots that come due while a backup runs are never
queued up: the first is answered for by a run that began for an earlier slot, all others are missed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from zoneinfo import ZoneInfo

from scheduler.decide import Missed, PauseOver, Run, decide
from scheduler.known import (
    Failure,
    Halt,
    Known,
    Manual,
    Owed,
    Serving,
    Trouble,
    attempts_allowed,
)
from scheduler.slots import MissedSlots, first_anchor, missed_slots
from settings.model import (
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
)

BACKUP_FAILED = 1409


@dataclass(frozen=True, slots=True)
class Change:
    """What is known now; `missed` are slots to journal that nobody will serve, None when there are none."""

    known: Known
    missed: Missed | None


# --- a run begins ---------------------------------------------------------------------------------


def after_start(known: Known, run: Run, at: datetime) -> Known:
    """The decided run was accepted; say so at once, before it waits for a place or reads a byte."""
    serving = Serving(run.slot, run.attempt, at)
    return replace(known, answered_until=run.covers_until, trouble=None, running=serving)


def after_manual_start(known: Known, at: datetime) -> Known:
    """Somebody's own backup began; it answers for no slot."""
    return replace(known, running=Manual(at))


# --- a run ends -----------------------------------------------------------------------------------


def after_success(known: Known, at: datetime) -> Change:
    """A set was published: the slot is served; a manual one (also with nothing running) ends a retry or halt."""
    change = _end_run(known, at)
    match change.known.trouble:
        case Failure() | Halt():
            return replace(change, known=replace(change.known, trouble=None))
        case Owed() | None:
            return change
    assert_never(change.known.trouble)


def after_cancel(known: Known, at: datetime) -> Change:
    """Stopped by the user (1406), or postponed because nothing changed: the slot is not tried again."""
    return _end_run(known, at)


def after_failure(known: Known, code: int, at: datetime) -> Change:
    """No complete, verified set: a retry, a halt, or the next slot, as the retry policy says."""
    change = _end_run(known, at)
    match known.running:
        case Serving() as serving:
            trouble = _trouble_after(known.retry, serving, code, at)
            return replace(change, known=replace(change.known, trouble=trouble))
        case Manual() | None:
            return change
    assert_never(known.running)


def _trouble_after(
    retry: RetryPolicy, serving: Serving, code: int, at: datetime
) -> Failure | Halt | None:
    if serving.attempt < attempts_allowed(retry):
        return Failure(serving.slot, serving.attempt, at, code)
    match retry:
        case RetryUpTo():
            return Halt(serving.slot, serving.attempt, at, code)
        case RetryOnce() | RetryAtNextSlot():
            return None
    assert_never(retry)


def _end_run(known: Known, at: datetime) -> Change:
    """What came due meanwhile: the first is answered for by a run for an earlier slot, others are missed."""
    ended = replace(known, running=None)
    running = known.running
    if running is None:
        return Change(ended, None)
    if isinstance(running, Manual) and _slots(known, known.answered_until, running.began):
        return Change(ended, None)  # due before it began: served now, with all since
    if isinstance(running, Serving) and (joined := _slots(known, known.answered_until, at)):
        ended = replace(ended, answered_until=joined.first.at)
    missed = _slots(ended, ended.answered_until, at)
    if missed is None:
        return Change(ended, None)
    words = "came due while another backup of this database was running"
    note = Missed(missed, words)
    return Change(after_missed(ended, note), note)


def _slots(known: Known, since: datetime, until: datetime) -> MissedSlots | None:
    return missed_slots(known.schedule, since, until, known.anchor, known.zone)


# --- other events ---------------------------------------------------------------------------------


def after_restart(known: Known, at: datetime) -> Known:
    """The service starts: a halt is over, and a run that was under way died with its process.

    That run is a failed attempt and waits for its retry, so a run that kills the service is no storm.
    Slots of the time the service was away are left for `decide`.
    """
    trouble = known.trouble
    if isinstance(known.running, Serving):
        trouble = _trouble_after(known.retry, known.running, BACKUP_FAILED, at)
    return replace(known, running=None, trouble=_without_halt(trouble))


def after_stop(known: Known) -> Known:
    """The service is told to stop: a backup that waits or was stopped with it is made after the next start."""
    match known.running:
        case Serving(slot=slot):
            return replace(known, running=None, trouble=Owed(slot))
        case Manual() | None:
            return known
    assert_never(known.running)


def after_missed(known: Known, missed: Missed) -> Known:
    """The misses are journaled."""
    return replace(known, answered_until=missed.slots.last.at)


def after_clock_damage(known: Known, at: datetime) -> Known:
    """Slots count from now on; the phase of every-N and a pending retry stay."""
    return replace(known, answered_until=at)


def after_pause(known: Known, until: datetime | None) -> Known:
    """A person wants no automatic backups until then; None: they go on."""
    return replace(known, paused_until=until)


def after_settings_change(
    known: Known, schedule: Schedule, retry: RetryPolicy, zone: ZoneInfo, at: datetime
) -> Change:
    """A halt is over, what is due now is served still, and a new schedule or zone counts from now."""
    if schedule == known.schedule and zone == known.zone:
        trouble = _without_halt(known.trouble)
        return Change(replace(known, retry=retry, trouble=trouble), None)
    closed = _close_schedule(known, schedule, at)
    anchor = known.anchor if schedule == known.schedule else first_anchor(schedule, at, zone)
    changed = replace(
        closed.known, schedule=schedule, retry=retry, zone=zone, anchor=anchor, answered_until=at
    )
    return replace(closed, known=changed)


def _close_schedule(known: Known, new: Schedule, at: datetime) -> Change:
    """What is left of the old schedule: slots to journal, and a slot that is served under the new one."""
    due = _slots(known, known.answered_until, at)
    if due and isinstance(new, Never | Unschedulable):
        return Change(
            replace(known, trouble=None), Missed(due, "automatic backups were turned off")
        )
    decision = decide(known, at)
    if isinstance(decision, Missed):
        left = _close_schedule(after_missed(known, decision), new, at)
        return replace(left, missed=_together(decision, left.missed))
    if isinstance(decision, PauseOver):  # is told when `decide` is asked the next time
        left = _close_schedule(after_pause(known, None), new, at)
        return replace(left, known=after_pause(left.known, known.paused_until))
    trouble = _without_halt(known.trouble)
    if isinstance(new, Never | Unschedulable):
        trouble = None
    elif isinstance(decision, Run) and decision.attempt == 1:
        trouble = Owed(decision.slot)
    return Change(replace(known, trouble=trouble), None)


def _together(one: Missed, other: Missed | None) -> Missed:
    """Slots of a pause, and after them slots that nobody catches up."""
    if other is None:
        return one
    slots = MissedSlots(one.slots.first, other.slots.last, one.slots.count + other.slots.count)
    return Missed(slots, f"{one.reason}; {other.reason}")


def _without_halt(trouble: Trouble | None) -> Trouble | None:
    return None if isinstance(trouble, Halt) else trouble
