"""What is known after something happened: small pure moves from one `Known` to the next.

An attempt and a success are different facts: a slot whose run began stays in `running` until the run
ends, and a restart turns it into a failed attempt. Slots that come due while a backup runs are never
queued up: the first is answered for by a run that began for an earlier slot, all others are missed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from zoneinfo import ZoneInfo

from scheduler.decide import ON_TIME, Missed, PauseOver, Run, decide
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
    """What is known now; `missed` are slots to journal that nobody will serve."""

    known: Known
    missed: tuple[Missed, ...] = ()


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
    """The run is over; what came due before a person's run began is left for `decide`."""
    if isinstance(known.running, Manual) and _slots(
        known, known.answered_until, known.running.began
    ):
        return Change(replace(known, running=None))
    change = _settle(known, at)
    return replace(change, known=replace(change.known, running=None))


def _settle(known: Known, at: datetime) -> Change:
    """What came due while a run is on: the first is answered for by a run for an earlier slot, others are missed.

    What came due before a person's own run began is settled with all since, as if it were not on.
    """
    running, joined = known.running, _slots(known, known.answered_until, at)
    if joined is None or running is None:
        return Change(known)
    if isinstance(running, Manual) and _slots(known, known.answered_until, running.began):
        idle = _settle_idle(replace(known, running=None), at)
        return replace(idle, known=replace(idle.known, running=running))
    if isinstance(running, Serving):
        known = replace(known, answered_until=joined.first.at)
    missed = _slots(known, known.answered_until, at)
    if missed is None:
        return Change(known)
    note = Missed(missed, "came due while another backup of this database was running")
    return Change(after_missed(known, note), (note,))


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


def after_sets_seen(known: Known, served: frozenset[datetime], at: datetime) -> Known:
    """At a start: sets appeared that the state does not know of, for these slots, so these are served.

    The run died, or the state could not be saved, after its set had appeared. A slot that lies ahead of now
    was served under a wrong clock and says nothing of what comes before it; nor does one in hand, which was
    answered for when its run began, and since then the clock may have been called wrong.
    """
    unknown = served
    if isinstance(known.running, Serving) and known.running.slot.at in served:
        unknown = unknown - {known.running.slot.at}
        known = replace(known, running=None)
    if isinstance(known.trouble, Failure | Owed) and known.trouble.slot.at in served:
        unknown = unknown - {known.trouble.slot.at}
        known = replace(known, trouble=None)
    newest = max((slot for slot in unknown if slot <= at), default=known.answered_until)
    return replace(known, answered_until=max(newest, known.answered_until))


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
        return Change(replace(known, retry=retry, trouble=trouble))
    closed = _close_schedule(known, schedule, at)
    anchor = known.anchor if schedule == known.schedule else first_anchor(schedule, at, zone)
    changed = replace(
        closed.known, schedule=schedule, retry=retry, zone=zone, anchor=anchor, answered_until=at
    )
    return replace(closed, known=changed)


def _close_schedule(known: Known, new: Schedule, at: datetime) -> Change:
    """What is left of the old schedule: slots to journal, and slots that are served under the new one."""
    change = _settle(known, at) if known.running is not None else _settle_idle(known, at)
    trouble = _without_halt(change.known.trouble)
    if not isinstance(new, Never | Unschedulable):
        return replace(change, known=replace(change.known, trouble=trouble))
    missed = change.missed
    if isinstance(trouble, Owed):
        slots = MissedSlots(trouble.slot, trouble.last or trouble.slot, trouble.missed or 1)
        missed = (*missed, Missed(slots, "automatic backups were turned off"))
    return Change(replace(change.known, trouble=None), missed)


def _settle_idle(known: Known, at: datetime) -> Change:
    """No run is on: what is due now is owed, what nobody will serve is told."""
    missed: list[Missed] = []
    paused_until = known.paused_until
    decision = decide(known, at)
    while isinstance(decision, Missed | PauseOver):
        if isinstance(decision, Missed):
            missed.append(decision)
            known = after_missed(known, decision)
        else:
            known = after_pause(known, None)
        decision = decide(known, at)
    if isinstance(decision, Run) and decision.attempt == 1:
        known = replace(known, trouble=_owe(known, at))
    # the end of a pause is told when `decide` is asked the next time
    return Change(after_pause(known, paused_until), tuple(missed))


def _owe(known: Known, at: datetime) -> Owed:
    """What is owed with all that has come due since, each of them counted."""
    due = _slots(known, known.answered_until, at)
    if isinstance(known.trouble, Owed):
        if due is None:
            return known.trouble
        return Owed(known.trouble.slot, max(1, known.trouble.missed) + due.count, due.last)
    assert due is not None  # noqa: S101 - a first attempt is for a slot that is due or owed
    late = at - due.last.at >= ON_TIME
    last = due.last if due.count > 1 else None
    return Owed(due.first, due.count if late or last else 0, last)


def _without_halt(trouble: Trouble | None) -> Trouble | None:
    return None if isinstance(trouble, Halt) else trouble
