"""When a restore drill or a scrub is due: pure functions of what is asked for and what was done last."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.proof import LastDrill
from scheduler.wall import Once, Skipped, Twice, find_occurrence, wall_at
from settings.service_model import Drill, Scrub, Window

# what failed is tried again after a day, so that a failure is neither a storm nor stays for weeks
RETRY = timedelta(days=1)
# a clock that was a little wrong; what lies further ahead was done under a clock that was very wrong
_FUTURE = timedelta(hours=1)
# twice as long as asked for is more than a machine that was off for a night
_OVERDUE = 2


def drill_due(drill: Drill, last: LastDrill | None, zone: ZoneInfo, now: datetime) -> datetime:
    """The instant from which on the next drill is to be made: `now` or before when it is due."""
    if last is None or last.ended > now + _FUTURE:
        return opening(drill.window, now, zone)
    wait = drill.every if last.is_good else min(drill.every, RETRY)
    return opening(drill.window, max(last.ended + wait, now), zone)


def scrub_due(scrub: Scrub, oldest: datetime | None, zone: ZoneInfo, now: datetime) -> datetime:
    """The same for a scrub; `oldest` is the last verification that is longest ago, None: look now."""
    if oldest is None or oldest > now + _FUTURE:
        return opening(scrub.window, now, zone)
    return opening(scrub.window, max(oldest + scrub.after, now), zone)


def is_overdue(drill: Drill, asked: datetime, last: LastDrill | None, now: datetime) -> bool:
    """Whether a drill is missing that has been asked for since `asked`."""
    since = asked if last is None else max(asked, last.ended)
    return now - since > _OVERDUE * drill.every


def opening(window: Window | None, at: datetime, zone: ZoneInfo) -> datetime:
    """The first instant from `at` on that lies in the window."""
    if window is None or _is_open(window, at, zone):
        return at
    today = wall_at(at, zone).date()
    for days in range(4):  # clocks that go forward may skip the window of one day
        beginning = datetime.combine(today + timedelta(days=days), window.begins)
        for instant in _instants(beginning, zone):
            if instant > at and _is_open(window, instant, zone):
                return instant
    return at  # no zone leaves out a time of day for days on end


def _instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    match find_occurrence(wall, zone):
        case Once(at):
            return (at,)
        case Twice(first, second):
            return first, second
        case Skipped(gap_end):
            return (gap_end,)


def _is_open(window: Window, at: datetime, zone: ZoneInfo) -> bool:
    clock: time = wall_at(at, zone).time()
    if window.begins < window.ends:
        return window.begins <= clock < window.ends
    return clock >= window.begins or clock < window.ends
