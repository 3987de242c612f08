"""A moment as a person types it: a local wall-clock time, or an instant with its offset. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from scheduler.wall import Once, Skipped, Twice, find_occurrence, wall_at
from settings.keys import WEEKDAYS

FORMS = "2026-03-29, 2026-03-29 02:30, 2026-03-29T02:30:00+01:00 or 2026-03-29T01:30:00Z"
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
# no zone and no gap reaches from here over the edge of what datetime can hold
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
_LATEST = datetime(9999, 12, 29, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant that was meant; `note` says how a time that exists twice or never was taken, else None."""

    at: datetime
    note: str | None = None


def parse_moment(text: str, zone: ZoneInfo) -> Moment:
    """The moment a text names in a zone. Raises ValueError with what is wrong and what can be written."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no date and time; write {FORMS}")
    try:
        wall = datetime.fromisoformat(f"{match['day']}T{match['clock'] or '00:00'}")
        aware = datetime.fromisoformat(f"{wall.isoformat()}{match['offset'] or 'Z'}")
    except ValueError as error:
        raise ValueError(f"{text!r} is no date and time: {error}; write {FORMS}") from None
    if not _EARLIEST.date() < wall.date() < _LATEST.date():
        return Moment(_LATEST if wall.year > 1 else _EARLIEST)
    return Moment(aware.astimezone(UTC)) if match["offset"] else _from_wall(wall, zone)


def _from_wall(wall: datetime, zone: ZoneInfo) -> Moment:
    occurrence = find_occurrence(wall, zone)
    words = f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"
    match occurrence:
        case Once(at):
            return Moment(at)
        case Twice(first, second):
            early, late = (f"{offset_words(at, zone)}" for at in (first, second))
            return Moment(
                first,
                f"{words} occurs twice on {wall.date()} in {zone.key}: the first one was taken;"
                f" write {early} or {late} behind it to say which",
            )
        case Skipped(gap_end):
            shown = wall_at(gap_end, zone)
            return Moment(
                gap_end,
                f"{words} does not exist on {wall.date()} in {zone.key}: {shown} was taken,"
                " the first instant after the gap",
            )
    assert_never(occurrence)


def parse_zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises ValueError with names that could have been meant."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = {zone.lower(): zone for zone in available_timezones()}
        close = [known[zone] for zone in get_close_matches(name.lower(), known, 3, 0.7)]
    example = " or ".join(close) or "Europe/Paris"
    raise ValueError(f"{name!r} is no time zone; write it as {example}")


def local_text(at: datetime, zone: ZoneInfo) -> str:
    """`Sun 2026-03-29 03:00:00 +02:00`: what the clock on the wall shows, with weekday and offset."""
    wall = wall_at(at, zone)
    return (
        f"{WEEKDAYS[wall.weekday()][:3]} {wall.isoformat(' ', 'seconds')} {offset_words(at, zone)}"
    )


def offset_words(at: datetime, zone: ZoneInfo) -> str:
    """`+02:00`; with seconds for the local mean times of old."""
    offset = at.astimezone(zone).utcoffset() or timedelta()
    return at.astimezone(zone).isoformat()[-9 if offset.seconds % 60 else -6 :]
