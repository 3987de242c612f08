"""What every decision carries besides its kind, and what every event keeps: whole values, no briefs."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.after import (
    Change,
    after_manual_start,
    after_pause,
    after_settings_change,
    after_stop,
    after_success,
)
from scheduler.decide import Halted, Missed, PauseOver, Run, Wait, decide
from scheduler.known import Failure, Halt, Known, Owed
from scheduler.slots import Slot
from settings.model import (
    Daily,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryUpTo,
    Weekly,
)
from tests.scheduler.stories import (
    DAY,
    HOUR,
    LATER,
    MINUTE,
    NIGHTLY,
    ONCE,
    PARIS,
    UP_TO_3,
    at,
    brief,
    failed,
    halted,
    known_at,
    served,
    started,
)

EVERY_OTHER_MONDAY = Weekly(2, ((0, time(8)),))


def slot(wall: str) -> Slot:
    instant = at(wall)
    return Slot(instant, instant.astimezone(PARIS).replace(tzinfo=None), None)


# --- decisions ------------------------------------------------------------------------------------


def test_a_wait_names_the_slot_it_awaits() -> None:
    decision = decide(known_at("10 12:00"), at("10 13:00"))

    assert isinstance(decision, Wait)
    assert (decision.until, decision.slot) == (at("11 02:30"), slot("11 02:30"))


def test_a_catch_up_answers_for_all_up_to_the_last_slot_that_was_due() -> None:
    decision = decide(known_at("10 12:00"), at("18 09:00"))

    assert decision == Run(
        slot("11 02:30"), at("18 02:30"), 1, 8, "catch-up: 8 missed since 2026-01-11 02:30"
    )


def test_a_retry_is_for_the_slot_that_failed_and_says_so() -> None:
    known = failed(known_at("10 12:00", retry=UP_TO_3), "11 02:30")
    words = "retry 1 of 2 of the 2026-01-11 02:30 backup at 2026-01-11 02:31, after error 1407"

    assert decide(known, at("11 02:30:30")) == Wait(at("11 02:31"), slot("11 02:30"), words)
    assert decide(known, at("11 02:31")) == Run(slot("11 02:30"), at("11 02:30"), 2, 0, words)


def test_a_retry_that_yields_to_the_next_slot_awaits_that_slot() -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(24 * HOUR)), "11 02:30")

    decision = decide(known, at("11 12:00"))

    assert isinstance(decision, Wait)
    assert (decision.until, decision.slot) == (at("12 02:30"), slot("12 02:30"))


def test_an_owed_slot_is_run_at_once_and_covers_nothing_more() -> None:
    known = replace(known_at("10 12:00"), trouble=Owed(slot("10 02:30")))

    assert decide(known, at("10 12:05")) == Run(
        slot("10 02:30"),
        at("10 12:00"),
        1,
        0,
        "the 2026-01-10 02:30 backup was due and is still owed",
    )


def test_a_halt_names_the_slot_that_will_pass() -> None:
    decision = decide(halted(), at("11 12:00"))

    assert isinstance(decision, Halted)
    assert decision.next_slot == slot("12 02:30")
    assert "1 attempts for the 2026-01-11 02:30 backup failed" in decision.reason


def test_a_paused_database_names_slot_and_end() -> None:
    until = at("12 20:00")
    words = "automatic backups are paused until 2026-01-12 20:00"

    decision = decide(after_pause(known_at("10 12:00"), until), at("10 13:00"))

    assert decision == Wait(at("11 02:30"), slot("11 02:30"), words)


def test_the_end_of_a_pause_is_told_in_these_words() -> None:
    decision = decide(after_pause(known_at("10 12:00"), at("10 20:00")), at("10 20:00"))

    assert decision == PauseOver("the pause has ended; automatic backups go on")


def test_the_words_of_a_clock_that_was_wrong() -> None:
    known = served(known_at("2027-01-10 12:00"), "2027-01-11 02:30")

    assert decide(known, at("2026-01-11 12:00")).reason == (
        "slots up to 2027-01-11 02:30 count as served, but it is 2026-01-11 12:00:"
        " the clock was wrong; slots count from now on"
    )


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (
            started(known_at("10 12:00"), "11 02:30"),
            "the 2026-01-11 02:30 backup is running since 2026-01-11 02:30",
        ),
        (
            after_manual_start(known_at("10 12:00"), at("10 13:05")),
            "a manual backup is running since 2026-01-10 13:05",
        ),
    ],
    ids=["for a slot", "manual"],
)
def test_while_a_backup_runs_nothing_is_awaited(running: Known, words: str) -> None:
    assert decide(running, at("11 02:40")) == Wait(None, None, words)


@pytest.mark.parametrize(
    ("now", "count", "last"),
    [
        ("13 02:30", 2, "12 02:30"),
        ("13 02:30:59", 2, "12 02:30"),
        ("13 02:31", 3, "13 02:30"),
    ],
)
def test_without_catch_up_the_slot_on_time_is_not_among_the_missed(
    now: str, count: int, last: str
) -> None:
    decision = decide(known_at("10 12:00", retry=RetryAtNextSlot()), at(now))

    assert isinstance(decision, Missed)
    assert (decision.slots.count, decision.slots.last) == (count, slot(last))
    assert decision.reason == f"{count} missed since 2026-01-11 02:30; settings: no catch-up"


# --- events ---------------------------------------------------------------------------------------


def test_a_run_stopped_with_the_service_is_owed() -> None:
    known = started(known_at("10 12:00"), "11 02:30")

    assert after_stop(known) == replace(known, running=None, trouble=Owed(slot("11 02:30")))


@pytest.mark.parametrize(
    "known",
    [known_at("10 12:00"), after_manual_start(known_at("10 12:00"), at("10 13:00"))],
    ids=["nothing runs", "manual"],
)
def test_a_stop_owes_nothing_when_no_slot_was_being_served(known: Known) -> None:
    assert after_stop(known) == known


def test_a_failure_and_a_halt_say_when_and_with_which_error() -> None:
    retry = RetryUpTo(MINUTE, 2)
    once = failed(known_at("10 12:00", retry=retry), "11 02:30", code=1405)
    assert once.trouble == Failure(slot("11 02:30"), 1, at("11 02:30"), 1405)

    twice = failed(once, "11 02:31", code=1408)

    assert twice.trouble == Halt(slot("11 02:30"), 2, at("11 02:31"), 1408)


def test_another_retry_policy_keeps_a_pending_retry() -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    changed = after_settings_change(known, NIGHTLY, UP_TO_3, PARIS, at("11 02:30:20"))

    assert changed.missed == ()
    assert changed.known == replace(known, retry=UP_TO_3)


def test_another_retry_policy_ends_a_halt() -> None:
    changed = after_settings_change(halted(), NIGHTLY, UP_TO_3, PARIS, at("11 12:00"))

    assert changed.missed == ()
    assert changed.known == replace(halted(), retry=UP_TO_3, trouble=None)


def test_a_success_of_which_the_service_did_not_know_ends_a_halt_and_serves_nothing() -> None:
    change = after_success(halted(), at("12 12:00"))

    assert change == Change(replace(halted(), trouble=None))
    assert brief(decide(change.known, at("12 12:00"))) == "run 01-12 02:30 attempt 1 missed 1"


def test_another_schedule_brings_its_retry_policy_zone_and_anchor() -> None:
    kiritimati = ZoneInfo("Pacific/Kiritimati")
    now = datetime(2026, 1, 4, 18, 30, tzinfo=UTC)  # Monday 08:30 there, Sunday in UTC

    changed = after_settings_change(
        known_at("03 12:00"), EVERY_OTHER_MONDAY, UP_TO_3, kiritimati, now
    )

    expected = Known(EVERY_OTHER_MONDAY, UP_TO_3, kiritimati, date(2026, 1, 12), now)
    # the slot of the 4th was due and is served still
    assert changed.known == replace(expected, trouble=Owed(slot("04 02:30"), missed=1))


def test_turning_backups_off_drops_the_retry_with_the_slots_that_are_due() -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(2 * DAY)), "11 02:30")

    changed = after_settings_change(known, Never(), ONCE, PARIS, at("12 12:00"))

    assert changed.known.trouble is None
    (missed,) = changed.missed
    assert brief(missed) == "missed 1 from 01-12 02:30 to 01-12 02:30"
    assert missed.reason == "automatic backups were turned off"


def test_turning_backups_off_after_a_pause_drops_the_retry_and_the_end_is_still_told() -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(20 * HOUR)), "11 02:30")
    paused = after_pause(known, at("11 12:00"))

    changed = after_settings_change(paused, Never(), ONCE, PARIS, at("11 13:00"))

    assert (changed.known.trouble, changed.missed) == (None, ())
    assert isinstance(decide(changed.known, at("11 13:00")), PauseOver)


def test_a_retry_that_is_due_is_no_owed_slot_under_the_new_schedule() -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    changed = after_settings_change(known, LATER, ONCE, PARIS, at("11 02:31"))

    assert changed.known.trouble == known.trouble


def test_the_daily_slot_of_a_new_anchor_is_the_first_matching_day() -> None:
    every_third = Daily(3, time(2, 30))

    changed = after_settings_change(known_at("10 12:00"), every_third, ONCE, PARIS, at("10 13:00"))

    assert changed.known.anchor == date(2026, 1, 11)
    assert brief(decide(changed.known, at("10 13:00") + timedelta(minutes=1))) == "wait 01-11 02:30"
