"""When a schedule asks for a backup: local wall-clock rules resolved to instants.

The slots of a schedule are one fixed, strictly increasing series, given by (schedule, anchor, zone)
alone: every function here looks at that series through a window, so it does not matter from which
instant one looks. What was served, missed or retried is decide.py's business.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise, takewhile
from operator import attrgetter
from typing import assert_never
from zoneinfo import ZoneInfo

from scheduler.cron import croniter
from scheduler.wall import Once, Skipped, Twice, find_occurrence, wall_at
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly

# A few days away from what datetime can hold, so that no zone and no gap reaches over the edge.
_FIRST_DAY = date(1, 1, 5)
_LAST_DAY = date(9999, 12, 25)
_EARLIEST = datetime.combine(_FIRST_DAY, time(), UTC)
_LATEST = datetime.combine(_LAST_DAY, time(), UTC)

_CRON_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHORT_MONTH = "day {} does not exist in this month; last day taken"


@dataclass(frozen=True, slots=True)
class Slot:
    """One moment at which a backup is due.

    `wall` is the local time the rule asked for; `reason` says why `at` is another time, or which of two,
    or why the day is another one; None when there is nothing to explain.
    """

    at: datetime
    wall: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class MissedSlots:
    """`count` (at least 1) slots in a row that nobody has served."""

    first: Slot
    last: Slot
    count: int


def next_slot(schedule: Schedule, after: datetime, anchor: date, zone: ZoneInfo) -> Slot | None:
    """The first slot strictly after the instant; None when there is none."""
    return next(slots_after(schedule, after, anchor, zone), None)


def slots_after(
    schedule: Schedule, after: datetime, anchor: date, zone: ZoneInfo
) -> Iterator[Slot]:
    """All slots strictly after the instant, strictly increasing.

    `anchor` is the wall date of any slot of the series (the last served one will do): it says which
    days, weeks or months every-N means. See `first_anchor` for when no slot is known yet.
    """
    newest = _inside(after)
    for slot in _walk(schedule, wall_at(newest, zone).date(), anchor, zone):
        if slot.at >= _LATEST:
            return
        # not later: served already, or a second wall time that resolves to the same instant
        if slot.at > newest:
            yield slot
            newest = slot.at


def first_anchor(schedule: Schedule, since: datetime, zone: ZoneInfo) -> date:
    """The anchor when nothing was served yet: every-N counts from the first matching day.

    That is the first day on which the rule without its N still has a slot after `since`.
    """
    today = wall_at(_inside(since), zone).date()
    match schedule:
        case Daily() | Weekly() | Monthly():
            first = next_slot(replace(schedule, every=1), since, today, zone)
            return first.wall.date() if first else today
        case Hourly() | Never() | Unschedulable():
            return today
    assert_never(schedule)


def missed_slots(
    schedule: Schedule, since: datetime, now: datetime, anchor: date, zone: ZoneInfo
) -> MissedSlots | None:
    """The slots after `since`, up to and including `now`; None when there are none."""
    if isinstance(schedule, Hourly):
        starts = _grid_starts(schedule, since, now, zone)
        if len(starts) > 1:
            return _missed_hourly(schedule, since, now, starts, zone)
    # one by one: all rules but Hourly have at most one slot a day
    slots = _between(schedule, since, now, anchor, zone)
    return MissedSlots(slots[0], slots[-1], len(slots)) if slots else None


def _between(
    schedule: Schedule, since: datetime, now: datetime, anchor: date, zone: ZoneInfo
) -> list[Slot]:
    return list(takewhile(lambda slot: slot.at <= now, slots_after(schedule, since, anchor, zone)))


def _inside(at: datetime) -> datetime:
    return min(max(at, _EARLIEST), _LATEST)


def _walk(schedule: Schedule, first: date, anchor: date, zone: ZoneInfo) -> Iterator[Slot]:
    """Slots of the wall times on and after the day before `first`, in order, instants may repeat."""
    # the day before: its hourly grid runs on past midnight
    first = max(first - timedelta(days=1), _FIRST_DAY)
    match schedule:
        case Never() | Unschedulable():
            return iter(())
        case Hourly():
            return _walk_hourly(schedule, first, zone)
        case Daily(every, at):
            days = _active_days("0 0 * * *", every, _DAY, anchor, first)
            return (_resolve(datetime.combine(day, at), zone) for day in days)
        case Weekly():
            return _walk_weekly(schedule, anchor, first, zone)
        case Monthly():
            return _walk_monthly(schedule, anchor, first, zone)
    assert_never(schedule)


# --- days, weeks, months --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unit:
    """What every-N counts: the number of the unit a day lies in, and the first day of a number."""

    number: Callable[[date], int]
    first_day: Callable[[int], date]


_DAY = _Unit(date.toordinal, date.fromordinal)
# ordinal 1 is Monday 0001-01-01, so these weeks start on Mondays
_WEEK = _Unit(
    lambda day: (day.toordinal() - 1) // 7, lambda number: date.fromordinal(number * 7 + 1)
)
_MONTH = _Unit(
    lambda day: day.year * 12 + day.month - 1, lambda number: date(number // 12, number % 12 + 1, 1)
)


def _active_days(
    expression: str, every: int, unit: _Unit, anchor: date, first: date
) -> Iterator[date]:
    """The days from `first` on that cron matches and that lie in every N-th unit counted from `anchor`."""
    # naive on purpose: fed aware times croniter takes the repeated hour twice and its own view of gaps
    cron = croniter(expression, _just_before(first))
    while True:
        try:
            day: date = cron.get_next(datetime).date()
            number = unit.number(day)
            units_ahead = (unit.number(anchor) - number) % every
            if units_ahead:
                cron.set_current(_just_before(unit.first_day(number + units_ahead)), force=True)
                continue
        except (OverflowError, ValueError):
            return  # past what dates can hold
        if day > _LAST_DAY:
            return
        yield day


def _just_before(day: date) -> datetime:
    return datetime.combine(day, time()) - timedelta(seconds=1)


def _walk_weekly(rule: Weekly, anchor: date, first: date, zone: ZoneInfo) -> Iterator[Slot]:
    hours = dict(rule.days)
    if not hours:
        return
    weekdays = ",".join(_CRON_WEEKDAYS[weekday] for weekday in hours)
    for day in _active_days(f"0 0 * * {weekdays}", rule.every, _WEEK, anchor, first):
        yield _resolve(datetime.combine(day, hours[day.weekday()]), zone)


def _walk_monthly(rule: Monthly, anchor: date, first: date, zone: ZoneInfo) -> Iterator[Slot]:
    for month_end in _active_days("0 0 l * *", rule.every, _MONTH, anchor, first):
        day = month_end.replace(day=min(rule.day, month_end.day))
        note = _SHORT_MONTH.format(rule.day) if day.day < rule.day else None
        slot = _resolve(datetime.combine(day, rule.at), zone)
        yield replace(slot, reason="; ".join(filter(None, (note, slot.reason))) or None)


# --- hours ----------------------------------------------------------------------------------------


def _walk_hourly(rule: Hourly, first: date, zone: ZoneInfo) -> Iterator[Slot]:
    # A fold of two hours (Antarctica/Troll) can reach over the end of one day's grid: what is shown for
    # the second time waits until the next grid has nothing earlier.
    waiting: list[Slot] = []
    day = first
    while True:  # `slots_after` ends it
        grid = _grid_slots(rule, day, zone)
        yield from (slot for slot in waiting if slot.at < grid[0].at)
        waiting = [slot for slot in waiting if slot.at >= grid[0].at] + grid
        waiting.sort(key=attrgetter("at"))
        day += timedelta(days=1)


def _grid_slots(rule: Hourly, day: date, zone: ZoneInfo) -> list[Slot]:
    """The slots of one local day's grid, by wall time; Every = 1 takes a repeated hour both times."""
    start = datetime.combine(day, rule.starting_at)
    walls = (start + timedelta(hours=hours) for hours in range(0, 24, rule.every))
    if rule.every == 1:
        return [slot for wall in walls for slot in _showings(wall, zone)]
    return [_resolve(wall, zone) for wall in walls]


