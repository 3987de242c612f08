"""What happens to the machine in ten years, and what its people do: made up from a seed, true times (UTC) only."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import log
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from settings.model import (
    Daily,
    Hourly,
    Monthly,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
    Weekly,
)

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3600, 86400))
ZONES = tuple(
    ZoneInfo(key)
    for key in (
        "Europe/Paris",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",  # half an hour
        "Africa/Cairo",  # clocks change at midnight
        "Africa/Casablanca",  # back for a month each year
        "America/Santiago",
        "Antarctica/Troll",  # two hours
        "Pacific/Chatham",
        "UTC",
    )
)


Ending = Literal["published", "postponed", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Outage:
    """The service does not run; it was told to stop when `graceful`, else killed. Starts again in `zone`."""

    at: datetime
    until: datetime
    graceful: bool
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Suspended:
    """The machine sleeps: nothing runs, the clock is right afterwards."""

    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class ClockSet:
    """From now on the machine's clock shows the true time and `offset`."""

    at: datetime
    offset: timedelta


@dataclass(frozen=True, slots=True)
class ZoneSet:
    """The machine's zone is another one from now on, and the service takes that up while it runs."""

    at: datetime
    zone: ZoneInfo


Happening = Outage | Suspended | ClockSet | ZoneSet


@dataclass(frozen=True, slots=True)
class World:
    """One machine: every database of the service lives through the same happenings.

    With a `haste` of 8 there is as much trouble in a year as there is in eight, and services die during runs.
    """

    zone: ZoneInfo
    end: datetime
    happenings: tuple[Happening, ...]
    haste: float


def make_world(rng: Random, years: float, haste: float) -> World:
    """Something happens every two weeks or so, without haste."""
    zone = first_zone = rng.choice(ZONES)
    at, end = BEGIN, BEGIN + years * 365.25 * DAY
    happenings: list[Happening] = []
    while True:
        at += timedelta(days=rng.expovariate(haste / 12)) + HOUR
        if rng.random() < 0.3:  # people work at whole hours, and slots lie there
            at = at.replace(minute=0, second=0) + between(rng, SECOND, 10 * MINUTE)
        if at + 20 * DAY > end:
            break
        kind = rng.random()
        if kind < 0.5:
            zone = rng.choice(ZONES) if rng.random() < 0.05 else zone
            outage = Outage(at, at + between(rng, 4 * SECOND, 9 * DAY), rng.random() < 0.6, zone)
            happenings.append(outage)
            at = outage.until
            if rng.random() < 0.12:
                happenings += _wrong_for_a_while(rng, outage.until - SECOND, _boot_offset(rng))
        elif kind < 0.85:
            happenings += _wrong_for_a_while(rng, at, _jump(rng))
        elif kind < 0.98:
            nap = Suspended(at, at + between(rng, 10 * MINUTE, 8 * DAY))
            happenings.append(nap)
            at = nap.until
        else:
            zone = rng.choice(ZONES)
            happenings.append(ZoneSet(at, zone))
    return World(
        first_zone, end, tuple(sorted(happenings, key=lambda happening: happening.at)), haste
    )


def _wrong_for_a_while(rng: Random, at: datetime, offset: timedelta) -> list[Happening]:
    corrected = at + between(rng, 30 * SECOND, 6 * DAY)
    return [ClockSet(at, offset), ClockSet(corrected, timedelta())]


def _boot_offset(rng: Random) -> timedelta:
    """A year ahead most of the time; or what an empty battery leaves."""
    if rng.random() < 0.7:
        return 365 * DAY + between(rng, MINUTE, DAY)
    return -between(rng, DAY, 300 * DAY)


def _jump(rng: Random) -> timedelta:
    longest = rng.choice((50 * SECOND, 30 * MINUTE, 23 * HOUR, 40 * DAY))
    return rng.choice((-1, 1)) * between(rng, SECOND, longest)


def between(rng: Random, shortest: timedelta, longest: timedelta) -> timedelta:
    """A time span; short ones come as often as long ones."""
    low, high = log(shortest.total_seconds()), log(longest.total_seconds())
    return timedelta(seconds=round(2.718281828459045 ** rng.uniform(low, high), 3))


# --- people ---------------------------------------------------------------------------------------

_RETRY_DELAYS = (SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, 2 * HOUR)


def some_time(rng: Random) -> time:
    """A time of day; most people take a round one, and many take the hours that DST moves."""
    if rng.random() < 0.6:
        return rng.choice((time(0), time(1, 30), time(2), time(2, 30), time(3), time(23)))
    return time(rng.randrange(24), rng.randrange(0, 60, 5))


def some_schedule(rng: Random) -> Schedule:
    """Hours are rare: one year of each hour is as long as 24 years of each day."""
    kind = rng.random()
    if kind < 0.04:
        return Hourly(rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 12, 12, 24, 24)), some_time(rng))
    if kind < 0.38:
        return Daily(rng.choice((1, 1, 2, 3, 5, 7, 10)), some_time(rng))
    if kind < 0.63:
        weekdays = sorted(rng.sample(range(7), rng.randint(1, 4)))
        return Weekly(rng.choice((1, 1, 2, 3)), tuple((day, some_time(rng)) for day in weekdays))
    if kind < 0.9:
        return Monthly(
            rng.choice((1, 1, 2, 6)), rng.choice((1, 15, 28, 29, 30, 31)), some_time(rng)
        )
    return Never() if rng.random() < 0.7 else Unschedulable("no weekday is named")


def some_retry(rng: Random) -> RetryPolicy:
    """Every policy, with short and long delays."""
    kind = rng.random()
    if kind < 0.5:
        return RetryOnce(rng.choice(_RETRY_DELAYS))
    if kind < 0.8:
        return RetryUpTo(rng.choice(_RETRY_DELAYS), rng.randint(1, 5))
    return RetryAtNextSlot()


# --- runs -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Backup:
    """A backup that really runs, from the moment it has the lock."""

    slot: datetime | None
    lasts: timedelta
    ending: Ending
    has_lock: bool = False


def some_length(rng: Random) -> timedelta:
    """How long a backup takes; a few last for days."""
    kind = rng.random()
    if kind < 0.9:
        return between(rng, 5 * SECOND, 20 * MINUTE)
    return between(rng, 20 * MINUTE, 3 * HOUR if kind < 0.99 else 50 * HOUR)


def some_ending(rng: Random, *, is_bad_time: bool) -> Ending:
    """Most backups succeed, unless the disk is full for days."""
    if rng.random() < (0.9 if is_bad_time else 0.03):
        return "failed"
    kind = rng.random()
    if kind < 0.06:
        return "stopped" if kind < 0.015 else "postponed"
    return "published"


def some_lateness(rng: Random) -> timedelta:
    """How much later than asked the service wakes."""
    kind = rng.random()
    if kind < 0.7:
        return rng.random() * SECOND
    return rng.random() * (MINUTE if kind < 0.99 else 5 * MINUTE)
