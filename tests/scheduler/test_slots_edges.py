"""The edges of the slot arithmetic that no everyday table touches."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from scheduler.slots import first_anchor, missed_slots, next_slot, slots_after
from scheduler.wall import Once, Skipped, Twice, find_occurrence, wall_at
from settings.model import Daily, Hourly, Monthly, Schedule, Weekly

UTC_ZONE = ZoneInfo("UTC")
KIRITIMATI = ZoneInfo("Pacific/Kiritimati")  # 14 hours ahead of UTC
PARIS = ZoneInfo("Europe/Paris")
ANCHOR = date(2026, 1, 1)
DAY = timedelta(days=1)
LAST_DAY = date(9999, 12, 25)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- the first anchor -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule", [Hourly(6, time(8)), Daily(2, time(23)), Weekly(2, ((2, time(23)),))]
)
def test_the_first_anchor_is_a_day_of_the_zone_not_of_utc(schedule: Schedule) -> None:
    # Wednesday 7 January, 00:30 in Kiritimati
    assert first_anchor(schedule, utc("2026-01-06 10:30"), KIRITIMATI) == date(2026, 1, 7)


def test_the_first_anchor_of_months_is_a_day_of_the_zone() -> None:
    found = first_anchor(Monthly(2, 7, time(2)), utc("2026-01-06 10:30"), KIRITIMATI)

    assert found == date(2026, 1, 7)


# --- every N, far away ----------------------------------------------------------------------------


@pytest.mark.timeout(10)  # day by day this takes longer
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Daily(1_000_000, time(8)), date.fromordinal(ANCHOR.toordinal() + 1_000_000)),
        (Weekly(250_000, ((3, time(8)),)), ANCHOR + 250_000 * 7 * DAY),
        (Monthly(12 * 7000, 31, time(8)), date(9026, 1, 31)),
    ],
)
def test_the_next_of_many_units_is_found_without_walking(
    schedule: Schedule, expected: date
) -> None:
    slot = next_slot(schedule, utc("2026-02-01 12:00"), ANCHOR, UTC_ZONE)

    assert slot is not None
    assert slot.at.date() == expected


def test_an_anchor_may_lie_in_the_future() -> None:
    slot = next_slot(Daily(3, time(8)), utc("2026-01-05 12:00"), date(2026, 2, 1), UTC_ZONE)

    assert slot is not None
    assert slot.at == utc("2026-01-08 08:00")


# --- the ends of the calendar ---------------------------------------------------------------------


def test_the_last_day_has_its_slot_where_it_comes_before_the_end() -> None:
    slots = list(slots_after(Daily(1, time(0)), utc("9999-12-20 00:00"), ANCHOR, KIRITIMATI))

    assert slots[-1].wall == datetime.combine(LAST_DAY, time())


def test_no_slot_lies_at_the_end_itself() -> None:
    for schedule in (Daily(1, time(0)), Hourly(1, time(0))):
        slots = list(slots_after(schedule, utc("9999-12-20 00:00"), ANCHOR, UTC_ZONE))
        assert slots[-1].at < datetime.combine(LAST_DAY, time(), UTC)
        assert slots[-1].at >= utc("9999-12-24 00:00")


# --- missed hours ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "now", "count"),
    [
        ("2026-01-10 00:00", "2026-01-10 00:00", 0),
        ("2026-01-10 00:00", "2026-01-10 01:00", 1),
        ("2026-01-10 00:00", "2026-01-11 00:00", 24),
        ("2026-01-10 00:00", "2026-01-12 00:00", 48),
        ("2026-01-09 23:59:59", "2026-01-12 00:00", 49),
        ("2026-01-10 00:00", "2026-01-11 23:59:59", 47),
        ("2026-01-10 00:00", "2026-02-09 12:00", 30 * 24 + 12),
    ],
)
def test_missed_hours_are_counted_with_their_last_and_without_their_first_instant(
    since: str, now: str, count: int
) -> None:
    found = missed_slots(Hourly(1, time(0)), utc(since), utc(now), ANCHOR, UTC_ZONE)

    assert (found.count if found else 0) == count
    if found:
        assert found.last.at == utc(now).replace(minute=0, second=0)


# --- the clock on the wall ------------------------------------------------------------------------


def test_a_wall_time_has_neither_zone_nor_fold() -> None:
    wall = wall_at(utc("2026-10-25 01:30"), PARIS)  # 02:30 for the second time

    assert (wall, wall.tzinfo, wall.fold) == (datetime.fromisoformat("2026-10-25 02:30"), None, 0)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        ("2026-01-10 02:30", Once(utc("2026-01-10 01:30"))),
        ("2026-10-25 01:59:59", Once(utc("2026-10-24 23:59:59"))),
        ("2026-10-25 02:00", Twice(utc("2026-10-25 00:00"), utc("2026-10-25 01:00"))),
        ("2026-10-25 02:59:59", Twice(utc("2026-10-25 00:59:59"), utc("2026-10-25 01:59:59"))),
        ("2026-10-25 03:00", Once(utc("2026-10-25 02:00"))),
        ("2026-03-29 01:59:59", Once(utc("2026-03-29 00:59:59"))),
        ("2026-03-29 02:00", Skipped(utc("2026-03-29 01:00"))),
        ("2026-03-29 02:00:00.25", Skipped(utc("2026-03-29 01:00"))),
        ("2026-03-29 02:30", Skipped(utc("2026-03-29 01:00"))),
        ("2026-03-29 02:59:59", Skipped(utc("2026-03-29 01:00"))),
        ("2026-03-29 03:00", Once(utc("2026-03-29 01:00"))),
    ],
)
def test_a_wall_time_is_shown_once_twice_or_never(wall: str, expected: object, fold: int) -> None:
    assert find_occurrence(datetime.fromisoformat(wall).replace(fold=fold), PARIS) == expected


def test_a_skipped_time_is_served_once_even_when_two_rules_of_a_grid_fall_into_the_gap() -> None:
    zone = ZoneInfo("Antarctica/Troll")  # from 01:00 to 03:00
    slots = islice(slots_after(Hourly(1, time(0)), utc("2026-03-29 00:00"), ANCHOR, zone), 2)

    assert [slot.at for slot in slots] == [utc("2026-03-29 01:00"), utc("2026-03-29 02:00")]


def test_of_many_skipped_times_the_first_is_named() -> None:
    zone = ZoneInfo("Pacific/Apia")  # has no 30 December 2011
    before = datetime(2011, 12, 29, 23, tzinfo=zone)

    slot = next_slot(Hourly(1, time(2)), before.astimezone(UTC), ANCHOR, zone)

    assert slot is not None
    assert (slot.at, slot.wall) == (utc("2011-12-30 10:00"), datetime.fromisoformat("2011-12-30"))


def test_the_grid_of_yesterday_runs_on_where_utc_has_another_date() -> None:
    zone = ZoneInfo("Etc/GMT+12")  # 12 hours behind UTC: 14:00 on the 10th

    slot = next_slot(Hourly(5, time(22)), utc("2026-01-11 02:00"), ANCHOR, zone)

    assert slot is not None
    assert slot.wall == datetime.fromisoformat("2026-01-10 18:00")


def test_both_showings_of_an_hour_have_its_wall_time_and_are_in_utc() -> None:
    slots = list(islice(slots_after(Hourly(1, time(0)), utc("2026-10-24 23:30"), ANCHOR, PARIS), 2))

    assert {slot.wall for slot in slots} == {datetime.fromisoformat("2026-10-25 02:00")}
    assert {slot.at.tzinfo for slot in slots} == {UTC}
