"""What the scheduler does after a restart, and with slots that come due while a backup runs."""

from datetime import time, timedelta

import pytest

from scheduler.after import (
    BACKUP_FAILED,
    after_cancel,
    after_failure,
    after_manual_start,
    after_restart,
    after_start,
    after_success,
)
from scheduler.decide import Run, Wait, decide
from scheduler.known import Failure
from settings.model import (
    Hourly,
    RetryUpTo,
)
from tests.scheduler.stories import MINUTE, at, brief, failed, known_at, started

# --- restart --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("11 02:30:40", "wait 01-11 02:31"),
        ("11 02:31", "run 01-11 02:30 attempt 2 missed 0"),
        ("11 20:00", "run 01-11 02:30 attempt 2 missed 0"),
        ("12 20:00", "run 01-12 02:30 attempt 1 missed 1"),  # the slot wins
    ],
)
def test_a_pending_retry_survives_a_restart(now: str, expected: str) -> None:
    known = failed(known_at("10 12:00"), "11 02:30")

    known = after_restart(known, at(now))

    assert brief(decide(known, at(now))) == expected


def test_a_run_that_died_with_the_service_is_a_failed_attempt() -> None:
    known = started(known_at("10 12:00"), "11 02:30")

    known = after_restart(known, at("11 02:40"))

    assert isinstance(known.trouble, Failure)
    assert known.trouble.code == BACKUP_FAILED
    assert brief(decide(known, at("11 02:40"))) == "wait 01-11 02:41"


def test_runs_that_kill_the_service_do_not_storm() -> None:
    known, now, attempts = known_at("10 12:00"), at("11 02:30"), []
    for _ in range(200):
        now += timedelta(seconds=5)  # systemd starts us again and again
        known = after_restart(known, now)
        decision = decide(known, now)
        if isinstance(decision, Run):
            attempts.append(decision.attempt)
            known = after_start(known, decision, now)

    assert attempts == [1, 2]


def test_the_last_attempt_dying_with_the_service_does_not_halt_the_new_one() -> None:
    known = started(known_at("10 12:00", retry=RetryUpTo(MINUTE, 1)), "11 02:30")

    known = after_restart(known, at("11 02:40"))

    assert brief(decide(known, at("11 02:40"))) == "wait 01-12 02:30"


def test_a_manual_run_that_died_with_the_service_is_forgotten() -> None:
    known = known_at("10 12:00")

    assert after_restart(after_manual_start(known, at("10 13:00")), at("10 14:00")) == known


# --- slots that come due while a backup runs ------------------------------------------------------


def test_while_a_backup_runs_there_is_nothing_to_decide() -> None:
    known = known_at("10 12:00")

    assert decide(started(known, "11 02:30"), at("12 12:00")) == Wait(
        None, None, "the 2026-01-11 02:30 backup is running since 2026-01-11 02:30"
    )
    assert decide(after_manual_start(known, at("10 13:00:05")), at("12 12:00")) == Wait(
        None, None, "a manual backup is running since 2026-01-10 13:00:05"
    )


@pytest.mark.parametrize(
    ("ended", "missed", "then"),
    [
        ("11 10:50", None, "wait 01-11 11:00"),
        ("11 11:50", None, "wait 01-11 12:00"),  # 11:00 is served by the run of 10:00
        ("11 12:00", "missed 1 from 01-11 12:00 to 01-11 12:00", "wait 01-11 13:00"),
        ("11 14:10", "missed 3 from 01-11 12:00 to 01-11 14:00", "wait 01-11 15:00"),
    ],
)
@pytest.mark.parametrize("end", [after_success, after_cancel])
def test_a_run_serves_the_slot_after_its_own_and_no_more(
    end: type, ended: str, missed: str | None, then: str
) -> None:
    known = started(known_at("11 09:30", Hourly(1, time(0))), "11 10:00")

    change = end(known, at(ended))

    assert [brief(one) for one in change.missed] == ([missed] if missed else [])
    assert brief(decide(change.known, at(ended))) == then


def test_an_overlong_run_that_fails_is_retried_after_the_delay() -> None:
    known = started(known_at("11 09:30", Hourly(1, time(0))), "11 10:00")

    change = after_failure(known, 1409, at("11 12:10"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 12:00 to 01-11 12:00"
    assert brief(decide(change.known, at("11 12:10"))) == "wait 01-11 12:11"
    assert brief(decide(change.known, at("11 12:11"))) == "run 01-11 10:00 attempt 2 missed 0"


@pytest.mark.parametrize("end", [after_success, after_cancel])
def test_a_slot_due_during_a_manual_backup_is_missed(end: type) -> None:
    known = after_manual_start(known_at("10 12:00"), at("11 02:20"))

    change = end(known, at("11 02:50"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert missed.reason == "came due while another backup of this database was running"
    assert brief(decide(change.known, at("11 02:50"))) == "wait 01-12 02:30"


def test_a_slot_due_before_the_manual_backup_began_is_served_after_it() -> None:
    known = after_manual_start(known_at("10 12:00"), at("11 02:31"))

    change = after_success(known, at("11 02:50"))

    assert change.missed == ()
    assert brief(decide(change.known, at("11 02:50"))) == "run 01-11 02:30 attempt 1 missed 1"
