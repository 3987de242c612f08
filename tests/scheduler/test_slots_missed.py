"""Counting missed slots, and the ends of the calendar."""

from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from scheduler.slots import MissedSlots, Slot, first_anchor, missed_slots, next_slot, slots_after
from settings.model import Daily, Hourly, Monthly, Schedule, Weekly
from tests.scheduler.test_slots import MON, NO_PHASE, PARIS, instant

# --- the ends of the calendar ---------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Kiritimati", "UTC"])
@pytest.mark.parametrize(
    "schedule",
    [
        Hourly(1, time(23)),
        Daily(1, time(0)),
        Weekly(1, ((MON, time(8)),)),
        Monthly(1, 31, time(0)),
    ],
)
def test_the_series_ends_quietly_with_the_calendar(schedule: Schedule, zone: str) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    info = ZoneInfo(zone)

    assert next_slot(schedule, first, NO_PHASE, info) is not None
    assert len(list(slots_after(schedule, last - timedelta(days=60), NO_PHASE, info))) < 60 * 24
    assert next_slot(schedule, last, NO_PHASE, info) is None
    assert missed_slots(schedule, last, last, NO_PHASE, info) is None
    assert missed_slots(schedule, last, first, NO_PHASE, info) is None
    assert first_anchor(schedule, first, info).year == 1
    assert first_anchor(schedule, last, info).year == 9999


# --- missed slots ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [PARIS, "Antarctica/Troll", "Pacific/Apia", "Australia/Lord_Howe"])
@pytest.mark.parametrize("minute", [0, 45])
@pytest.mark.parametrize("every", [1, 5, 24])
def test_counting_without_walking_finds_what_walking_finds(
    zone: str, minute: int, every: int
) -> None:
    schedule = Hourly(every, time(0, minute))
    info = ZoneInfo(zone)
    begin, end = instant("2011-09-01 13:20", zone), instant("2012-06-01 13:20", zone)
    walked = slots_between(schedule, begin, end, info)

    for hours in (0, 1, 7, 23, 24, 25, 47, 49, 3000, 6500):
        now = begin + timedelta(hours=hours)
        passed = [slot for slot in walked if slot.at <= now]
        expected = MissedSlots(passed[0], passed[-1], len(passed)) if passed else None
        assert missed_slots(schedule, begin, now, NO_PHASE, info) == expected


@pytest.mark.parametrize("hours", range(72))
def test_missed_slots_around_a_day_that_does_not_exist(hours: int) -> None:
    zone = ZoneInfo("Pacific/Apia")
    schedule = Hourly(24, time(0))
    begin = instant("2011-12-28 12:00", "Pacific/Apia")
    now = begin + timedelta(hours=hours)

    found = missed_slots(schedule, begin, now, NO_PHASE, zone)

    assert (found.count if found else 0) == len(slots_between(schedule, begin, now, zone))


def slots_between(schedule: Schedule, begin: datetime, end: datetime, zone: ZoneInfo) -> list[Slot]:
    return list(
        takewhile(lambda slot: slot.at <= end, slots_after(schedule, begin, NO_PHASE, zone))
    )


def test_ten_years_of_missed_hours_are_counted() -> None:
    begin, end = instant("2016-01-01", PARIS), instant("2026-01-01", PARIS)

    found = missed_slots(Hourly(1, time(0)), begin, end, NO_PHASE, ZoneInfo(PARIS))

    # one slot for each real hour: the hour missing in spring is merged, that of autumn served twice
    assert found is not None
    assert found.count == (end - begin) / timedelta(hours=1)
    assert (found.first.at, found.last.at) == (begin + timedelta(hours=1), end)


def test_hourly_slots_are_never_more_than_a_real_hour_apart() -> None:
    slots = islice(
        slots_after(Hourly(1, time(0)), instant("2026-01-01", PARIS), NO_PHASE, ZoneInfo(PARIS)),
        9000,
    )

    assert {later.at - slot.at for slot, later in pairwise(slots)} == {timedelta(hours=1)}
