"""The slots of a schedule as somebody with a calendar and a clock on the wall would find them, and the limits.

Shares no code and no library with scheduler/slots.py: days are counted one by one, and an instant is what
zoneinfo says of a wall time with fold=0 and fold=1.
"""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from settings.model import (
    Daily,
    Hourly,
    Monthly,
    Never,
    RetryAtNextSlot,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
    Weekly,
)

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_BLOCKS_AHEAD = 60


class Series:
    """The slots after an instant, taken one after the other; what was taken never comes again."""

    def __init__(self, schedule: Schedule, anchor: date, zone: ZoneInfo, begin: datetime) -> None:
        self._rule = (schedule, anchor, zone)
        self._days = 10 if isinstance(schedule, Hourly) else 150
        self._block = begin.toordinal() // self._days
        self._slots = _slots_of_block(*self._rule, self._days, self._block)
        self._place = bisect_right(self._slots, begin)
        self._is_empty = isinstance(schedule, Never | Unschedulable)

    def peek(self) -> datetime | None:
        """The next slot; None when there is none."""
        if self._is_empty:
            return None
        for _ in range(_BLOCKS_AHEAD):
            if self._place < len(self._slots):
                return self._slots[self._place]
            self._block += 1
            self._slots = _slots_of_block(*self._rule, self._days, self._block)
            self._place = 0
        raise AssertionError(f"no slot in {_BLOCKS_AHEAD} x {self._days} days: {self._rule}")

    def take(self, until: datetime) -> Iterator[datetime]:
        """All up to and including an instant."""
        while (slot := self.peek()) is not None and slot <= until:
            self._place += 1
            yield slot


def first_day(schedule: Schedule, since: datetime, zone: ZoneInfo) -> date:
    """The day from which every-N counts: the first with a slot after an instant, were N 1."""
    today = since.astimezone(zone).date()
    if not isinstance(schedule, Daily | Weekly | Monthly):
        return today
    each = replace(schedule, every=1)
    for number in range(-2, 70):
        day = today + number * DAY
        if any(instants(wall, zone)[0] > since for wall in _walls(each, day, day)):
            return day
    raise AssertionError(f"no day for {schedule}")


@lru_cache(maxsize=512)
def _slots_of_block(
    schedule: Schedule, anchor: date, zone: ZoneInfo, days: int, number: int
) -> tuple[datetime, ...]:
    """The slots of so many days (UTC), counted from the first day of the calendar."""
    first = date.fromordinal(number * days)
    begin = datetime.combine(first, time(), UTC)
    both = isinstance(schedule, Hourly) and schedule.every == 1
    found: set[datetime] = set()
    for day_number in range(-3, days + 3):
        for wall in _walls(schedule, anchor, first + day_number * DAY):
            at = instants(wall, zone)
            found.update(at if both else at[:1])
    return tuple(sorted(slot for slot in found if begin <= slot < begin + days * DAY))


def _walls(schedule: Schedule, anchor: date, day: date) -> list[datetime]:
    match schedule:
        case Hourly(every, starting_at):
            start = datetime.combine(day, starting_at)
            return [start + hours * HOUR for hours in range(0, 24, every)]
        case Daily(every, at):
            return [datetime.combine(day, at)] if (day - anchor).days % every == 0 else []
        case Weekly(every, days):
            weeks = (_monday(day) - _monday(anchor)).days // 7
            hours = dict(days).get(day.weekday()) if weeks % every == 0 else None
            return [] if hours is None else [datetime.combine(day, hours)]
        case Monthly(every, of_month, at):
            months = (day.year - anchor.year) * 12 + day.month - anchor.month
            last = monthrange(day.year, day.month)[1]
            is_day = day.day == min(of_month, last) and months % every == 0
            return [datetime.combine(day, at)] if is_day else []
        case Never() | Unschedulable():
            return []


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def instants(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """When the clock on the wall shows it: once, twice, or the first minute at which it shows a later time."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first <= second:
        return sorted({first, second})
    at = second.replace(second=0)
    while at.astimezone(zone).replace(tzinfo=None) < wall:
        at += MINUTE
    return [at]


# --- limits ---------------------------------------------------------------------------------------


def tolerance(schedule: Schedule) -> timedelta:
    """How far ahead of its clock the service may find the newest answer before it must call the clock wrong."""
    match schedule:
        case Daily(every=days):
            period = days
        case Weekly(every=weeks):
            period = weeks * 7
        case Monthly():
            period = 31
        case _:
            period = 1
    return max(2, min(period + 1, 32)) * DAY


def allowed(retry: RetryPolicy) -> int:
    """How many attempts a slot gets."""
    if isinstance(retry, RetryUpTo):
        return retry.attempts
    return 1 if isinstance(retry, RetryAtNextSlot) else 2


def delay(retry: RetryPolicy) -> timedelta:
    """How long after a failure a retry may come."""
    if isinstance(retry, RetryAtNextSlot):
        return timedelta()
    return max(retry.delay, timedelta(seconds=1))