def _missed_hourly(
    rule: Hourly, since: datetime, now: datetime, starts: list[datetime], zone: ZoneInfo
) -> MissedSlots:
    """A day of 24 hours between two grid starts is not walked: ten years take 50 ms."""

    def walk(begin: datetime, end: datetime) -> list[Slot]:
        return _between(rule, begin, end, starts[0].date(), zone)

    head = walk(since, starts[0])
    tail = walk(starts[-2], now)
    count = len(head) + len(tail)
    for start, end in pairwise(starts[:-1]):
        if end - start == timedelta(days=1):
            count += len(range(0, 24, rule.every))
        else:
            count += len(walk(start, end))
    return MissedSlots(head[0], tail[-1], count)


def _grid_starts(rule: Hourly, since: datetime, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """The first slot of each day's grid, as far as they lie after `since` and not after `now`."""
    first, last = wall_at(_inside(since), zone), wall_at(_inside(now), zone)
    days = (date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1))
    # a set: a day that does not exist has the same start as the next one
    starts = {_resolve(datetime.combine(day, rule.starting_at), zone).at for day in days}
    return sorted(start for start in starts if since < start <= now)


# --- gaps and folds -------------------------------------------------------------------------------


def _resolve(wall: datetime, zone: ZoneInfo) -> Slot:
    """In a gap: the first instant after it. Shown twice: the first time."""
    return _showings(wall, zone)[0]


def _showings(wall: datetime, zone: ZoneInfo) -> list[Slot]:
    """The slots of every time a clock shows `wall`; in a gap: the first instant after it."""
    occurrence = find_occurrence(wall, zone)
    match occurrence:
        case Once(at):
            return [Slot(at, wall, None)]
        case Twice(first, second):
            why = _words(wall, zone, "occurs twice")
            return [
                Slot(first, wall, f"{why}; first occurrence"),
                Slot(second, wall, f"{why}; second occurrence"),
            ]
        case Skipped(gap_end):
            why = _words(wall, zone, "does not exist")
            shown = wall_at(gap_end, zone)
            served = f"{shown:%H:%M}" if shown.date() == wall.date() else f"{shown:%Y-%m-%d %H:%M}"
            why = f"{why}; served at {served}, the first instant after the gap"
            return [Slot(gap_end, wall, why)]
    assert_never(occurrence)


def _words(wall: datetime, zone: ZoneInfo, verb: str) -> str:
    return f"{wall:%H:%M} {verb} on {wall:%Y-%m-%d} in {zone.key}"
