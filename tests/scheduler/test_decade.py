"""Years of a service in seconds: each slot gets its one answer; and a scheduler with a fault is caught.

The whole decade: `pytest -m slow tests/scheduler/test_decade.py`, or `python -m tests.scheduler.decade`.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from scheduler.after import Change, after_restart, after_start, after_success
from scheduler.decide import Decision, Missed, Run, Wait, decide
from scheduler.known import Known
from tests.scheduler.decade import report, simulate
from tests.scheduler.decade_ledger import BrokenPromiseError
from tests.scheduler.decade_life import Core

TICK = timedelta(microseconds=1)
FEW = range(6)


@pytest.mark.parametrize("seed", range(1, 5))
def test_each_slot_is_served_once_or_journaled_with_its_reason(seed: int) -> None:
    tally = simulate(1.5, FEW, seed)

    assert tally["slots"] > 500
    assert min(tally[name] for name in ("Outage", "ClockSet", "failures", "catch-ups")) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)  # five minutes of one core, when nobody else wants it
def test_each_slot_of_ten_years_and_a_hundred_databases_gets_its_one_answer() -> None:
    tally = simulate(10, range(100), seed=1)

    print(report(tally, 10, 100))
    assert tally["slots"] > 100_000


def test_the_answers_add_up_to_the_slots() -> None:
    tally = simulate(1.5, FEW, 1)

    told = report(tally, 1.5, len(FEW))

    assert f"{tally['slots']:9}  answers in all" in told


# --- planted faults -------------------------------------------------------------------------------


def forgets_what_was_answered(known: Known, at: datetime) -> Known:
    """After a restart slots count from then on: those of the time away are lost."""
    return replace(after_restart(known, at), answered_until=at)


def forgets_the_last_answer(known: Known, at: datetime) -> Known:
    """After a restart the last day counts as not answered for."""
    known = after_restart(known, at)
    return replace(known, answered_until=known.answered_until - timedelta(days=8))


def drops_without_a_word(known: Known, at: datetime) -> Change:
    """What came due during a long run is left out of the journal."""
    return replace(after_success(known, at), missed=None)


def drops_in_silence(known: Known, now: datetime) -> Decision:
    """A catch-up does not say that it is one."""
    decision = decide(known, now)
    return replace(decision, missed=0) if isinstance(decision, Run) else decision


def retry_leaves_its_slot_open(known: Known, run: Run, at: datetime) -> Known:
    """The slot of a retry is served once more."""
    if run.attempt > 1:
        run = replace(run, covers_until=run.slot.at - TICK)
    return after_start(known, run, at)


def retry_too_early(known: Known, now: datetime) -> Decision:
    """Retries come ten minutes early."""
    decision = decide(known, now)
    later = decide(known, now + timedelta(minutes=10))
    return later if isinstance(later, Run) and later.attempt > 1 else decision


def never_halts(known: Known, now: datetime) -> Decision:
    """Runs go on after error 1401."""
    return decide(replace(known, trouble=None), now)


def gives_no_reason(known: Known, now: datetime) -> Decision:
    """A missed slot without its reason."""
    decision = decide(known, now)
    return replace(decision, reason="") if isinstance(decision, Missed) else decision


def sleeps_too_long(known: Known, now: datetime) -> Decision:
    """Waits for a slot after the next one, when that is far away."""
    decision = decide(known, now)
    if isinstance(decision, Wait) and decision.until and decision.until - now > timedelta(days=1):
        return replace(decision, until=decision.until + timedelta(minutes=5))
    return decision


@pytest.mark.parametrize(
    ("core", "words"),
    [
        (Core(restarted=forgets_what_was_answered), "sleeps past|nobody answers for"),
        (Core(restarted=forgets_the_last_answer), "not due, or served before|answered before"),
        (Core(succeeded=drops_without_a_word), "forgotten after a long run"),
        (Core(decide=drops_in_silence), "wrong count of late slots"),
        (Core(started=retry_leaves_its_slot_open), "not due, or served before|answered before"),
        (Core(decide=retry_too_early), "too early"),
        (Core(decide=never_halts), "halted or not|a run is due"),
        (Core(decide=gives_no_reason), "missed for no reason"),
        (Core(decide=sleeps_too_long), "sleeps past"),
    ],
    ids=lambda value: "" if isinstance(value, Core) else value,
)
def test_a_planted_fault_is_caught(core: Core, words: str) -> None:
    with pytest.raises(BrokenPromiseError, match=words):
        simulate(3, range(30), 1, core)
