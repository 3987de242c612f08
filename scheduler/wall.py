"""Which instants a local wall-clock time names: one, two (clocks go back) or none (clocks go forward).

Knows nothing of schedules; slots.py decides what a rule does with a time that exists twice or never.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Once:
    """The usual case."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Twice:
    """Clocks go back over this time: it is shown at `first` and again at `second`."""

    first: datetime
    second: datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    """Clocks go forward over this time: it is never shown; `gap_end` is the first instant after the gap."""

    gap_end: datetime


Occurrence = Once | Twice | Skipped


def wall_at(at: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows at the instant, without a zone."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def find_occurrence(wall: datetime, zone: ZoneInfo) -> Occurrence:
    """The instants (UTC) at which a clock on the wall shows `wall`."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return Once(first)
    if first < second:
        return Twice(first, second)
    # PEP 495: inside a gap the two readings change places, and the change lies between them
    return Skipped(_first_instant_at_or_past(wall, second, first, zone))


def _first_instant_at_or_past(
    wall: datetime, before: datetime, after: datetime, zone: ZoneInfo
) -> datetime:
    """Halve the whole seconds between an instant before the gap and one after it."""
    before = before.replace(microsecond=0)
    low, high = 0, int((after - before) / timedelta(seconds=1)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if wall_at(before + timedelta(seconds=middle), zone) >= wall:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)
