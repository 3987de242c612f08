"""The values scheduling is decided from, and the words for them.

Only what must survive a restart and what the settings say; decide.py reads it, after.py moves it on.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from scheduler.slots import Slot, first_anchor
from scheduler.wall import wall_at
from settings.model import (
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
)

_SHORTEST_RETRY_DELAY = timedelta(seconds=1)
# nobody may switch backups off for ever, nor may a wrong clock
LONGEST_PAUSE = timedelta(days=31)


# --- what trouble there is ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """`slot` failed `failed_attempts` times (at least 1), last with error `code`; a retry is pending."""

    slot: Slot
    failed_attempts: int
    last_failed_at: datetime
    code: int


@dataclass(frozen=True, slots=True)
class Owed:
    """`slot` was due when the settings changed or the service was stopped, and is served still.

    With it, `missed` slots passed that nobody could serve, itself among them, the newest at `last`;
    0 and None when it alone is owed.
    """

    slot: Slot
    missed: int = 0
    last: Slot | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """Error 1401: all `attempts` for `slot` failed, the last with error `code` at `since`."""

    slot: Slot
    attempts: int
    since: datetime
    code: int


Trouble = Failure | Owed | Halt


# --- what is running ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serving:
    """A backup for `slot`, its `attempt`-th attempt (1 is the first)."""

    slot: Slot
    attempt: int
    began: datetime


@dataclass(frozen=True, slots=True)
class Manual:
    """A backup somebody asked for; it serves no slot."""

    began: datetime


Running = Serving | Manual


# --- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """Everything a decision depends on, except the time.

    Every slot up to and including `answered_until` has its answer: served, given up, cancelled,
    journaled as missed, before the service began to watch, or in the hands of `trouble` or `running`
    (None when there is none). `anchor` is the wall date from which every-N counts. Until `paused_until`
    a person wants no automatic backups (None: nobody said so).
    """

    schedule: Schedule
    retry: RetryPolicy
    zone: ZoneInfo
    anchor: date
    answered_until: datetime
    trouble: Trouble | None = None
    running: Running | None = None
    paused_until: datetime | None = None


def watch(schedule: Schedule, retry: RetryPolicy, zone: ZoneInfo, since: datetime) -> Known:
    """The first start with nothing known: slots count from `since`, nothing is due at once."""
    return Known(schedule, retry, zone, first_anchor(schedule, since, zone), since)


def attempts_allowed(retry: RetryPolicy) -> int:
    """How many attempts a slot gets, the first one included."""
    match retry:
        case RetryAtNextSlot():
            return 1
        case RetryOnce():
            return 2
        case RetryUpTo(attempts=attempts):
            return attempts
    assert_never(retry)


def retry_delay(retry: RetryPolicy) -> timedelta | None:
    """How long after a failure the next attempt may begin; None when there is none."""
    match retry:
        case RetryAtNextSlot():
            return None
        case RetryOnce(delay=delay) | RetryUpTo(delay=delay):
            return max(delay, _SHORTEST_RETRY_DELAY)
    assert_never(retry)


# --- words ----------------------------------------------------------------------------------------


def local_words(at: datetime, zone: ZoneInfo) -> str:
    """The instant as local time, to the minute; to the second when it is not a whole minute."""
    wall = wall_at(at, zone)
    return f"{wall:%Y-%m-%d} {_clock(wall.time())}"


def _clock(at: time) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
