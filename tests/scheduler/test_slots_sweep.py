"""Every zone of tzdata x every kind of rule, against an oracle that shares no code with slots.py.

The oracle takes the wall times from croniter (every-N by counting days), and the instants by looking at a
clock on the wall each quarter of an hour. The fast form looks at the days around changes of the clock in
2020-2035; the slow forms at every day of these years, and at every change of any clock since 1980. Names
whose clocks show the same all the time are one behaviour, looked at once. How much was compared is
printed by `pytest -q -m slow tests/scheduler/test_slots_sweep.py` (under five minutes on one core).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from croniter import croniter

from scheduler.slots import missed_slots, slots_after
from settings.model import Daily, Hourly, Monthly, Schedule, Weekly

YEARS = range(2020, 2036)
BEGIN, END = datetime(YEARS.start, 1, 1, tzinfo=UTC), datetime(YEARS.stop, 1, 1, tzinfo=UTC)
# until 1979 some clocks were no whole quarter of an hour off UTC
SINCE = datetime(1980, 1, 1, tzinfo=UTC)
ANCHOR = date(2020, 1, 31)
MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
DAY = timedelta(days=1)
AROUND = 4 * DAY  # no gap, no fold and no grid reaches further
A_TIME_EACH_DAY = tuple((weekday, time(weekday // 2, 30 * (weekday % 2))) for weekday in range(7))

Rule = tuple[Schedule, tuple[str, ...]]

# (rule, its wall times in the language of cron; every-N, which cron cannot say, is left to `is_active`)
RULES: list[Rule] = [
    (Hourly(1, time(0)), ("0 * * * *",)),
    (Hourly(6, time(1, 15)), ("15 1,7,13,19 * * *",)),
    (Hourly(5, time(23)), ("0 23,4,9,14,19 * * *",)),
    (Hourly(24, time(1, 30)), ("30 1 * * *",)),
    (Daily(1, time(0)), ("0 0 * * *",)),
    (Daily(1, time(2, 30)), ("30 2 * * *",)),
    (Daily(3, time(1, 45)), ("45 1 * * *",)),
    (
        Weekly(1, A_TIME_EACH_DAY),
        (
            "0 0 * * 1",
            "30 0 * * 2",
            "0 1 * * 3",
            "30 1 * * 4",
            "0 2 * * 5",
            "30 2 * * 6",
            "0 3 * * 0",
        ),
    ),
    (Weekly(2, ((5, time(2)), (6, time(1)))), ("0 2 * * 6", "0 1 * * 0")),
    (Monthly(1, 15, time(0)), ("0 0 15 * *",)),
    (Monthly(1, 29, time(1)), ("0 1 29 * *", "0 1 l 2 *")),
    (Monthly(3, 30, time(2)), ("0 2 30 * *", "0 2 l 2 *")),
    (Monthly(1, 31, time(2, 30)), ("30 2 l * *",)),
    (Monthly(2, 31, time(2, 30)), ("30 2 l * *",)),
]
# half past is in another half of the night than the full hour: looked at where clocks change only
AT_CHANGES = [*RULES, (Hourly(1, time(2, 30)), ("30 * * * *",))]


# --- the oracle -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """When a clock on the wall shows a time for the first and for the last time."""

    zone: ZoneInfo
    first: dict[datetime, datetime]
    last: dict[datetime, datetime]


def look_at_clock(key: str, begin: datetime, end: datetime) -> Clock:
    """Look each quarter of an hour."""
    zone = ZoneInfo(key)
    looks = quarters(begin, end)
    without_zone = quarters(begin.replace(tzinfo=None), end.replace(tzinfo=None))
    pairs = zip(without_zone, looks, strict=True)
    walls = [wall + offset_at(at, zone) for wall, at in pairs]
    first = dict(zip(reversed(walls), reversed(looks), strict=True))
    last = dict(zip(walls, looks, strict=True))
    twice = sum(first[wall] != last[wall] for wall in first)
    assert len(walls) == len(first) + twice  # never three times
    return Clock(zone, first, last)


@cache
def quarters(begin: datetime, end: datetime) -> tuple[datetime, ...]:
    return tuple(begin + number * QUARTER for number in range((end - begin) // QUARTER))


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    return at.replace(tzinfo=None) + offset_at(at, zone)


def offset_at(at: datetime, zone: ZoneInfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


@cache
def walls_between(
    schedule: Schedule, crons: tuple[str, ...], begin: date, end: date
) -> tuple[datetime, ...]:
    first, last = datetime.combine(begin, time()), datetime.combine(end, time())
    found: set[datetime] = set()
    for cron in crons:
        each = croniter(cron, first - timedelta(seconds=1), ret_type=datetime)
        found.update(takewhile(lambda wall: wall < last, each))
    return tuple(sorted(filter(is_active(schedule), found)))


def is_active(schedule: Schedule) -> Callable[[datetime], bool]:
    """Whether every-N takes the unit the wall time lies in."""
    match schedule:
        case Daily(every=every):
            return lambda wall: (wall.date() - ANCHOR).days % every == 0
        case Weekly(every=every):
            monday = ANCHOR - timedelta(days=ANCHOR.weekday())
            return lambda wall: (wall.date() - monday).days // 7 % every == 0
        case Monthly(every=every):
            return lambda wall: (months(wall) - months(ANCHOR)) % every == 0
        case _:
            return lambda _: True


def months(day: date) -> int:
    return day.year * 12 + day.month


def by_the_oracle(
    schedule: Schedule, crons: tuple[str, ...], clock: Clock, begin: datetime, end: datetime
) -> list[tuple[datetime, bool]]:
    """The slots after `begin`, up to `end`, and whether each is to be explained."""
    both = isinstance(schedule, Hourly) and schedule.every == 1
    day = schedule.day if isinstance(schedule, Monthly) else 0
    slots: dict[datetime, bool] = {}
    for wall in walls_between(schedule, crons, (begin - AROUND / 2).date(), (end + DAY).date()):
        first, last = clock.first.get(wall), clock.last.get(wall)
        if first is None or last is None:
            slots.setdefault(first_instant_past(wall, clock), True)
            continue
        slots.setdefault(first, first != last or wall.day < day)
        if both:
            slots.setdefault(last, True)
    return sorted(slot for slot in slots.items() if begin < slot[0] <= end)


def first_instant_past(wall: datetime, clock: Clock) -> datetime:
    """For a time never shown: the first minute at which the clock shows a later one."""
    later = (wall + number * QUARTER for number in range(200))
    at = next(clock.first[wall] for wall in later if wall in clock.first)
    while shown(at - MINUTE, clock.zone) > wall:
        at -= MINUTE  # Antarctica/Casey changed at one minute past midnight
    return at


# --- zones and windows ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """The first quarter of an hour with another offset from UTC."""

    at: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True)
class Window:
    """Some days, and the zones whose clocks show the same in and around them."""

    begin: datetime
    end: datetime
    keys: tuple[str, ...]


@cache
def changes_of_clocks(begin: datetime, end: datetime) -> dict[str, tuple[Change, ...]]:
    """By zone; a change that is taken back within a day is not seen, and there is none."""
    days = [begin + number * DAY for number in range((end - begin).days)]
    found: dict[str, tuple[Change, ...]] = {}
    for key in sorted(available_timezones() - {"localtime"}):
        zone = ZoneInfo(key)
        offsets = [offset_at(day, zone) for day in days]
        changed = [day for day, (a, b) in zip(days, pairwise(offsets), strict=False) if a != b]
        found[key] = tuple(change for day in changed for change in changes_of_day(day, zone))
    return found


def changes_of_day(day: datetime, zone: ZoneInfo) -> Iterator[Change]:
    offsets = [(at, offset_at(at, zone)) for at in quarters(day, day + DAY + QUARTER)]
    for (_, before), (at, after) in pairwise(offsets):
        if before != after:
            yield Change(at, before, after)


def windows_of_years() -> list[Window]:
    """Every zone in every year."""
    history = changes_of_clocks(BEGIN - AROUND, END + AROUND)
    found: list[Window] = []
    for year in YEARS:
        begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
        same: dict[object, list[str]] = {}
        for key, changes in history.items():
            near = tuple(
                each for each in changes if -AROUND <= each.at - begin < end - begin + AROUND
            )
            same.setdefault((offset_at(begin - AROUND, ZoneInfo(key)), near), []).append(key)
        found += [Window(begin, end, tuple(keys)) for keys in same.values()]
    return found


def windows_of_changes(begin: datetime, end: datetime) -> dict[Change, list[Window]]:
    """The days around each change of the clock in any zone."""
    same: dict[tuple[Change, ...], list[str]] = {}
    for key, changes in changes_of_clocks(begin - 2 * AROUND, end + 2 * AROUND).items():
        for change in changes:
            near = tuple(each for each in changes if abs(each.at - change.at) < 2 * AROUND)
            if begin <= change.at < end:
                same.setdefault((change, *near), []).append(key)
    found: dict[Change, list[Window]] = {}
    for (change, *_), keys in same.items():
        day = datetime.combine(change.at, time(), UTC)
        found.setdefault(change, []).append(Window(day - 2 * DAY, day + 2 * DAY, tuple(keys)))
    return found


def one_of_each_kind(changes: dict[Change, list[Window]]) -> list[Window]:
    """The same step of the clock at the same time of day is one kind, whatever the date."""
    kinds = {
        (change.before, change.after, (change.at + change.before).time()): windows[0]
        for change, windows in changes.items()
    }
    return list(kinds.values())


# --- the comparison -------------------------------------------------------------------------------


def compare(window: Window, rules: list[Rule]) -> int:
    """Returns how many slots were compared."""
    begin, end = window.begin, window.end
    clock = look_at_clock(window.keys[0], begin - AROUND, end + AROUND)
    compared = 0
    for schedule, crons in rules:
        expected = by_the_oracle(schedule, crons, clock, begin, end)

        ours = by_us(schedule, clock.zone, begin, end)

        assert ours == expected, (window, schedule)
        compared += len(ours)
        if isinstance(schedule, Hourly):  # counted in another way than by walking
            missed = missed_slots(schedule, begin, end, ANCHOR, clock.zone)
            assert missed is not None
            assert (missed.first.at, missed.last.at) == (ours[0][0], ours[-1][0]), (
                window,
                schedule,
            )
            assert missed.count == len(ours), (window, schedule)
    return compared


def by_us(
    schedule: Schedule, zone: ZoneInfo, begin: datetime, end: datetime
) -> list[tuple[datetime, bool]]:
    found: list[tuple[datetime, bool]] = []
    for slot in slots_after(schedule, begin, ANCHOR, zone):
        if slot.at > end:
            break
        found.append((slot.at, slot.reason is not None))
    return found


def tell(
    capsys: pytest.CaptureFixture[str], windows: list[Window], unit: str, rules: list[Rule]
) -> None:
    """Compare, and print how much that was, also under `pytest -q`."""
    slots = sum(compare(window, rules) for window in windows)
    names = {key for window in windows for key in window.keys}
    places = sum(len(window.keys) for window in windows)
    with capsys.disabled():
        print(
            f"\n{len(names)} zones, {places} zones x {unit}, {len(rules)} rules:"
            f" {places * len(rules)} cases; {len(windows)} differ in what clocks show,"
            f" {len(windows) * len(rules)} series with {slots} slots compared"
        )


def test_around_each_kind_of_change_of_the_clock_we_agree_with_the_oracle() -> None:
    windows = one_of_each_kind(windows_of_changes(BEGIN, END))

    for window in windows:
        compare(window, AT_CHANGES)

    assert len(windows) > 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_in_every_year_each_zone_agrees_with_the_oracle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell(capsys, windows_of_years(), "years", RULES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_around_every_change_of_any_clock_since_1980_we_agree_with_the_oracle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = windows_of_changes(SINCE, END).values()
    tell(capsys, [window for windows in changes for window in windows], "changes", AT_CHANGES)
