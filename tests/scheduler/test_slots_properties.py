"""What holds for every schedule, every zone and every instant."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from typing import assert_never
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.slots import Slot, first_anchor, missed_slots, next_slot, slots_after
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly

NOTHING, TICK = timedelta(), timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# Steps of an hour, of half an hour, of two, of three, of a day, at midnight, at one minute past it.
NIGHTS = [
    ("Europe/Paris", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Paris", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Antarctica/Casey", datetime(2020, 10, 3, 16, 1, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 21, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
    ("America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
]

# 4D's times have whole seconds; clocks change in the small hours
TIMES = st.one_of(
    st.times().map(lambda at: at.replace(microsecond=0, fold=0)),
    st.builds(time, st.integers(0, 3), st.sampled_from([0, 15, 30, 45])),
)
WEEKS = st.dictionaries(st.integers(0, 6), TIMES, min_size=1)
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Hourly, st.integers(1, 24), TIMES),
    st.builds(Daily, st.integers(1, 40), TIMES),
    st.builds(Weekly, st.integers(1, 9), WEEKS.map(lambda week: tuple(sorted(week.items())))),
    st.builds(Monthly, st.integers(1, 14), st.integers(1, 31), TIMES),
)
ANCHORS = st.dates(date(1990, 1, 1), date(2037, 1, 1))

Place = tuple[ZoneInfo, datetime]


def place(key: str, begin: datetime, later: timedelta) -> Place:
    return ZoneInfo(key), begin + later


PLACES: st.SearchStrategy[Place] = st.one_of(
    st.builds(
        place,
        st.sampled_from(sorted(available_timezones() - {"localtime"})),
        st.just(datetime(1990, 1, 1, tzinfo=UTC)),
        st.timedeltas(NOTHING, 47 * 365 * DAY),
    ),
    st.builds(
        lambda night, later: place(night[0], night[1], later),
        st.sampled_from(NIGHTS),
        st.timedeltas(-40 * HOUR, 20 * HOUR),
    ),
)


def offset_at(at: datetime, zone: ZoneInfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    return at.replace(tzinfo=None) + offset_at(at, zone)


def longest_period(schedule: Schedule) -> timedelta:
    match schedule:
        case Hourly(every=every):
            return every * HOUR
        case Daily(every=every):
            return every * DAY
        case Weekly(every=every):
            return every * 7 * DAY
        case Monthly(every=every):
            return every * 31 * DAY
        case Never() | Unschedulable():
            raise AssertionError(schedule)
    assert_never(schedule)


# --- the series -----------------------------------------------------------------------------------


@given(SCHEDULES, ANCHORS, PLACES)
@settings(max_examples=150, deadline=None)
def test_slots_increase_strictly_and_none_lies_in_the_past(
    schedule: Schedule, anchor: date, where: Place
) -> None:
    zone, after = where

    slots = islice(slots_after(schedule, after, anchor, zone), 30)

    times = [after, *(slot.at for slot in slots)]
    assert all(earlier < later for earlier, later in pairwise(times))


@given(SCHEDULES, ANCHORS, PLACES)
@settings(max_examples=150, deadline=None)
def test_slots_lie_no_further_apart_than_the_period_and_the_shift_of_the_clock(
    schedule: Schedule, anchor: date, where: Place
) -> None:
    zone, after = where

    slots = list(islice(slots_after(schedule, after - 2 * DAY, anchor, zone), 60))

    for earlier, later in pairwise(slots):
        set_back = offset_at(earlier.at, zone) - offset_at(later.at - TICK, zone)
        apart = later.at - earlier.at
        assert apart <= longest_period(schedule) + max(set_back, NOTHING), (earlier, later)


@given(SCHEDULES, ANCHORS, PLACES, st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_it_does_not_matter_from_which_instant_one_looks(
    schedule: Schedule, anchor: date, where: Place, part: float
) -> None:
    zone, after = where
    slots = list(islice(slots_after(schedule, after, anchor, zone), 30))
    other = after + part * (slots[-1].at - after)

    seen = list(islice(slots_after(schedule, other, anchor, zone), 30))

    expected = [slot for slot in slots if slot.at > other]
    assert seen[: len(expected)] == expected
    assert next_slot(schedule, other, anchor, zone) == seen[0]


@given(SCHEDULES, ANCHORS, PLACES)
@settings(max_examples=100, deadline=None)
def test_the_wall_date_of_any_slot_is_as_good_an_anchor(
    schedule: Schedule, anchor: date, where: Place
) -> None:
    zone, after = where
    slots = list(islice(slots_after(schedule, after, anchor, zone), 5))

    for slot in slots:
        again = list(islice(slots_after(schedule, after, slot.wall.date(), zone), 5))
        assert again == slots


@given(SCHEDULES, PLACES)
@settings(max_examples=150, deadline=None)
def test_with_the_first_anchor_the_series_begins_as_if_n_were_one(
    schedule: Schedule, where: Place
) -> None:
    zone, since = where
    match schedule:
        case Daily() | Weekly() | Monthly():
            each: Schedule = replace(schedule, every=1)
        case _:
            each = schedule

    first = next_slot(schedule, since, first_anchor(schedule, since, zone), zone)

    assert first == next_slot(each, since, date(2000, 1, 1), zone)


@given(SCHEDULES, ANCHORS, PLACES, st.timedeltas(NOTHING, 60 * DAY))
@settings(max_examples=150, deadline=None)
def test_the_missed_slots_are_those_of_the_series(
    schedule: Schedule, anchor: date, where: Place, away: timedelta
) -> None:
    zone, since = where
    now = since + away
    series = slots_after(schedule, since, anchor, zone)
    passed = list(takewhile(lambda slot: slot.at <= now, series))

    found = missed_slots(schedule, since, now, anchor, zone)

    if found is None:
        assert passed == []
    else:
        assert (found.first, found.last, found.count) == (passed[0], passed[-1], len(passed))


# --- reasons --------------------------------------------------------------------------------------


def asked_for(schedule: Schedule, wall: datetime) -> bool:
    """Whether the wall time is one the rule names, not one it falls back to."""
    match schedule:
        case Hourly(every, starting_at):
            begin = datetime.combine(wall.date(), starting_at)
            grids = (begin, begin - DAY)
            return any((wall - grid) % (every * HOUR) == NOTHING for grid in grids)
        case Daily(_, at):
            return wall.time() == at
        case Weekly(_, days):
            return (wall.weekday(), wall.time()) in days
        case Monthly(_, day, at):
            return (wall.day, wall.time()) == (day, at)
        case Never() | Unschedulable():
            return False
    assert_never(schedule)


def times_shown(wall: datetime, about: datetime, zone: ZoneInfo) -> list[datetime]:
    """When the clock shows the wall time, tried with each offset it has in the days around."""
    offsets = {offset_at(about + hours * HOUR, zone) for hours in range(-30, 31, 3)}
    tries = sorted(wall.replace(tzinfo=UTC) - offset for offset in offsets)
    return [at for at in tries if shown(at, zone) == wall]


@given(SCHEDULES, ANCHORS, PLACES)
@settings(max_examples=150, deadline=None)
def test_a_slot_has_a_reason_exactly_when_it_is_not_the_plain_wall_time(
    schedule: Schedule, anchor: date, where: Place
) -> None:
    zone, after = where

    for slot in islice(slots_after(schedule, after - DAY, anchor, zone), 40):
        times = times_shown(slot.wall, slot.at, zone)
        words = slot.reason or ""
        assert (slot.reason is None) == (times == [slot.at] and asked_for(schedule, slot.wall))
        assert ("last day taken" in words) == (not asked_for(schedule, slot.wall))
        assert ("does not exist on" in words) == (not times)
        assert ("first occurrence" in words) == (len(times) == 2 and slot.at == times[0])
        assert ("second occurrence" in words) == (len(times) == 2 and slot.at == times[1])
        assert slot.at in times[:1] or not times or is_each_hour(schedule)
        assert times or is_end_of_gap(slot, zone)


@given(st.builds(Hourly, st.just(1), TIMES), PLACES)
@settings(max_examples=150, deadline=None)
def test_with_a_backup_each_hour_a_repeated_hour_is_served_both_times(
    schedule: Schedule, where: Place
) -> None:
    zone, after = where
    slots = list(islice(slots_after(schedule, after, after.date(), zone), 50))

    served = {slot.at for slot in slots}
    for slot in slots:
        times = times_shown(slot.wall, slot.at, zone)
        assert {at for at in times if after < at <= slots[-1].at} <= served


def is_each_hour(schedule: Schedule) -> bool:
    """Only then is a repeated hour served both times."""
    return isinstance(schedule, Hourly) and schedule.every == 1


def is_end_of_gap(slot: Slot, zone: ZoneInfo) -> bool:
    return shown(slot.at - TICK, zone) < slot.wall < shown(slot.at, zone)
