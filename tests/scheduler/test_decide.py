"""What the scheduler does when: the table of cases, read from top to bottom as documentation.

Each story begins with what is known, lets something happen, and states the decision.
"""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from scheduler.after import (
    after_cancel,
    after_clock_damage,
    after_failure,
    after_manual_start,
    after_missed,
    after_restart,
    after_settings_change,
    after_start,
    after_success,
)
from scheduler.decide import Missed, Run, Wait, decide
from scheduler.known import (
    Failure,
    Halt,
    Known,
    retry_delay,
)
from settings.explain import describe_schedule
from settings.model import (
    Daily,
    Hourly,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
)
from tests.scheduler.stories import (
    HOUR,
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

# --- on time, late, missed ------------------------------------------------------------------------

NORMAL = [
    # first start: nothing runs at once
    ("10 12:00", ONCE, "10 12:00", "wait 01-11 02:30"),
    ("10 02:30", ONCE, "10 02:30", "wait 01-11 02:30"),
    ("10 12:00", ONCE, "11 02:29:59", "wait 01-11 02:30"),
    # a start within a minute is on time
    ("10 12:00", ONCE, "11 02:30", "run 01-11 02:30 attempt 1 missed 0"),
    ("10 12:00", ONCE, "11 02:30:59", "run 01-11 02:30 attempt 1 missed 0"),
    ("10 12:00", ONCE, "11 02:31", "run 01-11 02:30 attempt 1 missed 1"),
    # one catch-up for all that was missed, labelled with the first; a week of sleep
    ("10 12:00", ONCE, "18 09:00", "run 01-11 02:30 attempt 1 missed 8"),
    ("10 12:00", UP_TO_3, "18 09:00", "run 01-11 02:30 attempt 1 missed 8"),
    ("10 12:00", ONCE, "18 02:30:10", "run 01-11 02:30 attempt 1 missed 7"),
    # "retry at the next scheduled date": no catch-up
    ("10 12:00", RetryAtNextSlot(), "11 02:30:30", "run 01-11 02:30 attempt 1 missed 0"),
    ("10 12:00", RetryAtNextSlot(), "18 09:00", "missed 8 from 01-11 02:30 to 01-18 02:30"),
    ("10 12:00", RetryAtNextSlot(), "18 02:30:10", "missed 7 from 01-11 02:30 to 01-17 02:30"),
]


@pytest.mark.parametrize(("since", "retry", "now", "expected"), NORMAL)
def test_a_slot_is_awaited_served_or_caught_up(
    since: str, retry: RetryPolicy, now: str, expected: str
) -> None:
    assert brief(decide(known_at(since, retry=retry), at(now))) == expected


def test_a_served_slot_is_not_served_again() -> None:
    known = served(known_at("10 12:00"), "11 02:30")

    assert brief(decide(known, at("11 02:31"))) == "wait 01-12 02:30"


def test_after_the_catch_up_the_next_slot_lies_ahead() -> None:
    known = served(known_at("10 12:00"), "18 09:00")

    assert brief(decide(known, at("18 09:05"))) == "wait 01-19 02:30"


def test_missed_slots_are_journaled_once_and_the_one_on_time_is_served() -> None:
    known = known_at("10 12:00", retry=RetryAtNextSlot())
    now = at("18 02:30:10")
    missed = decide(known, now)
    assert isinstance(missed, Missed)

    known = after_missed(known, missed)

    assert brief(decide(known, now)) == "run 01-18 02:30 attempt 1 missed 0"


@pytest.mark.parametrize("schedule", [Never(), Unschedulable("no weekday is selected")])
def test_without_a_schedule_nothing_is_awaited(schedule: Schedule) -> None:
    decision = decide(known_at("10 12:00", schedule), at("20 12:00"))

    assert decision == Wait(None, None, f"no next backup: {describe_schedule(schedule)}")


def test_every_third_day_keeps_its_phase_over_a_catch_up() -> None:
    known = served(known_at("10 12:00", Daily(3, time(2, 30))), "11 02:30")

    known = served(known, "19 12:00")  # missed the 14th and the 17th

    assert brief(decide(known, at("19 13:00"))) == "wait 01-20 02:30"


# --- nights on which clocks change ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "since", "times"),
    [
        (NIGHTLY, "2026-03-28 12:00", ["03-29 03:00", "03-30 02:30"]),
        (NIGHTLY, "2026-10-24 12:00", ["10-25 02:30", "10-26 02:30"]),
        (Hourly(1, time(0)), "2026-10-25 01:30", ["10-25 02:00", "10-25 02:00", "10-25 03:00"]),
        (Hourly(2, time(0)), "2026-10-25 01:30", ["10-25 02:00", "10-25 04:00"]),
        (Hourly(1, time(0)), "2026-03-29 01:30", ["03-29 03:00", "03-29 04:00"]),
    ],
)
def test_heartbeats_through_the_night_serve_each_slot_once(
    schedule: Schedule, since: str, times: list[str]
) -> None:
    known, now, runs = known_at(since, schedule), at(since), list[str]()

    while len(runs) < len(times):
        now += timedelta(seconds=50)
        decision = decide(known, now)
        if isinstance(decision, Run):
            runs.append(f"{now.astimezone(PARIS):%m-%d %H:%M}")
            assert (decision.missed, decision.attempt) == (0, 1)
            known = after_success(after_start(known, decision, now), now).known

    assert runs == times


