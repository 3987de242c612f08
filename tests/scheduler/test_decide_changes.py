"""What the scheduler does when the clock jumps or the settings change."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest

from scheduler.after import (
    after_clock_damage,
    after_manual_start,
    after_settings_change,
    after_success,
)
from scheduler.decide import ClockDamage, Run, decide, tolerance
from scheduler.known import Manual, Owed, Serving
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
from tests.scheduler.stories import (
    DAY,
    LATER,
    MINUTE,
    NIGHTLY,
    ONCE,
    PARIS,
    UP_TO_3,
    at,
    brief,
    decide_slot,
    failed,
    known_at,
    served,
    started,
)

# --- the clock ------------------------------------------------------------------------------------


def test_a_clock_set_back_serves_nothing_twice() -> None:
    known = served(known_at("10 12:00"), "11 02:30")

    assert brief(decide(known, at("11 01:30"))) == "wait 01-12 02:30"
    assert brief(decide(known, at("11 02:30"))) == "wait 01-12 02:30"
    assert brief(decide(known, at("09 02:30"))) == "wait 01-12 02:30"


def test_a_clock_that_was_a_year_ahead_does_not_stop_backups() -> None:
    known = served(known_at("10 12:00"), "2027-01-11 12:00")
    now = at("12 12:00")
    decision = decide(known, now)
    assert isinstance(decision, ClockDamage)
    assert decision.reason == (
        "slots up to 2027-01-11 02:30 count as served, but it is 2026-01-12 12:00:"
        " the clock was wrong; slots count from now on"
    )

    known = after_clock_damage(known, now)

    assert brief(decide(known, now)) == "wait 01-13 02:30"


def test_a_clock_a_year_behind_at_boot_catches_up_once() -> None:
    known = known_at("2025-01-11 12:00")

    known = served(known, "11 12:00")

    assert brief(decide(known, at("11 12:05"))) == "wait 01-12 02:30"


def test_clock_damage_keeps_the_phase_of_every_n() -> None:
    known = served(known_at("10 12:00", Daily(3, time(2, 30))), "2027-01-11 12:00")

    known = after_clock_damage(known, at("12 12:00"))

    assert brief(decide(known, at("12 12:00"))) == "wait 01-14 02:30"


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        (Never(), 2),
        (Unschedulable("no day"), 2),
        (Hourly(1, time(0)), 2),
        (Daily(1, time(0)), 2),
        (Daily(5, time(0)), 6),
        (Weekly(2, ((0, time(0)),)), 15),
        (Monthly(1, 1, time(0)), 32),
        (Monthly(12, 1, time(0)), 32),
        (Daily(10**12, time(0)), 32),
    ],
)
def test_how_far_ahead_a_served_slot_may_lie(schedule: Schedule, days: int) -> None:
    known = known_at("2026-06-01 12:00", schedule)
    now = known.answered_until - days * DAY

    assert tolerance(schedule) == days * DAY
    assert not isinstance(decide(known, now), ClockDamage)
    assert isinstance(decide(known, now - MINUTE), ClockDamage)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("11 02:30:59", "wait 01-11 02:31"),
        ("11 02:29", "wait 01-11 02:31"),
        ("11 02:28:59", "run 01-11 02:30 attempt 2 missed 0"),
        ("10 18:00", "run 01-11 02:30 attempt 2 missed 0"),
    ],
)
def test_a_clock_set_back_does_not_hold_up_the_retry(now: str, expected: str) -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    assert brief(decide(known, at(now))) == expected


def test_a_retry_survives_clock_damage() -> None:
    known = failed(known_at("10 12:00"), "2027-01-11 12:00")
    now = at("12 12:00")

    known = after_clock_damage(known, now)

    assert isinstance(decide(known, now), Run)


def test_a_clock_set_back_during_a_run_serves_its_slot() -> None:
    change = after_success(started(known_at("10 12:00"), "11 02:30"), at("11 01:30"))

    assert change.missed == ()
    assert brief(decide(change.known, at("11 01:31"))) == "wait 01-12 02:30"


# --- settings -------------------------------------------------------------------------------------


def test_a_changed_schedule_counts_from_now() -> None:
    known = served(known_at("10 12:00"), "11 02:30")

    change = after_settings_change(known, Daily(3, time(4)), ONCE, PARIS, at("11 12:00"))

    assert change.missed == ()
    assert change.known == known_at("11 12:00", Daily(3, time(4)))
    assert change.known.anchor == date(2026, 1, 12)


def test_the_same_schedule_keeps_its_phase_and_its_slot() -> None:
    known = served(known_at("10 12:00", Daily(3, time(2, 30))), "11 02:30")

    change = after_settings_change(known, known.schedule, UP_TO_3, PARIS, at("16 12:00"))

    assert brief(decide(change.known, at("16 12:00"))) == "run 01-14 02:30 attempt 1 missed 1"


def test_another_zone_keeps_the_phase_and_misses_nothing() -> None:
    known = served(known_at("10 12:00", Daily(3, time(2, 30))), "11 02:30")
    new_york = ZoneInfo("America/New_York")

    change = after_settings_change(known, known.schedule, ONCE, new_york, at("11 12:00"))

    assert change.missed == ()
    assert brief(decide(change.known, at("11 12:00"))) == "wait 01-14 08:30"


def test_a_due_slot_is_still_served_after_the_change() -> None:
    now = at("11 02:30:10")
    change = after_settings_change(known_at("10 12:00"), LATER, ONCE, PARIS, now)

    decision = decide(change.known, now)

    assert brief(decision) == "run 01-11 02:30 attempt 1 missed 0"
    assert decision.reason == "the 2026-01-11 02:30 backup was due and is still owed"
    assert brief(decide(served(change.known, "11 02:31"), at("11 02:35"))) == "wait 01-11 04:00"


def test_a_manual_success_does_not_serve_the_owed_slot() -> None:
    change = after_settings_change(known_at("10 12:00"), LATER, ONCE, PARIS, at("11 02:30:10"))
    manual = after_manual_start(change.known, at("11 02:31"))

    assert isinstance(after_success(manual, at("11 02:40")).known.trouble, Owed)


def test_a_pending_retry_outlives_the_change() -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    change = after_settings_change(known, LATER, ONCE, PARIS, at("11 02:30:30"))

    assert brief(decide(change.known, at("11 02:31"))) == "run 01-11 02:30 attempt 2 missed 0"
    due = after_settings_change(known, LATER, ONCE, PARIS, at("11 02:31:30"))
    assert brief(decide(due.known, at("11 02:31:30"))) == "run 01-11 02:30 attempt 2 missed 0"


@pytest.mark.parametrize("schedule", [Never(), Unschedulable("no day")])
def test_turning_backups_off_drops_the_retry(schedule: Schedule) -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    change = after_settings_change(known, schedule, ONCE, PARIS, at("11 02:30:30"))

    assert change.known.trouble is None
    assert brief(decide(change.known, at("11 02:31"))) == "wait -"


def test_turning_backups_off_journals_what_was_due() -> None:
    change = after_settings_change(known_at("10 12:00"), Never(), ONCE, PARIS, at("12 12:00"))

    (missed,) = change.missed
    assert brief(missed) == "missed 2 from 01-11 02:30 to 01-12 02:30"
    assert missed.reason == "automatic backups were turned off"


def test_misses_under_the_old_schedule_are_journaled_before_the_new_one() -> None:
    known = known_at("10 12:00", retry=RetryAtNextSlot())

    change = after_settings_change(known, LATER, RetryAtNextSlot(), PARIS, at("13 02:30:10"))

    (missed,) = change.missed
    assert brief(missed) == "missed 2 from 01-11 02:30 to 01-12 02:30"
    assert change.known.trouble == Owed(decide_slot(change.known, "13 02:30:10"))


def test_fewer_attempts_than_already_failed_await_the_next_slot() -> None:
    known = known_at("10 12:00", retry=UP_TO_3)
    known = failed(failed(known, "11 02:30"), "11 02:31")

    change = after_settings_change(known, NIGHTLY, ONCE, PARIS, at("11 02:31:30"))

    assert brief(decide(change.known, at("11 02:32"))) == "wait 01-12 02:30"


def test_a_run_goes_on_over_a_change() -> None:
    known = started(known_at("10 12:00"), "11 02:30")

    change = after_settings_change(known, LATER, ONCE, PARIS, at("11 02:35"))

    assert change.known.running == Serving(
        decide_slot(known_at("10 12:00"), "11 02:30"), 1, at("11 02:30")
    )
    ended = after_success(change.known, at("11 02:40"))
    assert brief(decide(ended.known, at("11 02:40"))) == "wait 01-11 04:00"


def test_a_manual_run_is_known_by_its_beginning() -> None:
    assert after_manual_start(known_at("10 12:00"), at("10 13:00")).running == Manual(
        at("10 13:00")
    )
