"""Years of a service in seconds: each slot gets its one answer; and a scheduler with a fault is caught.

The whole decade: `pytest -m slow tests/scheduler/test_decade.py`, or `python -m tests.scheduler.decade`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.after import (
    Change,
    after_restart,
    after_sets_seen,
    after_settings_change,
    after_start,
    after_success,
)
from scheduler.decide import Decision, Missed, Run, Wait, decide
from scheduler.known import Known, Owed
from tests.scheduler.decade import report, simulate
from tests.scheduler.decade_core import Core
from tests.scheduler.decade_story import BrokenPromiseError

TICK = timedelta(microseconds=1)
FEW = range(6)

# (seed, database) of worlds that showed what the product once forgot
REGRESSIONS = {
    "a set whose slot lies ahead, of a clock once wrong, moved the count at each restart": (8, 1),
    "a catch-up was not journaled when settings or zone were taken up before it": (1, 0),
    "what came due in a long run was forgotten when settings were taken up during it": (27, 3),
    "what was owed was dropped without a word when the schedule was turned off": (42, 3),
    "the second and the fourth, one behind the other": (30, 2),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_slot_is_served_once_or_journaled_with_its_reason(seed: int) -> None:
    tally = simulate(1.5, FEW, seed)

    happened = ("Outage", "ClockSet", "failures", "retries", "catch-ups", "clock damage")
    assert min(tally[name] for name in happened) > 0
    assert f"{tally['slots']:9}  answers in all" in report(tally, 1.5, len(FEW))


@pytest.mark.parametrize(("seed", "database"), REGRESSIONS.values(), ids=REGRESSIONS.keys())
def test_each_slot_gets_its_one_answer_in_worlds_where_it_once_did_not(
    seed: int, database: int
) -> None:
    simulate(1.5, range(database, database + 1), seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_slot_gets_its_one_answer_when_trouble_comes_eight_times_as_often(seed: int) -> None:
    tally = simulate(0.5, FEW, seed, haste=8)

    assert min(tally[name] for name in ("edits", "pauses", "clock damage", "served owed")) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)  # five minutes of one core, when nobody else wants it
def test_each_slot_of_ten_years_and_a_hundred_databases_gets_its_one_answer() -> None:
    tally = simulate(10, range(100), seed=1)

    print(report(tally, 10, 100))
    assert tally["slots"] > 100_000


# --- planted faults -------------------------------------------------------------------------------


def forgets_what_was_answered(known: Known, at: datetime) -> Known:
    """After a restart slots count from then on: those of the time away are lost."""
    return replace(after_restart(known, at), answered_until=at)


def forgets_the_last_answers(known: Known, at: datetime) -> Known:
    """After a restart the last days count as not answered for."""
    known = after_restart(known, at)
    return replace(known, answered_until=known.answered_until - timedelta(days=8))


def drops_without_a_word(known: Known, at: datetime) -> Change:
    """What came due during a long run is left out of the journal."""
    return replace(after_success(known, at), missed=())


def tells_no_catch_up(known: Known, now: datetime) -> Decision:
    """A catch-up does not say that it is one."""
    decision = decide(known, now)
    return replace(decision, missed=0) if isinstance(decision, Run) else decision


def retry_leaves_its_slot_open(known: Known, run: Run, at: datetime) -> Known:
    """The slot of a retry is served once more."""
    if run.attempt > 1:
        run = replace(run, covers_until=run.slot.at - TICK)
    return after_start(known, run, at)


def retries_too_early(known: Known, now: datetime) -> Decision:
    """Retries come ten minutes early."""
    decision = decide(known, now)
    later = decide(known, now + timedelta(minutes=10))
    return later if isinstance(later, Run) and later.attempt > 1 else decision


def never_halts(known: Known, now: datetime) -> Decision:
    """Runs go on after error 1401."""
    return decide(replace(known, trouble=None), now)


def runs_in_a_pause(known: Known, now: datetime) -> Decision:
    """A pause is overlooked."""
    return decide(replace(known, paused_until=None), now)


def counts_attempts_wrongly(known: Known, run: Run, at: datetime) -> Known:
    """Every attempt counts as the first, so there is no last one."""
    return after_start(known, replace(run, attempt=1), at)


def forgets_that_it_runs(known: Known, run: Run, at: datetime) -> Known:
    """The run is started, and nobody knows."""
    return replace(after_start(known, run, at), running=None)


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


def owes_one_alone(*what: Any) -> Change:
    """A catch-up that settings are taken up before does not say that it is one."""
    change = after_settings_change(*what)
    match change.known.trouble:
        case Owed(slot):
            return replace(change, known=replace(change.known, trouble=Owed(slot)))
        case _:
            return change


def owes_nothing(*what: Any) -> Change:
    """What is due when settings are taken up is forgotten."""
    change = after_settings_change(*what)
    is_owed = isinstance(change.known.trouble, Owed)
    return replace(change, known=replace(change.known, trouble=None)) if is_owed else change


def drops_old_slots(*what: Any) -> Change:
    """What nobody serves of the old schedule is left out of the journal."""
    return replace(after_settings_change(*what), missed=())


def drops_what_is_owed(*what: Any) -> Change:
    """What is owed when the schedule is turned off is left out of the journal."""
    change = after_settings_change(*what)
    told = tuple(missed for missed in change.missed if "turned off" not in missed.reason)
    return replace(change, missed=told)


def believes_each_set(known: Known, served: frozenset[datetime], at: datetime) -> Known:
    """A set that the state does not know of answers for all slots before it is seen."""
    known = after_sets_seen(known, served, at)
    return replace(known, answered_until=at) if served else known


def believes_no_set(known: Known, _served: frozenset[datetime], _at: datetime) -> Known:
    """A run that died with its set published counts as failed."""
    return known


@pytest.mark.parametrize(
    ("world", "fault", "words"),
    [
        ((1, 0), owes_one_alone, "covered without a word"),
        ((27, 3), drops_old_slots, "without a word"),
        ((42, 3), drops_what_is_owed, "dropped without a word"),
        ((30, 2), owes_one_alone, "covered without a word"),
    ],
)
def test_a_gap_that_is_opened_again_shows_in_its_world(
    world: tuple[int, int], fault: Callable[..., Change], words: str
) -> None:
    seed, database = world

    with pytest.raises(BrokenPromiseError, match=words):
        simulate(1.5, range(database, database + 1), seed, Core(taken_up=fault))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Core(restarted=forgets_what_was_answered), "sleeps past|nobody answers for"),
        (Core(restarted=forgets_the_last_answers), "not due, or served before|answered before"),
        (Core(succeeded=drops_without_a_word), "forgotten in a long run"),
        (Core(decide=tells_no_catch_up), "wrong count of late slots"),
        (Core(started=retry_leaves_its_slot_open), "served before|answered before|it is 0"),
        (Core(decide=retries_too_early), "too early"),
        (Core(decide=never_halts), "halted or not|a run is due"),
        (Core(decide=runs_in_a_pause), "runs though paused"),
        (Core(started=counts_attempts_wrongly), "nothing to retry|not the next attempt"),
        (Core(started=forgets_that_it_runs), "two runs at once|a run is due|forgotten"),
        (Core(decide=gives_no_reason), "missed for no reason"),
        (Core(decide=sleeps_too_long), "sleeps past"),
        (Core(taken_up=owes_one_alone), "covered without a word"),
        (Core(taken_up=owes_nothing), "a run is due"),
        (Core(taken_up=drops_old_slots), "without a word"),
        (Core(seen_in_sets=believes_each_set), "nobody answers for|without a word"),
        (Core(seen_in_sets=believes_no_set), "nothing to retry"),
    ],
)
def test_a_planted_fault_is_caught(fault: Core, words: str) -> None:
    with pytest.raises(BrokenPromiseError, match=words):
        simulate(1, FEW, 3, fault, haste=8)
