"""A pause a person asked for: nothing runs, every slot that passes is told, and it always ends."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler.after import (
    after_manual_start,
    after_missed,
    after_pause,
    after_restart,
    after_settings_change,
    after_success,
)
from scheduler.decide import Missed, PauseOver, Wait, decide
from scheduler.known import LONGEST_PAUSE, Known, Owed
from settings.model import Never, RetryAtNextSlot
from tests.scheduler.stories import (
    HOUR,
    LATER,
    MINUTE,
    NIGHTLY,
    ONCE,
    PARIS,
    at,
    brief,
    failed,
    halted,
    known_at,
)


def paused(until: str, known: Known | None = None) -> Known:
    return after_pause(known or known_at("10 12:00"), at(until))


def test_a_paused_database_waits_for_its_next_slot_or_the_end_of_the_pause() -> None:
    assert brief(decide(paused("10 20:00"), at("10 13:00"))) == "wait 01-10 20:00"
    assert brief(decide(paused("12 20:00"), at("10 13:00"))) == "wait 01-11 02:30"
    assert "paused until 2026-01-12 20:00" in decide(paused("12 20:00"), at("10 13:00")).reason


def test_without_a_schedule_the_end_of_the_pause_is_awaited() -> None:
    known = paused("12 20:00", known_at("10 12:00", schedule=Never()))

    assert brief(decide(known, at("10 13:00"))) == "wait 01-12 20:00"


def test_a_slot_of_the_pause_is_told_as_missed_once() -> None:
    known = paused("12 20:00")

    decision = decide(known, at("11 02:30"))

    assert isinstance(decision, Missed)
    assert brief(decision) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert "paused until 2026-01-12 20:00" in decision.reason
    after = after_missed(known, decision)
    assert brief(decide(after, at("11 02:30"))) == "wait 01-12 02:30"


def test_the_end_of_a_pause_is_told_and_slots_go_on() -> None:
    known = paused("10 20:00")

    decision = decide(known, at("10 20:00"))

    assert isinstance(decision, PauseOver)
    assert "pause has ended" in decision.reason
    assert brief(decide(after_pause(known, None), at("10 20:00"))) == "wait 01-11 02:30"


def test_slots_of_a_pause_that_passed_while_the_service_was_away_are_not_caught_up() -> None:
    known = after_restart(paused("13 12:00"), at("14 12:00"))

    decision = decide(known, at("14 12:00"))

    assert isinstance(decision, Missed)
    assert brief(decision) == "missed 3 from 01-11 02:30 to 01-13 02:30"
    known = after_missed(known, decision)
    assert isinstance(decide(known, at("14 12:00")), PauseOver)
    known = after_pause(known, None)
    assert brief(decide(known, at("14 12:00"))) == "run 01-14 02:30 attempt 1 missed 1"


def test_a_pause_of_the_longest_kind_stands_and_a_longer_one_ends_at_once() -> None:
    now = at("10 12:00")
    known = known_at("10 12:00")

    longest = decide(after_pause(known, now + LONGEST_PAUSE), now)
    longer = decide(after_pause(known, now + LONGEST_PAUSE + MINUTE), now)

    assert isinstance(longest, Wait)
    assert isinstance(longer, PauseOver)
    assert "clock was wrong" in longer.reason


def test_a_retry_waits_for_the_end_of_the_pause() -> None:
    known = paused("11 12:00", failed(known_at("10 12:00"), "11 02:30"))

    assert brief(decide(known, at("11 02:32"))) == "wait 01-11 12:00"
    after = after_pause(known, None)
    assert brief(decide(after, at("11 12:00"))) == "run 01-11 02:30 attempt 2 missed 0"


def test_a_halt_stays_a_halt_after_the_pause() -> None:
    known = paused("11 12:00", halted())

    assert brief(decide(known, at("11 03:00"))) == "wait 01-11 12:00"
    assert brief(decide(after_pause(known, None), at("11 12:00"))) == "halted, next 01-12 02:30"


def test_a_manual_backup_runs_in_a_pause_and_does_not_end_it() -> None:
    known = after_manual_start(paused("12 20:00"), at("10 13:00"))

    known = after_success(known, at("10 13:05")).known

    assert known.paused_until == at("12 20:00")


def test_a_restart_and_new_settings_keep_the_pause() -> None:
    known = paused("12 20:00")

    assert after_restart(known, at("10 14:00")).paused_until == at("12 20:00")
    changed = after_settings_change(known, LATER, ONCE, PARIS, at("10 14:00")).known
    assert changed.paused_until == at("12 20:00")
    assert changed.schedule == LATER


def test_settings_that_change_in_a_pause_still_tell_its_slots() -> None:
    change = after_settings_change(paused("12 20:00"), LATER, ONCE, PARIS, at("11 03:00"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert change.known.trouble is None


def test_settings_that_change_after_a_pause_nobody_saw_end_owe_what_came_after_it() -> None:
    change = after_settings_change(paused("11 12:00"), LATER, ONCE, PARIS, at("13 03:00"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert isinstance(change.known.trouble, Owed)
    assert change.known.trouble.slot.at == at("12 02:30")
    assert isinstance(decide(change.known, at("13 03:00")), PauseOver)


def test_without_catch_up_both_kinds_of_missed_slots_are_told() -> None:
    known = replace(paused("11 12:00"), retry=RetryAtNextSlot())

    change = after_settings_change(known, LATER, RetryAtNextSlot(), PARIS, at("13 03:00"))

    paused_slots, late = change.missed
    assert brief(paused_slots) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert "paused" in paused_slots.reason
    assert brief(late) == "missed 2 from 01-12 02:30 to 01-13 02:30"
    assert "no catch-up" in late.reason


@given(st.integers(1, 24 * 60), st.integers(0, 60 * 24 * 60))
def test_whatever_the_clock_says_a_pause_is_over_within_its_longest_time(
    until: int, later: int
) -> None:
    start = at("10 12:00")
    known = after_pause(known_at("10 12:00"), start + timedelta(minutes=until))
    now = start - 400 * 24 * HOUR + timedelta(minutes=later)
    if known.answered_until - now > 2 * 24 * HOUR:
        known = replace(known, answered_until=now)  # as after_clock_damage does

    decision = decide(known, now)

    assert isinstance(decision, PauseOver)
    assert known.schedule == NIGHTLY