# --- failure and retry ----------------------------------------------------------------------------


def test_a_failed_backup_is_retried_once_after_the_delay_then_the_next_slot() -> None:
    known = failed(known_at("10 12:00"), "11 02:30")
    assert brief(decide(known, at("11 02:30:59"))) == "wait 01-11 02:31"
    assert brief(decide(known, at("11 02:31"))) == "run 01-11 02:30 attempt 2 missed 0"

    known = failed(known, "11 02:31")

    assert known.trouble is None
    assert brief(decide(known, at("11 02:32"))) == "wait 01-12 02:30"


def test_a_successful_retry_ends_the_matter() -> None:
    known = served(failed(known_at("10 12:00"), "11 02:30"), "11 02:31")

    assert known.trouble is None
    assert brief(decide(known, at("11 02:40"))) == "wait 01-12 02:30"


def test_a_catch_up_has_its_retry() -> None:
    known = failed(known_at("10 12:00"), "18 09:00")

    assert brief(decide(known, at("18 09:01"))) == "run 01-11 02:30 attempt 2 missed 0"


def test_with_retry_at_the_next_slot_a_failure_is_dropped() -> None:
    known = failed(known_at("10 12:00", retry=RetryAtNextSlot()), "11 02:30")

    assert known.trouble is None
    assert brief(decide(known, at("11 12:00"))) == "wait 01-12 02:30"


def test_attempts_used_up_halt_with_1401() -> None:
    known = known_at("10 12:00", retry=UP_TO_3)
    for now in ("11 02:30", "11 02:31", "11 02:32"):
        known = failed(known, now)

    decision = decide(known, at("11 02:33"))

    assert isinstance(known.trouble, Halt)
    assert brief(decision) == "halted, next 01-12 02:30"
    assert decision.reason == (
        "error 1401: 3 attempts for the 2026-01-11 02:30 backup failed, the last with error 1407;"
        " no automatic backup until the service restarts, a manual backup succeeds or the settings"
        " change"
    )


def test_every_slot_that_passes_a_halt_is_journaled() -> None:
    known = halted()
    decision = decide(known, at("12 02:30"))
    assert isinstance(decision, Missed)
    assert brief(decision) == "missed 1 from 01-12 02:30 to 01-12 02:30"
    assert decision.reason.startswith("error 1401: ")

    known = after_missed(known, decision)

    assert brief(decide(known, at("12 02:31"))) == "halted, next 01-13 02:30"


@pytest.mark.parametrize(
    "lifted",
    [
        after_restart(halted(), at("11 12:00")),
        after_success(after_manual_start(halted(), at("11 11:00")), at("11 12:00")).known,
        after_success(halted(), at("11 12:00")).known,
        after_settings_change(halted(), NIGHTLY, UP_TO_3, PARIS, at("11 12:00")).known,
        after_settings_change(halted(), Daily(1, time(3)), ONCE, PARIS, at("11 12:00")).known,
    ],
    ids=["restart", "manual success", "success elsewhere", "other policy", "other schedule"],
)
def test_what_lifts_a_halt(lifted: Known) -> None:
    assert lifted.trouble is None
    assert isinstance(decide(lifted, at("11 12:00")), Wait)


@pytest.mark.parametrize(
    "kept",
    [
        after_failure(after_manual_start(halted(), at("11 11:00")), 1409, at("11 12:00")).known,
        after_cancel(after_manual_start(halted(), at("11 11:00")), at("11 12:00")).known,
        after_clock_damage(halted(), at("11 12:00")),
    ],
    ids=["manual failure", "manual cancelled", "clock damage"],
)
def test_what_does_not_lift_a_halt(kept: Known) -> None:
    assert brief(decide(kept, at("11 12:00"))) == "halted, next 01-12 02:30"


