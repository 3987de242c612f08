"""Every zone of tzdata x every kind of rule, against an oracle that shares no code with slots.py.

The oracle takes the wall times from croniter (or by counting days), and the instants by looking at a
clock on the wall each quarter of an hour. The fast form looks at the days around the first and last changes
of each zone in 2020-2035; the slow one at every day.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.slots import missed_slots, slots_after
from settings.model import Daily, Hourly, Monthly, Schedule, Weekly

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
ANCHOR = date(2020, 1, 31)
MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALL_WEEK = tuple((weekday, time(2, 30)) for weekday in range(7))

# (rule, cron for its wall times; every-N, which cron cannot say, is filtered by `is_active`)
RULES: list[tuple[Schedule, str]] = [
    (Hourly(1, time(0)), "0 * * * *"),
    (Hourly(1, time(2, 30)), "30 * * * *"),
    (Hourly(6, time(1, 15)), "15 1,7,13,19 * * *"),
    (Hourly(5, time(23)), "0 23,4,9,14,19 * * *"),
    (Daily(1, time(0)), "0 0 * * *"),
    (Daily(1, time(2, 30)), "30 2 * * *"),
    (Daily(3, time(1, 45)), "45 1 * * *"),
    (Weekly(1, ALL_WEEK), "30 2 * * *"),
    (Weekly(2, ((6, time(2)), (5, time(2)))), "0 2 * * 0,6"),
    (Monthly(1, 15, time(0)), "0 0 15 * *"),
    (Monthly(2, 31, time(2, 30)), "30 2 l * *"),
]


# --- the oracle -----------------------------------------------------------------------------------


def is_active(schedule: Schedule, wall: datetime) -> bool:
    match schedule:
        case Daily(every=every):
            return (wall.date() - ANCHOR).days % every == 0
        case Weekly(every=every):
            monday = wall.date() - timedelta(days=wall.weekday())
            anchor_monday = ANCHOR - timedelta(days=ANCHOR.weekday())
            return (monday - anchor_monday).days // 7 % every == 0
        case Monthly(every=every):
            months = (wall.year - ANCHOR.year) * 12 + wall.month - ANCHOR.month
            return months % every == 0
        case _:
            return True


@cache
def walls(schedule: Schedule, cron: str, first: date, days: int) -> tuple[datetime, ...]:
    start = datetime.combine(first, time())
    each = croniter(cron, start - timedelta(seconds=1), ret_type=datetime)
    found = takewhile(lambda wall: wall < start + days * DAY, each)
    return tuple(wall for wall in found if is_active(schedule, wall))


@lru_cache(maxsize=8)
def shown(key: str, begin: datetime, days: int) -> dict[datetime, list[datetime]]:
    """What the clock on the wall shows, looked at each quarter of an hour, and when it shows it."""
    zone = ZoneInfo(key)
    found: dict[datetime, list[datetime]] = {}
    for number in range(days * 96):
        at = begin + number * QUARTER
        found.setdefault(at.astimezone(zone).replace(tzinfo=None, fold=0), []).append(at)
    return found


def oracle(schedule: Schedule, cron: str, key: str, begin: datetime, days: int) -> list[datetime]:
    """The slots of some days after an instant, by looking at the wall."""
    clock = shown(key, begin - 3 * DAY, days + 6)
    both = isinstance(schedule, Hourly) and schedule.every == 1
    slots: set[datetime] = set()
    for wall in walls(schedule, cron, begin.date() - 2 * DAY, days + 4):
        at = clock.get(wall) or [first_instant_past(wall, clock, ZoneInfo(key))]
        slots.update(at if both else at[:1])
    return sorted(slot for slot in slots if begin < slot <= begin + days * DAY)


def first_instant_past(
    wall: datetime, clock: dict[datetime, list[datetime]], zone: ZoneInfo
) -> datetime:
    """For a time never shown: the first minute at which the clock shows a later one."""
    quarters = (wall + number * QUARTER for number in range(200))
    at = next(clock[later][0] for later in quarters if later in clock)
    while (at - MINUTE).astimezone(zone).replace(tzinfo=None) > wall:
        at -= MINUTE  # Antarctica/Casey changed at one minute past midnight
    return at


def found_by_us(schedule: Schedule, key: str, begin: datetime, days: int) -> list[datetime]:
    slots = slots_after(schedule, begin, ANCHOR, ZoneInfo(key))
    return [slot.at for slot in takewhile(lambda slot: slot.at <= begin + days * DAY, slots)]


# --- the zones ------------------------------------------------------------------------------------


@cache
def changes(key: str) -> tuple[datetime, ...]:
    """The days (UTC) in which the offset of the zone changes."""
    zone = ZoneInfo(key)
    days = [BEGIN + number * DAY for number in range((END - BEGIN).days)]
    offsets = [day.astimezone(zone).utcoffset() for day in [*days, END]]
    return tuple(day for day, (a, b) in zip(days, pairwise(offsets), strict=True) if a != b)


@cache
def distinct_zones() -> tuple[str, ...]:
    """One name for each behaviour in 2020-2035: most of the 600 names are aliases there."""
    found: dict[object, str] = {}
    for key in sorted(available_timezones() - {"localtime"}):
        zone = ZoneInfo(key)
        looks = [BEGIN, *(day + number * QUARTER for day in changes(key) for number in range(97))]
        found.setdefault(tuple((at, at.astimezone(zone).utcoffset()) for at in looks), key)
    return tuple(found.values())


@pytest.mark.parametrize(("schedule", "cron"), RULES)
def test_around_changes_of_the_clock_each_zone_agrees_with_the_oracle(
    schedule: Schedule, cron: str
) -> None:
    for key in distinct_zones():
        for day in {BEGIN + 40 * DAY, *changes(key)[:2], *changes(key)[-2:]}:
            begin, days = day - 2 * DAY, 4

            assert found_by_us(schedule, key, begin, days) == oracle(
                schedule, cron, key, begin, days
            ), (key, day)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("schedule", "cron"), RULES)
def test_on_every_day_each_zone_agrees_with_the_oracle(schedule: Schedule, cron: str) -> None:
    for key in distinct_zones():
        days = (END - BEGIN).days
        ours = found_by_us(schedule, key, BEGIN, days)

        assert ours == oracle(schedule, cron, key, BEGIN, days), key
        counted = missed_slots(schedule, BEGIN, END, ANCHOR, ZoneInfo(key))
        assert counted is not None
        assert (counted.first.at, counted.last.at, counted.count) == (
            ours[0],
            ours[-1],
            len(ours),
        ), key


# --- properties -----------------------------------------------------------------------------------

TIMES = st.times().map(lambda at: at.replace(microsecond=0))
WEEKS = st.dictionaries(st.integers(0, 6), TIMES, min_size=1)
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Hourly, st.integers(1, 24), TIMES),
    st.builds(Daily, st.integers(1, 40), TIMES),
    st.builds(Weekly, st.integers(1, 9), WEEKS.map(lambda week: tuple(sorted(week.items())))),
    st.builds(Monthly, st.integers(1, 14), st.integers(1, 31), TIMES),
)
INSTANTS = st.floats(0, 47 * 365).map(lambda days: datetime(1990, 1, 1, tzinfo=UTC) + days * DAY)
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo)
ANCHORS = st.dates(date(1990, 1, 1), date(2037, 1, 1))


def longest_period(schedule: Schedule) -> timedelta:
    match schedule:
        case Hourly(every=every):
            return every * HOUR
        case Daily(every=every):
            return every * DAY
        case Weekly(every=every):
            return (every * 7 + 6) * DAY  # from the first day of one week to the last of another
        case Monthly(every=every):
            return every * 31 * DAY
        case _:
            raise AssertionError(schedule)


@given(SCHEDULES, INSTANTS, ANCHORS, ZONES)
@settings(max_examples=300, deadline=None)
def test_slots_increase_strictly_and_lie_no_further_apart_than_the_period_and_the_shift(
    schedule: Schedule, after: datetime, anchor: date, zone: ZoneInfo
) -> None:
    slots = [after, *(slot.at for slot in islice(slots_after(schedule, after, anchor, zone), 30))]

    shift = DAY  # Samoa and Kwajalein skipped a whole one
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert min(gaps) > timedelta()
    assert max(gaps) <= longest_period(schedule) + shift


@given(SCHEDULES, INSTANTS, ANCHORS, ZONES, st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_it_does_not_matter_from_which_instant_one_looks(
    schedule: Schedule, after: datetime, anchor: date, zone: ZoneInfo, part: float
) -> None:
    slots = list(islice(slots_after(schedule, after, anchor, zone), 30))
    other = after + part * (slots[-1].at - after)

    seen = list(islice(slots_after(schedule, other, anchor, zone), 30))

    expected = [slot for slot in slots if slot.at > other]
    assert seen[: len(expected)] == expected


@given(SCHEDULES, INSTANTS, ANCHORS, ZONES, st.timedeltas(timedelta(), 30 * DAY))
@settings(max_examples=300, deadline=None)
def test_the_missed_slots_are_those_of_the_series(
    schedule: Schedule, since: datetime, anchor: date, zone: ZoneInfo, away: timedelta
) -> None:
    now = since + away
    series = slots_after(schedule, since, anchor, zone)
    passed = list(takewhile(lambda slot: slot.at <= now, series))

    found = missed_slots(schedule, since, now, anchor, zone)

    if found is None:
        assert passed == []
    else:
        assert (found.first, found.last, found.count) == (passed[0], passed[-1], len(passed))
