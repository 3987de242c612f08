"""What is owed: slots that were due when settings changed or the service stopped, and are served or told."""

from dataclasses import replace
from datetime import datetime, time

import pytest

from scheduler.after import (
    after_clock_damage,
    after_manual_start,
    after_pause,
    after_sets_seen,
    after_settings_change,
    after_stop,
    after_success,
)
from scheduler.decide import Missed, Run, decide
from scheduler.known import Failure, Known, Owed, Serving
from scheduler.slots import Slot
from settings.model import Daily, Hourly, Never, RetryAtNextSlot
from tests.scheduler.stories import (
    LATER,
    ONCE,
    PARIS,
    at,
    brief,
    failed,
    halted,
    known_at,
    served,
    started,
)


def changed(known: Known, now: str, schedule: Daily | Never = LATER) -> Known:
    change = after_settings_change(known, schedule, known.retry, PARIS, at(now))
    assert change.missed == ()
    return change.known


def test_a_catch_up_that_new_settings_come_before_is_still_told_as_one() -> None:
    known = changed(known_at("10 12:00"), "14 12:00")

    decision = decide(known, at("14 12:00"))

    assert isinstance(decision, Run)
    assert brief(decision) == "run 01-11 02:30 attempt 1 missed 4"
    assert decision.reason == "catch-up: 4 missed since 2026-01-11 02:30"


def test_a_slot_that_new_settings_meet_in_time_is_no_catch_up() -> None:
    known = changed(known_at("10 12:00"), "11 02:30")

    assert brief(decide(known, at("11 02:30"))) == "run 01-11 02:30 attempt 1 missed 0"


def test_what_is_owed_and_what_came_due_since_is_one_catch_up() -> None:
    known = after_stop(started(known_at("10 12:00"), "11 02:30"))

    decision = decide(known, at("13 12:00"))

    assert isinstance(decision, Run)
    assert brief(decision) == "run 01-11 02:30 attempt 1 missed 3"
    assert decision.covers_until == at("13 02:30")


def test_a_slot_that_comes_in_time_with_what_is_owed_is_served_with_it() -> None:
    known = after_stop(started(known_at("10 12:00"), "11 02:30"))

    decision = decide(known, at("12 02:30"))

    assert isinstance(decision, Run)
    assert brief(decision) == "run 01-11 02:30 attempt 1 missed 0"
    assert decision.covers_until == at("12 02:30")


def test_what_is_owed_is_made_without_catch_up_too_and_the_rest_is_told() -> None:
    owed = after_stop(started(known_at("10 12:00"), "11 02:30"))
    known = replace(owed, retry=RetryAtNextSlot())

    decision = decide(known, at("13 12:00"))

    assert isinstance(decision, Missed)
    assert brief(decision) == "missed 2 from 01-12 02:30 to 01-13 02:30"
    known = replace(known, answered_until=decision.slots.last.at)
    assert brief(decide(known, at("13 12:00"))) == "run 01-11 02:30 attempt 1 missed 0"


def test_what_is_owed_is_counted_on_when_settings_change_again() -> None:
    known = changed(known_at("10 12:00"), "12 12:00")

    known = changed(known, "14 12:00", Daily(1, time(5)))

    assert brief(decide(known, at("14 12:00"))) == "run 01-11 02:30 attempt 1 missed 4"


def test_what_is_owed_is_told_as_missed_when_backups_are_turned_off() -> None:
    owed = after_stop(started(known_at("10 12:00"), "11 02:30"))

    change = after_settings_change(owed, Never(), ONCE, PARIS, at("13 12:00"))

    (missed,) = change.missed
    assert brief(missed) == "missed 3 from 01-11 02:30 to 01-13 02:30"
    assert missed.reason == "automatic backups were turned off"
    assert change.known.trouble is None


def test_what_came_due_in_a_run_is_answered_when_settings_change_during_it() -> None:
    known = started(known_at("10 23:30", Hourly(1, time(0))), "11 10:00")

    change = after_settings_change(known, LATER, ONCE, PARIS, at("11 13:30"))

    (missed,) = change.missed
    assert brief(missed) == "missed 2 from 01-11 12:00 to 01-11 13:00"  # 11:00 is the run's
    assert isinstance(change.known.running, Serving)


def test_what_was_due_before_a_persons_own_run_is_owed_when_settings_change_during_it() -> None:
    known = after_manual_start(known_at("10 12:00"), at("11 02:31"))

    known = changed(known, "11 02:40")

    assert known.trouble == Owed(decide_first(known_at("10 12:00")), missed=1)
    ended = after_success(known, at("11 02:50")).known
    assert brief(decide(ended, at("11 02:50"))) == "run 01-11 02:30 attempt 1 missed 1"


