"""The trace of a real 4D (spec 2.6) replayed: weekly, Monday 08:00, retry after a minute, California."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.after import (
    after_failure,
    after_manual_start,
    after_restart,
    after_start,
    after_success,
)
from scheduler.decide import Run, Wait, decide
from scheduler.known import Known, watch
from scheduler.slots import next_slot
from settings.model import RetryOnce, Weekly

MONDAY = 0
MONDAYS = Weekly(1, ((MONDAY, time(8)),))
CALIFORNIA = ZoneInfo("America/Los_Angeles")
MINUTE = timedelta(minutes=1)


def at(wall: str) -> datetime:
    return datetime.fromisoformat(wall).replace(tzinfo=CALIFORNIA).astimezone(UTC)


def local(instant: datetime | None) -> str:
    return f"{instant.astimezone(CALIFORNIA):%a %Y-%m-%d %H:%M}" if instant else "-"


# --- the dates 4D planned -------------------------------------------------------------------------

# (the last success, or the moment 4D counted from; the date 4D said it had planned)
RIGHT = [
    ("2016-01-09 12:04", "Mon 2016-01-11 08:00"),
    ("2016-01-11 08:00", "Mon 2016-01-18 08:00"),
    ("2016-01-28 13:27", "Mon 2016-02-01 08:00"),
    ("2016-02-27 09:32", "Mon 2016-02-29 08:00"),
    ("2016-03-06 09:20", "Mon 2016-03-07 08:00"),
    ("2017-01-17 15:24", "Mon 2017-01-23 08:00"),
    ("2017-01-17 15:59", "Mon 2017-01-23 08:00"),
]
# (the same; the date 4D said; ours): after 16:00 in California it is tomorrow in UTC
WRONG = [
    ("2016-03-05 18:50", "Sun 2016-03-06 08:00", "Mon 2016-03-07 08:00"),
    ("2017-01-17 16:00", "Sun 2017-01-22 08:00", "Mon 2017-01-23 08:00"),
    ("2017-01-17 18:57", "Sun 2017-01-22 08:00", "Mon 2017-01-23 08:00"),
]


def planned_by_4d(since: datetime) -> str:
    """4D's own arithmetic: days to Monday by the UTC weekday, added to the local date."""
    today = since.astimezone(CALIFORNIA).date()
    days = (MONDAY - since.weekday()) % 7 or 7
    return local(at(f"{today + timedelta(days=days)} 08:00"))


def planned_by_us(since: datetime) -> str:
    slot = next_slot(MONDAYS, since, since.astimezone(CALIFORNIA).date(), CALIFORNIA)
    return local(slot.at if slot else None)


@pytest.mark.parametrize(("since", "planned"), RIGHT)
def test_the_date_a_real_4d_planned_is_ours(since: str, planned: str) -> None:
    assert planned_by_us(at(since)) == planned_by_4d(at(since)) == planned


@pytest.mark.parametrize(("since", "planned", "ours"), WRONG)
def test_4ds_bug_of_utc_weekday_and_local_date_planned_a_sunday_where_we_plan_the_monday(
    since: str, planned: str, ours: str
) -> None:
    assert planned_by_4d(at(since)) == planned
    assert planned_by_us(at(since)) == ours


# --- what ran when --------------------------------------------------------------------------------

# (moment, what we do then, what then happens; the planned date 4D wrote, and how it went there)
STORY = [
    ("2016-01-09 12:04", "wait Mon 2016-01-11 08:00", "manual"),
    ("2016-01-11 08:00", "run Mon 2016-01-11 08:00, missed 0", "done"),  # the same, [0003]
    ("2016-01-28 13:27", "run Mon 2016-01-18 08:00, missed 2", "done"),  # the same, [0004]
    # 4D: 01 February every minute, 72 times, also after a restart
    ("2016-02-25 19:23", "run Mon 2016-02-01 08:00, missed 4", "failed"),
    ("2016-02-25 19:24", "run Mon 2016-02-01 08:00, attempt 2", "failed"),
    ("2016-02-25 19:25", "wait Mon 2016-02-29 08:00", ""),
    ("2016-02-25 22:40", "wait Mon 2016-02-29 08:00", "restarted"),
    # 4D: still 01 February, [0005]
    ("2016-02-27 09:32", "wait Mon 2016-02-29 08:00", "manual"),
    ("2016-03-05 18:50", "run Mon 2016-02-29 08:00, missed 1", "done"),  # the same, [0006]
    # 4D: "Sun 03-06 08:00", its weekday bug, [0007]
    ("2016-03-06 09:20", "wait Mon 2016-03-07 08:00", "manual"),
    # 4D: 07 March every minute, about 165 times
    ("2016-05-18 10:44", "run Mon 2016-03-07 08:00, missed 11", "failed"),
    ("2016-05-18 10:45", "run Mon 2016-03-07 08:00, attempt 2", "failed"),
    ("2016-05-18 10:46", "wait Mon 2016-05-23 08:00", ""),
    # the database was moved: nothing known. 4D: every minute, "Sun 01-22" from 16:00, [0001]
    ("2017-01-17 15:24", "wait Mon 2017-01-23 08:00", "forgotten"),
    ("2017-01-17 16:00", "wait Mon 2017-01-23 08:00", ""),
    ("2017-01-17 18:57", "wait Mon 2017-01-23 08:00", "manual"),
    ("2017-01-23 08:00", "run Mon 2017-01-23 08:00, missed 0", "done"),
]


def first_known(now: datetime) -> Known:
    return watch(MONDAYS, RetryOnce(MINUTE), CALIFORNIA, now)


def told(decision: object) -> str:
    match decision:
        case Run(slot, _, 1, missed, _):
            return f"run {local(slot.at)}, missed {missed}"
        case Run(slot, _, attempt, 0, _):
            return f"run {local(slot.at)}, attempt {attempt}"
        case Wait(until):
            return f"wait {local(until)}"
        case _:
            return repr(decision)


def test_the_trace_of_a_real_4d_without_its_weekday_bug_and_its_endless_retries() -> None:
    known = first_known(at("2016-01-09 12:00"))

    for moment, expected, then in STORY:
        now = at(moment)
        if then == "forgotten":
            known = first_known(now)
        if then == "restarted":
            known = after_restart(known, now)
        decision = decide(known, now)
        assert told(decision) == expected, moment
        if isinstance(decision, Run):
            known = after_start(known, decision, now)
        if then == "manual":
            known = after_manual_start(known, now)
        if then in {"done", "manual"}:
            known = after_success(known, now + timedelta(seconds=20)).known
        if then == "failed":
            known = after_failure(known, 1407, now).known