def test_a_halt_without_a_schedule_awaits_nothing() -> None:
    known = replace(halted(), schedule=Never())

    assert brief(decide(known, at("20 12:00"))) == "halted, next -"


@pytest.mark.parametrize(
    ("delay", "now", "expected"),
    [
        # never sooner than a second after the failure, whatever the settings say
        (timedelta(), "11 02:30:00.500", "wait 01-11 02:30"),
        (timedelta(), "11 02:30:01", "run 01-11 02:30 attempt 2 missed 0"),
        # the slot comes first
        (24 * HOUR, "11 12:00", "wait 01-12 02:30"),
        (25 * HOUR, "11 12:00", "wait 01-12 02:30"),
        (25 * HOUR, "12 02:30", "run 01-12 02:30 attempt 1 missed 0"),
        (24 * HOUR - MINUTE, "11 12:00", "wait 01-12 02:29"),
        (24 * HOUR - MINUTE, "12 02:29", "run 01-11 02:30 attempt 2 missed 0"),
    ],
)
def test_a_retry_keeps_its_distance_and_yields_to_the_next_slot(
    delay: timedelta, now: str, expected: str
) -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(delay)), "11 02:30")

    assert brief(decide(known, at(now))) == expected


def test_the_next_slot_starts_counting_attempts_anew() -> None:
    known = failed(known_at("10 12:00", retry=RetryUpTo(25 * HOUR, 3)), "11 02:30")

    known = failed(known, "12 02:30")

    assert isinstance(known.trouble, Failure)
    assert (known.trouble.slot.at, known.trouble.failed_attempts) == (at("12 02:30"), 1)


def test_a_manual_success_drops_the_retry_but_serves_no_slot() -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(2 * HOUR)), "11 02:30")

    known = after_success(after_manual_start(known, at("11 03:00")), at("11 03:10")).known

    assert brief(decide(known, at("11 04:30"))) == "wait 01-12 02:30"


def test_a_manual_failure_or_cancel_keeps_the_retry() -> None:
    known = failed(known_at("10 12:00", retry=RetryOnce(2 * HOUR)), "11 02:30")
    manual = after_manual_start(known, at("11 03:00"))

    assert after_failure(manual, 1409, at("11 03:10")).known == known
    assert after_cancel(manual, at("11 03:10")).known == known


def test_a_stopped_backup_is_not_retried_and_its_slot_counts_as_served() -> None:
    known = after_cancel(started(known_at("10 12:00"), "11 02:30"), at("11 02:35")).known

    assert known.trouble is None
    assert brief(decide(known, at("11 02:36"))) == "wait 01-12 02:30"


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "now", "reason"),
    [
        (known_at("10 12:00"), "10 12:00", "next backup 2026-01-11 02:30 (every day at 02:30)"),
        (
            known_at("2026-03-28 12:00"),
            "2026-03-28 12:00",
            (
                "next backup 2026-03-29 03:00 (every day at 02:30; 02:30 does not exist on 2026-03-29"
                " in Europe/Paris; served at 03:00, the first instant after the gap)"
            ),
        ),
        (known_at("10 12:00"), "11 02:30", "2026-01-11 02:30 backup (every day at 02:30)"),
        (known_at("10 12:00"), "11 09:00", "catch-up: the 2026-01-11 02:30 backup was missed"),
        (known_at("10 12:00"), "18 09:00", "catch-up: 8 missed since 2026-01-11 02:30"),
        (
            known_at("10 12:00", retry=RetryAtNextSlot()),
            "18 09:00",
            "8 missed since 2026-01-11 02:30; settings: no catch-up",
        ),
        (
            failed(known_at("10 12:00"), "11 02:30"),
            "11 02:30:30",
            "retry 1 of 1 of the 2026-01-11 02:30 backup at 2026-01-11 02:31, after error 1407",
        ),
        (
            failed(known_at("10 12:00", retry=RetryOnce(24 * HOUR)), "11 02:30"),
            "11 12:00",
            (
                "next backup 2026-01-12 02:30 (every day at 02:30);"
                " no retry of the 2026-01-11 02:30 backup before"
            ),
        ),
        (
            failed(known_at("10 12:00"), "11 02:30"),
            "12 09:00",
            (
                "catch-up: the 2026-01-12 02:30 backup was missed;"
                " the retry of the 2026-01-11 02:30 backup is dropped, the slot comes first"
            ),
        ),
    ],
)
def test_every_decision_says_why(known: Known, now: str, reason: str) -> None:
    assert decide(known, at(now)).reason == reason


def test_with_retry_at_the_next_slot_there_is_no_delay() -> None:
    assert retry_delay(RetryAtNextSlot()) is None