def test_without_catch_up_it_is_told_instead() -> None:
    known = after_manual_start(known_at("10 12:00", retry=RetryAtNextSlot()), at("11 02:31"))

    change = after_settings_change(known, LATER, RetryAtNextSlot(), PARIS, at("11 02:40"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert "no catch-up" in missed.reason


def test_a_pause_is_kept_when_settings_change_during_a_persons_own_run() -> None:
    known = after_pause(known_at("10 12:00"), at("20 12:00"))
    known = after_manual_start(known, at("11 02:31"))

    change = after_settings_change(known, LATER, ONCE, PARIS, at("11 02:40"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"
    assert "paused" in missed.reason
    assert change.known.trouble is None
    assert change.known.running == known.running


def test_what_was_told_before_is_not_told_again_when_backups_are_turned_off() -> None:
    owed = replace(after_stop(started(known_at("10 12:00"), "11 02:30")), retry=RetryAtNextSlot())

    change = after_settings_change(owed, Never(), ONCE, PARIS, at("13 12:00"))

    assert [brief(missed) for missed in change.missed] == [
        "missed 2 from 01-12 02:30 to 01-13 02:30",
        "missed 1 from 01-11 02:30 to 01-11 02:30",
    ]


def decide_first(known: Known) -> Slot:
    decision = decide(known, at("11 02:30"))
    assert isinstance(decision, Run)
    return decision.slot


# --- sets the state does not know of --------------------------------------------------------------


def seen(known: Known, slots: list[str], now: str) -> Known:
    return after_sets_seen(known, frozenset(map(at, slots)), at(now))


def test_a_run_that_died_after_its_set_had_appeared_has_served_its_slot() -> None:
    known = started(known_at("10 12:00"), "11 02:30")

    assert seen(known, ["11 02:30"], "11 03:00").running is None


def test_a_set_for_another_slot_proves_nothing_of_a_run_that_died() -> None:
    known = started(known_at("10 12:00"), "11 02:30")

    assert seen(known, ["20 02:30"], "11 03:00") == known


@pytest.mark.parametrize("trouble", ["failure", "owed"])
def test_a_slot_with_a_set_needs_no_other_attempt(trouble: str) -> None:
    known = failed(known_at("10 12:00"), "11 02:30")
    if trouble == "owed":
        assert isinstance(known.trouble, Failure)
        known = replace(known, trouble=Owed(known.trouble.slot))

    assert seen(known, ["11 02:30"], "11 03:00").trouble is None
    assert seen(known, ["12 02:30"], "12 03:00").trouble == known.trouble


def test_a_state_that_could_not_be_saved_is_caught_up_by_the_sets() -> None:
    assert seen(known_at("10 12:00"), ["11 02:30", "12 02:30"], "12 12:00").answered_until == at(
        "12 02:30"
    )


def test_a_set_of_a_clock_that_was_ahead_moves_nothing() -> None:
    known = known_at("10 12:00")

    assert seen(known, ["2027-01-11 02:30"], "12 12:00") == known


def test_a_retry_for_a_slot_of_a_clock_that_was_ahead_moves_nothing_either() -> None:
    ahead = failed(served(known_at("10 12:00"), "20 12:00"), "21 02:30")
    known = after_clock_damage(ahead, at("12 12:00"))
    known = started(known, "12 12:00")

    known = seen(known, ["21 02:30"], "25 12:00")

    assert known.running is None
    assert brief(decide(known, at("25 12:00"))) == "run 01-13 02:30 attempt 1 missed 13"


def test_older_sets_move_nothing_back() -> None:
    known = replace(
        known_at("10 12:00"), answered_until=datetime.fromisoformat("2026-01-12T00:00Z")
    )

    assert seen(known, ["11 02:30"], "12 12:00") == known


# --- words and counts -----------------------------------------------------------------------------


def test_a_catch_up_that_a_pause_holds_back_is_told_whole_when_backups_are_turned_off() -> None:
    known = after_pause(changed(known_at("10 12:00"), "14 12:00"), at("15 12:00"))

    change = after_settings_change(known, Never(), ONCE, PARIS, at("14 12:01"))

    (missed,) = change.missed
    assert brief(missed) == "missed 4 from 01-11 02:30 to 01-14 02:30"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ("11 12:00", "the 2026-01-11 02:30 backup was due and is still owed"),
        ("12 02:30", "catch-up: 2 missed since 2026-01-11 02:30"),
        ("12 12:00", "catch-up: 2 missed since 2026-01-11 02:30"),
    ],
)
def test_one_owed_slot_is_owed_and_more_are_a_catch_up(now: str, reason: str) -> None:
    decision = decide(changed(known_at("10 12:00"), now), at(now))

    assert isinstance(decision, Run)
    assert decision.reason == reason


@pytest.mark.parametrize(("now", "missed"), [("11 02:30:59", 0), ("11 02:31", 1)])
def test_a_minute_after_it_was_due_an_owed_slot_is_late(now: str, missed: int) -> None:
    trouble = changed(known_at("10 12:00"), now).trouble

    assert isinstance(trouble, Owed)
    assert trouble.missed == missed


def test_what_is_owed_without_catch_up_tells_how_many_are_dropped() -> None:
    owed = after_stop(started(known_at("10 12:00"), "11 02:30"))

    decision = decide(replace(owed, retry=RetryAtNextSlot()), at("13 12:00"))

    assert isinstance(decision, Missed)
    assert decision.reason == "2 missed since 2026-01-12 02:30; settings: no catch-up"


def test_a_lone_owed_slot_is_told_as_one_when_backups_are_turned_off() -> None:
    owed = after_stop(started(known_at("10 12:00"), "11 02:30"))

    change = after_settings_change(owed, Never(), ONCE, PARIS, at("11 02:31"))

    (missed,) = change.missed
    assert brief(missed) == "missed 1 from 01-11 02:30 to 01-11 02:30"


def test_another_schedule_ends_a_halt() -> None:
    assert changed(halted(), "11 12:00").trouble is None
    assert changed(halted(), "11 12:00", Never()).trouble is None


def test_what_is_owed_alone_stays_so_when_settings_change_again() -> None:
    owed = after_stop(started(known_at("10 12:00"), "11 02:30"))

    assert changed(owed, "11 02:31").trouble == owed.trouble


def test_the_slot_of_this_very_instant_counts_as_seen() -> None:
    assert seen(known_at("10 12:00"), ["11 02:30"], "11 02:30").answered_until == at("11 02:30")
